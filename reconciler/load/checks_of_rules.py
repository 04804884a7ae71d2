"""What libvirt takes in a filter and does not do as written: id → (why it is reported, what to do now).

Mostly such a filter lets more through than it says.
"""

from __future__ import annotations

from reconciler.load.check import Meanings

RULES: Meanings = {
    "filter-unknown-element": (
        "libvirt drops an element that it does not know, and with it a rule or a match.",
        "correct its name, or remove it",
    ),
    "filter-unknown-attribute": (
        "libvirt drops an attribute that it does not know, and the rule then matches more.",
        "correct its name, or remove it",
    ),
    "filter-stray-text": (
        "Text between the elements of a filter means nothing, so something else was meant.",
        "remove it, or make it a comment",
    ),
    "filter-name-characters": (
        "libvirt writes such a name into XML and file names as it is, and cannot read it again.",
        "use letters, digits and . _ -",
    ),
    "filter-reference-empty": (
        "A filterref with an empty name refers to nothing.",
        "name the filter, or remove the filterref",
    ),
    "filter-parameter-invalid": (
        "libvirt drops a parameter with such a name or value; without its address a filter learns one from anyone.",
        "use letters, digits and _ in names, these and . and : in values",
    ),
    "filter-priority-ignored": (
        "libvirt ignores the priority of a filter that names no chain.",
        "add chain='root', or remove the priority",
    ),
    "filter-priority-zero": (
        "libvirt does not keep priority 0: at its next start the chain gets its default, and another place.",
        "choose another priority",
    ),
    "filter-rule-priority": (
        "libvirt takes 500 for a rule's priority that it cannot read, or refuses the filter.",
        "use a whole number from -1000 to 1000",
    ),
    "filter-rule-statematch": (
        "libvirt takes any other word than 0 and false for true.",
        "write true or false",
    ),
    "filter-two-protocols": (
        "A rule has one protocol: libvirt keeps the first and drops the others.",
        "write a rule for each protocol",
    ),
    "filter-chain-protocol": (
        "Only IPv6 frames come to a chain ipv6, and so on: a rule for others matches nothing there.",
        "use the protocol of the chain, or move the rule to a filter with another chain",
    ),
    "filter-family": (
        "The rule matches addresses of one family by a variable of the other: no port can use it, or others pass.",
        "use <ipv6> for $IPV6 and <ip> for $IP",
    ),
    "filter-attribute-overridden": (
        "Of an attribute that is given twice in a rule libvirt takes only the last one.",
        "write a rule for each value, or use a variable with several values",
    ),
    "filter-attribute-alone": (
        "A mask without its address, or an end without its start, is ignored: the rule matches more.",
        "add the attribute that it belongs to",
    ),
    "filter-match-value": (
        "libvirt takes every other word than no for yes.",
        "write match='no' or leave it out",
    ),
    "filter-match-lost": (
        "libvirt loses match='no' here, so the rule does the opposite for this attribute.",
        "write the opposite rule",
    ),
    "filter-negated-list": (
        "libvirt makes a rule for each value, and every packet differs from one of two: match='no' takes all of them.",
        "match the values in one rule without match='no', and all the rest in the next",
    ),
    "negated-list": (
        "A guest has several values of a variable that a rule matches with match='no', so the rule takes everything.",
        "match the values in one rule without match='no', and all the rest in the next",
    ),
    "filter-mask-zero": (
        "A mask of no bits matches every address.",
        "remove the address and the mask, or write the mask that was meant",
    ),
    "filter-address-ambiguous": (
        "libvirt reads another address than a person does.",
        "write the address in full, in plain decimal or hexadecimal parts",
    ),
    "filter-number-ambiguous": (
        "libvirt reads another number than a person does: decimal first, else hexadecimal.",
        "write it in decimal without leading zeros, or with 0x",
    ),
    "filter-boolean": (
        "libvirt makes no match of a false value.",
        "write match='no' and true",
    ),
    "filter-state-empty": (
        "A state without any word matches every connection.",
        "name the states, or remove the attribute",
    ),
    "filter-state-ignored": (
        "libvirt ignores the state in a rule with statematch='false', and the rule matches more.",
        "remove statematch, or the state",
    ),
    "filter-ipset": (
        "libvirt drops the ipset of such a rule, which then matches everything of its protocol.",
        "use ipset and ipsetflags together, in <all> or <all-ipv6>",
    ),
    "filter-icmp-protocol": (
        "ebtables takes types and codes in <ipv6> only with the protocol: without it no port can use the filter.",
        "add protocol='icmpv6'",
    ),
    "filter-protocol-negated": (
        "Ports and types need their protocol matched as it is: with match='no' no port can use the filter.",
        "move the protocol to an element without match='no'",
    ),
    "filter-ports-negated": (
        "Some releases of iptables let a packet pass that has one of the two ports.",
        "write the opposite rules, one for each port",
    ),
    "filter-variable": (
        "libvirt reads another variable than was written.",
        "write $NAME, $NAME[2] or $NAME[@1] and nothing else",
    ),
    "filter-comment-long": (
        "libvirt cuts a comment at 256 bytes.",
        "shorten the comment",
    ),
    "iptables-window": (
        "Before libvirt 11.6 rules of iptables are gone for a moment whenever any guest's rules are built.",
        "use ethernet-level rules (mac, arp, ip, ipv6), which have no gap, where they can say the same",
    ),
}
