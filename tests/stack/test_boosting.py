"""Words that are not expected are heard when the caller names them."""

from __future__ import annotations

import asyncio

import pytest

from tests.stack.clips import clip, word_error_rate
from tests.stack.running import RunningStack
from tests.stack.talking import END, check_protocol, configuration, pieces, talk


async def heard(stack: RunningStack, name: str, language: str, *phrases: str) -> str:
    """What comes back for a clip when `phrases` are boosted."""
    said = clip(name)
    asked = configuration(fixed=language, boosted=phrases)
    outcome = await talk(stack.address, [asked, *pieces(said.pcm), END])
    assert outcome.code.name == "OK", outcome.details
    check_protocol(outcome.events)
    return outcome.text


@pytest.mark.parametrize(
    ("name", "language", "phrase", "word"),
    [
        ("ru-3", "ru", "Вперед назад", "вперед"),
        ("es-3", "gl", "único participante", "único"),  # by the universal decoder
    ],
)
async def test_a_word_that_is_misheard_is_heard_when_it_is_boosted(
    stack: RunningStack, name: str, language: str, phrase: str, word: str
) -> None:
    plain, boosted = await asyncio.gather(
        heard(stack, name, language), heard(stack, name, language, phrase)
    )
    assert word in clip(name).text.split()
    assert word not in plain.lower().split()
    assert word in boosted.lower().split()
    assert word_error_rate(clip(name).text, boosted) < word_error_rate(clip(name).text, plain)


async def test_phrases_that_nobody_says_change_nothing(stack: RunningStack) -> None:
    names = ("Ahmed Hassan", "sertralina", "Иннокентий", "Teruel")
    plain, boosted = await asyncio.gather(
        heard(stack, "es-1", "es"), heard(stack, "es-1", "es", *names)
    )
    assert boosted == plain
