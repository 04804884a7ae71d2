"""Process 1 of a lab: builds the private view of the file system, then reaps until it is told to go.

Runs as `python -I -S init.py FOLDER NAME LEASH [TREE SHOWN]` below unshare(1), in fresh mount, network, PID and UTS
namespaces; standard library only, so that it starts in milliseconds. With TREE, the files of another release, the
lab's folder ROOT becomes a root to run its daemon in, which has the machine's folder SHOWN too.

LEASH is the descriptor of a socket to the process that brings the lab up. It carries one line out, `ready PID` (as
seen outside) or `error REASON`, and one byte in: `k` keeps the lab when that process ends. Without it the end of that
process is the end of the lab, however it ended: the kernel closes the socket, and kills a PID namespace together with
its process 1.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
from pathlib import Path

MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384

# Where libvirt keeps files, and the lab's folder that takes the place of each.
LIBVIRT_FOLDERS = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
    "run": "/run/libvirt",
}
ROOT = "root"
SEEN_IN_ROOT = ("/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/run")
# Present in the lab's folder where the machine's own lack the account that libvirt was built for.
ACCOUNT_FILES = ("passwd", "group")
# A new device sends nothing of its own: neither duplicate address detection nor router solicitations.
QUIET_DEVICES = Path("/proc/sys/net/ipv6/conf/default/addr_gen_mode")
NO_ADDRESS_OF_ITS_OWN = "1"

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "none", flags: int = 0, options: str = "") -> None:
    """mount(2); raises `OSError` that names source and target."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {source} on {target}: {os.strerror(number)}")


def bind(source: str, target: str) -> None:
    """Bind a folder, without the noexec and nosuid of the file system it lies on: libvirt's hooks must run."""
    mount(source, target, flags=MS_BIND)
    mount("none", target, flags=MS_BIND | MS_REMOUNT)


def furnish(folder: Path) -> None:
    """Mount everything that the lab's processes must see differently from the machine's."""
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    replace_run(folder)
    for name, target in LIBVIRT_FOLDERS.items():
        if not Path(target).is_dir():
            make_room(Path(target))
        bind(str(folder / name), target)
    for name in ACCOUNT_FILES:
        if (folder / name).exists():
            mount(str(folder / name), f"/etc/{name}", flags=MS_BIND)
    if QUIET_DEVICES.exists():
        QUIET_DEVICES.write_text(NO_ADDRESS_OF_ITS_OWN)


def replace_run(folder: Path) -> None:
    """Give the lab an empty /run: no pid files, locks, dbus, polkit or systemd sockets of the machine."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    mount("tmpfs", "/run", "tmpfs", options="mode=755")
    for needed in (Path("/run/lock"), Path("/run/libvirt")):
        needed.mkdir()
    if not folder.is_dir():
        folder.mkdir(parents=True)
        mount(f"/proc/self/fd/{handle}", str(folder), flags=MS_BIND)
    os.close(handle)


def furnish_root(folder: Path, tree: Path, shown: Path) -> None:
    """Make a root of another release's files: what is written there is gone with the lab."""
    root = folder / ROOT
    lower = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    mount("tmpfs", str(root), "tmpfs", options="mode=755")
    upper = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for name in ("upper", "work"):
        (root / name).mkdir(mode=0o755)
    # By way of descriptors, since the options have no way to write a path with a comma.
    places = f"lowerdir=/proc/self/fd/{lower},upperdir=/proc/self/fd/{upper}/upper,workdir=/proc/self/fd/{upper}/work"
    mount("overlay", str(root), "overlay", options=places)
    os.close(upper)
    os.close(lower)
    for place in (*SEEN_IN_ROOT, *LIBVIRT_FOLDERS.values(), str(shown)):
        inside = Path(f"{root}{place}")
        inside.mkdir(mode=0o755, parents=True, exist_ok=True)
        mount(place, str(inside), flags=MS_BIND)


def make_room(target: Path) -> None:
    """Make a mount point where the machine has none, and leave no trace of it there.

    The parent is covered with a tmpfs in which its old entries are bound again.
    """
    parent = target.parent
    handle = os.open(parent, os.O_PATH | os.O_DIRECTORY)
    old = Path(f"/proc/self/fd/{handle}")
    entries = sorted(old.iterdir())
    mount("tmpfs", str(parent), "tmpfs", options="mode=755")
    for entry in entries:
        show_again(entry, parent / entry.name)
    os.close(handle)
    target.mkdir()


def show_again(entry: Path, place: Path) -> None:
    if entry.is_symlink():
        place.symlink_to(entry.readlink())
        return
    if entry.is_dir():
        place.mkdir()
    else:
        place.touch()
    mount(str(entry), str(place), flags=MS_BIND | MS_REC)


def reap() -> None:
    """Collect every child that has ended: those that the daemons leave behind become children of process 1."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def serve(leash: socket.socket, alarm: int) -> None:
    """Reap until the leash is dropped; once it is let go (`k`), reap until killed."""
    watched: list[int] = [alarm, leash.fileno()]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if alarm in ready:
            os.read(alarm, 512)
            reap()
        if leash.fileno() in ready:
            if hear(leash) != b"k":
                return
            watched.remove(leash.fileno())


def hear(leash: socket.socket) -> bytes:
    try:
        return leash.recv(1)
    except ConnectionResetError:
        return b""


def watch_children() -> int:
    """A descriptor that becomes readable when a child has ended."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reading


def main(folder: Path, name: str, leash: socket.socket, *release: str) -> int:
    outer_pid = Path("/proc/self").readlink()
    try:
        socket.sethostname(name)
        furnish(folder)
        if release:
            furnish_root(folder, *map(Path, release))
    except OSError as error:
        leash.sendall(f"error {error}\n".encode())
        return 1
    alarm = watch_children()
    leash.sendall(f"ready {outer_pid}\n".encode())
    serve(leash, alarm)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], socket.socket(fileno=int(sys.argv[3])), *sys.argv[4:]))
