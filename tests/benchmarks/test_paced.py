"""The streams that both sides get, and how what comes back is judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks import paced
from benchmarks.paced import RATE_HZ, Said, Script, Utterance, measure, scripts
from client.demo import read_clips
from client.errors import TranscriptionError

CLIPS = Path(__file__).parent.parent / "audio" / "clips.json"


def script(text: str = "one two") -> Script:
    """A fifth of a second, heard after the spread."""
    utterance = Utterance(text, start_ms=0, speech_end_ms=100, end_ms=200)
    return Script("en", 0.0, bytes(2 * RATE_HZ // 5), (utterance,))


class Answering:
    """Hears the whole stream, then says what it was told to say."""

    def __init__(self, *said: tuple[int, int, str]) -> None:
        self._said = said

    async def recognize(self, script: Script, pieces: AsyncIterator[bytes]) -> list[Said]:
        assert b"".join([piece async for piece in pieces]) == script.pcm
        return [Said(start, end, text, time.monotonic()) for start, end, text in self._said]


class Refusing:
    """Breaks off before the first piece."""

    async def recognize(self, script: Script, pieces: AsyncIterator[bytes]) -> list[Said]:
        raise TranscriptionError("UNAVAILABLE", "there is nobody")


@pytest.fixture(autouse=True)
def everything_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "SPREAD_S", 0.0)


def test_streams_are_the_same_every_time_and_languages_take_turns() -> None:
    clips = read_clips(CLIPS)
    once, again = (scripts(clips, 7, 6.0) for _ in range(2))
    assert once == again
    assert [each.language for each in once] == ["en", "es", "fr", "it", "ru", "en", "es"]
    for each in once:
        assert all(u.start_ms < u.speech_end_ms < u.end_ms for u in each.utterances)
        assert each.utterances[-1].end_ms == len(each.pcm) * 1000 // 2 // RATE_HZ


def test_texts_are_joined_and_the_last_one_counts() -> None:
    level = asyncio.run(measure(Answering((0, 50, "one"), (60, 150, "too")), [script()]))
    assert (level.wrong, level.words, level.errors) == (1, 2, ())
    assert level.row()["unanswered"] == 0


def test_a_stream_that_breaks_off_has_all_its_words_wrong() -> None:
    level = asyncio.run(measure(Refusing(), [script()]))
    assert level.errors
    assert level.wrong == level.words == 2
    assert level.row()["unanswered"] == 1
