"""The universal path's lane: utterances that are being decoded one token at a time.

It is short. Who finds no room waits in the schedule, before the encoder: there a job is audio that
its span keeps anyway, may be cancelled or brought up to date at no cost, and is still sorted by
deadline. Encoded, it would be a decoder's memory of some megabytes, of audio that grows old.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from asr_service.jobs import Job
from asr_service.schedule import LaneRoom
from speech.whisper.universal import UniversalDecoding


@dataclass(frozen=True)
class Utterance:
    """A job in the lane; its batch `started` then, in seconds on the event loop's clock."""

    job: Job
    decoding: UniversalDecoding
    started: float


class UniversalLane:
    """At most `size` utterances, finals first in place: partials fill half of it."""

    def __init__(self, size: int) -> None:
        """An empty lane."""
        self._size = size
        self._utterances: dict[asyncio.Future[Any], Utterance] = {}

    def __len__(self) -> int:
        """Utterances in it, those that only wait for their result included."""
        return len(self._utterances)

    @property
    def room(self) -> LaneRoom:
        """What may be added."""
        n_partials = sum(not entry.job.final for entry in self._utterances.values())
        return LaneRoom(self._size - len(self), (self._size + 1) // 2 - n_partials)

    @property
    def has_final(self) -> bool:
        """Whether a final is in it."""
        return any(entry.job.final for entry in self._utterances.values())

    @property
    def finished(self) -> Utterance | None:
        """One that is decoded to its end; partials wait for every final."""
        done = (entry for entry in self._first if entry.decoding.done)
        return next(done, None)

    @property
    def active(self) -> tuple[Utterance, ...]:
        """Those whose next token is due: of all finals; of partials when there is no final."""
        return tuple(entry for entry in self._first if not entry.decoding.done)

    @property
    def _first(self) -> tuple[Utterance, ...]:
        entries = tuple(self._utterances.values())
        return tuple(entry for entry in entries if entry.job.final) or entries

    def add(self, utterance: Utterance) -> None:
        """Take it in."""
        self._utterances[utterance.job.answer] = utterance

    def drop_answered(self) -> None:
        """Forget those that were answered, failed or cancelled."""
        self._utterances = {
            answer: entry for answer, entry in self._utterances.items() if not answer.done()
        }

    def clear(self) -> tuple[Job, ...]:
        """Remove everything, and return the jobs."""
        jobs = tuple(entry.job for entry in self._utterances.values())
        self._utterances.clear()
        return jobs
