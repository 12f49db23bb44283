"""Candidates to publish, with weights of random numbers."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from safetensors.torch import save

from speech.adapters.card import Accuracy, ErrorRate, Evaluation, LexiconSettings
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from tests.speech.tiny import D_MODEL, make_card, random_adapter
from transfer.lexicon.build import build_lexicon
from transfer.publishing.candidate import UNPUBLISHED, Candidate

BASE = "sha256:" + "b" * 64
SHAPE = AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), 8)


def evaluation(adapter: float, universal: float = 0.9) -> Evaluation:
    """Measured word error rates."""
    served, other = (
        Accuracy(ErrorRate(wer, wer - 0.01, wer + 0.01), ErrorRate(wer, wer, wer))
        for wer in (adapter, universal)
    )
    return Evaluation(74, 0.1, served, served, other)


def candidate(
    seed: int = 0,
    wer: float | None = 0.5,
    *,
    language: str = "it",
    universal: float = 0.9,
    base: str = BASE,
    lexicon: bool = False,
) -> Candidate:
    """One whose weights are told by `seed`."""
    adapter = random_adapter(SHAPE, seed)
    weights = save(adapter.half().state_dict())
    card = replace(
        make_card(adapter, language, base, hashlib.sha256(weights).hexdigest()),
        version=UNPUBLISHED,
        language=language,
        evaluation=None if wer is None else evaluation(wer, universal),
        served_by="adapter" if wer is None or wer <= universal else "universal",
    )
    if not lexicon:
        return Candidate(card, weights, None)
    words = build_lexicon(["abc fed"], "qu", card.vocabulary)
    settings = LexiconSettings(hashlib.sha256(words).hexdigest(), 1.5, 0.0, 50)
    return Candidate(replace(card, lexicon=settings), weights, words)
