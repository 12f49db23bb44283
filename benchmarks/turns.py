"""Sides that take turns, so that what the machine does meanwhile falls on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeVar

from rich.progress import track

_K = TypeVar("_K")


def in_turn(sides: Mapping[_K, Callable[[], object]], repeats: int) -> dict[_K, list[float]]:
    """Seconds that each side took, `repeats` times; a first round warms up and is not counted."""
    took_s: dict[_K, list[float]] = {name: [] for name in sides}
    for repeat in track(range(repeats + 1), description="rounds"):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            if repeat:
                took_s[name].append(time.perf_counter() - began)
    return took_s


def ratio(ours_s: list[float], theirs_s: list[float]) -> float:
    """How many times faster the first is: the median over rounds."""
    return round(median(b / a for a, b in zip(ours_s, theirs_s, strict=True)), 3)
