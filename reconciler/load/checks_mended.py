"""What `check --fix` mends, by the id of the problem."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MENDED: Mapping[str, str] = MappingProxyType(
    {
        "byte-order-mark": "removes it",
        "typographic-character": "the plain character, where the file is then still YAML",
        "mac-unquoted": "puts it in quotes",
        "mac-invalid": "other separators than colons: 52.54.00…, 5254.0030.fc2d",
        "address-invalid": "a dotted mask as a length, spaces around an address",
        "xml-typographic-quotes": "straight quotes",
        "xml-typographic-dashes": "straight comment marks",
        "filter-attribute-value": "spaces around a value, look-alike dashes, a MAC with dashes",
        "filter-address-cidr": "the length in the mask attribute",
        "filter-address-ambiguous": "what libvirt takes it for; not a zone",
        "filter-number-ambiguous": "what libvirt takes it for",
        "filter-rule-action": "capital letters",
        "filter-rule-direction": "capital letters",
        "filter-priority": "a look-alike of the minus sign",
        "filter-rule-priority": "a look-alike of the minus sign",
        "filter-chain-protocol": "`<ip>` on $IPV6 as `<ipv6>`, and the other way",
        "filter-family": "`<ip>` on $IPV6 as `<ipv6>`, and the other way",
        "filter-negated-list": "a drop that is its filter's only rule, in the later form of libvirt's own filters",
        "negated-list": "with filter-negated-list",
    }
)
"""What `check --fix` mends of each problem, all of it or in part."""

SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "mac-spelling": "A MAC with dashes, capital letters or single digits: as libvirt prints it.",
        "address-spelling": "An address that can be written shorter: in its one canonical form.",
    }
)
"""What is no problem and is made uniform all the same."""
