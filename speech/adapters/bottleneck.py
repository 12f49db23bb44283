"""Adapter kind `bottleneck`: norm, down, GELU, up, added to the residual stream.

After Houlsby et al., "Parameter-Efficient Transfer Learning for NLP" (2019): a small residual
network after attention and after the feed-forward of each chosen layer, with a projection up that
starts at zero, so that a new adapter leaves the encoder as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech.encoder import Encoded, Site

SITES: tuple[Site, Site] = ("attention", "feed_forward")
NORM_EPS = 1e-5


@dataclass(frozen=True)
class BottleneckShape:
    """All that sizes an adapter.

    Attributes:
        d_model: width of the encoder.
        rank: width of the bottleneck.
        layers: encoder layers that are adapted, counted from 0, ascending.
        n_vocab: classes of the CTC head, blank (index 0) included.
    """

    d_model: int
    rank: int
    layers: tuple[int, ...]
    n_vocab: int


class Bottleneck(nn.Module):
    """One residual bottleneck: `x + up(gelu(down(norm(x))))`."""

    def __init__(self, d_model: int, rank: int) -> None:
        """Start as the identity: `up` is zero."""
        super().__init__()
        self.norm = nn.LayerNorm(d_model, eps=NORM_EPS)
        self.down = nn.Linear(d_model, rank)
        self.up = nn.Linear(rank, d_model)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float `[..., d_model]` to the same shape."""
        residual: Tensor = self.up(F.gelu(self.down(self.norm(hidden))))
        return hidden + residual


class BottleneckAdapter(nn.Module):
    """One language's adapter, run plainly: the trainer's module and the slots' reference.

    Parameter names, which are the tensor names in `adapter.safetensors`:
    `blocks.<layer>.<site>.{norm,down,up}.{weight,bias}`, `head.norm.*` and `head.projection.*`.
    """

    def __init__(self, shape: BottleneckShape) -> None:
        """Build an adapter that changes nothing yet, with a head that is random."""
        super().__init__()
        self.shape = shape
        self.blocks = nn.ModuleDict(
            {
                str(layer): nn.ModuleDict(
                    {site: Bottleneck(shape.d_model, shape.rank) for site in SITES}
                )
                for layer in shape.layers
            }
        )
        self.head = nn.ModuleDict(
            {
                "norm": nn.LayerNorm(shape.d_model, eps=NORM_EPS),
                "projection": nn.Linear(shape.d_model, shape.n_vocab),
            }
        )

    def forward(self, hidden: Tensor, layer: int, site: Site) -> Tensor:
        """Serve as the encoder's `adapt`: float `[batch, n_frames, d_model]`, same shape back."""
        if layer not in self.shape.layers:
            return hidden
        block: nn.ModuleDict = self.blocks[str(layer)]  # type: ignore[assignment]
        return block[site](hidden)  # type: ignore[no-any-return]

    def log_probs(self, encoded: Encoded) -> Tensor:
        """CTC log-probabilities, float32 `[batch, n_frames, n_vocab]`."""
        logits = self.head["projection"](self.head["norm"](encoded.states))
        return torch.log_softmax(logits.float(), dim=-1)
