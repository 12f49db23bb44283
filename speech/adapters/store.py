"""The adapters there are: a directory with one sub-directory per adapter, each with its card.

Reading verifies everything a slot relies on, so that nothing half right is ever served.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from common.errors import AdapterNotFound, AdapterRefused
from speech.adapters.bottleneck import BottleneckAdapter, BottleneckShape
from speech.adapters.card import (
    CARD_FILE,
    LEXICON_FILE,
    WEIGHTS_FILE,
    AdapterCard,
    check_file,
    read_card,
)
from speech.lexicon import LexiconDecoder

_NAME = re.compile(r"\w[\w.-]{0,100}")


@dataclass(frozen=True)
class LoadedAdapter:
    """A verified adapter in host memory.

    Attributes:
        card: what it says of itself.
        module: the adapter, float32, in evaluation mode.
        lexicon: decoder for finals, where the adapter has one.
    """

    card: AdapterCard
    module: BottleneckAdapter
    lexicon: LexiconDecoder | None


class AdapterStore:
    """Adapters below one directory."""

    def __init__(self, directory: Path, fingerprint: str, d_model: int) -> None:
        """Serve the adapters below `directory` that were trained on the encoder `fingerprint`."""
        self._directory = directory
        self._fingerprint = fingerprint
        self._d_model = d_model

    def load(self, key: str) -> LoadedAdapter:
        """Read and verify adapter `<id>@<version>`.

        Raises:
            AdapterNotFound: no card says that id and version.
            AdapterRefused: checksum, base encoder, tensor names, shapes or values do not fit.
        """
        name = key.partition("@")[0]
        directory = self._directory / name
        # A key comes over the wire: it names a directory of the store and nothing beyond it.
        if not _NAME.fullmatch(name) or not (directory / CARD_FILE).is_file():
            raise AdapterNotFound(f"no adapter {key} in the store")
        card = read_card(directory)
        if card.key != key:
            raise AdapterNotFound(f"adapter {key} was asked for, the store holds {card.key}")
        if card.base_fingerprint != self._fingerprint:
            raise AdapterRefused(
                f"adapter {key} was trained on base {card.base_fingerprint[:19]}…, this worker "
                f"runs {self._fingerprint[:19]}…: train it on this base"
            )
        tensors = self._tensors(card, check_file(card, directory / WEIGHTS_FILE, card.sha256))
        shape = BottleneckShape(self._d_model, card.rank, card.layers, len(card.vocabulary))
        if not 0 < shape.rank <= shape.d_model or not shape.n_vocab:
            raise AdapterRefused(
                f"adapter {key}: rank {shape.rank} with {shape.n_vocab} symbols: its card must say "
                f"1 to {shape.d_model}, and one symbol or more"
            )
        module = BottleneckAdapter(shape)
        _check_shapes(card, module, tensors)
        module.load_state_dict({name: value.float() for name, value in tensors.items()})
        lexicon = None
        if card.lexicon is not None:
            content = check_file(card, directory / LEXICON_FILE, card.lexicon.sha256)
            lexicon = LexiconDecoder.from_bytes(content, card.vocabulary, card.lexicon)
        return LoadedAdapter(card, module.requires_grad_(False).eval(), lexicon)

    @staticmethod
    def _tensors(card: AdapterCard, content: bytes) -> dict[str, Tensor]:
        try:
            tensors = load_safetensors(content)
        except SafetensorError as error:
            raise AdapterRefused(
                f"adapter {card.key}: {WEIGHTS_FILE} is not safetensors"
            ) from error
        for name, value in tensors.items():
            if not torch.isfinite(value).all():
                raise AdapterRefused(f"adapter {card.key}: tensor {name} holds NaN or infinity")
        return tensors


def _check_shapes(card: AdapterCard, module: BottleneckAdapter, tensors: dict[str, Tensor]) -> None:
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise AdapterRefused(
                f"adapter {card.key}: tensor {name} is {found.get(name, 'missing')}, "
                f"its card asks for {expected.get(name, 'none of that name')}"
            )
