"""pydantic models of site.yaml and guests/*.yaml: the one definition of fields, their forms and their meaning.

They hold what a file says by itself. What needs a second file, a filter or a neighbour is checked after them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
)

from reconciler.load.fields import (
    BridgeName,
    FilterName,
    Gateway,
    GroupName,
    GuestName,
    HostName,
    IPv4List,
    IPv6List,
    LinkLocalOrNone,
    Mac,
    ParameterName,
    ParameterValues,
    Part,
    PingTarget,
    Reason,
    SegmentIPv4,
    SegmentIPv6,
    SegmentName,
    TcpTarget,
    forms_or_name,
    none_by_name,
    none_of_them,
)
from reconciler.load.policy_file import DEFAULT_POLICY, PolicyEntry
from reconciler.model.probe import DEFAULT_SECONDS


class FilterForms(Part):
    """The nwfilter for each combination of families that an interface may have."""

    dual: FilterName | None = Field(None, description="nwfilter for interfaces with IPv4 and IPv6.")
    ipv4: FilterName | None = Field(None, description="nwfilter for interfaces with IPv4 only.")
    ipv6: FilterName | None = Field(None, description="nwfilter for interfaces with IPv6 only.")
    none: FilterName | None = Field(None, description="nwfilter for interfaces without any address.")
    roles: list[Literal["router", "dhcp-server"]] = Field(
        default_factory=none_of_them,
        description="What interfaces with this filter may do beyond speaking for themselves. router: own a gateway's "
        "address, advertise itself, forward from outside its segment. dhcp-server: answer DHCP clients.",
    )


FilterChoice = Annotated[
    Annotated[FilterForms, Tag("(forms)")] | Annotated[FilterName, Tag("(name)")],
    Discriminator(forms_or_name),
]


class SegmentEntry(Part):
    """A network that guests are attached to."""

    bridge: BridgeName | None = Field(
        None, description="The hosts' bridge that interfaces in this segment belong on. Left out: not owned."
    )
    ipv4: list[SegmentIPv4] = Field(
        default_factory=none_of_them,
        description="IPv4 networks of the segment. Guests' addresses must lie inside; network and "
        "broadcast addresses stay free.",
    )
    ipv6: list[SegmentIPv6] = Field(
        default_factory=none_of_them,
        description="IPv6 networks of the segment. Guests' addresses must lie inside; the networks' "
        "first address (subnet-router anycast) stays free.",
    )
    gateways: list[Gateway] = Field(
        default_factory=none_of_them, description="Router addresses of the segment: no guest may own one."
    )


class HostEntry(Part):
    """A KVM host. It has no settings yet: write {}."""


class ProbeEntry(Part):
    """A question that a healthy guest answers: one of ping, tcp and agent."""

    ping: PingTarget | None = Field(
        None, description="An own address of the guest that answers a ping of the host, or own for each single one."
    )
    tcp: TcpTarget | None = Field(
        None, description="An own address with the port that accepts a connection from the host, or own:PORT."
    )
    agent: Literal[True] | None = Field(None, description="The guest's QEMU agent answers.")
    within: int = Field(
        DEFAULT_SECONDS, ge=1, le=3600, description="Seconds within which it has to answer after a change."
    )


class Defaults(Part):
    """Values for interfaces that do not set the field themselves."""

    filter: FilterName | None = Field(
        None, description="A name of `filters`, or one nwfilter, for interfaces without `filter`."
    )
    attach: Literal["guard", "direct"] = Field(
        "guard", description="Where addresses are kept, for interfaces without `attach`."
    )
    health: list[ProbeEntry] = Field(
        default_factory=none_of_them, description="What guests answer while they are well, for guests without `health`."
    )


class IgnoreEntry(Part):
    """A difference between the site and a host that is left as it is. It stays in every report, with its reason."""

    object: Annotated[str, Field(min_length=1)] = Field(
        description="The objects, as drift names them: guest/NAME, filter/NAME, port/NAME; * and ? as in file names."
    )
    field: Annotated[str, Field(min_length=1)] = Field(
        description="The fields, as drift names them, with * and ?; a field stands for all that is below it."
    )
    reason: Reason = Field(description="Why the difference is left, for those who read a report.")
    layer: Literal["persistent", "saved", "live", "kernel"] | None = Field(
        None, description="The layer that it is ignored in. Left out: every layer."
    )


DEFAULTS = Defaults.model_validate({})


class SiteFile(Part):
    """Defaults, segments, hosts and policy of a site."""

    segments: dict[SegmentName, SegmentEntry] = Field(
        default_factory=none_by_name, description="Networks that guests are attached to, by name."
    )
    filters: dict[FilterName, FilterChoice] = Field(
        default_factory=none_by_name,
        description="Names for interfaces to use: the nwfilter by the families that an interface has, or one "
        "nwfilter for all cases.",
    )
    defaults: Defaults = Field(DEFAULTS, description="Values where an interface sets none.")
    hosts: dict[HostName, HostEntry] = Field(
        default_factory=none_by_name, description="The KVM hosts of the site, by name."
    )
    policy: PolicyEntry = Field(DEFAULT_POLICY, description="How far a run may go by itself.")
    ignore: list[IgnoreEntry] = Field(
        default_factory=none_of_them,
        description="Differences that are reported as ignored, and that apply leaves as they are.",
    )


class InterfaceEntry(Part):
    """One NIC of a guest."""

    mac: Mac = Field(description="The interface's MAC address: it says which NIC of the guest is meant.")
    segment: SegmentName | None = Field(
        None, description="The segment it belongs to: gives its bridge and the networks its addresses lie in."
    )
    bridge: BridgeName | None = Field(
        None,
        description="The bridge it belongs on, where no segment says it. Neither: the bridge is not owned.",
    )
    filter: FilterName | None = Field(
        None,
        description="A name of site.yaml's `filters`, or one nwfilter for all cases. Default: site.yaml's.",
    )
    ipv4: IPv4List = Field(description="IPv4 addresses and prefixes that it may use, or none.")
    ipv6: IPv6List = Field(
        description="IPv6 addresses and prefixes that it may use, or none. Its link-local address is added."
    )
    link_local: LinkLocalOrNone | None = Field(
        None,
        description="The link-local address, where it is not the one derived from the MAC, or none to add none.",
    )
    parameters: dict[ParameterName, ParameterValues] = Field(
        default_factory=none_by_name, description="Other variables of the filter, each a value or a list of values."
    )
    attach: Literal["guard", "direct"] | None = Field(
        None,
        description="guard: addresses are kept in a filter of this interface, and change without touching the "
        "guest. direct: they are parameters of the guest's own filterref. Default: site.yaml's.",
    )


class GuestFile(Part):
    """One guest: which addresses each of its interfaces may use."""

    name: GuestName = Field(description="The guest's name in libvirt; the file is called like it.")
    hosts: Annotated[list[HostName], Field(min_length=1)] | None = Field(
        None, description="Hosts where it may run, each prepared for it. Left out: every host of the site."
    )
    power: Literal["running", "stopped", "leave"] = Field(
        "leave", description="Whether it shall run. leave: as it is found."
    )
    autostart: bool | None = Field(None, description="Whether it starts with its host. Left out: as it is found.")
    group: GroupName | None = Field(None, description="Guests of one group are never down at once for a change.")
    hold: bool = Field(False, description="Leave this guest, and every filter that it uses, as they are for now.")
    health: list[ProbeEntry] | None = Field(
        None,
        description="What the guest answers while it is well. A change after which it does not any more, and did "
        "before, is taken back. Default: site.yaml's.",
    )
    interfaces: list[InterfaceEntry] = Field(
        min_length=1, description="The guest's NICs. One that is not named here is reported as unguarded."
    )
