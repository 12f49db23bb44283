"""The adapter that a run begins with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.errors import InvalidRequest
from speech.adapters.kinds import AdapterShape, block_name, block_shapes
from speech.adapters.module import Adapter
from speech.encoder import Site
from transfer.training.source import Source, Start
from transfer.training.start.attention import Attention
from transfer.training.start.concatenation import Concatenation
from transfer.training.start.fused import FusedAdapter
from transfer.training.start.head import fill_head, weighted_mean

_ROWS = ("head.projection.weight", "head.projection.bias")
"""A row per symbol: each language has its own."""


def begin(shape: AdapterShape, vocabulary: Sequence[str], start: Start | None) -> Adapter:
    """An adapter of `shape` that begins as the sources say; without any, as one that does nothing.

    - `best`, `mean`: the blocks are the weighted mean of the sources' blocks; of one source, its
      own.
    - `attention`: that mean, and the weights of it are learned, for each block by itself.
    - `concatenation`: the sources' units side by side, and projections to the rank are learned.

    Rows of the head: see `transfer.training.start.head`. Draws from torch's generator.

    Raises:
        InvalidRequest: the sources are not of that kind, rank or layers.
    """
    if start is None:
        return Adapter(shape)
    for source in start.sources:
        _check_fits(source, shape, any_rank=start.fusion == "concatenation")
    adapter = (
        _fused(shape, start)
        if start.fusion in ("attention", "concatenation")
        else _mean(shape, start)
    )
    fill_head(adapter.head, vocabulary, start)
    return adapter


def _check_fits(source: Source, shape: AdapterShape, *, any_rank: bool = False) -> None:
    """Raises InvalidRequest unless `source` has the kind, layers and mostly the rank of `shape`."""
    expected = {name: size for name, size in shape.tensors().items() if name not in _ROWS}
    found = {name: tuple(t.shape) for name, t in source.weights.items() if name not in _ROWS}
    same = expected.keys() == found.keys() if any_rank else expected == found
    if not same:
        raise InvalidRequest(
            f"{source.key} is an adapter of another shape: leave out --kind, --rank and "
            "--layers, and its own are taken"
        )


def _mean(shape: AdapterShape, start: Start) -> Adapter:
    adapter = Adapter(shape)
    with torch.no_grad():
        for name, parameter in adapter.blocks.named_parameters(prefix="blocks"):
            lent = [source.weights[name] for source in start.sources]
            parameter.copy_(weighted_mean(lent, start.weights))
    return adapter


def _fused(shape: AdapterShape, start: Start) -> FusedAdapter:
    if start.fusion == "concatenation":
        _check_units(shape, start)

    def mixture(layer: int, site: Site) -> nn.Module:
        blocks = [_block(source, shape, layer, site) for source in start.sources]
        if start.fusion == "attention":
            return Attention(blocks, start.weights)
        return Concatenation(blocks, start.weights, shape.rank, shape.kind)

    places = [(layer, site) for layer in shape.layers for site in shape.kind.sites]
    return FusedAdapter(shape, {place: mixture(*place) for place in places})


def _block(source: Source, shape: AdapterShape, layer: int, site: Site) -> dict[str, Tensor]:
    names = block_shapes(shape.d_model, shape.rank)
    return {name: source.weights[f"{block_name(layer, site)}.{name}"].float() for name in names}


def _check_units(shape: AdapterShape, start: Start) -> None:
    for layer in shape.layers:
        down = f"{block_name(layer, shape.kind.sites[0])}.down.weight"
        units = sum(len(source.weights[down]) for source in start.sources)
        if shape.rank > units:
            raise InvalidRequest(
                f"rank {shape.rank} was asked for: side by side {start.text} have {units} units"
            )
