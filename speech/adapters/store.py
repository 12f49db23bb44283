"""The adapters there are. Reading verifies everything a slot relies on: nothing half right is
served."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from common.adapter_files import CARD_FILE, AdapterFiles
from common.errors import AdapterNotFound, AdapterRefused
from speech.adapters.card import LEXICON_FILE, WEIGHTS_FILE, AdapterCard, check_sum, parse_card
from speech.adapters.kinds import KINDS, AdapterShape, from_file
from speech.ctc.lexicon import LexiconDecoder


@dataclass(frozen=True)
class LoadedAdapter:
    """A verified adapter in host memory.

    Attributes:
        card: what it says of itself.
        shape: its size; `tensors` are named and sized as it says, in the file's precision.
        lexicon: builds the decoder for finals, which takes half a second; None where the adapter
            has none.
    """

    card: AdapterCard
    shape: AdapterShape
    tensors: dict[str, Tensor]
    lexicon: Callable[[], LexiconDecoder] | None


class AdapterStore:
    """Adapters of one base model."""

    def __init__(self, files: AdapterFiles, fingerprint: str, d_model: int) -> None:
        """Serve what `files` hold for the encoder `fingerprint`, which is `d_model` wide."""
        self._files = files
        self._fingerprint = fingerprint
        self._d_model = d_model

    def load(self, key: str) -> LoadedAdapter:
        """Read and verify adapter `<id>@<version>`.

        It lies in a folder of that name, or in one named for its id alone.

        Raises:
            AdapterNotFound: no card says that id and version.
            AdapterRefused: checksum, base encoder, tensor names, shapes or values do not fit.
            StoreUnavailable: the store does not answer.
        """
        name, content = self._card(key)
        card = parse_card(content, name)
        if card.key != key:
            raise AdapterNotFound(f"adapter {key} was asked for, the store holds {card.key}")
        if card.base_fingerprint != self._fingerprint:
            raise AdapterRefused(
                f"adapter {key} was trained on base {card.base_fingerprint[:19]}…, this worker "
                f"runs {self._fingerprint[:19]}…: train it on this base"
            )
        weights = self._read(card, name, WEIGHTS_FILE, card.sha256)
        shape, tensors = open_weights(card, weights, self._d_model)
        lexicon = None
        if card.lexicon is not None:
            content = self._read(card, name, LEXICON_FILE, card.lexicon.sha256)
            lexicon = partial(LexiconDecoder.from_bytes, content, card.vocabulary, card.lexicon)
        return LoadedAdapter(card, shape, tensors, lexicon)

    def _card(self, key: str) -> tuple[str, bytes]:
        for name in (key, key.partition("@")[0]):
            with suppress(FileNotFoundError):
                return name, self._files.read(name, CARD_FILE)
        raise AdapterNotFound(f"no adapter {key:.120} in the store")

    def _read(self, card: AdapterCard, name: str, file: str, sha256: str) -> bytes:
        try:
            content = self._files.read(name, file)
        except FileNotFoundError as error:
            raise AdapterNotFound(f"adapter {card.key} has no {file}") from error
        check_sum(card, file, content, sha256)
        return content


def open_weights(
    card: AdapterCard, content: bytes, d_model: int | None = None
) -> tuple[AdapterShape, dict[str, Tensor]]:
    """The tensors of `adapter.safetensors`, under our names, and the shape that all of them have.

    `d_model` is the encoder's width; None, where there is no encoder, takes the head's.

    Raises:
        AdapterRefused: they are not what the card says, or not all of them finite.
    """
    try:
        tensors = load_safetensors(content)
    except SafetensorError as error:
        raise AdapterRefused(f"adapter {card.key}: {WEIGHTS_FILE} is not safetensors") from error
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise AdapterRefused(f"adapter {card.key}: tensor {name} holds NaN or infinity")
    tensors = from_file(KINDS[card.kind], tensors)
    shape = _shape(card, _head_width(card, tensors) if d_model is None else d_model)
    _check_shapes(card, shape, tensors)
    return shape, tensors


def _head_width(card: AdapterCard, tensors: dict[str, Tensor]) -> int:
    head = tensors.get("head.projection.weight")
    if head is None or head.ndim != 2:
        raise AdapterRefused(f"adapter {card.key}: {WEIGHTS_FILE} holds no CTC head")
    return head.shape[1]


def _shape(card: AdapterCard, d_model: int) -> AdapterShape:
    n_vocab = len(card.vocabulary)
    if not 0 < card.rank <= d_model or not n_vocab:
        raise AdapterRefused(
            f"adapter {card.key}: rank {card.rank} with {n_vocab} symbols: its card must say "
            f"1 to {d_model}, and one symbol or more"
        )
    return AdapterShape(KINDS[card.kind], d_model, card.rank, card.layers, n_vocab)


def _check_shapes(card: AdapterCard, shape: AdapterShape, tensors: dict[str, Tensor]) -> None:
    expected = shape.tensors()
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise AdapterRefused(
                f"adapter {card.key}: tensor {name} is {found.get(name, 'missing')}, "
                f"its card asks for {expected.get(name, 'none of that name')}"
            )
