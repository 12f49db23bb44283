"""Become a command that does not outlive its parent: `python launch.py PARENT_PID COMMAND…`.

Run by its path, in an interpreter that loads nothing else. On Linux the kernel kills the command
when its parent dies, whatever it dies of; elsewhere the command just runs.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the kernel's help, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # it died before the kernel was told to watch it
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
