"""How far a path's confidence can be believed: which of the words it heard were said."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from common.adapter_files import AdapterFiles
from speech.adapters.card import AdapterCard, Calibration, read_card
from speech.adapters.module import Adapter
from speech.adapters.store import AdapterStore
from speech.base_model import BaseModel, load_base_model
from speech.calibration import UNIVERSAL_FILE, Floats, Right
from speech.ctc.paths import TimedWord
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip, Split
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.scoring import judged


@dataclass(frozen=True)
class Outcomes:
    """Words that a path heard.

    Attributes:
        confidence: float64 `[n_word]`, raw.
        right: bool `[n_word]`, whether each was said.
    """

    confidence: Floats
    right: Right

    @classmethod
    def of(cls, heard: Iterable[tuple[Clip, Sequence[TimedWord]]]) -> Outcomes:
        """Judge the words heard in clips; those that are only punctuation are left out."""
        pairs = [
            (word.confidence, right)
            for clip, words in heard
            for word, right in zip(words, right_words(clip, words), strict=True)
            if right is not None
        ]
        confidence, right = zip(*pairs, strict=True) if pairs else ((), ())
        return cls(np.array(confidence, np.float64), np.array(right, np.bool_))


def right_words(clip: Clip, words: Sequence[TimedWord]) -> list[bool | None]:
    """Whether each word stands in the transcript at its place; None where it has no letter.

    Reference and hypothesis are aligned in the form that is scored, where one word may be several
    (`dix-sept`): it is right when all of them are.
    """
    forms = [judged(clip.text, word.text, clip.language).hypothesis.split() for word in words]
    hypothesis = " ".join(form for several in forms for form in several)
    reference = judged(clip.text, "", clip.language).reference
    hit = [False] * len(hypothesis.split())
    for chunk in jiwer.process_words(reference, hypothesis).alignments[0]:
        if chunk.type == "equal":
            hit[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * (
                chunk.hyp_end_idx - chunk.hyp_start_idx
            )
    found: list[bool | None] = []
    first = 0
    for several in forms:
        own = hit[first : first + len(several)]
        found.append(all(own) if own else None)
        first += len(several)
    return found


@dataclass(frozen=True)
class Published:
    """An adapter of the store, ready to hear clips."""

    card: AdapterCard
    recogniser: Recogniser

    @classmethod
    def load(cls, models: Path, key: str, base: BaseModel | None = None) -> Published:
        """The one in folder `key`, an id or `<id>@<version>`; `base` where it is loaded already.

        Raises as `read_card`, `load_base_model` and `AdapterStore.load` do.
        """
        folder = models / key
        card = read_card(folder if folder.is_dir() else models / key.partition("@")[0])
        base = base or load_base_model(card.base_model)
        store = AdapterStore(AdapterFiles(str(models)), base.fingerprint, base.encoder.d_model)
        loaded = store.load(key if "@" in key else card.key)
        adapter = Adapter(loaded.shape)
        adapter.load_state_dict({key: value.float() for key, value in loaded.tensors.items()})
        decoder = loaded.lexicon() if loaded.lexicon else None
        return cls(card, Recogniser(base, adapter.eval(), card.vocabulary, decoder))

    def outcomes(self, clips: Iterable[Clip]) -> Outcomes:
        """What its finals hear in `clips`."""
        return Outcomes.of(
            (clip, self.recogniser.words(self.recogniser.log_probs(read_audio(clip.audio))))
            for clip in clips
        )


def some(clips: Iterable[Clip], split: Split, most: int) -> list[Clip]:
    """Up to `most` clips of a split, the same ones every time."""
    chosen = [clip for clip in clips if clip.split == split]
    random.Random(0).shuffle(chosen)
    return chosen[:most]


def write_universal(
    base: BaseModel,
    calibration: Calibration,
    fitted_on: dict[str, Any],
    file: Path = UNIVERSAL_FILE,
) -> None:
    """Keep the calibration of the base model's own decoder, and what it was fitted on."""
    document = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    document[base.fingerprint] = {
        "model": base.name,
        "slope": calibration.slope,
        "intercept": calibration.intercept,
        "fitted_on": fitted_on,
    }
    file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
