"""The file system of a real guest: busybox, a few kernel modules, and a script that is its process 1."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.lab.kernels import Module

# Network cards, and the power button with the device file that acpid reads it from.
WANTED_MODULES = ("virtio_pci", "virtio_net", "af_packet", "evdev", "button")

INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='# '
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in $(cat /modules/order); do insmod "/modules/$module.ko"; done
hostname -F /proc/sys/kernel/hostname
for nic in /sys/class/net/*; do ip link set "${nic##*/}" up; done
acpid -c /etc/acpi -l /dev/null
# The kernel reports a new link up to a second late, and sends nothing before.
for nic in /sys/class/net/eth*; do
    [ -e "$nic" ] || continue
    tries=30
    until [ "$(cat "$nic/operstate")" = up ] || [ $((tries -= 1)) = 0 ]; do sleep 0.1; done
done
while :; do setsid cttyhack sh; done
"""
POWER_BUTTON = """\
#!/bin/sh
poweroff -f
"""
FOLDERS = ("bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "modules", "proc", "sys", "tmp")
CONSOLE_DEVICE = (5, 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a cpio archive."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def build(busybox: bytes, modules: Iterable[Module]) -> bytes:
    """The archive that the kernel unpacks at boot. It is not compressed: an emulated guest boots faster so."""
    return cpio([*_base(), *_programs(busybox), *_modules(tuple(modules))])


def cpio(entries: Iterable[Entry]) -> bytes:
    """A cpio archive of the `newc` form: the only one that the kernel reads (its initramfs documentation)."""
    members = [*entries, Entry("TRAILER!!!", 0)]
    return b"".join(_member(number, entry) for number, entry in enumerate(members, start=1))


def _base() -> list[Entry]:
    folders = [Entry(path, stat.S_IFDIR | 0o755) for path in FOLDERS]
    return [*folders, Entry("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE_DEVICE)]


def _programs(busybox: bytes) -> list[Entry]:
    executable = stat.S_IFREG | 0o755
    return [
        Entry("bin/busybox", executable, busybox),
        Entry("init", executable, INIT.encode()),
        Entry("etc/acpi/PWRF/00000080", executable, POWER_BUTTON.encode()),
    ]


def _modules(modules: tuple[Module, ...]) -> list[Entry]:
    plain = stat.S_IFREG | 0o644
    order = "".join(f"{module.name}\n" for module in modules)
    files = [Entry(f"modules/{module.name}.ko", plain, module.content) for module in modules]
    return [Entry("modules/order", plain, order.encode()), *files]


def _member(number: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.content)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
