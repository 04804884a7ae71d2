"""What is checked of the content of all files together: id → (why it is refused, what to do now)."""

from __future__ import annotations

from reconciler.load.check import Meanings

NAMES: Meanings = {
    "name-invalid": (
        "Names are part of file names, filter names and commands.",
        "use letters (upper case in guests' only), digits, . _ and -; 63 at most, in a bridge's name 15",
    ),
    "guest-file-name": (
        "A guest's file is called like the guest, so that one guest is one file.",
        "rename the file or the guest",
    ),
    "guest-name-twice": (
        "Two guests have one name, or names that differ only in case.",
        "rename one of them",
    ),
    "unknown-host": (
        "The guest names a host that site.yaml does not.",
        "add the host to `hosts` in site.yaml, or correct its name",
    ),
    "unknown-segment": (
        "The interface names a segment that site.yaml does not define.",
        "add it to `segments` in site.yaml, or correct its name",
    ),
    "unknown-filter": (
        "Nobody defines the filter: neither site.yaml, nor filters/, nor libvirt itself.",
        "add filters/NAME.xml, or correct the name",
    ),
    "filter-missing": (
        "An interface without a filter would be open.",
        "add `filter` to the interface, or `defaults: {filter: NAME}` to site.yaml",
    ),
    "filter-form-missing": (
        "The filter has no form for the families that this interface has.",
        "add the form under `filters` in site.yaml",
    ),
}

IGNORED: Meanings = {
    "ignore-reason": (
        "Without a reason nobody could tell later whether an ignored difference is still meant.",
        "say in a few words on one line why the difference is left",
    ),
    "ignore-matches-nothing": (
        "The site has no such object or field, so the rule ignores nothing; it may be misspelt or outlived.",
        "write object and field as `reconciler diff` prints them, or remove the rule",
    ),
}

POLICY: Meanings = {
    "time-invalid": (
        "A window begins and ends at a time of day.",
        "write it in quotes as HH:MM, from 00:00 to 24:00",
    ),
    "time-zone-unknown": (
        "A window's times are those of a clock, and nobody knows this one's zone.",
        "use an IANA name as Europe/Berlin or Asia/Tokyo, or UTC",
    ),
    "window-empty": (
        "A window that ends when it begins allows nothing.",
        "correct its times; for a whole day write from 00:00 to 24:00",
    ),
    "flood-limit-without-supplement": (
        "A limit on floods is a rule of the supplement, and the site has none.",
        "add `supplement: nftables` to the policy, or remove the limit",
    ),
    "flood-limit-burst": (
        "A guest that is silent for a minute begins anew, so a limit cannot allow more at once than a minute's frames.",
        "lower `burst` to sixty times `rate` at most, or leave it out",
    ),
}

HEALTH: Meanings = {
    "probe-invalid": (
        "A probe is one question that the host can ask a guest.",
        'write one of ping: ADDRESS, tcp: "ADDRESS:PORT", agent: true; own stands for the guest\'s addresses',
    ),
    "probe-foreign-address": (
        "A probe asks nobody but the guest, or its answer would say nothing about it.",
        "name an address that the guest owns, or write own, which in site.yaml is the only one for all guests",
    ),
}

