"""Guests for a lab: real ones that answer and obey, and tiny ones that only have interfaces.

All are emulated (TCG), so that they behave alike with and without KVM.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from reconciler.errors import HostError
from reconciler.lab import cache, initramfs, kernels
from reconciler.lab.settings import CONSOLE_FOLDER

KERNEL_LINE = "console=ttyS0 quiet panic=1 net.ifnames=0 mitigations=off nokaslr"
TINY_MEMORY_MIB = 64
REAL_MEMORY_MIB = 192


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What a real guest boots from: two files, readable inside every lab."""

    kernel: Path
    initrd: Path


@dataclass(frozen=True, slots=True)
class NicSpec:
    """One interface of a guest. `filterref_xml` is a whole `<filterref>` element, or nothing."""

    mac: str
    bridge: str = "br0"
    filterref_xml: str = ""


def image() -> GuestImage:
    """The image of a real guest, from the cache or built: seconds, and once a download of some 30 MB.

    Raises `HostError` when there is no busybox-static or apt has no kernel.
    """
    archives = kernels.packages()
    busybox = _static_busybox()
    place = cache.folder() / "guests" / _key(archives, busybox)
    if not place.is_dir():
        _build(place, archives, busybox)
    return GuestImage(place / "kernel", place / "initrd")


def domain_xml(
    name: str, boots: GuestImage, nics: Iterable[NicSpec] = (), *, memory_mib: int = REAL_MEMORY_MIB, uuid: str = ""
) -> str:
    """A guest with a shell on its serial console (see `console`); it shuts down when its power button is pressed."""
    system = (
        f"<kernel>{escape(str(boots.kernel))}</kernel><initrd>{escape(str(boots.initrd))}</initrd>"
        f"<cmdline>{KERNEL_LINE}</cmdline>"
    )
    path = quoteattr(f"/run/libvirt/{CONSOLE_FOLDER}/{name}.sock")
    serial = f"<serial type='unix'><source mode='bind' path={path}/><target port='0'/></serial>"
    return _domain(name, memory_mib, nics, system=system, features="<acpi/>", devices=serial, uuid=uuid)


def tiny_domain_xml(name: str, nics: Iterable[NicSpec] = (), *, uuid: str = "") -> str:
    """A guest without disk, system or answers: 64 MiB, started in a moment, ended only by `destroy`."""
    return _domain(name, TINY_MEMORY_MIB, nics, system="", features="", devices="", uuid=uuid)


def _domain(
    name: str, memory_mib: int, nics: Iterable[NicSpec], *, system: str, features: str, devices: str, uuid: str
) -> str:
    return f"""\
<domain type='qemu'>
  <name>{escape(name)}</name>{f"<uuid>{uuid}</uuid>" if uuid else ""}
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>{system}</os>
  <features>{features}</features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    {devices}
    {"".join(map(_interface, nics))}
    <memballoon model='none'/>
  </devices>
</domain>
"""


def _interface(nic: NicSpec) -> str:
    # The card's ROM would send DHCP requests of its own, and keep a processor busy for ever where nothing answers.
    return (
        f"<interface type='bridge'><mac address={quoteattr(nic.mac)}/><source bridge={quoteattr(nic.bridge)}/>"
        f"<model type='virtio'/><rom enabled='no'/>{nic.filterref_xml}</interface>"
    )


def _static_busybox() -> bytes:
    found = shutil.which("busybox")
    if not found:
        raise HostError("busybox is not installed", hint="the package is busybox-static")
    content = Path(found).read_bytes()
    if b"/ld-linux" in content or b"/ld-musl" in content:
        raise HostError(f"{found} needs libraries that a guest has not", hint="the package is busybox-static")
    return content


def _key(archives: Iterable[Path], busybox: bytes) -> str:
    digest = hashlib.sha256(busybox)
    for archive in archives:
        digest.update(archive.read_bytes())
    recipe = (initramfs.INIT, initramfs.POWER_BUTTON, *initramfs.FOLDERS, *initramfs.WANTED_MODULES)
    digest.update("\0".join(recipe).encode())
    return digest.hexdigest()[:16]


def _build(place: Path, archives: Iterable[Path], busybox: bytes) -> None:
    place.parent.mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.folder(), prefix=".guest-") as temporary:
        tree = kernels.unpack(archives, Path(temporary) / "tree")
        draft = Path(temporary) / "image"
        draft.mkdir(mode=0o755)
        shutil.copyfile(tree.kernel, draft / "kernel")
        (draft / "initrd").write_bytes(initramfs.build(busybox, tree.modules(initramfs.WANTED_MODULES)))
        try:
            draft.rename(place)
        except OSError:
            if not place.is_dir():  # another process may have been faster
                raise
