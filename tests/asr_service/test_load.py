"""Partials keep to their share; and spans, when finals wait too long, to what is allowed."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise

import pytest

from asr_service.load import Admission, Pace, PartialShare
from common.errors import Overloaded

LATE = 0.3  # of a deadline of 0.5, half is for waiting


class Worker:
    """An admission whose clock the test turns."""

    def __init__(self, limit: int = 64) -> None:
        self.now = 100.0
        self.admission = Admission(limit, 0.5, lambda: self.now)
        self.admission.idle = False
        self.spans = ExitStack()

    def admit(self, n_spans: int) -> None:
        for _ in range(n_spans):
            self.spans.enter_context(self.admission.admitted())

    def finals(self, *waits: float, every_s: float = 0.1) -> None:
        for wait in waits:
            self.now += every_s
            self.admission.waited(wait)


def test_work_on_partials_is_followed_by_a_pause() -> None:
    now = 10.0
    share = PartialShare(0.25, lambda: now)
    assert share.wait_s == 0
    now += 0.1
    share.spent(0.1)
    assert share.wait_s == pytest.approx(0.3)
    now += 0.01  # a step of a decoding under way, which nothing holds up
    share.spent(0.01)
    assert share.wait_s == pytest.approx(0.33)
    now += 60
    assert share.wait_s == 0
    share.spent(0.1)  # long idleness is not saved up
    assert share.wait_s == pytest.approx(0.3)


def test_a_share_of_all_has_no_pause() -> None:
    now = 10.0
    share = PartialShare(1.0, lambda: now)
    now += 0.5
    share.spent(0.5)
    assert share.wait_s == 0


def test_as_many_as_the_limit() -> None:
    worker = Worker(limit=2)
    worker.admit(2)
    with pytest.raises(Overloaded, match="has 2 spans already"):
        worker.admit(1)
    assert worker.admission.active == 2
    worker.spans.close()
    assert worker.admission.active == 0
    worker.admit(2)


def test_draining() -> None:
    worker = Worker()
    worker.admission.draining = True
    with pytest.raises(Overloaded, match="draining"):
        worker.admit(1)


@pytest.mark.parametrize(
    ("waits", "allowed"),
    [
        ([], 64),
        ([LATE] * 7, 64),  # too few to judge by
        ([LATE] * 8, 16),  # four fifths of the 20 there are
        ([0.25] * 30, 64),
        ([0.0] * 19 + [LATE], 64),  # one in twenty
        ([0.0] * 17 + [LATE] * 3, 16),  # more than one in ten
    ],
)
def test_finals_that_wait_too_long_close_the_door(waits: list[float], allowed: int) -> None:
    worker = Worker()
    worker.admit(20)
    worker.finals(*waits)
    assert worker.admission.allowed == allowed
    if allowed < 64:
        with pytest.raises(Overloaded, match="finals are late with 20 spans"):
            worker.admit(1)


def test_what_was_long_ago_is_forgotten() -> None:
    worker = Worker()
    worker.admit(20)
    worker.finals(*[LATE] * 7)
    worker.now += 3.0
    worker.finals(*[LATE] * 7)
    assert worker.admission.allowed == 64


def test_one_cut_at_a_time() -> None:
    worker = Worker()
    worker.admit(20)
    worker.finals(*[LATE] * 30)  # those after the eighth waited behind what was there before it
    assert worker.admission.allowed == 16
    worker.finals(*[LATE] * 20)
    assert worker.admission.allowed == 12


def test_it_comes_back_slowly_and_by_itself() -> None:
    worker = Worker()
    worker.admit(20)
    worker.finals(*[LATE] * 8)
    seen = []
    for _ in range(60):
        worker.now += 1.0
        seen.append(worker.admission.allowed)
    assert seen[:3] == [16, 16, 16]
    assert seen == sorted(seen)
    assert max(after - before for before, after in pairwise(seen)) <= 4
    assert seen[-1] == 64
    worker.now += 1e9
    assert worker.admission.allowed == 64


def test_an_idle_worker_never_refuses() -> None:
    worker = Worker()
    worker.admit(20)
    worker.finals(*[9.0] * 30)
    with pytest.raises(Overloaded):
        worker.admit(1)
    worker.admission.idle = True
    worker.admit(44)
    with pytest.raises(Overloaded, match="has 64 spans already"):
        worker.admit(1)


def test_one_span_is_always_served() -> None:
    worker = Worker()
    for _ in range(30):
        worker.finals(*[9.0] * 40)
    assert worker.admission.allowed == 1
    worker.admit(1)


def test_the_pace_follows_the_batches() -> None:
    pace = Pace()
    assert pace.seconds_per_frame == 0
    pace.observe(100, 0.1)
    assert pace.seconds_per_frame == pytest.approx(0.001)
    pace.observe(100, 0.2)
    assert pace.seconds_per_frame == pytest.approx(0.0012)
    for _ in range(50):
        pace.observe(1000, 0.5)
    assert pace.seconds_per_frame == pytest.approx(0.0005, rel=0.01)
