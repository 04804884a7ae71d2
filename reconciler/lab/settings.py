"""The files that a lab starts with: libvirt's settings and its stock filters."""

from __future__ import annotations

import grp
import pwd
import shutil
import uuid
from pathlib import Path

from reconciler.errors import HostError
from reconciler.lab.init import LIBVIRT_FOLDERS, ROOT
from reconciler.lab.releases import DRIVER_SETTINGS, System

# The distribution's own copies come first: the machine's /etc may hold filters of its operator.
STOCK_FILTERS = (Path("usr/share/libvirt/nwfilter"), Path("etc/libvirt/nwfilter"))
CONSOLE_FOLDER = "console"
LOG_FILE = "libvirtd.log"

# Every public call that reaches the daemon is in its log with its arguments, reads included: what a run wrote
# can be read from libvirt itself. Warnings and errors of everything else are there too.
LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
audit_level = 0
host_uuid = "{host_uuid}"
log_filters = "1:libvirt.nwfilter 1:libvirt.domain 3:*"
log_outputs = "1:file:/var/log/libvirt/{log_file}"
"""

# No cgroups, mount namespaces or security labels: the lab's own namespaces are all the isolation that its guests
# need. Outputs go to files, so there is no second daemon.
QEMU_CONF = """\
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
"""
NWFILTER_CONF = """\
firewall_backend = "{backend}"
"""
# The account that Debian's libvirt is built for must exist, even where qemu.conf says another.
ACCOUNT = "libvirt-qemu"
PASSWD_LINE = f"{ACCOUNT}:x:64055:64055:Libvirt Qemu:/var/lib/libvirt:/usr/sbin/nologin\n"
GROUP_LINE = f"{ACCOUNT}:x:64055:\n"


def write(folder: Path, system: System) -> None:
    """Fill the new folder of a lab. Raises `HostError` when its system has no stock filters."""
    for name in (*LIBVIRT_FOLDERS, ROOT):
        (folder / name).mkdir()
    (folder / "run" / CONSOLE_FOLDER).mkdir()
    etc = folder / "etc"
    (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(host_uuid=uuid.uuid4(), log_file=LOG_FILE))
    (etc / "qemu.conf").write_text(QEMU_CONF)
    if system.has_backends:
        (etc / DRIVER_SETTINGS.name).write_text(NWFILTER_CONF.format(backend=system.backend))
    shutil.copytree(_stock_filters(system.root), etc / "nwfilter", copy_function=shutil.copyfile)
    if not system.foreign:
        _write_accounts(folder)


def _stock_filters(root: Path) -> Path:
    for place in STOCK_FILTERS:
        if (root / place).is_dir():
            return root / place
    raise HostError(
        "libvirt's stock filters are not installed",
        hint="the package is libvirt-daemon-config-nwfilter; the README names all of them",
    )


def _write_accounts(folder: Path) -> None:
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        (folder / "passwd").write_text(Path("/etc/passwd").read_text() + PASSWD_LINE)
    try:
        grp.getgrnam(ACCOUNT)
    except KeyError:
        (folder / "group").write_text(Path("/etc/group").read_text() + GROUP_LINE)
