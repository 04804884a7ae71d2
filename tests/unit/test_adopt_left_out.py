"""What the site could not give back exactly is left out, and told with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from adopting import (
    adopted,
    assert_given_back,
    brownfield,
    guest_xml,
    reasons,
    ref,
)
from sites import mac

from reconciler.load import load
from reconciler.model.filter import FilterRef


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "it has no filter"),
        (ref("clean-traffic"), "sets no IP, and libvirt lets the guest keep the first it shows"),
        (ref("clean-traffic", CTRL_IP_LEARNING="dhcp"), "sets no IP, and libvirt takes what DHCP gives the guest"),
        (
            ref("clean-traffic", IP="10.0.0.1", CTRL_IP_LEARNING="any"),
            "sets CTRL_IP_LEARNING to any, and the site to none",
        ),
        (ref("clean-traffic", IP="10.0.0.1", MAC="52:54:00:00:00:01"), "sets MAC, which the site leaves to libvirt"),
        (ref("clean-traffic", IP="010.0.0.1"), "sets IP to 010.0.0.1, which is no address"),
        (ref("clean-traffic", IP="2001:db8::1"), "sets IP to 2001:db8::1, which is no address"),
        (
            ref("clean-traffic", IP="10.0.0.1", IPV6="2001:db8::1"),
            "sets IPV6, which the filter clean-traffic does not use",
        ),
        (ref("clean-traffic", IP="10.0.0.1", IPMASK="32"), "sets IPMASK, which the filter clean-traffic does not use"),
        (ref("six", IPV6="2001:DB8::1"), "sets IPV6 to 2001:DB8::1, which the site can only write as 2001:db8::1/128"),
        (ref("masked", IP="10.0.0.5", IPMASK="24", IPV6="2001:db8::1"), "the site can only write as 10.0.0.0/24"),
        (ref("masked", IP="10.0.0.0", IPMASK="255.255.255.0", IPV6="2001:db8::1"), "only write as 10.0.0.0/24"),
        (ref("clean-traffic", IP="224.0.0.1"), "check would refuse it: 224.0.0.1 lies in multicast space"),
        (ref("clean-traffic", IP=["10.0.0.1", "10.0.0.1"]), "gives it 10.0.0.1 twice"),
        (ref("Shouting", IP="10.0.0.1"), "its filter is Shouting, a name that the site cannot have"),
        (ref("all-but", IP=["10.0.0.1", "10.0.0.2"]), "check would refuse it: this rule"),
        (ref("segmented", IP="10.9.0.1", SEGMENT="10.0.0.0", SEGMENTMASK="24"), "does not lie in segment"),
    ],
)
def test_what_the_site_cannot_say_is_left_out(reference: FilterRef | None, reason: str) -> None:
    """Some of these libvirt would not even start; stored definitions may hold anything."""
    host = brownfield({"odd": reference, "fine": ref("clean-traffic", IP="10.9.9.9")}, running=False)
    done = adopted(host)
    found = reasons(done)
    assert found.keys() == {f"guest/odd/{mac(1)}"}
    assert reason in found[f"guest/odd/{mac(1)}"]
    assert [guest.name for guest in assert_given_back(host, done).guests] == ["fine"]


def test_an_address_that_was_learned_is_told() -> None:
    host = brownfield({"web01": ref("clean-traffic", IP="10.0.0.1")})
    [port] = host.bindings
    domain, unset = host.domains["web01"], ref("clean-traffic")
    live = (replace(domain.live[0], filterref=unset),)
    host.domains["web01"] = replace(domain, live=live, persistent=(replace(domain.persistent[0], filterref=unset),))
    assert host.bindings[port].filterref.values("IP") == ("10.0.0.1",)
    assert reasons(adopted(host)) == {
        f"guest/web01/{mac(1)}": "its filterref sets no IP, and libvirt lets the guest keep the first it shows "
        "(now 10.0.0.1)"
    }


def test_a_stopped_guest_whose_filter_is_gone() -> None:
    host = brownfield({"odd": ref("own", IP="10.0.0.1", IPV6="2001:db8::1")}, running=False)
    del host.filters["leaf"]
    assert "reaches leaf, which libvirt does not have" in reasons(adopted(host))[f"guest/odd/{mac(1)}"]


def test_lists_of_unequal_length() -> None:
    host = brownfield(
        {"odd": ref("masked", IP=["10.0.0.1", "10.0.0.2"], IPMASK="32", IPV6="2001:db8::1")}, running=False
    )
    assert "gives 2 of IP and 1 of IPMASK" in reasons(adopted(host))[f"guest/odd/{mac(1)}"]


def test_a_running_guest_that_differs_from_its_stored_definition() -> None:
    host = brownfield({"web01": ref("clean-traffic", IP="10.0.0.1"), "db01": ref("clean-traffic", IP="10.0.0.2")})
    host.define_domain(guest_xml("web01", ref("clean-traffic", IP="10.0.0.3"), first=1))
    host.define_domain(guest_xml("db01", ref("clean-traffic", IP="10.0.0.2"), ref("leaf"), first=2))
    host.writes.clear()
    done = adopted(host)
    assert reasons(done) == {
        f"guest/web01/{mac(1)}": "the running guest and its stored definition differ in its filter's variables",
        f"guest/db01/{mac(3)}": "only the stored definition has it",
    }
    assert_given_back(host, done)


def test_an_interface_that_libvirt_does_not_filter() -> None:
    host = brownfield({})
    host.define_domain(guest_xml("macvtap", ref("clean-traffic", IP="10.0.0.1"), first=1, kind="direct"))
    assert reasons(adopted(host)) == {f"guest/macvtap/{mac(1)}": "libvirt filters no interface of type direct"}


def test_names_that_no_file_can_have() -> None:
    host = brownfield({"two words": ref("leaf"), "web01": ref("leaf"), "WEB01": ref("leaf")})
    done = adopted(host)
    assert reasons(done) == {
        "guest/two words": "its name is none that a file of the site can have",
        f"guest/web01/{mac(2)}": "its guest's name differs from that of WEB01 only in case",
        f"guest/WEB01/{mac(3)}": "its guest's name differs from that of web01 only in case",
    }
    assert done.files == {}


def test_rules_that_are_not_in_the_kernel_or_not_bound() -> None:
    host = brownfield({name: ref("clean-traffic", IP=f"10.0.0.{n}") for n, name in enumerate(("a", "b", "c", "d"), 1)})
    ports = {binding.owner: port for port, binding in host.bindings.items()}
    del host.installed[ports["a"]]
    host.bindings[ports["b"]] = replace(host.bindings[ports["b"]], filterref=ref("leaf"))
    host.closed.add(ports["c"])
    done = adopted(host)
    assert reasons(done) == {
        f"guest/a/{mac(1)}": "the rules in the kernel are not those that its filter makes",
        f"guest/b/{mac(2)}": "libvirt's binding of its port is not what its XML says",
        f"guest/c/{mac(3)}": "its port is closed",
    }
    assert [guest.name for guest in load(done.files).guests] == ["d"]


class TestTwoOwners:
    """It is not known which is right, so neither is adopted; what the site has already stays."""

    def test_one_address(self) -> None:
        host = brownfield({name: ref("clean-traffic", IP="10.0.0.1") for name in ("a", "b")})
        done = adopted(host)
        assert reasons(done) == {
            f"guest/a/{mac(1)}": f"its filterref gives it 10.0.0.1, which guest/b/{mac(2)} has too",
            f"guest/b/{mac(2)}": f"its filterref gives it 10.0.0.1, which guest/a/{mac(1)} has too",
        }
        assert done.files == {}

    def test_an_address_in_another_ones_prefix(self) -> None:
        wide = ref("masked", IP="10.0.0.0", IPMASK="24", IPV6="2001:db8::1")
        narrow = {name: ref("clean-traffic", IP=f"10.0.0.{n}") for n, name in enumerate(("b", "c"), 1)}
        host = brownfield({"a": wide, **narrow, "d": ref("clean-traffic", IP="10.0.1.0")})
        done = adopted(host)
        assert reasons(done).keys() == {f"guest/{name}/{mac(n)}" for n, name in enumerate(("a", "b", "c"), 1)}
        assert [guest.name for guest in assert_given_back(host, done).guests] == ["d"]

    def test_link_local_addresses_are_each_bridges_own(self) -> None:
        host = brownfield({})
        for number, (name, bridge) in enumerate((("a", "br0"), ("b", "br1"), ("c", "br1")), 1):
            reference = ref("six", IPV6=["2001:db8::" + str(number), "fe80::1"])
            host.define_domain(guest_xml(name, reference, first=number, bridge=bridge))
        host.writes.clear()
        done = adopted(host)
        assert reasons(done).keys() == {f"guest/b/{mac(2)}", f"guest/c/{mac(3)}"}
        assert_given_back(host, done)

    def test_one_mac(self) -> None:
        host = brownfield({"a": ref("leaf")})
        host.define_domain(guest_xml("b", ref("leaf"), first=1))
        host.define_domain(guest_xml("c", ref("leaf"), ref("leaf"), first=3).replace(mac(4), mac(3)))
        found = reasons(adopted(host))
        assert found == {
            f"guest/a/{mac(1)}": f"its MAC is also that of guest/b/{mac(1)}",
            f"guest/b/{mac(1)}": f"its MAC is also that of guest/a/{mac(1)}",
            f"guest/c/{mac(3)}": "several interfaces of the guest have this MAC",
        }

    def test_macs_that_end_alike(self) -> None:
        host = brownfield({})
        host.define_domain(guest_xml("a", ref("leaf"), ref("leaf"), first=1).replace(mac(2), "52:54:01:00:00:01"))
        assert all("their guards would have one name" in reason for reason in reasons(adopted(host)).values())
        assert len(reasons(adopted(host))) == 2

    def test_an_address_that_the_site_has(self) -> None:
        host = brownfield({"b": ref("clean-traffic", IP="10.0.0.1"), "c": ref("clean-traffic", IP="10.0.0.2")})
        files = {
            "site.yaml": b"{}",
            "guests/zed.yaml": b'{name: zed, interfaces: [{mac: "52:54:00:00:00:99", filter: clean-traffic, '
            b"ipv4: [10.0.0.1], ipv6: none}]}",
        }
        done = adopted(host, files)
        assert reasons(done) == {
            f"guest/b/{mac(1)}": "its filterref gives it 10.0.0.1, which guest/zed/52:54:00:00:00:99 has too"
        }
        assert list(done.files) == ["guests/c.yaml"]
