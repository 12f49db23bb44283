"""Captions in a terminal and in a pipe."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from client.display import Captions, LanguageColours
from client.types import (
    Event,
    Final,
    Language,
    LanguageChange,
    Partial,
    Segment,
    Started,
    Word,
    ZeroShot,
)


def segment(text: str, *languages: str, stable: int = 0) -> Segment:
    """One whose words are in these languages and follow one another each half a second."""
    words = tuple(
        Word(word, 61_250 + 500 * place, 61_650 + 500 * place, None, language)
        for place, (word, language) in enumerate(zip(text.split(), languages, strict=True))
    )
    return Segment(0, 61_250, 63_900, languages[0], text, 0.5, "universal", words, stable)


EVENTS = (
    Partial(segment("guten", "de")),
    Partial(segment("guten tag welt", "de", "de", "de", stable=2)),
    LanguageChange(0, 61_250, None, "en", 0.9),
    Final(segment("good day", "en", "en")),
    Final(Segment(1, 64_000, 65_000, "en", "", 0.1, "universal", ())),
)


def shown(*events: Event, terminal: bool, gone: bool = True) -> str:
    """What the events leave on a console, with the captions gone or still there."""
    output = io.StringIO()
    console = Console(
        file=output,
        force_terminal=terminal,
        width=80,
        highlight=False,
        color_system="standard" if terminal else None,
    )
    with Captions(console) as captions:
        for event in events:
            captions.show(event)
        there = output.getvalue()
    return output.getvalue() if gone else there


def last_drawn(*events: Event) -> str:
    """The last line on a terminal after the events, without colours."""
    drawn = shown(*events, terminal=True, gone=False)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).rsplit("\r", 1)[-1]


def test_pipe_gets_finals_only() -> None:
    assert shown(*EVENTS, terminal=False) == "01:01.2–01:03.9  en  good day\n"


def test_terminal_gets_partials_and_then_the_coloured_final() -> None:
    drawn = shown(*EVENTS, terminal=True)
    assert "\x1b[2mguten tag" in drawn
    assert drawn.index("welt") == drawn.rindex("welt") < drawn.index("good day")
    assert "\x1b[36mgood day" in drawn


@pytest.mark.parametrize("terminal", [True, False])
def test_a_language_by_its_relative_is_announced(terminal: bool) -> None:
    french = ZeroShot("fr", "French", 0.7)
    started = Started("s1", (Language("wa", "Walloon", "fr@1", None, french),))
    line = "Walloon is served zero-shot by French (fr@1), its nearest relative: expect many errors"
    assert line in shown(started, *EVENTS, terminal=terminal)
    assert "zero-shot" not in shown(Started("s1"), *EVENTS, terminal=terminal)


def test_words_of_another_language_have_its_colour() -> None:
    drawn = shown(Final(segment("good Tag", "en", "de")), terminal=True)
    assert "\x1b[36mgood" in drawn
    assert "\x1b[1;33m[de] \x1b[0m\x1b[33mTag" in drawn


def test_the_language_stands_where_it_changes() -> None:
    mixed = segment("good morgen alle day", "en", "de", "de", "en")
    line = "en  good [de] morgen alle [en] day"
    assert shown(Final(mixed), terminal=False) == f"01:01.2–01:03.9  {line}\n"
    assert last_drawn(Partial(mixed)) == f"01:01.2          {line}"
    together = Word("日本", 61_250, 61_400, None, "ja"), Word("ok", 61_400, 61_800, None, "en")
    joined = Segment(0, 61_250, 63_900, "ja", "日本ok", 0.5, "universal", together)
    assert shown(Final(joined), terminal=False) == "01:01.2–01:03.9  ja  日本 [en] ok\n"


@pytest.mark.parametrize(
    ("start_ms", "left"),
    [
        (61_250, ""),
        (61_650, "01:01.2          de  guten"),
        (62_149, "01:01.2          de  guten"),
        (62_150, "01:01.2          de  guten tag"),
        (64_000, "01:01.2          de  guten tag velt"),
    ],
)
def test_what_was_shown_before_a_change_stays(start_ms: int, left: str) -> None:
    partial = segment("guten tag velt", "de", "de", "de", stable=3)
    assert last_drawn(Partial(partial), LanguageChange(0, start_ms, "de", "en", 0.9)) == left


def test_stable_words_are_upright_up_to_a_change() -> None:
    partial = segment("guten tag my friend", "de", "de", "en", "en", stable=3)
    drawn = shown(Partial(partial), terminal=True)
    assert "\x1b[2mguten tag \x1b[0m\x1b[2m[en] \x1b[0m\x1b[2mmy\x1b[0m\x1b[2;3m friend" in drawn


def test_a_language_keeps_its_colour() -> None:
    colours = LanguageColours()
    seen = [colours.of(tag) for tag in ("en", "es", "en", "fr")]
    assert seen[0] == seen[2]
    assert len(set(seen)) == 3
