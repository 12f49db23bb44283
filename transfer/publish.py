"""The last step of teaching a language: weights, lexicon and card into a directory of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from speech.adapters.card import (
    LEXICON_FILE,
    WEIGHTS_FILE,
    AdapterCard,
    Calibration,
    Evaluation,
    LexiconSettings,
    Training,
    write_card,
)
from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from transfer.corpora import licences
from transfer.manifest import Clip
from transfer.run import RunRecord


def publish(
    models: Path,
    base: BaseModel,
    record: RunRecord,
    adapter: Adapter,
    lexicon: bytes,
    tuned: LexiconSettings,
    evaluation: Evaluation,
    training_clips: Sequence[Clip],
    calibration: Calibration | None = None,
    version: int = 1,
) -> AdapterCard:
    """Write `<models>/<language>/{adapter.safetensors,lexicon.bin,card.json}`, the card last.

    A worker that reads while this writes refuses the half-written version by its checksums.
    """
    folder = models / record.language
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in adapter.state_dict().items()}
    weights = save(state)
    adapter_wins = evaluation.adapter.wer.value <= evaluation.universal.wer.value
    card = AdapterCard(
        id=record.language,
        version=version,
        language=record.language,
        kind="bottleneck",
        rank=record.settings.rank,
        layers=record.settings.layers,
        vocabulary=record.vocabulary,
        base_model=base.name,
        base_fingerprint=base.fingerprint,
        sha256=hashlib.sha256(weights).hexdigest(),
        training=_training(record, training_clips),
        evaluation=evaluation,
        lexicon=tuned,
        served_by="adapter" if adapter_wins else "universal",
        calibration=calibration,
    )
    (folder / WEIGHTS_FILE).write_bytes(weights)
    (folder / LEXICON_FILE).write_bytes(lexicon)
    write_card(card, folder)
    return card


def _training(record: RunRecord, clips: Sequence[Clip]) -> Training:
    present = {clip.source for clip in clips}
    used = [corpus for corpus in licences(record.language) if corpus.source in present]
    known = {corpus.source for corpus in used}
    return Training(
        sources=(*(corpus.title for corpus in used), *sorted(present - known)),
        licences=(*(corpus.licence for corpus in used), *("unknown" for _ in present - known)),
        hours=round(sum(clip.duration_s for clip in clips) / 3600, 3),
        strategy=record.strategy(),
        steps=record.steps,
        seed=record.settings.seed,
    )
