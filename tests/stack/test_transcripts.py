"""Real speech of five languages comes back as its words, and events keep to the protocol."""

from __future__ import annotations

import asyncio

import pytest

from tests.stack.clips import LANGUAGES, SILENCE, clip, word_error_rate
from tests.stack.running import RunningStack
from tests.stack.talking import (
    END,
    Outcome,
    check_protocol,
    configuration,
    pieces,
    spoken,
    talk,
)

MIXED = configuration(candidates=LANGUAGES)
CLIPS = ("en-1", "es-1", "fr-1", "it-1", "ru-2")


async def test_each_language_is_recognised_without_being_told(stack: RunningStack) -> None:
    async def heard(name: str) -> Outcome:
        return await talk(stack.address, [MIXED, *pieces(clip(name).pcm), END])

    outcomes = await asyncio.gather(*map(heard, CLIPS))
    rates = {}
    for name, outcome in zip(CLIPS, outcomes, strict=True):
        assert outcome.code.name == "OK", outcome.details
        check_protocol(outcome.events)
        assert {final.language for final in outcome.finals} == {clip(name).language}, name
        rates[name] = word_error_rate(clip(name).text, outcome.text)
    assert max(rates.values()) <= 0.5, rates
    assert sum(rates.values()) / len(rates) <= 0.35, rates


async def test_languages_are_followed_within_a_stream(stack: RunningStack) -> None:
    said = clip("switch-en-it-fr")
    outcome = await talk(stack.address, spoken(MIXED, said.pcm + SILENCE, speed=2))
    assert outcome.code.name == "OK", outcome.details
    check_protocol(outcome.events)
    assert [final.language for final in outcome.finals] == ["en", "it", "fr"]
    assert word_error_rate(said.text, outcome.text) <= 0.35, outcome.text
    first = outcome.kinds.index("final")
    assert "partial" in outcome.kinds[:first], "words while the first segment is spoken"
    changes = [
        event.language_change for event in outcome.events if event.HasField("language_change")
    ]
    assert [(change.previous_language, change.language) for change in changes] == [
        ("en", "it"),
        ("it", "fr"),
    ]


async def test_words_come_while_they_are_spoken(stack: RunningStack) -> None:
    outcome = await talk(
        stack.address, spoken(configuration(fixed="en"), clip("en-2").pcm + SILENCE)
    )
    check_protocol(outcome.events)
    assert outcome.kinds.count("partial") >= 2
    assert not any(final.HasField("language_probability") for final in outcome.finals)


async def test_partials_are_left_out_if_not_wanted(stack: RunningStack) -> None:
    asked = configuration(fixed="en", partials=False)
    outcome = await talk(stack.address, spoken(asked, clip("en-1").pcm + SILENCE, speed=4))
    assert set(outcome.kinds) == {"started", "final", "ended"}


@pytest.mark.parametrize("tag", ["en-GB", "eng"])
async def test_a_tag_may_say_more_than_the_language(stack: RunningStack, tag: str) -> None:
    outcome = await talk(stack.address, [configuration(fixed=tag), *pieces(clip("en-1").pcm), END])
    assert [final.language for final in outcome.finals] == ["en"]


async def test_long_speech_is_cut(stack: RunningStack) -> None:
    said = clip("es-1").pcm[:-3200] + clip("es-2").pcm
    asked = configuration(fixed="es", max_segment_ms=3000, end_silence_ms=2000)
    outcome = await talk(stack.address, [asked, *pieces(said), END])
    check_protocol(outcome.events)
    assert len(outcome.finals) >= 3
    assert all(final.end_ms - final.start_ms <= 3000 for final in outcome.finals)
