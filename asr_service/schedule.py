"""Step 7: which jobs make the next batch. Pure: no clock, no I/O.

Finals come first, by deadline; then partials, the one that is due longest first. A batch that is
under way holds up the finals that arrive meanwhile, so what it may take is a share of their
deadline: half of it with finals in it, an eighth when they are all partials.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from asr_service.jobs import Job
from common.errors import Overloaded
from speech.encoder import FRAME_MS

# Of the frames of a batch, so many are audio and not padding.
_FILL = 0.75
_FINAL_SHARE = 1 / 2
# With a quarter, 16 to 64 streams waited 1.7 times as long or longer for finals, and had no more
# partials (95th percentile; a model of 5 ms a batch and 0.2 ms a frame).
_PARTIAL_SHARE = 1 / 8


@dataclass(frozen=True)
class ScheduleLimits:
    """Bounds of a batch and of the queue; frames are of 20 ms.

    Attributes:
        max_rows: of a batch.
        max_frames: of a batch, padding counted.
        final_deadline_s: time in which a final should be out.
        max_jobs: that wait.
        max_waiting_frames: of the audio of all jobs that wait.
    """

    max_rows: int
    max_frames: int
    final_deadline_s: float
    max_jobs: int
    max_waiting_frames: int


@dataclass(frozen=True)
class LaneRoom:
    """How many more jobs of the universal path can be decoded; of them, how many partials."""

    n_jobs: int
    n_partials: int


class Schedule:
    """Jobs that wait, each under its answer. A span has one partial and one final at most."""

    def __init__(self, limits: ScheduleLimits) -> None:
        """An empty queue."""
        self.limits = limits
        self._waiting: dict[asyncio.Future[Any], Job] = {}
        self._waiting_frames = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Queue `job`; raises Overloaded when too much waits already."""
        limits = self.limits
        if len(self._waiting) >= limits.max_jobs:
            raise Overloaded(f"{limits.max_jobs} decodes wait in this worker already: ask another")
        if self._waiting_frames + job.n_frames > limits.max_waiting_frames:
            raise Overloaded(
                f"{limits.max_waiting_frames * FRAME_MS // 1000} s of audio wait in this worker "
                "already: ask another"
            )
        self._waiting[job.answer] = job
        self._waiting_frames += job.n_frames

    def discard(self, answer: asyncio.Future[Any]) -> None:
        """Forget the job whose answer this is, if it still waits."""
        job = self._waiting.pop(answer, None)
        if job is not None:
            self._waiting_frames -= job.n_frames

    def take(
        self, seconds_per_frame: float, room: LaneRoom, *, partials: bool = True
    ) -> tuple[Job, ...]:
        """Remove and return the next batch: at least one job if any waits that there is room for.

        Args:
            seconds_per_frame: what the model takes for a frame; 0 if not known yet.
            partials: whether there may be any in it.
            room: of the universal path. Its jobs wait here, as audio, not as the encoder's output.
        """
        budgets = {
            final: self._budget(seconds_per_frame, _FINAL_SHARE if final else _PARTIAL_SHARE)
            for final in (True, False)
        }
        batch: list[Job] = []
        for waiting in sorted(self._waiting.values(), key=_urgency):
            if len(batch) == self.limits.max_rows:
                break
            if not (partials or waiting.final):
                break
            if waiting.answer.done() or not _has_room(batch, waiting, room):
                continue
            job = waiting.renewed()
            if not batch or _fits(batch, job, budgets[job.final]):
                batch.append(job)
                self.discard(job.answer)
        return tuple(batch)

    def clear(self) -> tuple[Job, ...]:
        """Remove and return everything."""
        waiting = tuple(self._waiting.values())
        self._waiting.clear()
        self._waiting_frames = 0
        return waiting

    def _budget(self, seconds_per_frame: float, share: float) -> int:
        if not seconds_per_frame:
            return self.limits.max_frames
        affordable = int(share * self.limits.final_deadline_s / seconds_per_frame)
        return min(self.limits.max_frames, affordable)


def _urgency(job: Job) -> tuple[bool, float]:
    return (not job.final, job.deadline)


def _has_room(batch: list[Job], job: Job, room: LaneRoom) -> bool:
    if job.resident is not None:
        return True
    universal = [chosen.final for chosen in batch if chosen.resident is None]
    return len(universal) < room.n_jobs and (job.final or universal.count(False) < room.n_partials)


def _fits(batch: list[Job], job: Job, budget: int) -> bool:
    """A partial joins finals only where the batch stays as short as one of partials."""
    frames = [chosen.n_frames for chosen in (*batch, job)]
    padded = max(frames) * len(frames)
    return padded <= budget and sum(frames) >= _FILL * padded