FILTERS: Meanings = {
    "filter-file-name": (
        "A filter's file is called like the filter.",
        "rename the file or the filter",
    ),
    "filter-name-twice": (
        "Two files define one filter.",
        "remove or rename one of them",
    ),
    "reserved-name": (
        "Names that start with guard- belong to the filters that the reconciler makes for interfaces.",
        "choose another name",
    ),
    "shadows-builtin": (
        "The filter replaces one that comes with libvirt, for every guest of the host that uses it.",
        "choose another name, unless that is what you want",
    ),
    "form-shadows-filter": (
        "A name of site.yaml's filters is an nwfilter's as well; interfaces get the one of site.yaml.",
        "rename one of the two",
    ),
    "unknown-reference": (
        "The filter refers to one that nobody defines; guests that use it would not start.",
        "add the missing filter, or correct the name",
    ),
    "reference-loop": (
        "Filters that refer to each other in a circle have no end; libvirt refuses them.",
        "remove one of the references",
    ),
    "reference-chain": (
        "No filter needs that many levels; libvirt walks them for every guest.",
        "shorten the chain of references",
    ),
    "missing-variable": (
        "A variable of the filter is not set: libvirt refuses the guest, or learns an address from anyone.",
        "set it under `parameters`, or choose a filter that does not use it",
    ),
    "address-not-enforced": (
        "The interface has addresses that its filter does not look at, so they would not be enforced.",
        "choose a filter with this family's variables, or write none for the family",
    ),
    "prefix-not-supported-by-filter": (
        "The filter has no mask variable, so a prefix would be enforced as its first address only.",
        "list the addresses one by one, or choose a filter that uses IPMASK and IPV6MASK",
    ),
    "filter-not-instantiable": (
        "libvirt or ebtables refuses to make a rule of the filter with the values of an interface.",
        "walk lists of one length together, and others apart: $MAC[0], or $IP[@1]; correct a refused value",
    ),
    "parameter-unused": (
        "The filter does not use this variable.",
        "remove it, or correct its name",
    ),
    "parameter-reserved": (
        "This variable comes from a field of its own, or from libvirt.",
        "use mac, ipv4 and ipv6; learning an address from traffic is never allowed",
    ),
    "parameter-name-invalid": (
        "libvirt silently drops a variable with such a name.",
        "use letters, digits and underscore",
    ),
    "parameter-value-invalid": (
        "libvirt silently drops such a value, and the filter is then without it.",
        "use letters, digits, underscore, dot and colon; give a network as address and mask",
    ),
}

ADDRESSES: Meanings = {
    "mac-invalid": (
        "The value is not a MAC address.",
        'write six hexadecimal pairs, as in "52:54:00:30:fc:2d"',
    ),
    "mac-not-unicast": (
        "A guest's MAC is a unicast address.",
        "use the guest's own MAC; libvirt's start with 52:54:00",
    ),
    "mac-reserved": (
        "libvirt refuses MACs that start with fe.",
        "use another MAC; libvirt's start with 52:54:00",
    ),
    "mac-twice": (
        "Two interfaces have one MAC, in whatever notation.",
        "give one of them another MAC",
    ),
    "guard-name-twice": (
        "Two interfaces of a guest have MACs with the same last six digits, so their guards would have one name.",
        "give one of them another MAC",
    ),
    "address-invalid": (
        "The value is not an address or prefix of this family.",
        "write an address, or a prefix as ADDRESS/LENGTH",
    ),
    "prefix-host-bits": (
        "The prefix has bits set behind its length, so it is unclear whether a network or an address is meant.",
        "write the network's first address, or the address without a length",
    ),
    "address-special": (
        "Loopback, multicast, unspecified and broadcast addresses belong to no guest.",
        "remove it, or make the prefix longer",
    ),
    "address-twice": (
        "Two interfaces own one address.",
        "remove it from one of them",
    ),
    "prefix-overlap": (
        "Addresses of one interface lie in a prefix of another.",
        "make the prefix longer, or remove the address",
    ),
    "outside-segment": (
        "The address does not lie in a network of its segment.",
        "correct the address, or add its network to the segment",
    ),
    "gateway-address": (
        "A guest that owns its gateway's address can take over the segment's traffic.",
        "choose another address, or a prefix without the gateway's; or a filter with the role router in site.yaml",
    ),
    "network-address": (
        "A segment's first address names the network (IPv4) or any of its routers (IPv6).",
        "choose another address, or a prefix without the first address",
    ),
    "broadcast-address": (
        "A segment's last IPv4 address is its broadcast address.",
        "choose another address, or a prefix without the last address",
    ),
    "gateway-outside-segment": (
        "A gateway lies in a network of its segment, within its first and last address, or is link-local.",
        "correct the gateway, or add its network to the segment",
    ),
    "segment-overlap": (
        "Networks overlap, so what is one segment's network or broadcast address is a guest's in the other.",
        "list each network in one segment, and only once",
    ),
    "link-local-invalid": (
        "A link-local address is one address that starts with fe80.",
        "write one address such as fe80::200, or none",
    ),
    "link-local-without-ipv6": (
        "The interface has no IPv6, so it has no link-local address either.",
        "remove link_local, or list IPv6 addresses",
    ),
}
