"""Step 7: which jobs make the next batch. Pure: no clock, no I/O.

Finals come first, by deadline; then partials, the stalest first. Rows of one batch are of similar
length, so that little of it is padding.
"""

from __future__ import annotations

from asr_service.jobs import Job

# A row may be this much shorter or longer than the first one chosen.
_LENGTH_RATIO = 2.0


class Schedule:
    """Jobs that wait. A span has at most one partial and one final in it: see `span.py`."""

    def __init__(self, max_rows: int, max_samples: int) -> None:
        """Bound a batch to `max_rows` rows and `max_samples` samples, padding counted."""
        self._max_rows = max_rows
        self._max_samples = max_samples
        self._waiting: list[Job] = []

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Queue `job`."""
        self._waiting.append(job)

    def take(self) -> tuple[Job, ...]:
        """Remove and return the next batch: at least one job if any waits."""
        waiting = sorted((job for job in self._waiting if not job.answer.done()), key=_urgency)
        batch: list[Job] = []
        for job in waiting:
            if len(batch) < self._max_rows and self._fits(batch, job):
                batch.append(job)
        self._waiting = [job for job in waiting if job not in batch]
        return tuple(batch)

    def clear(self) -> tuple[Job, ...]:
        """Remove and return everything."""
        waiting, self._waiting = self._waiting, []
        return tuple(waiting)

    def _fits(self, batch: list[Job], job: Job) -> bool:
        if not batch:
            return True
        first, n_samples = len(batch[0].audio), len(job.audio)
        if max(first, n_samples) > _LENGTH_RATIO * min(first, n_samples):
            return False
        longest = max(n_samples, *(len(chosen.audio) for chosen in batch))
        return longest * (len(batch) + 1) <= self._max_samples


def _urgency(job: Job) -> tuple[bool, float]:
    return (not job.final, job.deadline)
