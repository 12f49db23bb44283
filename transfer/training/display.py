"""What a person sees of a run, and what TensorBoard shows of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from transfer.training.checkpoint import Standing
from transfer.training.scalars import ScalarLog


class Display:
    """A bar on stderr, a line per epoch on stdout, scalars in the run's folder."""

    def __init__(self, language: str, progress: Progress, log: ScalarLog | None) -> None:
        """Use `show`; a process that writes nothing has no `log`, and is silent."""
        self._language = language
        self._progress = progress
        self._log = log
        self._bar: TaskID
        self._best = "–"

    def say(self, line: str) -> None:
        """A line that stays, and can be piped."""
        if self._log is not None:
            print(line, flush=True)

    def listening(self, n_clip: int) -> Callable[[], None]:
        """A bar for clips that are read; call what is returned for each."""
        bar = self._progress.add_task(f"{self._language} listening", total=n_clip, found="")
        return lambda: self._progress.advance(bar)

    def training(self, total_steps: int, state: Standing) -> None:
        """A bar for optimiser steps, from where the run stands."""
        self._bar = self._progress.add_task(
            f"{self._language} training", total=total_steps, completed=state.step, found=""
        )
        if state.best_epoch:
            self._best = f"{state.best_wer:.3f}"

    def step(self, state: Standing, rate: float) -> None:
        """After an optimiser step at learning rate `rate`."""
        loss = state.loss / max(1.0, state.symbols)
        found = f"epoch {state.epoch + 1} loss {loss:.3f} kept WER {self._best}"
        self._progress.update(self._bar, completed=state.step, found=found)
        self._scalars(state, {"training/loss": loss, "training/learning_rate": rate})

    def epoch(self, state: Standing, loss: float, wer: float, cer: float) -> None:
        """After an epoch that was judged, and counted in `state`."""
        self._best = f"{state.best_wer:.3f}"
        skipped = f", {state.skipped} batches skipped" if state.skipped else ""
        self.say(
            f"{self._language} epoch {state.epoch:3} loss {loss:.3f} "
            f"development WER {wer:.3f} CER {cer:.3f}  {state.wall_s:.0f} s{skipped}"
        )
        self._scalars(state, {"loss": loss, "development/wer": wer, "development/cer": cer})
        if self._log is not None:
            self._log.flush()

    def _scalars(self, state: Standing, values: dict[str, float]) -> None:
        if self._log is not None:
            self._log.add(state.step, values)


@contextmanager
def show(run: Path, language: str, step: int, silent: bool) -> Iterator[Display]:
    """Show the run in folder `run` from optimiser step `step` on; of several processes only one."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[found]}"),
    )
    # Lines go to a terminal above the bar, or straight to where stdout leads.
    above = sys.stdout.isatty()
    console = Console(stderr=True, quiet=silent)
    with Progress(*columns, console=console, redirect_stdout=above) as progress:
        if silent:
            yield Display(language, progress, None)
            return
        # What a killed session logged after its last checkpoint comes once more.
        with ScalarLog(run, after_step=step) as log:
            yield Display(language, progress, log)
