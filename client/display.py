"""Captions in a terminal: dim while they may change, coloured by language once they are final."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from client.types import Event, Final, LanguageChange, Partial, Segment

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

    In a terminal the last lines are the partial; elsewhere only finals are printed.

    Args:
        output: where to.
        colours: share one among several to keep a language's colour.
    """

    def __init__(self, output: Console, colours: LanguageColours | None = None) -> None:
        self._console = output
        self._colours = colours or LanguageColours()
        self._live = Live(console=output, auto_refresh=False, transient=True)

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
            case Partial(segment) if self._live.is_started:
                self._live.update(self._partial(segment), refresh=True)
            case LanguageChange() if self._live.is_started:
                self._live.update(Text(), refresh=True)
            case Final(segment):
                if self._live.is_started:
                    self._live.update(Text(), refresh=True)
                if segment.text:
                    self._console.print(self._final(segment), soft_wrap=True)

    def _partial(self, segment: Segment) -> Text:
        stable = " ".join(word.text for word in segment.words[: segment.stable_words])
        text = Text.assemble((f"{_clock(segment.start_ms)}          {segment.language:<4}", "dim"))
        if stable and segment.text.startswith(stable):
            text.append(stable, "dim")
            return text.append(segment.text[len(stable) :], "dim italic")
        return text.append(segment.text, "dim italic")

    def _final(self, segment: Segment) -> Text:
        colour = self._colours.of(segment.language)
        times = f"{_clock(segment.start_ms)}–{_clock(segment.end_ms)}  "
        line = Text.assemble((times, "dim"))
        line.append(f"{segment.language:<4}", f"bold {colour}")
        mixed = any(word.language != segment.language for word in segment.words)
        if mixed and " ".join(word.text for word in segment.words) == segment.text:
            coloured = [Text(word.text, self._colours.of(word.language)) for word in segment.words]
            return line.append(Text(" ").join(coloured))
        return line.append(segment.text, colour)


def _clock(time_ms: int) -> str:
    minutes, ms = divmod(time_ms, 60_000)
    return f"{minutes:02}:{ms // 1000:02}.{ms % 1000 // 100}"
