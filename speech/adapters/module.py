"""One language's adapter, run plainly: the trainer's module, and the reference of the slots."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speech.adapters.kinds import NORM_EPS, AdapterKind, AdapterShape
from speech.encoder import Encoded, Site


class Block(nn.Module):
    """One residual bottleneck: `x + up(activation(down(norm(x))))`."""

    def __init__(self, kind: AdapterKind, d_model: int, rank: int) -> None:
        """Start as the identity: `up` is zero."""
        super().__init__()
        self.norm = nn.LayerNorm(d_model, eps=NORM_EPS)
        self.down = nn.Linear(d_model, rank)
        self.up = nn.Linear(rank, d_model)
        self._activation = kind.activation
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float `[..., d_model]` to the same shape."""
        residual: Tensor = self.up(self._activation(self.down(self.norm(hidden))))
        return hidden + residual


class Adapter(nn.Module):
    """Blocks and head of one adapter; its parameters are named as `AdapterShape.tensors` says."""

    def __init__(self, shape: AdapterShape) -> None:
        """Build an adapter that changes nothing yet, with a head that is random."""
        super().__init__()
        self.shape = shape
        kind = shape.kind
        self.blocks = nn.ModuleDict(
            {
                str(layer): nn.ModuleDict(
                    {site: Block(kind, shape.d_model, shape.rank) for site in kind.sites}
                )
                for layer in shape.layers
            }
        )
        self.head = nn.ModuleDict(
            {
                "norm": nn.LayerNorm(shape.d_model, eps=NORM_EPS)
                if kind.head_norm
                else nn.Identity(),
                "projection": nn.Linear(shape.d_model, shape.n_vocab),
            }
        )

    def forward(self, hidden: Tensor, layer: int, site: Site) -> Tensor:
        """Serve as the encoder's `adapt`: float `[batch, n_frames, d_model]`, same shape back."""
        if layer not in self.shape.layers or site not in self.shape.kind.sites:
            return hidden
        block: nn.ModuleDict = self.blocks[str(layer)]  # type: ignore[assignment]
        return block[site](hidden)  # type: ignore[no-any-return]

    def plain(self) -> dict[str, Tensor]:
        """The tensors that are written out, as `AdapterShape.tensors` names them."""
        return self.state_dict()

    def log_probs(self, encoded: Encoded) -> Tensor:
        """CTC log-probabilities, float32 `[batch, n_frames, n_vocab]`."""
        logits = self.head["projection"](self.head["norm"](encoded.states))
        return torch.log_softmax(logits.float(), dim=-1)
