"""Captions in a terminal: dim while they may change, coloured by language once they are final."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from client.formats import zero_shot_notices
from client.runs import language_runs, word_starts
from client.types import Event, Final, LanguageChange, Partial, Segment, Started

PALETTE = (
    "cyan",
    "yellow",
    "magenta",
    "green",
    "bright_blue",
    "bright_red",
    "bright_green",
    "white",
)
WIDTH_WHEN_PIPED = 160


def console(*, stderr: bool = False, record: bool = False) -> Console:
    """A console that does not squeeze tables into 80 columns when it is no terminal.

    Args:
        stderr: print there rather than on stdout.
        record: keep what is printed, for `Console.save_svg`.
    """
    made = Console(stderr=stderr, highlight=False, record=record)
    if made.is_terminal:
        return made
    return Console(stderr=stderr, width=WIDTH_WHEN_PIPED, highlight=False, record=record)


class LanguageColours:
    """A colour per language, in the order in which they are first heard."""

    def __init__(self) -> None:
        self._colours: dict[str, str] = {}

    def of(self, language: str) -> str:
        """The language's colour; always the same one."""
        return self._colours.setdefault(language, PALETTE[len(self._colours) % len(PALETTE)])


class Captions:
    """Shows the events of streams, one after another; use as a context manager.

    In a terminal the last lines are the partial; elsewhere only finals are printed. Where the
    language changes within a segment, the new one stands in brackets.

    Args:
        output: where to.
        colours: share one among several to keep a language's colour.
    """

    def __init__(self, output: Console, colours: LanguageColours | None = None) -> None:
        self._console = output
        self._colours = colours or LanguageColours()
        self._live = Live(console=output, auto_refresh=False, transient=True)
        self._shown: Segment | None = None  # the partial

    def __enter__(self) -> Captions:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Draw what happened."""
        match event:
            case Started(zero_shot=languages):
                for notice in zero_shot_notices(languages):
                    self._console.print(Text(notice, "yellow"), soft_wrap=True)
            case Partial(segment):
                self._draw(segment)
            case LanguageChange(start_ms=start_ms):
                self._draw(self._shown and _before(self._shown, start_ms))
            case Final(segment):
                self._draw(None)
                if segment.text:
                    self._console.print(self._final(segment), soft_wrap=True)

    def _draw(self, partial: Segment | None) -> None:
        self._shown = partial
        if self._live.is_started:
            self._live.update(self._partial(partial) if partial else Text(), refresh=True)

    def _partial(self, segment: Segment) -> Text:
        words = Text(segment.text, "dim italic")
        starts = word_starts(segment)
        if 0 < segment.stable_words <= len(starts):
            last = segment.stable_words - 1
            words.stylize("not italic", 0, starts[last] + len(segment.words[last].text))
        line = Text.assemble((f"{_clock(segment.start_ms)}          ", "dim"))
        return _tagged(line, segment, words, lambda language: "dim")

    def _final(self, segment: Segment) -> Text:
        words = Text(segment.text)
        for run in language_runs(segment):
            words.stylize(self._colours.of(run.language), run.start, run.end)
        times = f"{_clock(segment.start_ms)}–{_clock(segment.end_ms)}  "
        line = Text.assemble((times, "dim"))
        return _tagged(line, segment, words, lambda tag: f"bold {self._colours.of(tag)}")


def _tagged(line: Text, segment: Segment, words: Text, style: Callable[[str], str]) -> Text:
    """`words` of a segment after `line`, with each language before what is in it."""
    for run in language_runs(segment):
        if run.start == 0:
            tag = f"{run.language:<3} "
        else:
            tag = f"[{run.language}] " if line.plain.endswith(" ") else f" [{run.language}] "
        line.append(tag, style(run.language)).append_text(words[run.start : run.end])
    return line


def _before(segment: Segment, start_ms: int) -> Segment | None:
    """What holds of a partial when another language begins; None if nothing does."""
    starts = word_starts(segment)
    words = tuple(word for word in segment.words if word.end_ms <= start_ms)
    if not words or not starts:
        return None
    text = segment.text
    if len(words) < len(starts):
        text = text[: starts[len(words)]].rstrip()
    stable = min(segment.stable_words, len(words))
    return replace(segment, text=text, words=words, stable_words=stable)


def _clock(time_ms: int) -> str:
    minutes, ms = divmod(time_ms, 60_000)
    return f"{minutes:02}:{ms // 1000:02}.{ms % 1000 // 100}"
