"""The sources' bottlenecks side by side, brought back to the width of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from speech.adapters.kinds import NORM_EPS, AdapterKind

_N_PROBE = 2048
"""Random inputs by which hidden units are compared."""


class Concatenation(nn.Module):
    """One block of `rank` units out of the K sources' units together: `[n_units]` of them.

        down = gather @ [down_1; ...; down_K]      gather: [rank, n_units]
        up   = [w_1 up_1, ..., w_K up_K] @ spread  spread: [n_units, rank]

    `gather` and `spread` are learned. A source's norm is folded into its `down`, so that all read
    the same input. Side by side, without the projections, the block would be the weighted mean of
    what the sources' blocks say. `gather` begins as a choice of units, and `spread` as what says
    best, in least squares over random inputs, what those left out would have said: a hidden unit
    cannot be rotated into another, since an activation stands behind it, but it can be kept.
    """

    _down: Tensor
    _bias: Tensor
    _up: Tensor
    _said: Tensor

    def __init__(
        self,
        blocks: Sequence[Mapping[str, Tensor]],
        weights: Sequence[float],
        rank: int,
        kind: AdapterKind,
    ) -> None:
        """Place `blocks`, one per source, side by side; `rank` is at most all their units."""
        super().__init__()
        # In double precision, so that what a run begins with, and goes on with, is always the same.
        exact = [{name: tensor.double() for name, tensor in block.items()} for block in blocks]
        pairs = list(zip(weights, exact, strict=True))
        down = torch.cat([block["down.weight"] * block["norm.weight"] for block in exact])
        bias = torch.cat(
            [block["down.weight"] @ block["norm.bias"] + block["down.bias"] for block in exact]
        )
        up = torch.cat([weight * block["up.weight"] for weight, block in pairs], dim=1)
        said = torch.stack([weight * block["up.bias"] for weight, block in pairs]).sum(0)
        # Not in the checkpoint: the sources lie in the store.
        for name, tensor in {"_down": down, "_bias": bias, "_up": up, "_said": said}.items():
            self.register_buffer(name, tensor.float(), persistent=False)
        hidden = kind.activation(_probe(down.shape[1]) @ down.T + bias)
        kept = _kept(hidden * up.norm(dim=0), rank)
        spread = torch.linalg.lstsq(hidden[:, kept], hidden).solution.T
        self.gather = nn.Parameter(torch.eye(len(down))[kept])
        self.spread = nn.Parameter(spread.float().contiguous())

    def forward(self) -> dict[str, Tensor]:
        """The block's tensors by name, float32."""
        d_model = self._up.shape[0]
        return {
            "norm.weight": self._up.new_ones(d_model),
            "norm.bias": self._up.new_zeros(d_model),
            "down.weight": self.gather @ self._down,
            "down.bias": self.gather @ self._bias,
            "up.weight": self._up @ self.spread,
            "up.bias": self._said,
        }


def _probe(d_model: int) -> Tensor:
    """float64 `[n, d_model]`: inputs as a layer norm leaves them."""
    chance = torch.Generator().manual_seed(0)
    drawn = torch.randn(_N_PROBE, d_model, generator=chance, dtype=torch.float64)
    return torch.layer_norm(drawn, (d_model,), eps=NORM_EPS)


def _kept(said: Tensor, count: int) -> list[int]:
    """Units that the others follow from best: Gram-Schmidt with column pivoting.

    Args:
        said: float64 `[n_probe, n_units]`, what each unit adds, by its loudness.
        count: of units to keep.
    """
    left = said
    chosen: list[int] = []
    for _ in range(count):
        power = left.square().sum(0)
        power[chosen] = -1.0
        chosen.append(int(power.argmax()))
        axis = left[:, chosen[-1]]
        axis = axis / axis.norm().clamp_min(1e-12)
        left = left - torch.outer(axis, axis @ left)
    return chosen
