"""The policy of site.yaml: how far a run may go by itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reconciler.load.fields import ClockTime, Part, TimeZone, none_of_them

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class WindowEntry(Part):
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


class ShutdownEntry(Part):
    """How guests are shut down."""

    timeout: int = Field(120, ge=1, le=86400, description="Seconds that a guest may take.")
    on_timeout: Literal["abort", "destroy"] = Field(
        "abort", description="abort: the guest stays up, and the run is taken back. destroy: it is killed."
    )


DEFAULT_SHUTDOWN = ShutdownEntry.model_validate({})


class FloodLimitEntry(Part):
    """How often a guest may say what it may say. Each guest has one for ARP, one for IGMP and one for ICMPv6."""

    rate: int = Field(ge=1, le=1_000_000, description="Frames a second.")
    burst: int | None = Field(
        None, ge=1, le=60_000_000, description="Frames at once; a minute's at most. Default: two seconds'."
    )


class PolicyEntry(Part):
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
    windows: list[WindowEntry] = Field(
        default_factory=none_of_them, description="Hours in which a run may interrupt more."
    )
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
    supplement: Literal["nftables", "off"] = Field(
        "off",
        description="What stops the forgeries of IPv6 Neighbour Discovery that no rule of nwfilter can look at. "
        "nftables: rules in a table of our own, beside libvirt's. off: nothing.",
    )
    flood_limit: FloodLimitEntry | None = Field(
        None,
        description="Cuts each guest's floods of ARP, IGMP, MLD and Neighbour Discovery, by rules of the supplement. "
        "Left out: as often as a guest likes.",
    )


DEFAULT_POLICY = PolicyEntry.model_validate({})
