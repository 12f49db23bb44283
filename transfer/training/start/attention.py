"""Attention over sources: a softmax per block, over their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_PACE = 10.0
"""Scores learn so many times as fast as weights: at an adapter's rate they would hardly move."""


class Attention(nn.Module):
    """One block's tensors: `sum_k softmax(scores)_k theta_k` over the sources k.

    The scores begin by the logarithms of the sources' weights, so that training starts at their
    weighted mean. Weights can be averaged where adapters descend from one another, so that their
    hidden units correspond, as the shipped ones do; of others concatenation keeps the units.
    """

    _sources: Tensor

    def __init__(self, blocks: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> None:
        """Mix `blocks`, one per source, whose tensors have the same names and shapes."""
        super().__init__()
        self._shapes = {name: tensor.shape for name, tensor in blocks[0].items()}
        flat = [torch.cat([block[name].flatten() for name in self._shapes]) for block in blocks]
        # Not in the checkpoint: the sources lie in the store.
        self.register_buffer("_sources", torch.stack(flat), persistent=False)
        self.scores = nn.Parameter(torch.log(torch.tensor(weights)) / _PACE)

    def forward(self) -> dict[str, Tensor]:
        """The block's tensors by name, float32."""
        shares = torch.softmax(self.scores * _PACE, dim=0)
        mixed = (shares[:, None] * self._sources).sum(0)
        parts = torch.split(mixed, [shape.numel() for shape in self._shapes.values()])
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
