"""Adapters that only the plumbing can tell from real ones: random weights behind a valid card."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save

from speech.adapters.card import WEIGHTS_FILE, AdapterCard, Training, write_card
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.module import Adapter
from speech.base_model import load_base_model
from transfer.publishing.candidate import UNPUBLISHED, Candidate

VOCABULARY = ("<blank>", " ", *"aeioukmnst")
RANDOM = ("sw", "cy")
"""Languages that have an adapter of random weights."""
BROKEN = "haw"
"""A language whose adapter does not match its card."""


def adapter_id(language: str) -> str:
    """`<id>@<version>` of the test's adapter for a language."""
    return f"{language}-random@1"


def write_adapters(store: Path, shipped: Path) -> Path:
    """The shipped adapters, and those of the tests beside them."""
    store.mkdir()
    for card in shipped.glob("*/card.json"):
        (store / card.parent.name).symlink_to(card.parent)
    base = load_base_model()
    shape = AdapterShape(BOTTLENECK, base.encoder.d_model, 4, (3,), len(VOCABULARY))
    for language in (*RANDOM, BROKEN):
        torch.manual_seed(len(language))
        _write(store, language, Adapter(shape), base.fingerprint)
    (store / f"{BROKEN}-random" / WEIGHTS_FILE).write_bytes(b"not what the card says")
    return store


def random_candidate(language: str, like: AdapterCard, d_model: int, seed: int) -> Candidate:
    """For the base of `like`, another for each seed, ready to be published."""
    shape = AdapterShape(BOTTLENECK, d_model, 4, (3,), len(VOCABULARY))
    torch.manual_seed(seed)
    identifier = adapter_id(language).partition("@")[0]
    return _candidate(identifier, language, Adapter(shape), like.base_fingerprint)


def _candidate(identifier: str, language: str, adapter: Adapter, fingerprint: str) -> Candidate:
    tensors = adapter.state_dict()
    tensors["head.projection.bias"][0] = -100.0  # never the blank: it always has something to say
    content = save(tensors)
    card = AdapterCard(
        id=identifier,
        version=UNPUBLISHED,
        language=language,
        kind="bottleneck",
        rank=adapter.shape.rank,
        layers=adapter.shape.layers,
        vocabulary=VOCABULARY,
        base_model="embedded",
        base_fingerprint=fingerprint,
        sha256=hashlib.sha256(content).hexdigest(),
        training=Training(("noise",), ("CC0-1.0",), 0.0, "none", 0, 0),
        evaluation=None,
        lexicon=None,
        served_by="adapter",
    )
    return Candidate(card, content, None)


def _write(store: Path, language: str, adapter: Adapter, fingerprint: str) -> None:
    identifier, version = adapter_id(language).split("@")
    made = _candidate(identifier, language, adapter, fingerprint)
    directory = store / identifier
    directory.mkdir()
    (directory / WEIGHTS_FILE).write_bytes(made.weights)
    write_card(replace(made.card, version=int(version)), directory)
