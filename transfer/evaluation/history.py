"""How a run went, epoch by epoch, from the events that TensorBoard shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    SCALARS,
    EventAccumulator,
)

_ALL = 0


@dataclass(frozen=True)
class Epoch:
    """What was measured at the end of one; rates are greedy, on the development split."""

    step: int
    loss: float
    wer: float
    cer: float


def read_history(run: Path) -> tuple[Epoch, ...]:
    """The epochs of a run's folder in their order; none where nothing was logged."""
    if not any(run.glob("events.out.tfevents.*")):
        return ()
    events = EventAccumulator(str(run), size_guidance={SCALARS: _ALL})
    events.Reload()
    tags = ("loss", "development/wer", "development/cer")
    if not set(tags) <= set(events.Tags()["scalars"]):
        return ()
    loss, wer, cer = ({each.step: each.value for each in events.Scalars(tag)} for tag in tags)
    return tuple(
        Epoch(step, loss[step], wer[step], cer[step])
        for step in sorted(loss.keys() & wer.keys() & cer.keys())
    )
