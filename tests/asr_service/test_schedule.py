"""Step 7: finals first, by deadline; similar lengths; nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.jobs import Job
from asr_service.schedule import Schedule
from tests.asr_service.fakes import saying


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Futures belong to a loop, which need not run."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Jobs:
    """Makes jobs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, name: str, final: bool, deadline: float, n_samples: int = 1000) -> Job:
        answer = self._loop.create_future()
        return Job(name, saying(2, n_samples), "it", None, final, 0.0, deadline, answer)


@pytest.fixture(scope="module")
def job(loop: asyncio.AbstractEventLoop) -> Jobs:
    return Jobs(loop)


def taken(schedule: Schedule) -> list[list[str]]:
    """Every batch until nothing is left."""
    batches = []
    while batch := schedule.take():
        batches.append([job.span_id for job in batch])
    assert len(schedule) == 0
    return batches


def filled(jobs: list[Job], max_rows: int = 16, max_samples: int = 10**6) -> Schedule:
    schedule = Schedule(max_rows, max_samples)
    for each in jobs:
        schedule.add(each)
    return schedule


def test_finals_first_by_deadline_then_the_stalest_partials(job: Jobs) -> None:
    schedule = filled(
        [
            job("new partial", False, 2.0),
            job("late final", True, 9.0),
            job("old partial", False, 1.0),
            job("soon final", True, 5.0),
        ],
        max_rows=1,
    )
    assert taken(schedule) == [["soon final"], ["late final"], ["old partial"], ["new partial"]]


def test_rows_are_of_similar_length(job: Jobs) -> None:
    lengths = {"a": 1000, "b": 2000, "c": 2001, "d": 500, "e": 499}
    jobs = [job(name, True, place, length) for place, (name, length) in enumerate(lengths.items())]
    assert taken(filled(jobs)) == [["a", "b", "d"], ["c"], ["e"]]


def test_padding_counts(job: Jobs) -> None:
    jobs = [job("a", True, 1, 1000), job("b", True, 2, 1000), job("c", True, 3, 1500)]
    # Three rows would be 4500 samples, as each is padded to 1500.
    assert taken(filled(jobs, max_samples=4499)) == [["a", "b"], ["c"]]
    assert taken(filled(jobs, max_samples=4500)) == [["a", "b", "c"]]


def test_a_job_beyond_the_budget_runs_alone(job: Jobs) -> None:
    jobs = [job("long", True, 1, 1000), job("too", True, 2, 1000)]
    assert taken(filled(jobs, max_samples=10)) == [["long"], ["too"]]


def test_the_cancelled_vanish(job: Jobs) -> None:
    jobs = [job("a", True, 1), job("b", True, 2), job("c", False, 3)]
    schedule = filled(jobs)
    jobs[0].answer.cancel()
    jobs[2].answer.cancel()
    assert taken(schedule) == [["b"]]


def test_clear_returns_everything(job: Jobs) -> None:
    jobs = [job("a", True, 1), job("b", False, 2)]
    schedule = filled(jobs)
    assert schedule.clear() == tuple(jobs)
    assert not schedule
    assert schedule.take() == ()


@given(
    drawn=st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 60), st.booleans()), max_size=30
    ),
    max_rows=st.integers(1, 5),
    max_samples=st.integers(1, 200),
)
def test_nothing_is_lost_and_every_bound_is_kept(
    drawn: list[tuple[bool, int, int, bool]], max_rows: int, max_samples: int
) -> None:
    loop = asyncio.new_event_loop()
    make = Jobs(loop)
    jobs = []
    schedule = Schedule(max_rows, max_samples)
    for number, (final, deadline, n_samples, cancelled) in enumerate(drawn):
        jobs.append(make(str(number), final, deadline, n_samples))
        schedule.add(jobs[-1])
        if cancelled:
            jobs[-1].answer.cancel()
    left = [job for job in jobs if not job.answer.done()]
    while batch := schedule.take():
        most_urgent = min((not job.final, job.deadline) for job in left)
        assert (not batch[0].final, batch[0].deadline) == most_urgent
        lengths = [len(job.audio) for job in batch]
        assert len(batch) <= max_rows
        assert len(batch) == 1 or max(lengths) * len(batch) <= max_samples
        assert max(lengths) <= 2 * lengths[0] <= 4 * min(lengths)
        for job in batch:
            left.remove(job)  # fails for one that was taken before or was cancelled
    assert not left
    loop.close()
