"""How an adapter lies in its slot: block after block, then the head, one stretch of memory.

The scale and shift of a layer norm are folded into the projection behind it, which saves a pass
over the hidden states for each block:

    down @ (n * w + c) + e  =  (down * w) @ n + (down @ c + e)

An adapter that is narrower, shallower or has fewer symbols than the slot fills the leading corner
of each parameter; the rest is zero, and a block of zeros is the identity.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from common.errors import AdapterRefused
from speech.adapters.kinds import AdapterKind, AdapterShape, Shapes, block_name
from speech.encoder import Site

# Parameters start where a GPU and a vector unit like to read from.
_ALIGNMENT = 64


@dataclass(frozen=True)
class Layout:
    """Where everything is in a slot of one kind.

    Attributes:
        kind, d_model, n_layers, max_rank, max_vocab, dtype: what the slots were made for.
        block_size, head_size: elements of one block, and of the head.
    """

    kind: AdapterKind
    d_model: int
    n_layers: int
    max_rank: int
    max_vocab: int
    dtype: torch.dtype
    block_size: int
    head_size: int

    @classmethod
    def of(
        cls,
        kind: AdapterKind,
        d_model: int,
        n_layers: int,
        max_rank: int,
        max_vocab: int,
        dtype: torch.dtype,
    ) -> Layout:
        """Lay out slots for adapters of up to that size."""
        block_size = _size(_block_shapes(d_model, max_rank))
        head_size = _size(_head_shapes(d_model, max_vocab))
        return cls(kind, d_model, n_layers, max_rank, max_vocab, dtype, block_size, head_size)

    @property
    def size(self) -> int:
        """Elements of a slot."""
        return self.n_layers * len(self.kind.sites) * self.block_size + self.head_size

    def block(self, table: Tensor, slot_index: Tensor, layer: int, site: Site) -> dict[str, Tensor]:
        """Parameters of one block, `[batch, …]`, gathered from `table`, `[slots, size]`."""
        gathered = table.narrow(1, self._start(layer, site), self.block_size)
        shapes = _block_shapes(self.d_model, self.max_rank)
        return _views(gathered.index_select(0, slot_index), shapes)

    def head(self, table: Tensor, slot_index: Tensor, n_vocab: int) -> dict[str, Tensor]:
        """Parameters of the heads' first `n_vocab` classes, `[batch, …]`, gathered from `table`.

        What lies beyond is not read: room for 5,000 classes would cost a batch of 16 rows of 40
        classes 60 times as much.
        """
        heads = table.narrow(1, self.size - self.head_size, self.head_size)
        views = _views(heads, _head_shapes(self.d_model, self.max_vocab))
        return {name: view[:, :n_vocab].index_select(0, slot_index) for name, view in views.items()}

    def pack(self, shape: AdapterShape, tensors: dict[str, Tensor]) -> Tensor:
        """One adapter as a slot holds it, `[size]`; see `AdapterSlots.pack`."""
        self._check(shape)
        packed = torch.zeros(self.size, dtype=self.dtype)
        largest = _block_shapes(self.d_model, self.max_rank)
        for layer, site in itertools.product(shape.layers, self.kind.sites):
            start = self._start(layer, site)
            into = _views(packed[None, start : start + self.block_size], largest)
            _fill(into, _folded(tensors, block_name(layer, site), "down"))
        into = _views(
            packed[None, self.size - self.head_size :], _head_shapes(self.d_model, self.max_vocab)
        )
        _fill(into, _folded(tensors, "head", "projection"))
        return packed

    def _start(self, layer: int, site: Site) -> int:
        sites = self.kind.sites
        return (layer * len(sites) + sites.index(site)) * self.block_size

    def _check(self, shape: AdapterShape) -> None:
        if shape.d_model != self.d_model or not set(shape.layers) <= set(range(self.n_layers)):
            raise AdapterRefused(
                f"adapter of width {shape.d_model} for layers {list(shape.layers)}: the encoder is "
                f"{self.d_model} wide and has layers 0 to {self.n_layers - 1}"
            )
        for variable, size, limit in (
            ("PANGLOT_WORKER_MAX_RANK", shape.rank, self.max_rank),
            ("PANGLOT_WORKER_MAX_VOCABULARY", shape.n_vocab, self.max_vocab),
        ):
            if size > limit:
                raise AdapterRefused(
                    f"adapter of rank {shape.rank} with {shape.n_vocab} symbols: the slots take "
                    f"rank {self.max_rank} and {self.max_vocab} symbols; set {variable} to {size} "
                    "or more"
                )


def _size(shapes: Shapes) -> int:
    return sum(_aligned(prod(shape)) for shape in shapes.values())


def _aligned(n_element: int) -> int:
    return -(-n_element // _ALIGNMENT) * _ALIGNMENT


def _views(packed: Tensor, shapes: Shapes) -> dict[str, Tensor]:
    """Views `[batch, *shape]` of `[batch, size]`."""
    views = {}
    start = 0
    for name, shape in shapes.items():
        n_element = prod(shape)
        views[name] = packed[:, start : start + n_element].view(len(packed), *shape)
        start += _aligned(n_element)
    return views


def _block_shapes(d_model: int, rank: int) -> Shapes:
    return {
        "down.weight": (rank, d_model),
        "down.bias": (rank,),
        "up.weight": (d_model, rank),
        "up.bias": (d_model,),
    }


def _head_shapes(d_model: int, n_vocab: int) -> Shapes:
    return {"projection.weight": (n_vocab, d_model), "projection.bias": (n_vocab,)}


def _folded(tensors: dict[str, Tensor], prefix: str, projection: str) -> dict[str, Tensor]:
    """Float32 tensors below `prefix`, its norm (if it has one) folded into `projection`."""
    part = {
        name.removeprefix(f"{prefix}."): value.float()
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }
    scale, shift = part.pop("norm.weight", None), part.pop("norm.bias", None)
    if scale is not None and shift is not None:
        weight = part[f"{projection}.weight"]
        part[f"{projection}.bias"] = part[f"{projection}.bias"] + weight @ shift
        part[f"{projection}.weight"] = weight * scale
    return part


def _fill(into: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Copy each value into the leading corner of its target, `[1, …]`."""
    for name, value in values.items():
        into[name][0][tuple(slice(0, size) for size in value.shape)].copy_(value)
