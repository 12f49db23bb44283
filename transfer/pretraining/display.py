"""What a person sees of a run of pre-training, and what TensorBoard shows of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
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

from transfer.training.scalars import ScalarLog


class Display:
    """A bar on stderr, a line per judgement on stdout, scalars in the run's folder."""

    def __init__(self, progress: Progress, bar: TaskID, log: ScalarLog | None) -> None:
        """Use `show`; a process that writes nothing has no `log`, and is silent."""
        self._progress = progress
        self._bar = bar
        self._log = log

    def say(self, line: str) -> None:
        """A line that stays, and can be piped."""
        if self._log is not None:
            print(line, flush=True)

    def step(self, step: int, means: Mapping[str, float], rate: float, temperature: float) -> None:
        """After an optimiser step: see `learner.Sums.means`."""
        self._progress.update(self._bar, completed=step, found=wording(means))
        scalars = {f"training/{name}": value for name, value in means.items()}
        self._add(step, scalars | {"training/rate": rate, "training/temperature": temperature})

    def judged(self, step: int, means: Mapping[str, float]) -> None:
        """After the pieces that nothing is learned from were heard."""
        self.say(f"step {step:6} judged: {wording(means)}")
        self._add(step, {f"judged/{name}": value for name, value in means.items()})
        if self._log is not None:
            self._log.flush()

    def _add(self, step: int, values: dict[str, float]) -> None:
        if self._log is not None:
            self._log.add(step, values)


def wording(means: Mapping[str, float]) -> str:
    """`contrastive 4.321 diversity 0.72 accuracy 12.3% perplexity 178`."""
    return (
        f"contrastive {means['contrastive']:.3f} diversity {means['diversity']:.2f} "
        f"accuracy {means['accuracy']:.1%} perplexity {means['perplexity']:.0f}"
    )


@contextmanager
def show(run: Path, step: int, total_steps: int, silent: bool) -> Iterator[Display]:
    """Show the run in folder `run` from a step on; of several processes only one."""
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
        bar = progress.add_task("pre-training", total=total_steps, completed=step, found="")
        if silent:
            yield Display(progress, bar, None)
            return
        # What a killed session logged after its last checkpoint comes once more.
        with ScalarLog(run, after_step=step) as log:
            yield Display(progress, bar, log)
