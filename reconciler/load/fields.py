"""What a field of a file may hold: annotated types, and the model that all parts of files are made of."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal, TypeVar

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

T = TypeVar("T")
NONE = "none"
NoAddresses = Literal["none"]


def _of_text(parse: Callable[[str], T]) -> PlainValidator:
    def validate(value: object) -> T:
        if not isinstance(value, str):
            hint = "write one text here" if isinstance(value, list | dict) else ""
            raise Invalid("wrong-type", f"a text is expected here, not {kind_of(value)}", hint)
        return parse(value)

    return PlainValidator(validate)


# A tag is a step of an error's location; brackets keep it apart from the keys of a file.
def _list_or_none(value: object) -> str:
    return "(none)" if value == NONE else "(list)"


def _many_or_one(value: object) -> str:
    return "(many)" if isinstance(value, list) else "(one)"


def forms_or_name(value: object) -> str:
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
GroupName = Annotated[
    str,
    AfterValidator(values.matching(values.SHARED_NAME, "name-invalid", "a group's name")),
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


# Of `list` itself pydantic would have `inspect` read the signature, which takes as long as building all models here.
def none_of_them() -> list[Any]:
    return []


def none_by_name() -> dict[str, Any]:
    return {}


class Part(BaseModel):
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
