"""What is checked of the files by themselves: id → (why it is refused, what to do now)."""

from __future__ import annotations

from reconciler.load.check import Meanings

FILES: Meanings = {
    "site-missing": (
        "There is no site.yaml, so this is not a site.",
        "add site.yaml; `{}` is enough to start",
    ),
    "file-name": (
        "A file in guests/ or filters/ is not called as the reconciler reads it, so it would be ignored.",
        "guests are guests/NAME.yaml, filters are filters/NAME.xml; move other files elsewhere",
    ),
    "odd-file": (
        "A symbolic link, a submodule or a folder is no file: what is read would depend on the machine that reads.",
        "replace it by a plain file with the content that is meant",
    ),
    "lfs-pointer": (
        "Git LFS keeps the file's content elsewhere, so no commit says what it is.",
        "take the file out of LFS: `git lfs untrack`, then add it again",
    ),
    "file-too-large": (
        "A file is larger than any guest or filter needs; reading it could exhaust the host.",
        "split the file, or remove what does not belong there",
    ),
    "domains-unsupported": (
        "Domain XML is root on the host, so guests are not created from the repository.",
        "define the guest with libvirt's tools; the site then sets its addresses; remove domains/",
    ),
    "not-utf8": (
        "Tools would read the bytes as different text.",
        "save the file as UTF-8",
    ),
    "byte-order-mark": (
        "Some tools take the invisible mark at the start for a part of the first key.",
        "save the file as UTF-8 without a byte order mark",
    ),
    "not-composed": (
        "The same letter can be written as one character or as two, so two texts that look alike would differ.",
        "save the file in Unicode's composed form (NFC), as editors do by themselves",
    ),
    "control-character": (
        "An invisible character can show a reviewer another text than the one that is read.",
        "delete the character; type the line anew if it cannot be seen",
    ),
}

YAML: Meanings = {
    "yaml-syntax": (
        "The file is not YAML.",
        "check the indentation and the quotes; a value with a colon at its end or before a space needs quotes",
    ),
    "yaml-tab": (
        "YAML does not allow tabs for indentation.",
        "indent with spaces",
    ),
    "yaml-empty": (
        "The file has no content.",
        "fill it, or delete it",
    ),
    "yaml-documents": (
        "One file is one document; a second one would be ignored.",
        "remove the `---` line, or make two files",
    ),
    "yaml-alias": (
        "Anchors and aliases make one place of a file change another, and can grow without limit.",
        "write the value out, or make it a default in site.yaml",
    ),
    "yaml-tag": (
        "Tags change types in ways that tools disagree on.",
        "remove the tag; put the value in quotes if it is a text",
    ),
    "yaml-key": (
        "Keys are words.",
        "write a plain name before the colon",
    ),
    "yaml-too-deep": (
        "No site nests that deep; parsers crash on such files.",
        "remove levels",
    ),
    "yaml-too-large": (
        "No file of a site has that many values; reading it could exhaust the host.",
        "split the file",
    ),
    "duplicate-key": (
        "Other YAML readers silently take the last value of a key.",
        "keep one of the two",
    ),
    "typographic-character": (
        "A quote, dash or space was replaced by a look-alike, so it is a part of the value.",
        "type the plain ASCII character",
    ),
    "mac-unquoted": (
        "YAML 1.1 tools read digits between colons as a number to base 60.",
        "put the MAC in quotes",
    ),
}

FIELDS: Meanings = {
    "unknown-field": (
        "The field does not exist, so it would have no effect.",
        "see `reconciler schema` for the fields",
    ),
    "missing-field": (
        "The field has no default.",
        "add it",
    ),
    "wrong-type": (
        "The value is of another type than the field takes.",
        "put a number or a word such as true in quotes where a text is meant",
    ),
    "unknown-value": (
        "The field takes one of a few words.",
        "use one of the words",
    ),
    "empty-list": (
        "An empty list is no list to libvirt, which then learns an address that any guest can claim.",
        "name at least one; for no addresses of a family write none",
    ),
    "item-twice": (
        "The repetition has no effect, so something else was meant.",
        "remove one of the two",
    ),
    "segment-and-bridge": (
        "The segment says the bridge already.",
        "keep segment or bridge, not both",
    ),
}

FILTER_XML: Meanings = {
    "xml-malformed": (
        "The file is not XML.",
        "correct the XML at this place",
    ),
    "xml-doctype": (
        "A DOCTYPE can declare entities that grow without limit or read other files.",
        "remove the <!DOCTYPE …> declaration and write entities out",
    ),
    "xml-encoding": (
        "The bytes are not text in the encoding that the file declares.",
        "save the file as UTF-8",
    ),
    "xml-typographic-quotes": (
        "A quote around a value was replaced by a look-alike.",
        "write straight quotes: ' or \"",
    ),
    "xml-typographic-dashes": (
        "The dashes of a comment were replaced by look-alikes.",
        "write comments as <!-- … -->",
    ),
    "filter-root": (
        "The file holds something else than one filter.",
        "make <filter> the outermost element",
    ),
    "filter-name-missing": (
        "A filter without a name cannot be defined.",
        "add name='…' to <filter>",
    ),
    "filter-chain": (
        "libvirt does not know the chain.",
        "use root, or a name that starts with a protocol such as ipv4 or arp",
    ),
    "filter-priority": (
        "libvirt refuses the priority.",
        "use a whole number from -1000 to 1000",
    ),
    "filter-uuid": (
        "libvirt refuses the uuid.",
        "remove the <uuid> element: the reconciler keeps the host's",
    ),
    "filter-reference-missing": (
        "A filterref names no filter.",
        "add filter='…'",
    ),
    "filter-rule-action": (
        "The rule has no action that libvirt knows.",
        "use drop, reject, accept, return or continue",
    ),
    "filter-rule-direction": (
        "The rule has no direction that libvirt knows.",
        "use in, out or inout",
    ),
    "filter-attribute-value": (
        "libvirt refuses the attribute's value.",
        "correct the value",
    ),
    "filter-address-cidr": (
        "libvirt takes no prefix length in an address.",
        "put the length in the mask attribute",
    ),
    "filter-port-protocol": (
        "Ports need a protocol that has them.",
        "add protocol='tcp' or protocol='udp'",
    ),
    "filter-comment-garbled": (
        "libvirt turns the comment of such a rule into a number.",
        "move the comment to the last element of the rule",
    ),
    "filter-syntax": (
        "The file is not a filter that libvirt reads as it is meant.",
        "correct the XML at this place",
    ),
}
