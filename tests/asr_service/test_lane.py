"""The universal path's lane: bounded, finals first in place."""

from __future__ import annotations

import asyncio

import pytest

from asr_service.jobs import Excerpt, Job
from asr_service.lane import UniversalLane, Utterance
from asr_service.schedule import LaneRoom
from tests.asr_service.fakes import FakeDecoding, saying


def utterance(n_steps: int, *, final: bool = True) -> Utterance:
    answer = asyncio.get_running_loop().create_future()
    excerpt = Excerpt(saying(2))
    job = Job("u", lambda: excerpt, excerpt, "it", None, final, 0.0, 0.5, (), answer)
    return Utterance(job, FakeDecoding(n_steps), 0.0)


@pytest.mark.parametrize(
    ("size", "finals", "partials", "room"),
    [
        (4, 0, 0, LaneRoom(4, 2)),
        (4, 1, 1, LaneRoom(2, 1)),
        (4, 2, 2, LaneRoom(0, 0)),
        (4, 4, 0, LaneRoom(0, 2)),
        (1, 0, 0, LaneRoom(1, 1)),
        (3, 0, 1, LaneRoom(2, 1)),
    ],
)
async def test_room(size: int, finals: int, partials: int, room: LaneRoom) -> None:
    lane = UniversalLane(size)
    for place in range(finals + partials):
        lane.add(utterance(3, final=place < finals))
    assert lane.room == room
    assert len(lane) == finals + partials
    assert lane.has_final == (finals > 0)


async def test_finals_come_first_and_the_finished_are_stepped_no_more() -> None:
    lane = UniversalLane(4)
    partial, final, going = utterance(1, final=False), utterance(1), utterance(2)
    for entry in (partial, final, going):
        lane.add(entry)
    assert done(lane) is None
    assert list(lane.active) == [final, going]
    advance(*lane.active)
    assert list(lane.active) == [going]
    assert done(lane) is final
    final.job.answer.cancel()
    lane.drop_answered()
    assert done(lane) is None
    advance(*lane.active)
    assert done(lane) is going
    going.job.answer.cancel()
    lane.drop_answered()
    assert list(lane.active) == [partial]
    advance(partial)
    assert done(lane) is partial
    assert lane.clear() == (partial.job,)
    assert not lane


def done(lane: UniversalLane) -> Utterance | None:
    return lane.finished


def advance(*entries: Utterance) -> None:
    for entry in entries:
        assert isinstance(entry.decoding, FakeDecoding)
        entry.decoding.advance()
