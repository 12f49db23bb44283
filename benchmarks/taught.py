"""One training run of a benchmark: taught, or taken from its folder, and judged greedily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech.base_model import BaseModel
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip
from transfer.evaluation.history import Epoch, read_history
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.scoring import Judged, judged
from transfer.training.plan import make_plan
from transfer.training.run import RunRecord
from transfer.training.source import Fusion, Head
from transfer.training.train import train


@dataclass(frozen=True)
class Teaching:
    """How.

    Attributes:
        name: of the run's folder.
        given: settings of the trainer; the rest is what the strategy chooses.
        source, fusion, head: as `panglot train` takes them.
    """

    name: str
    given: Mapping[str, Any]
    source: str | None = None
    fusion: Fusion | None = None
    head: Head = "letters"


@dataclass(frozen=True)
class Taught:
    """What came of it.

    Attributes:
        record: of the run.
        epochs: greedy error rates on the development clips.
        heard: the held-out clips, greedily: letters alone, without a lexicon.
    """

    record: RunRecord
    epochs: tuple[Epoch, ...]
    heard: tuple[Judged, ...]

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights were kept: that with the fewest letters wrong."""
        return min(self.epochs, key=lambda epoch: epoch.cer)

    def steps_to(self, wer: float) -> int | None:
        """Steps after which no more than `wer` of the development words are wrong."""
        return next((epoch.step for epoch in self.epochs if epoch.wer <= wer), None)


def teach(
    base: BaseModel,
    language: str,
    clips: Sequence[Clip],
    teaching: Teaching,
    runs: Path,
    models: Path,
) -> Taught:
    """Teach a language so, in `runs/<name>`; a run that is finished there is taken as it is."""
    plan = make_plan(
        language,
        list(clips),
        base,
        None,
        teaching.source,
        models,
        dict(teaching.given),
        teaching.fusion,
        teaching.head,
    )
    run = runs / teaching.name
    record = train(
        base, clips, language, plan.strategy.settings, run, plan.source, level=plan.strategy.level
    )
    return Taught(record, read_history(run), hear(base, record, run, clips))


def hear(
    base: BaseModel, record: RunRecord, run: Path, clips: Sequence[Clip]
) -> tuple[Judged, ...]:
    """What a run's weights make of the held-out clips, greedily."""
    adapter = record.adapter(run, base.encoder.d_model)
    recogniser = Recogniser(base, adapter, record.vocabulary, None)
    return tuple(
        judged(
            clip.text,
            recogniser.partial_text(recogniser.log_probs(read_audio(clip.audio))),
            clip.language,
        )
        for clip in clips
        if clip.split == "held_out"
    )


def epochs_for(clips: Sequence[Clip], steps: int, batch_s: float) -> int:
    """Passes over the training clips that make about `steps` steps."""
    seconds = sum(clip.duration_s for clip in clips if clip.split == "train")
    return max(1, round(steps * batch_s / seconds))
