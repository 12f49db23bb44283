"""What each process of the stack costs, from `/proc`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuTime:
    """CPU seconds by process at one moment; this one is `benchmark`."""

    used_s: dict[str, float]

    def since(self, earlier: CpuTime) -> dict[str, float]:
        """CPU seconds that each process used between the two."""
        return {
            name: used - earlier.used_s.get(name, 0.0) for name, used in sorted(self.used_s.items())
        }


def cpu_time() -> CpuTime:
    """Of this process and its children; several of one module are added up."""
    used = {"benchmark": _used_s(os.getpid())}
    for pid in _children():
        name = _name(pid)
        used[name] = used.get(name, 0.0) + _used_s(pid)
    return CpuTime(used)


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _name(pid: int) -> str:
    """The module of `python -m module`, else the program."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[words.index("-m") + 1] if "-m" in words else Path(words[0].split()[0]).name


def _used_s(pid: int) -> float:
    """User and system time: fields 14 and 15 of `stat`, counted after the name in brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S
