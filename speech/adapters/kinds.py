"""What an adapter is made of. Two kinds: ours, and the one that MMS publishes.

Both are residual bottlenecks, `x + up(activation(down(norm(x))))`, and a CTC head. They differ in
where the blocks stand, in the activation, and in whether the head has a norm of its own:

- `bottleneck`: after attention and after the feed-forward of each chosen layer. Houlsby et al.,
  "Parameter-Efficient Transfer Learning for NLP" (2019).
- `attention`: after the feed-forward alone. Pratap et al., "Scaling Speech Technology to 1,000+
  Languages" (2023); `Wav2Vec2AttnAdapterLayer` in `transformers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from speech.encoder import Site

KindName = Literal["bottleneck", "attention"]
Shapes = dict[str, tuple[int, ...]]
"""Name to shape of tensors."""
NORM_EPS = 1e-5


@dataclass(frozen=True)
class AdapterKind:
    """One architecture of adapters.

    Attributes:
        name: as cards write it.
        sites: after which sub-layers of a layer it has a block.
        activation: between down and up.
        head_norm: whether the head has a layer norm before its projection.
    """

    name: KindName
    sites: tuple[Site, ...]
    activation: Callable[[Tensor], Tensor]
    head_norm: bool


BOTTLENECK = AdapterKind("bottleneck", ("attention", "feed_forward"), F.gelu, head_norm=True)
ATTENTION = AdapterKind("attention", ("feed_forward",), F.relu, head_norm=False)
KINDS: dict[str, AdapterKind] = {kind.name: kind for kind in (BOTTLENECK, ATTENTION)}


@dataclass(frozen=True)
class AdapterShape:
    """All that sizes an adapter.

    Attributes:
        kind: its architecture.
        d_model: width of the encoder.
        rank: width of the bottleneck.
        layers: encoder layers that are adapted, counted from 0, ascending.
        n_vocab: classes of the CTC head, blank (index 0) included.
    """

    kind: AdapterKind
    d_model: int
    rank: int
    layers: tuple[int, ...]
    n_vocab: int

    def tensors(self) -> Shapes:
        """Shape of every tensor of such an adapter, by name: blocks by layer, then the head."""
        shapes = {
            f"{block_name(layer, site)}.{name}": shape
            for layer in self.layers
            for site in self.kind.sites
            for name, shape in block_shapes(self.d_model, self.rank).items()
        }
        head = head_shapes(self.kind, self.d_model, self.n_vocab)
        return shapes | {f"head.{name}": shape for name, shape in head.items()}


def block_name(layer: int, site: Site) -> str:
    """Prefix of the tensors of one block."""
    return f"blocks.{layer}.{site}"


def block_shapes(d_model: int, rank: int) -> Shapes:
    """Tensors of one block."""
    return {
        "norm.weight": (d_model,),
        "norm.bias": (d_model,),
        "down.weight": (rank, d_model),
        "down.bias": (rank,),
        "up.weight": (d_model, rank),
        "up.bias": (d_model,),
    }


def head_shapes(kind: AdapterKind, d_model: int, n_vocab: int) -> Shapes:
    """Tensors of the CTC head."""
    norm: Shapes = {"norm.weight": (d_model,), "norm.bias": (d_model,)} if kind.head_norm else {}
    return norm | {"projection.weight": (n_vocab, d_model), "projection.bias": (n_vocab,)}


def from_file(kind: AdapterKind, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of `adapter.safetensors` under our names; those of MMS's files are translated."""
    if kind is not ATTENTION:
        return tensors
    return dict(_translated(tensors))


def to_file(kind: AdapterKind, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names of `adapter.safetensors`: what `from_file` takes back."""
    if kind is not ATTENTION:
        return tensors
    return {_published_name(name): tensor for name, tensor in tensors.items()}


def _translated(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        block = re.fullmatch(r"wav2vec2\.encoder\.layers\.(\d+)\.adapter_layer\.(\w+)\.(\w+)", name)
        if block is not None:
            prefix = block_name(int(block[1]), "feed_forward")
            yield f"{prefix}.{_MMS_PARTS.get(block[2], block[2])}.{block[3]}", tensor
        else:
            yield re.sub(r"^lm_head\.", "head.projection.", name), tensor


def _published_name(name: str) -> str:
    block = re.fullmatch(r"blocks\.(\d+)\.feed_forward\.(\w+)\.(\w+)", name)
    if block is None:
        return re.sub(r"^head\.projection\.", "lm_head.", name)
    part = {ours: theirs for theirs, ours in _MMS_PARTS.items()}.get(block[2], block[2])
    return f"wav2vec2.encoder.layers.{block[1]}.adapter_layer.{part}.{block[3]}"


_MMS_PARTS = {"linear_1": "down", "linear_2": "up"}
