"""Recordings heard by several processes, in order, a bounded number of them at a time."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from common.errors import CorruptAudio
from transfer.data.audio import Heard, hear
from transfer.data.checks import LONGEST_S, Defect

Item = TypeVar("Item")

_BATCH = 32
_BATCHES_AHEAD = 4
"""Per process: none waits for the other, and memory does not grow with the corpus."""


class DecoderDied(CorruptAudio):
    """A recording brought down the process that decoded it."""


def hear_all(
    items: Iterable[Item], path_of: Callable[[Item], Path | None], jobs: int
) -> Iterator[tuple[Item, Heard | Defect | None]]:
    """Each item with what its recording is like, or why it cannot be heard, in their order.

    Args:
        items: read no further ahead than the processes need.
        path_of: an item's recording; None for one that has none to be heard.
        jobs: how many processes.

    Raises:
        DecoderDied: names the recordings one of which did it.
    """
    if jobs == 1:
        yield from ((item, _hear(path_of(item))) for item in items)
        return
    # A fresh interpreter each: a forked one would inherit locks of threads it does not have.
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_leave_interrupts) as pool:
        waiting: deque[tuple[list[Item], Future[list[Heard | Defect | None]]]] = deque()
        try:
            for batch in _batches(items):
                waiting.append((batch, pool.submit(_hear_batch, [path_of(i) for i in batch])))
                if len(waiting) > jobs * _BATCHES_AHEAD:
                    yield from _heard(*waiting.popleft(), path_of)
            while waiting:
                yield from _heard(*waiting.popleft(), path_of)
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _heard(
    batch: list[Item],
    future: Future[list[Heard | Defect | None]],
    path_of: Callable[[Item], Path | None],
) -> Iterator[tuple[Item, Heard | Defect | None]]:
    try:
        yield from zip(batch, future.result(), strict=True)
    except BrokenProcessPool as error:
        names = [str(path) for path in map(path_of, batch) if path is not None]
        raise DecoderDied(
            f"decoding died between {names[0]} and {names[-1]}, or soon after: remove the "
            "recording that FFmpeg cannot survive"
        ) from error


def _leave_interrupts() -> None:
    """Ctrl-C ends the process that waits for this one; a traceback from here tells nobody."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _hear_batch(paths: list[Path | None]) -> list[Heard | Defect | None]:
    return [_hear(path) for path in paths]


def _hear(path: Path | None) -> Heard | Defect | None:
    if path is None:
        return None
    try:
        return hear(path, LONGEST_S)
    except CorruptAudio as error:
        return Defect("undecodable audio", str(error))
