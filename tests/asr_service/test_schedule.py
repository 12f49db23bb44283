"""Step 7: finals first, by deadline; little padding; bounded; nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asr_service.jobs import Excerpt, Job
from asr_service.schedule import LaneRoom, Schedule, ScheduleLimits
from common.errors import Overloaded
from tests.asr_service.fakes import RESIDENT, saying

LIMITS = ScheduleLimits(
    max_rows=16, max_frames=10**6, final_deadline_s=0.5, max_jobs=100, max_waiting_frames=10**6
)
ROOM = LaneRoom(100, 100)
FRAME = 320
UNIVERSAL_FRAMES = 300  # what short speech is padded to


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

    def __call__(
        self, name: str, final: bool, deadline: float, n_frames: int = 100, *, ctc: bool = True
    ) -> Job:
        excerpt = Excerpt(saying(2, n_frames * FRAME))
        return Job(
            span_id=name,
            newest=lambda: excerpt,
            excerpt=excerpt,
            language="it",
            resident=RESIDENT if ctc else None,
            final=final,
            submitted=0.0,
            deadline=deadline,
            boosted_phrases=(),
            answer=self._loop.create_future(),
        )


@pytest.fixture(scope="module")
def job(loop: asyncio.AbstractEventLoop) -> Jobs:
    return Jobs(loop)


def taken(schedule: Schedule, seconds_per_frame: float = 0.0) -> list[list[str]]:
    """Every batch until nothing is left."""
    batches = []
    while batch := schedule.take(seconds_per_frame, ROOM):
        batches.append([job.span_id for job in batch])
    assert len(schedule) == 0
    return batches


def filled(jobs: list[Job], max_rows: int = 16, max_frames: int = 10**6) -> Schedule:
    schedule = Schedule(ScheduleLimits(max_rows, max_frames, 0.5, 100, 10**6))
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


def test_partials_may_have_to_wait(job: Jobs) -> None:
    schedule = Schedule(LIMITS)
    for each in (job("p", False, 1), job("f", True, 9)):
        schedule.add(each)
    assert [each.span_id for each in schedule.take(0, ROOM, partials=False)] == ["f"]
    assert schedule.take(0, ROOM, partials=False) == ()
    assert taken(schedule) == [["p"]]


def test_at_most_a_quarter_is_padding(job: Jobs) -> None:
    lengths = {"a": 100, "b": 50, "c": 51, "d": 200, "e": 100, "f": 110}
    jobs = [job(name, True, place, length) for place, (name, length) in enumerate(lengths.items())]
    # 100 + 50 fill 200 frames to three quarters, 100 + 50 + 51 would not fill 300; and so on.
    assert taken(filled(jobs)) == [["a", "b", "e", "f"], ["c"], ["d"]]


def test_padding_counts(job: Jobs) -> None:
    jobs = [job("a", True, 1, 100), job("b", True, 2, 100), job("c", True, 3, 150)]
    # Three rows would be 450 frames, as each is padded to 150.
    assert taken(filled(jobs, max_frames=449)) == [["a", "b"], ["c"]]
    assert taken(filled(jobs, max_frames=450)) == [["a", "b", "c"]]


def test_the_silence_behind_universal_speech_counts(job: Jobs) -> None:
    jobs = [job("ctc", True, 1, 100), job("universal", True, 2, 100, ctc=False)]
    assert [each.n_frames for each in jobs] == [100, UNIVERSAL_FRAMES]
    assert taken(filled(jobs)) == [["ctc"], ["universal"]]


def test_a_job_beyond_the_budget_runs_alone(job: Jobs) -> None:
    jobs = [job("long", True, 1, 100), job("too", True, 2, 100)]
    assert taken(filled(jobs, max_frames=10)) == [["long"], ["too"]]


@pytest.mark.parametrize(
    ("finals", "partials", "batches"),
    [
        # At half a millisecond a frame, 250 ms are 500 frames; 62.5 ms are 125.
        (12, 0, [10, 2]),
        (0, 6, [2, 2, 2]),
        # Partials fill up a batch of finals only as far as one of their own would go.
        (1, 3, [2, 2]),
        (2, 3, [2, 2, 1]),
        (3, 2, [3, 2]),
    ],
)
def test_a_batch_takes_a_share_of_the_deadline(
    job: Jobs, finals: int, partials: int, batches: list[int]
) -> None:
    jobs = [job("final", True, place, 50) for place in range(finals)]
    jobs += [job("partial", False, place, 50) for place in range(partials)]
    found = taken(filled(jobs), seconds_per_frame=0.0005)
    assert [len(batch) for batch in found] == batches


def test_the_cancelled_vanish(job: Jobs) -> None:
    jobs = [job("a", True, 1), job("b", True, 2), job("c", False, 3)]
    schedule = filled(jobs)
    jobs[0].answer.cancel()
    assert [each.span_id for each in schedule.take(0, ROOM)] == ["b", "c"]
    assert schedule.take(0, ROOM) == ()


def test_what_is_discarded_makes_room_at_once(job: Jobs) -> None:
    schedule = Schedule(ScheduleLimits(16, 10**6, 0.5, max_jobs=2, max_waiting_frames=250))
    first = job("first", False, 1, 100)
    schedule.add(first)
    with pytest.raises(Overloaded, match="5 s of audio wait"):
        schedule.add(job("too long", True, 1, 151))
    schedule.add(job("second", True, 2, 150))
    with pytest.raises(Overloaded, match="2 decodes wait"):
        schedule.add(job("too many", True, 3, 1))
    schedule.discard(first.answer)
    schedule.discard(first.answer)
    schedule.add(job("third", True, 3, 100))
    assert taken(schedule) == [["second", "third"]]


def test_a_partial_that_waited_brings_the_audio_that_came_meanwhile(job: Jobs) -> None:
    audio = [Excerpt(saying(2, 100 * FRAME))]
    waiting = replace(job("a", False, 1), newest=lambda: audio[0])
    schedule = filled([waiting])
    audio[0] = Excerpt(saying(3, 120 * FRAME), start_ms=400)
    (renewed,) = schedule.take(0, ROOM)
    assert (renewed.excerpt, renewed.n_frames) == (audio[0], 120)
    assert renewed.answer is waiting.answer
    schedule.add(job("b", False, 1, LIMITS.max_waiting_frames))  # all of its room is given back


@pytest.mark.parametrize(
    ("room", "batch"),
    [
        (LaneRoom(4, 2), ["f1", "f2", "p1", "p2", "ctc"]),
        (LaneRoom(3, 2), ["f1", "f2", "p1", "ctc"]),
        (LaneRoom(4, 1), ["f1", "f2", "p1", "ctc"]),
        (LaneRoom(1, 0), ["f1", "ctc"]),
        (LaneRoom(0, 0), ["ctc"]),
    ],
)
def test_no_more_universal_jobs_than_their_lane_has_room_for(
    job: Jobs, room: LaneRoom, batch: list[str]
) -> None:
    jobs = [job(name, name < "p", place, ctc=False) for place, name in enumerate(("f1", "f2"))]
    jobs += [job(name, False, place, ctc=False) for place, name in enumerate(("p1", "p2"))]
    jobs.append(job("ctc", False, 9, UNIVERSAL_FRAMES))
    schedule = filled(jobs)
    assert [each.span_id for each in schedule.take(0, room)] == batch
    assert len(schedule) == len(jobs) - len(batch)


def test_clear_returns_everything(job: Jobs) -> None:
    jobs = [job("a", True, 1), job("b", False, 2)]
    schedule = filled(jobs)
    assert schedule.clear() == tuple(jobs)
    assert not schedule
    assert schedule.take(0, ROOM) == ()


@given(
    drawn=st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 60), st.booleans()), max_size=30
    ),
    max_rows=st.integers(1, 5),
    max_frames=st.integers(1, 200),
)
@settings(deadline=None, max_examples=60)
def test_nothing_is_lost_and_every_bound_is_kept(
    drawn: list[tuple[bool, int, int, bool]], max_rows: int, max_frames: int
) -> None:
    loop = asyncio.new_event_loop()
    make = Jobs(loop)
    jobs = []
    schedule = Schedule(ScheduleLimits(max_rows, max_frames, 0.5, 100, 10**6))
    for number, (final, deadline, n_frames, cancelled) in enumerate(drawn):
        jobs.append(make(str(number), final, deadline, n_frames))
        schedule.add(jobs[-1])
        if cancelled:
            jobs[-1].answer.cancel()
    left = {job.answer: job for job in jobs if not job.answer.done()}
    while batch := schedule.take(0, ROOM):
        most_urgent = min((not job.final, job.deadline) for job in left.values())
        assert (not batch[0].final, batch[0].deadline) == most_urgent
        frames = [job.n_frames for job in batch]
        assert len(batch) <= max_rows
        assert len(batch) == 1 or max(frames) * len(batch) <= max_frames
        assert sum(frames) >= 0.75 * max(frames) * len(frames)
        for job in batch:
            del left[job.answer]  # fails for one that was taken before or was cancelled
    assert not left
    loop.close()


class Life(RuleBasedStateMachine):
    """Whatever happens in whatever order, each job is in one place, and the bounds are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.make = Jobs(self.loop)
        self.schedule = Schedule(ScheduleLimits(3, 200, 0.5, max_jobs=6, max_waiting_frames=900))
        self.waiting: list[Job] = []
        self.accounted: list[Job] = []
        self.made: list[Job] = []

    def teardown(self) -> None:
        self.settle(self.schedule.clear())
        assert all(job.answer.done() for job in self.made), "an answer was left"
        self.loop.close()

    def settle(self, jobs: tuple[Job, ...]) -> None:
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(None)  # type: ignore[arg-type]

    @rule(final=st.booleans(), when=st.integers(0, 9), n=st.integers(1, 400), ctc=st.booleans())
    def add(self, final: bool, when: int, n: int, ctc: bool) -> None:
        job = self.make(str(len(self.made)), final, when, n, ctc=ctc)
        self.made.append(job)
        frames = sum(each.n_frames for each in self.waiting) + job.n_frames
        if len(self.waiting) == 6 or frames > 900:
            with pytest.raises(Overloaded):
                self.schedule.add(job)
            job.answer.cancel()
        else:
            self.schedule.add(job)
            self.waiting.append(job)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.waiting))
        job.answer.cancel()
        self.schedule.discard(job.answer)
        self.waiting.remove(job)

    @rule(pace=st.sampled_from([0.0, 0.001, 1.0]), room=st.integers(0, 3))
    def take(self, pace: float, room: int) -> None:
        batch = self.schedule.take(pace, LaneRoom(room, room // 2))
        possible = [
            job for job in self.waiting if job.resident or (room if job.final else room > 1)
        ]
        assert bool(batch) == bool(possible)
        answers = [job.answer for job in batch]
        assert len(set(answers)) == len(answers)
        assert set(answers) <= {job.answer for job in self.waiting}
        self.waiting = [job for job in self.waiting if job.answer not in answers]
        self.settle(batch)

    @rule()
    def clear(self) -> None:
        assert list(self.schedule.clear()) == self.waiting
        self.settle(tuple(self.waiting))
        self.waiting = []

    @invariant()
    def all_that_is_expected_waits(self) -> None:
        assert len(self.schedule) == len(self.waiting)


TestLife = Life.TestCase
TestLife.settings = settings(deadline=None, max_examples=40, stateful_step_count=30)
