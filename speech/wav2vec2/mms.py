"""`panglot models import`: MMS's published adapters into an adapter store.

Published (`facebook/mms-1b-all`): `adapter.<code>.safetensors` with the adapter layers and the CTC
head of one language, and a `vocab.json` nested by language code. Pratap et al., "Scaling Speech
Technology to 1,000+ Languages" (2023). A file is taken over byte for byte; what is added is a card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from common.errors import AdapterRefused, ModelNotFound
from speech.adapters.card import AdapterCard, Training
from speech.adapters.kinds import ATTENTION, AdapterShape, from_file
from speech.base_model import load_base_model
from speech.wav2vec2.encoder import Wav2Vec2SharedEncoder
from speech.wav2vec2.importing import model_directory, put_adapter
from speech.wav2vec2.mms_languages import language_tag

LICENCE = "CC-BY-NC-4.0"

_BLANK = "<pad>"
_SPECIAL = frozenset({_BLANK, "<s>", "</s>", "<unk>"})
"""Classes that are never part of a text."""
_FINE_TUNED = "a model fine-tuned for one language is imported with --language TAG"
_TRAINING = Training(
    sources=("Massively Multilingual Speech (MMS), Pratap et al., 2023",),
    licences=(LICENCE,),
    hours=None,
    strategy="imported as published; steps and seed are not published per language",
    steps=0,
    seed=0,
)


@dataclass(frozen=True)
class Published:
    """A directory of adapters as MMS publishes them, with the encoder they fit.

    Attributes:
        base_model: name of the directory or hub id.
        fingerprint, d_model, n_layers: of its encoder.
        directory: where the adapters lie.
        codes: of the languages asked for, with or without a file there.
        vocabularies: by language code, as `vocab.json` has them; a list of pairs where a token
            stands twice.
    """

    base_model: str
    fingerprint: str
    d_model: int
    n_layers: int
    directory: Path
    codes: tuple[str, ...]
    vocabularies: Mapping[str, Any]


def open_published(name: str, codes: Sequence[str] | None) -> Published:
    """Find adapters, and load the encoder they fit for its fingerprint.

    Args:
        name: a directory, or a hub id whose adapters are then downloaded.
        codes: MMS's language codes, such as `fra` or `uzb-script_latin`; None for all there are.

    Raises:
        ModelNotFound: there is no such model, it is not MMS, or it has no adapters.
    """
    base = load_base_model(name)
    if not isinstance(base.encoder, Wav2Vec2SharedEncoder):
        raise ModelNotFound(f"{name!r} is no wav2vec2 model: MMS's adapters stand beside one")
    wanted = ("*",) if codes is None else codes
    files = ["vocab.json", *(f"adapter.{code}.safetensors" for code in wanted)]
    directory = model_directory(name, files)
    there = {path.name[len("adapter.") : -len(".safetensors")] for path in _adapters(directory)}
    if not there and codes is None:
        raise ModelNotFound(f"{name!r} has no adapter.<language>.safetensors; {_FINE_TUNED}")
    return Published(
        base_model=name,
        fingerprint=base.fingerprint,
        d_model=base.encoder.d_model,
        n_layers=base.encoder.n_layers,
        directory=directory,
        codes=tuple(sorted(there) if codes is None else dict.fromkeys(codes)),
        vocabularies=_vocabularies(directory, name),
    )


def import_adapter(published: Published, code: str, store: Path) -> bool:
    """Put one language into the store, as `<store>/mms-<code>/`; False if it was there already.

    The file is linked where it can be, else copied.

    Raises:
        AdapterRefused: the file, its vocabulary or its language cannot be served.
        StoreUnavailable: the store cannot be written.
    """
    source = published.directory / f"adapter.{code}.safetensors"
    content = _read(published, source, code)
    return put_adapter(store, _card(published, code, content), content, source)


def _adapters(directory: Path) -> list[Path]:
    return sorted(directory.glob("adapter.*.safetensors"))


def _vocabularies(directory: Path, name: str) -> Mapping[str, Any]:
    def unless_repeated(pairs: list[tuple[str, Any]]) -> Any:
        document = dict(pairs)
        return document if len(document) == len(pairs) else pairs

    try:
        text = (directory / "vocab.json").read_text(encoding="utf-8")
        document = json.loads(text, object_pairs_hook=unless_repeated)
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{name!r} has no readable vocab.json") from error
    if not isinstance(document, dict) or any(isinstance(x, int) for x in document.values()):
        raise ModelNotFound(
            f"vocab.json of {name!r} is not nested by language, as MMS has it; {_FINE_TUNED}"
        )
    return document


def _read(published: Published, source: Path, code: str) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        start = code.partition("-")[0]
        alike = [
            path.name.split(".")[1]
            for path in _adapters(published.directory)
            if path.name.startswith(f"adapter.{start}")
        ]
        hint = f"; there is {', '.join(alike)}" if alike else ""
        raise AdapterRefused(f"{code:.60}: no {source.name:.100}{hint}") from error


def _card(published: Published, code: str, content: bytes) -> AdapterCard:
    """The card of an adapter's file, once everything a slot relies on is seen to hold."""
    language = language_tag(code)
    try:
        tensors = load_safetensors(content)
    except SafetensorError as error:
        raise AdapterRefused(f"{code}: its file is not safetensors") from error
    if "lm_head.weight" not in tensors:
        raise AdapterRefused(f"{code}: its file has no lm_head.weight, the head of the language")
    n_vocab = tensors["lm_head.weight"].shape[0]
    rank = next((len(x) for name, x in tensors.items() if name.endswith(".linear_1.bias")), 0)
    layers = tuple(range(published.n_layers))
    expected = AdapterShape(ATTENTION, published.d_model, rank, layers, n_vocab).tensors()
    found = {name: tuple(x.shape) for name, x in from_file(ATTENTION, tensors).items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise AdapterRefused(
                f"{code}: tensor {name} is {found.get(name, 'missing')}, an adapter of this model "
                f"has {expected.get(name, 'none of that name')}"
            )
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise AdapterRefused(f"{code}: its file holds NaN or infinity")
    return AdapterCard(
        id=f"mms-{code}",
        version=1,
        language=language,
        kind="attention",
        rank=rank,
        layers=layers,
        vocabulary=_symbols(published, code, n_vocab),
        base_model=published.base_model,
        base_fingerprint=published.fingerprint,
        sha256=hashlib.sha256(content).hexdigest(),
        training=_TRAINING,
        evaluation=None,
        lexicon=None,
        served_by="adapter",
    )


def _symbols(published: Published, code: str, n_vocab: int) -> tuple[str, ...]:
    """Symbol of each class: `|` is a space, and what is no part of a text is empty."""
    vocabulary = published.vocabularies.get(code)
    if vocabulary is None:
        raise AdapterRefused(f"{code}: vocab.json has no such language")
    if not isinstance(vocabulary, dict):
        raise AdapterRefused(f"{code}: a token stands twice in its vocabulary")
    tokens = {number: token for token, number in vocabulary.items()}
    if len(vocabulary) != n_vocab or set(tokens) != set(range(n_vocab)):
        raise AdapterRefused(
            f"{code}: its vocabulary numbers {len(vocabulary)} tokens, its head has {n_vocab} "
            "classes: each must have one token, numbered from 0"
        )
    if tokens[0] != _BLANK:
        raise AdapterRefused(f"{code}: class 0 is {tokens[0]!r:.20}, where {_BLANK} must be")
    symbols = ("" if token in _SPECIAL else token for _, token in sorted(tokens.items()))
    return tuple(" " if symbol == "|" else symbol for symbol in symbols)
