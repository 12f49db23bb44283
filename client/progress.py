"""Shows on stderr how the services of a stack come up, and what becomes of them later."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from client.supervisor import Change, State, ending


class StackProgress:
    """A context manager around the start; `changed` may be told of changes after it too.

    In a terminal one line with a running clock per service, elsewhere a line per change.
    """

    def __init__(self, output: Console) -> None:
        self._console = output
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            TextColumn("[dim]{task.fields[state]}"),
            TimeElapsedColumn(),
            console=output,
        )
        self._starting = False

    def __enter__(self) -> StackProgress:
        self._starting = True
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._starting = False
        if self._console.is_terminal:
            self._bars.stop()

    def changed(self, change: Change) -> None:
        """Show a change of state."""
        if self._starting and self._console.is_terminal:
            self._redraw(change)
            return
        match change:
            case Change(name, State.STARTING):
                self._say(f"starting {name}")
            case Change(name, State.READY, after_s):
                self._say(f"{name} is ready after {after_s:.1f} s")
            case Change(name, State.EXITED, after_s, log, int(exit_code)):
                what = f"{name} ended with {ending(exit_code)} after {after_s:.1f} s"
                again = "" if self._starting else "; starting it again"
                self._say(f"{what}{again}; its log: {log}")
            case Change(name, State.STOPPING):
                self._say(f"stopping {name}")

    def _redraw(self, change: Change) -> None:
        if change.name not in self._tasks:
            self._tasks[change.name] = self._bars.add_task(change.name, total=1, state="")
        done = 1 if change.state is State.READY else 0
        task = self._tasks[change.name]
        self._bars.update(task, completed=done, state=change.state.value)

    def _say(self, line: str) -> None:
        self._console.print(line, style="dim", soft_wrap=True, markup=False)
