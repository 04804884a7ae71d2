"""pydantic models of site.yaml and guests/*.yaml: the one definition of fields, their forms and their meaning.

They hold what a file says by itself. What needs a second file, a filter or a neighbour is checked after them.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    field_validator,
)

from reconciler.load import values
from reconciler.load.findings import Invalid, kind_of
from reconciler.load.values import IPAddress
from reconciler.model.probe import DEFAULT_SECONDS

T = TypeVar("T")
NONE = "none"
NoAddresses = Literal["none"]


def _of_text(parse: Callable[[str], T]) -> PlainValidator:
    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise Invalid("wrong-type", f"a text is expected here, not {kind_of(value)}")
        return parse(value)

    return PlainValidator(validate)


# A tag is a step of an error's location; brackets keep it apart from the keys of a file.
def _list_or_none(value: object) -> str:
    return "(none)" if value == NONE else "(list)"


def _many_or_one(value: object) -> str:
    return "(many)" if isinstance(value, list) else "(one)"


def _forms_or_name(value: object) -> str:
    return "(forms)" if isinstance(value, dict) else "(name)"


FilterName = Annotated[
    str,
    AfterValidator(values.matching(values.SHARED_NAME, "name-invalid", "a filter's name")),
    Field(json_schema_extra={"pattern": values.SHARED_NAME}),
]
HostName = Annotated[
    str,
    AfterValidator(values.matching(values.SHARED_NAME, "name-invalid", "a host's name")),
    Field(json_schema_extra={"pattern": values.SHARED_NAME}),
]
SegmentName = Annotated[
    str,
    AfterValidator(values.matching(values.SHARED_NAME, "name-invalid", "a segment's name")),
    Field(json_schema_extra={"pattern": values.SHARED_NAME}),
]
GuestName = Annotated[
    str,
    AfterValidator(values.matching(values.GUEST_NAME, "name-invalid", "a guest's name")),
    Field(json_schema_extra={"pattern": values.GUEST_NAME}),
]
BridgeName = Annotated[
    str,
    AfterValidator(values.matching(values.BRIDGE_NAME, "name-invalid", "a bridge's name")),
    Field(json_schema_extra={"pattern": values.BRIDGE_NAME}),
]
Mac = Annotated[
    str,
    _of_text(values.parse_mac),
    WithJsonSchema({"type": "string", "pattern": values.MAC, "examples": ["52:54:00:30:fc:2d"]}),
]
SegmentIPv4 = Annotated[
    IPv4Network,
    _of_text(values.parse_ipv4),
    WithJsonSchema({"type": "string", "examples": ["192.168.0.0/24"]}),
]
SegmentIPv6 = Annotated[
    IPv6Network,
    _of_text(values.parse_ipv6),
    WithJsonSchema({"type": "string", "examples": ["2001:db8::/48"]}),
]
GuestIPv4 = Annotated[
    IPv4Network,
    _of_text(values.parse_guest_ipv4),
    WithJsonSchema({"type": "string", "examples": ["192.168.0.200", "192.168.0.208/29"]}),
]
GuestIPv6 = Annotated[
    IPv6Network,
    _of_text(values.parse_guest_ipv6),
    WithJsonSchema({"type": "string", "examples": ["2001:db8::200", "2001:db8:0:1::/64"]}),
]
Gateway = Annotated[
    IPAddress,
    _of_text(values.parse_gateway),
    WithJsonSchema({"type": "string", "examples": ["192.168.0.1", "2001:db8::1"]}),
]
LinkLocal = Annotated[
    IPv6Network,
    _of_text(values.parse_link_local),
    WithJsonSchema({"type": "string", "examples": ["fe80::200"]}),
]
Reason = Annotated[
    str,
    AfterValidator(values.check_reason),
    Field(json_schema_extra={"pattern": values.REASON}),
]
ParameterName = Annotated[
    str,
    AfterValidator(values.check_parameter_name),
    Field(json_schema_extra={"pattern": values.PARAMETER_NAME}),
]
ParameterValue = Annotated[
    str,
    AfterValidator(values.matching(values.PARAMETER_VALUE, "parameter-value-invalid", "a value libvirt keeps")),
    Field(json_schema_extra={"pattern": values.PARAMETER_VALUE}),
]
ParameterValues = Annotated[
    Annotated[list[ParameterValue], Field(min_length=1), Tag("(many)")] | Annotated[ParameterValue, Tag("(one)")],
    Discriminator(_many_or_one),
]
IPv4List = Annotated[
    Annotated[list[GuestIPv4], Field(min_length=1), Tag("(list)")] | Annotated[NoAddresses, Tag("(none)")],
    Discriminator(_list_or_none),
]
IPv6List = Annotated[
    Annotated[list[GuestIPv6], Field(min_length=1), Tag("(list)")] | Annotated[NoAddresses, Tag("(none)")],
    Discriminator(_list_or_none),
]
LinkLocalOrNone = Annotated[
    Annotated[LinkLocal, Tag("(list)")] | Annotated[NoAddresses, Tag("(none)")], Discriminator(_list_or_none)
]

PingTarget = Annotated[
    values.ProbeTarget,
    _of_text(values.parse_ping),
    WithJsonSchema({"type": "string", "examples": [values.OWN, "192.168.0.200"]}),
]
TcpTarget = Annotated[
    values.ProbeTarget,
    _of_text(values.parse_tcp),
    WithJsonSchema({"type": "string", "examples": ["own:22", "192.168.0.200:443", "[2001:db8::200]:443"]}),
]


ClockTime = Annotated[
    int,
    _of_text(values.parse_clock_time),
    WithJsonSchema({"type": "string", "pattern": values.CLOCK_TIME, "examples": ["02:00"]}),
]
TimeZone = Annotated[
    str,
    AfterValidator(values.check_time_zone),
    Field(json_schema_extra={"examples": ["Asia/Tokyo"]}),
]


class _Part(BaseModel):
    """Unknown fields are refused: a misspelt one must not be silently without effect."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_empty(cls, value: object) -> object:
        """A field is left out, or it has a value: an empty one could mean either."""
        if value is None:
            hint = "give it a value, or remove the field; for no addresses of a family write none"
            raise Invalid("wrong-type", "a value is expected here, not an empty one", hint)
        return value


