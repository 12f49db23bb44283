"""Progress of a command's stages, one bar after the other, on stderr; nothing where it is piped."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import Progress

Bars = Callable[[str, int], Callable[[], None]]
"""Starts a bar of so many steps under a name; what it returns is called after each step."""


def no_bars(_: str, __: int) -> Callable[[], None]:
    """Shows nothing."""
    return lambda: None


class TerminalBars:
    """`Bars` on a terminal; a context manager, so that a bar never outlives an error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: Progress | None = None

    def __enter__(self) -> TerminalBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def __call__(self, name: str, total: int) -> Callable[[], None]:
        """Show the next bar; the one before goes. At its last step it goes too."""
        self._stop()
        progress = Progress(
            console=self._console, transient=True, disable=not self._console.is_terminal
        )
        task = progress.add_task(name, total=total)
        progress.start()
        self._shown = progress

        def advance() -> None:
            progress.advance(task)
            if progress.finished and self._shown is progress:
                self._stop()

        return advance

    def _stop(self) -> None:
        if self._shown is not None:
            self._shown.stop()
        self._shown = None
