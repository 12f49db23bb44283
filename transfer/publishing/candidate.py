"""What evaluating leaves in the run's folder: an adapter that is ready to be published.

`<run>/candidate/{adapter.safetensors,lexicon.bin,card.json}`, as a folder of the store; its version
is 0 until `panglot publish` gives it one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save

from common.adapter_files import CARD_FILE
from common.errors import AdapterRefused, InvalidRequest
from speech.adapters.card import (
    LEXICON_FILE,
    WEIGHTS_FILE,
    AdapterCard,
    Calibration,
    Evaluation,
    LexiconSettings,
    Training,
    check_sum,
    read_card,
    write_card,
)
from speech.adapters.kinds import to_file
from speech.adapters.module import Adapter
from speech.adapters.store import open_weights
from speech.base_model import BaseModel
from speech.ctc.lexicon import LexiconDecoder
from transfer.data.corpora import Licence, licences
from transfer.data.manifest import Clip
from transfer.training.run import RunRecord

FOLDER = "candidate"
UNPUBLISHED = 0


@dataclass(frozen=True)
class Candidate:
    """An adapter that has been evaluated.

    Attributes:
        card: of version 0.
        weights: content of `adapter.safetensors`.
        lexicon: content of `lexicon.bin`; None where the adapter has none.
    """

    card: AdapterCard
    weights: bytes = field(repr=False)
    lexicon: bytes | None = field(repr=False)

    def write(self, run: Path) -> None:
        """Replace what is in `run`. The card goes first and comes last: half of one is none."""
        folder = run / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD_FILE).unlink(missing_ok=True)
        (folder / LEXICON_FILE).unlink(missing_ok=True)
        (folder / WEIGHTS_FILE).write_bytes(self.weights)
        if self.lexicon is not None:
            (folder / LEXICON_FILE).write_bytes(self.lexicon)
        write_card(self.card, folder)

    @classmethod
    def read(cls, run: Path) -> Candidate:
        """Read and verify all of it.

        Raises:
            InvalidRequest: there is none; it says which command makes one.
            AdapterRefused: the files are not what the card says, or hold NaN.
        """
        folder = run / FOLDER
        if not (folder / CARD_FILE).is_file():
            raise InvalidRequest(f"{run} holds no candidate: run `panglot evaluate {run.name}`")
        card = read_card(folder)
        weights = _content(card, folder / WEIGHTS_FILE, card.sha256)
        open_weights(card, weights)
        lexicon = None
        if card.lexicon is not None:
            lexicon = _content(card, folder / LEXICON_FILE, card.lexicon.sha256)
            LexiconDecoder.from_bytes(lexicon, card.vocabulary, card.lexicon)
        return cls(card, weights, lexicon)


def make_candidate(
    base: BaseModel,
    record: RunRecord,
    adapter: Adapter,
    lexicon: bytes | None,
    tuned: LexiconSettings | None,
    evaluation: Evaluation,
    training_clips: Sequence[Clip],
    calibration: Calibration | None = None,
    lexicon_sources: Sequence[Licence] = (),
) -> Candidate:
    """Put together what a run and its evaluation found out.

    `adapter` is `rounded_to_half`, as it was evaluated. The path with the lower held-out word error
    rate is the one that is to serve.
    """
    state = {name: value.half().contiguous() for name, value in adapter.state_dict().items()}
    weights = save(to_file(adapter.shape.kind, state))
    adapter_wins = (
        evaluation.universal is None
        or evaluation.adapter.wer.value <= evaluation.universal.wer.value
    )
    card = AdapterCard(
        id=record.language,
        version=UNPUBLISHED,
        language=record.language,
        kind=adapter.shape.kind.name,
        rank=adapter.shape.rank,
        layers=adapter.shape.layers,
        vocabulary=record.vocabulary,
        base_model=base.name,
        base_fingerprint=base.fingerprint,
        sha256=hashlib.sha256(weights).hexdigest(),
        training=_training(record, training_clips, lexicon_sources),
        evaluation=evaluation,
        lexicon=tuned,
        served_by="adapter" if adapter_wins else "universal",
        calibration=calibration,
    )
    return Candidate(card, weights, lexicon)


def _content(card: AdapterCard, path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AdapterRefused(
            f"candidate {card.id} has no {path.name}: evaluate it again"
        ) from error
    check_sum(card, path.name, content, sha256)
    return content


def _training(
    record: RunRecord, clips: Sequence[Clip], lexicon_sources: Sequence[Licence]
) -> Training:
    present = {clip.source for clip in clips}
    corpora = [corpus for corpus in licences(record.language) if corpus.source in present]
    known = {corpus.source for corpus in corpora}
    used = [*corpora, *lexicon_sources]
    return Training(
        sources=(*(corpus.title for corpus in used), *sorted(present - known)),
        licences=(*(corpus.licence for corpus in used), *("unknown" for _ in present - known)),
        hours=round(sum(clip.duration_s for clip in clips) / 3600, 3),
        strategy=record.strategy(),
        steps=record.steps,
        seed=record.settings.seed,
    )