class FilterForms(_Part):
    """The nwfilter for each combination of families that an interface may have."""

    dual: FilterName | None = Field(None, description="nwfilter for interfaces with IPv4 and IPv6.")
    ipv4: FilterName | None = Field(None, description="nwfilter for interfaces with IPv4 only.")
    ipv6: FilterName | None = Field(None, description="nwfilter for interfaces with IPv6 only.")
    none: FilterName | None = Field(None, description="nwfilter for interfaces without any address.")
    roles: list[Literal["router", "dhcp-server"]] = Field(
        default_factory=list,
        description="What interfaces with this filter may do beyond speaking for themselves. router: own a gateway's "
        "address, advertise itself, forward from outside its segment. dhcp-server: answer DHCP clients.",
    )


FilterChoice = Annotated[
    Annotated[FilterForms, Tag("(forms)")] | Annotated[FilterName, Tag("(name)")],
    Discriminator(_forms_or_name),
]


class SegmentEntry(_Part):
    """A network that guests are attached to."""

    bridge: BridgeName | None = Field(
        None, description="The hosts' bridge that interfaces in this segment belong on. Left out: not owned."
    )
    ipv4: list[SegmentIPv4] = Field(
        default_factory=list,
        description="IPv4 networks of the segment. Guests' addresses must lie inside; network and "
        "broadcast addresses stay free.",
    )
    ipv6: list[SegmentIPv6] = Field(
        default_factory=list,
        description="IPv6 networks of the segment. Guests' addresses must lie inside; the networks' "
        "first address (subnet-router anycast) stays free.",
    )
    gateways: list[Gateway] = Field(
        default_factory=list, description="Router addresses of the segment: no guest may own one."
    )


class HostEntry(_Part):
    """A KVM host. It has no settings yet: write {}."""


class ProbeEntry(_Part):
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


class Defaults(_Part):
    """Values for interfaces that do not set the field themselves."""

    filter: FilterName | None = Field(
        None, description="A name of `filters`, or one nwfilter, for interfaces without `filter`."
    )
    attach: Literal["guard", "direct"] = Field(
        "guard", description="Where addresses are kept, for interfaces without `attach`."
    )
    health: list[ProbeEntry] = Field(
        default_factory=list, description="What guests answer while they are well, for guests without `health`."
    )


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class WindowEntry(_Part):
    """Hours in which a run may interrupt more than at other times."""

    days: list[Day] = Field(
        default_factory=lambda: list(DAYS),
        min_length=1,
        description="The days on which it begins. Left out: every day.",
    )
    begin: ClockTime = Field(alias="from", description="When it begins, HH:MM on the clock of tz.")
    to: ClockTime = Field(description="When it ends, HH:MM; a time before `from` is that of the next day.")
    tz: TimeZone = Field("UTC", description="The time zone of the clock, by its IANA name.")
    allow: Literal["rebuild", "daemon-restart", "guest-restart"] = Field(
        description="The most that a run may interrupt in it."
    )


