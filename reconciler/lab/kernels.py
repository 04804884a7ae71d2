"""A kernel for guests, taken from the distribution's package without installing it."""

from __future__ import annotations

import lzma
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host import processes
from reconciler.lab import cache

# Packages that depend on the newest kernel for virtual machines: Debian's, Ubuntu's.
META_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")
# Ubuntu keeps the modules in a package of their own, which the kernel's depends on.
KERNEL_PACKAGE = re.compile(r"linux-(?:image|modules)-\d\S*")
DOWNLOAD_SECONDS = 300.0
UNPACK_SECONDS = 120.0
DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True, slots=True)
class Module:
    """A kernel module, unpacked, under the name that insmod(8) is given."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class KernelTree:
    """A folder into which kernel packages were unpacked."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """The kernel itself. Raises `HostError` when the packages hold none."""
        found = sorted(self.folder.glob("boot/vmlinuz-*"))
        if not found:
            raise HostError("the kernel's package holds no kernel")
        return found[-1]

    def modules(self, wanted: Iterable[str]) -> tuple[Module, ...]:
        """The wanted modules and what they depend on, in an order in which they load; what is built in is left out."""
        files = self._module_files()
        ordered: dict[str, Module] = {}
        for name in wanted:
            _add(name, files, ordered)
        return tuple(ordered.values())

    def _module_files(self) -> dict[str, Path]:
        # /lib is a link to /usr/lib in newer packages.
        places = [*self.folder.glob("lib/modules/*/kernel"), *self.folder.glob("usr/lib/modules/*/kernel")]
        found = (path for place in places for path in place.rglob("*.ko*"))
        return {_module_name(path): path for path in found}


def packages() -> tuple[Path, ...]:
    """The kernel's packages in the cache, downloaded by apt when there are none. Raises `HostError` when apt cannot."""
    place = cache.folder() / "packages"
    found = tuple(sorted(place.glob("linux-*.deb")))
    if found:
        return found
    place.mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.folder(), prefix=".download-") as temporary:
        names = _kernel_packages()
        processes.run(["env", f"--chdir={temporary}", "apt-get", "download", *names], timeout=DOWNLOAD_SECONDS)
        for package in Path(temporary).glob("*.deb"):
            cache.keep(package, place / package.name)
    return tuple(sorted(place.glob("linux-*.deb")))


def unpack(archives: Iterable[Path], folder: Path) -> KernelTree:
    """Unpack packages into a folder."""
    for archive in archives:
        processes.run(["dpkg-deb", "--extract", str(archive), str(folder)], timeout=UNPACK_SECONDS)
    return KernelTree(folder)


def _kernel_packages() -> tuple[str, ...]:
    for meta in META_PACKAGES:
        images = _dependencies(meta)
        if images:
            return tuple(dict.fromkeys(name for image in images for name in (image, *_dependencies(image))))
    raise HostError(
        f"apt knows no kernel package for guests ({' or '.join(META_PACKAGES)})",
        hint="`apt-get update` reads the lists of packages; guests need Debian or Ubuntu on amd64",
    )


def _dependencies(package: str) -> tuple[str, ...]:
    listed = processes.run(["apt-cache", "depends", "--important", package], check=False).stdout
    names = (line.split()[-1] for line in listed.splitlines() if "Depends:" in line)
    return tuple(name for name in names if KERNEL_PACKAGE.fullmatch(name))


def _add(name: str, files: dict[str, Path], ordered: dict[str, Module]) -> None:
    if name in ordered or name not in files:
        return
    content = _unpacked(files[name])
    depends = DEPENDS.search(content)
    for needed in depends[1].decode().split(",") if depends else ():
        _add(needed.replace("-", "_"), files, ordered)
    ordered[name] = Module(name, content)


def _module_name(path: Path) -> str:
    return path.name.partition(".")[0].replace("-", "_")


def _unpacked(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        processes.run(["zstd", "--decompress", "--quiet", "--force", str(path)])
        path = path.with_suffix("")
    return path.read_bytes()
