"""Run a program and print what it took: exit code, seconds, CPU seconds, KiB of memory at its peak.

    python -I -S launch.py PROGRAM [WORD…]

A process begins with the memory of the one that starts it: the kernel counts that as its peak too. So programs are
started by this one, which has next to none.
"""

import os
import sys
import time

QUIET = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


def main() -> None:
    started = time.monotonic()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=QUIET)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - started
    print(os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


if __name__ == "__main__":
    main()