class ShutdownEntry(_Part):
    """How guests are shut down."""

    timeout: int = Field(120, ge=1, le=86400, description="Seconds that a guest may take.")
    on_timeout: Literal["abort", "destroy"] = Field(
        "abort", description="abort: the guest stays up, and the run is taken back. destroy: it is killed."
    )


DEFAULT_SHUTDOWN = ShutdownEntry.model_validate({})


class PolicyEntry(_Part):
    """What a run may do unasked."""

    disruption: Literal["none", "rebuild", "daemon-restart", "guest-restart"] = Field(
        "rebuild",
        description="The most that an unattended run may interrupt; more waits for `apply --allow CLASS`.",
    )
    prune: bool = Field(
        False,
        description="Whether filters that the site no longer names are deleted, if they carry our mark.",
    )
    forbid_widening: bool = Field(
        False,
        description="Whether `check --base` refuses a change that lets more frames through, unless one of its commits "
        "says `Allow-widening: REASON`.",
    )
    windows: list[WindowEntry] = Field(default_factory=list, description="Hours in which a run may interrupt more.")
    shutdown: ShutdownEntry = Field(
        DEFAULT_SHUTDOWN, description="How a guest is shut down for a change that needs it."
    )
    max_down: int = Field(1, ge=1, description="How many guests may be down at once for a change.")
    rollout: Literal["cheapest", "canary"] = Field(
        "cheapest",
        description="How a changed shared filter reaches the guests. cheapest: with the fewest rebuilds. canary: one "
        "guard after another, each proven before the next.",
    )
    strategy: Literal["live", "restart"] = Field(
        "live",
        description="How changed filters come into force. live: while guests run. restart: by staged files and one "
        "restart of libvirt's daemon, which rebuilds the rules of every guest of the host once.",
    )


class IgnoreEntry(_Part):
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
DEFAULT_POLICY = PolicyEntry.model_validate({})


class SiteFile(_Part):
    """Defaults, segments, hosts and policy of a site."""

    segments: dict[SegmentName, SegmentEntry] = Field(
        default_factory=dict, description="Networks that guests are attached to, by name."
    )
    filters: dict[FilterName, FilterChoice] = Field(
        default_factory=dict,
        description="Names for interfaces to use: the nwfilter by the families that an interface has, or one "
        "nwfilter for all cases.",
    )
    defaults: Defaults = Field(DEFAULTS, description="Values where an interface sets none.")
    hosts: dict[HostName, HostEntry] = Field(default_factory=dict, description="The KVM hosts of the site, by name.")
    policy: PolicyEntry = Field(DEFAULT_POLICY, description="How far a run may go by itself.")
    ignore: list[IgnoreEntry] = Field(
        default_factory=list, description="Differences that are reported as ignored, and that apply leaves as they are."
    )


class InterfaceEntry(_Part):
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
        default_factory=dict, description="Other variables of the filter, each a value or a list of values."
    )
    attach: Literal["guard", "direct"] | None = Field(
        None,
        description="guard: addresses are kept in a filter of this interface, and change without touching the "
        "guest. direct: they are parameters of the guest's own filterref. Default: site.yaml's.",
    )


class GuestFile(_Part):
    """One guest: which addresses each of its interfaces may use."""

    name: GuestName = Field(description="The guest's name in libvirt; the file is called like it.")
    hosts: Annotated[list[HostName], Field(min_length=1)] | None = Field(
        None, description="Hosts where it may run, each prepared for it. Left out: every host of the site."
    )
    power: Literal["running", "stopped", "leave"] = Field(
        "leave", description="Whether it shall run. leave: as it is found."
    )
    autostart: bool | None = Field(None, description="Whether it starts with its host. Left out: as it is found.")
    group: SegmentName | None = Field(None, description="Guests of one group are never down at once for a change.")
    hold: bool = Field(False, description="Leave this guest, and every filter that it uses, as they are for now.")
    health: list[ProbeEntry] | None = Field(
        None,
        description="What the guest answers while it is well. A change after which it does not any more, and did "
        "before, is taken back. Default: site.yaml's.",
    )
    interfaces: list[InterfaceEntry] = Field(
        min_length=1, description="The guest's NICs. One that is not named here is reported as unguarded."
    )
