"""Bytes of frames become the fields that the kernel's matches read, and None where they read nothing."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.nwfilter.decode import decode
from reconciler.nwfilter.frame import Arp, Bpdu, Frame, Packet, Transport, Vlan

TARGET, SOURCE = "02:00:00:00:00:01", "52:54:00:00:00:01"
MACS = bytes.fromhex((TARGET + SOURCE).replace(":", ""))
FROM4, TO4 = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
FROM6, TO6 = IPv6Address("2001:db8::1"), IPv6Address("ff02::1")
UDP = struct.pack("!HHHH", 68, 67, 12, 0) + b"data"
ADVERTISEMENT = bytes((134, 0, 0, 0))


def ethernet(ethertype: int, payload: bytes) -> Frame:
    return decode(MACS + struct.pack("!H", ethertype) + payload)


def ipv4(payload: bytes, protocol: int = 17, fragment: int = 0, options: bytes = b"") -> Packet:
    first = 0x45 + len(options) // 4
    header = struct.pack("!BBHHHBBH", first, 0x10, 20 + len(options) + len(payload), 1, fragment, 64, protocol, 0)
    packet = ethernet(0x0800, header + FROM4.packed + TO4.packed + options + payload).payload
    assert isinstance(packet, Packet)
    return packet


def ipv6(payload: bytes, following: int) -> Packet:
    header = struct.pack("!IHBB", 0x6AB00000, len(payload), following, 255)
    packet = ethernet(0x86DD, header + FROM6.packed + TO6.packed + payload).payload
    assert isinstance(packet, Packet)
    return packet


def arp(operation: int = 1, hardware: int = 1, protocol: int = 0x0800, mac_length: int = 6, tail: bytes = b"") -> bytes:
    header = struct.pack("!HHBBH", hardware, protocol, mac_length, 4, operation)
    sender, target = b"\x52" * mac_length, b"\x02" * mac_length
    return header + sender + FROM4.packed + target + TO4.packed + tail


class TestLink:
    def test_addresses_and_ethertype(self) -> None:
        assert ethernet(0x88CC, b"") == Frame(SOURCE, TARGET, 0x88CC)

    def test_a_frame_without_header(self) -> None:
        with pytest.raises(ValueError, match="13"):
            decode(b"\0" * 13)

    def test_tags(self) -> None:
        assert ethernet(0x8100, struct.pack("!HH", 0x6007, 0x0800) + b"\x45").payload == Vlan(7, 3, 0x0800)
        inner = struct.pack("!HHHH", 7, 0x8100, 8, 0x0800)
        assert ethernet(0x88A8, inner).payload == Vlan(7, 0, 0x8100)
        assert ethernet(0x8100, struct.pack("!HH", 0, 38) + b"\x42\x42").payload == Vlan(0, 0, 4)
        assert ethernet(0x8100, struct.pack("!HH", 0, 38) + b"\xff\xff").payload == Vlan(0, 0, 1)
        assert ethernet(0x8100, b"\0\7\x08").payload is None

    def test_bridge_messages_as_ebt_stp_reads_them(self) -> None:
        header = bytes.fromhex("424203000000")
        config = ethernet(38, header + bytes(range(31))).payload
        assert isinstance(config, Bpdu)
        assert config.config
        assert config.config.flags == 0
        assert config.config.root_priority == 0x0102
        assert config.config.root_address == "03:04:05:06:07:08"
        assert config.config.root_cost == 0x090A0B0C
        assert config.config.forward_delay == 0x1D1E
        assert ethernet(38, header + bytes(30)).payload == Bpdu(0, None)
        assert ethernet(38, b"\x42\x42\x03\0\0\2" + bytes(31)).payload is None


class TestArp:
    def test_a_whole_one(self) -> None:
        wanted = Arp(2, "52:52:52:52:52:52", FROM4, "02:02:02:02:02:02", TO4)
        assert ethernet(0x0806, arp(2)).payload == wanted
        assert ethernet(0x8035, arp(2, tail=b"padding")).payload == wanted

    def test_other_hardware_hides_macs_and_another_protocol_hides_addresses(self) -> None:
        assert ethernet(0x0806, arp(hardware=6)).payload == Arp(1, None, FROM4, None, TO4, 6)
        assert ethernet(0x0806, arp(mac_length=8)).payload == Arp(1, None, FROM4, None, TO4)
        found = ethernet(0x0806, arp(protocol=0x86DD)).payload
        assert found == Arp(1, "52:52:52:52:52:52", None, "02:02:02:02:02:02", None, 1, 0x86DD)

    def test_cut_off(self) -> None:
        assert ethernet(0x0806, arp()[:7]).payload is None
        assert ethernet(0x0806, arp()[:20]).payload == Arp(1, "52:52:52:52:52:52", None, None, None)


class TestIpv4:
    def test_ports_behind_options(self) -> None:
        wanted = Packet(FROM4, TO4, Transport(17, 68, 67), 0x10)
        assert ipv4(UDP) == wanted
        assert ipv4(UDP, options=b"\1\1\1\0") == wanted

    def test_fragments(self) -> None:
        assert ipv4(UDP, fragment=0x2000).transport == Transport(17, 68, 67)
        assert ipv4(UDP, fragment=0x2001).transport == Transport(17)

    def test_other_protocols_and_short_ones(self) -> None:
        assert ipv4(b"\x08\x01\0\0", 1).transport == Transport(1, icmp_type=8, icmp_code=1)
        assert ipv4(UDP, 47).transport == Transport(47)
        assert ipv4(UDP[:3]).transport == Transport(17)
        assert ethernet(0x0800, b"\x45" * 19).payload is None

    def test_tcp(self) -> None:
        header = struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 0x80, 0x12, 0, 0, 0)
        options = b"\1\2\4\5\xb4\3\3\7\0\0\0\0"
        assert ipv4(header + options, 6).transport == Transport(
            6, 1, 2, tcp_flags=0x12, tcp_options=frozenset({1, 2, 3})
        )
        assert ipv4(header[:19], 6).transport == Transport(6, 1, 2)


class TestIpv6:
    def test_traffic_class_and_ports(self) -> None:
        assert ipv6(UDP, 17) == Packet(FROM6, TO6, Transport(17, 68, 67), 0xAB)

    @pytest.mark.parametrize(
        ("following", "headers"),
        [
            (58, b""),
            (0, bytes((58, 0)) + bytes(6)),
            (60, bytes((58, 1)) + bytes(14)),
            (43, bytes((58, 0)) + bytes(6)),
            (44, bytes((58, 0, 0, 1)) + bytes(4)),
            (51, bytes((58, 1)) + bytes(10)),
            (0, bytes((60, 0)) + bytes(6) + bytes((44, 0)) + bytes(6) + bytes((58, 0, 0, 0)) + bytes(4)),
        ],
    )
    def test_extension_headers_are_skipped(self, following: int, headers: bytes) -> None:
        found = ipv6(headers + ADVERTISEMENT, following).transport
        assert found == Transport(58, icmp_type=134, icmp_code=0)

    def test_a_later_fragment(self) -> None:
        found = ipv6(bytes((17, 0, 0, 9)) + bytes(4) + UDP, 44)
        assert found.transport == Transport(44)
        assert found.fragment_of == 17

    @pytest.mark.parametrize(("following", "payload"), [(59, b""), (0, b"\x3a"), (44, b"\x3a\0\0"), (60, b"\x3a\x05")])
    def test_chains_that_break_off(self, following: int, payload: bytes) -> None:
        found = ipv6(payload, following).transport
        assert found.protocol in (None, 58)
        assert found.icmp_type is None

    def test_not_skipped(self) -> None:
        assert ipv6(bytes(8), 50).transport == Transport(50)
        assert ethernet(0x86DD, bytes(39)).payload is None


@given(st.binary(min_size=14, max_size=120))
def test_any_bytes_are_a_frame(data: bytes) -> None:
    frame = decode(data)
    assert frame.ethertype == int.from_bytes(data[12:14], "big")


@given(st.sampled_from((0x0800, 0x86DD, 0x0806, 0x8100, 38)), st.binary(max_size=120))
def test_any_payload_is_decoded(ethertype: int, payload: bytes) -> None:
    ethernet(ethertype, payload)
