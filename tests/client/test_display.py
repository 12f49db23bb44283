"""Captions in a terminal and in a pipe."""

from __future__ import annotations

import io

from rich.console import Console

from client.display import Captions, LanguageColours
from client.types import Final, LanguageChange, Partial, Segment, Word


def segment(text: str, *languages: str, stable: int = 0) -> Segment:
    """One whose words are in these languages."""
    words = tuple(
        Word(word, 0, 100, None, language)
        for word, language in zip(text.split(), languages, strict=True)
    )
    return Segment(0, 61_250, 63_900, languages[0], text, 0.5, "universal", words, stable)


EVENTS = (
    Partial(segment("guten", "de")),
    Partial(segment("guten tag welt", "de", "de", "de", stable=2)),
    LanguageChange(0, 61_250, None, "en", 0.9),
    Final(segment("good day", "en", "en")),
    Final(Segment(1, 64_000, 65_000, "en", "", 0.1, "universal", ())),
)


def shown(*, terminal: bool) -> str:
    """What the events leave on a console."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=80, highlight=False)
    with Captions(console) as captions:
        for event in EVENTS:
            captions.show(event)
    return output.getvalue()


def test_pipe_gets_finals_only() -> None:
    assert shown(terminal=False) == "01:01.2–01:03.9  en  good day\n"


def test_terminal_gets_partials_and_then_the_coloured_final() -> None:
    drawn = shown(terminal=True)
    assert "\x1b[2mguten tag" in drawn
    assert drawn.index("welt") == drawn.rindex("welt") < drawn.index("good day")
    assert "\x1b[36mgood day" in drawn


def test_words_of_another_language_have_its_colour() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, color_system="standard")
    with Captions(console) as captions:
        captions.show(Final(segment("good Tag", "en", "de")))
    assert "\x1b[36mgood" in output.getvalue()
    assert "\x1b[33mTag" in output.getvalue()


def test_a_language_keeps_its_colour() -> None:
    colours = LanguageColours()
    seen = [colours.of(tag) for tag in ("en", "es", "en", "fr")]
    assert seen[0] == seen[2]
    assert len(set(seen)) == 3
