"""Steps 7 and 8: many adapters of one kind, side by side, each row of a batch through its own.

    s = slot_index[b]
    out[b] = x[b] + gelu(norm(x[b]; w[s], c[s]) @ down[s] + e[s]) @ up[s] + f[s]

One preallocated tensor per parameter, `[slots, …]`. Slot 0 is the identity and stays so: rows that
have no adapter (universal path) use it. After Punica's batched LoRA (Chen et al., 2023), gathered
rather than segmented: at a rank of 64 the gather is small beside the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import AdapterRefused
from speech.adapters.bottleneck import NORM_EPS, SITES, BottleneckAdapter
from speech.encoder import Encoded, Site

NO_ADAPTER = 0
"""The slot that changes nothing."""


@dataclass(frozen=True)
class SlotLimits:
    """What the slots were made for.

    Attributes:
        n_slot: adapters that fit at once.
        max_rank, max_vocab: the widest bottleneck and head that fit.
    """

    n_slot: int
    max_rank: int = 64
    max_vocab: int = 128


class BottleneckSlots:
    """Preallocated slots for adapters of kind `bottleneck`."""

    def __init__(self, limits: SlotLimits, d_model: int, n_layers: int, dtype: torch.dtype) -> None:
        """Allocate `limits.n_slot` slots, all of them the identity."""
        self.limits = limits
        self._d_model = d_model
        n = limits.n_slot + 1
        rank, vocab = limits.max_rank, limits.max_vocab

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(n, *shape, dtype=dtype)

        self._blocks = {
            (layer, site): {
                "norm.weight": zeros(d_model),
                "norm.bias": zeros(d_model),
                "down.weight": zeros(rank, d_model),
                "down.bias": zeros(rank),
                "up.weight": zeros(d_model, rank),
                "up.bias": zeros(d_model),
            }
            for layer in range(n_layers)
            for site in SITES
        }
        self._head = {
            "norm.weight": zeros(d_model),
            "norm.bias": zeros(d_model),
            "projection.weight": zeros(vocab, d_model),
            "projection.bias": zeros(vocab),
        }

    def write(self, slot: int, adapter: BottleneckAdapter) -> None:
        """Put `adapter` into `slot` (1 to `n_slot`); no batch in flight may use that slot.

        Raises:
            AdapterRefused: wider, or with a larger vocabulary, than the slots were made for;
                or made for an encoder of another width or depth.
        """
        shape = adapter.shape
        n_layers = len(self._blocks) // len(SITES)
        if shape.d_model != self._d_model or not set(shape.layers) <= set(range(n_layers)):
            raise AdapterRefused(
                f"adapter of width {shape.d_model} for layers {list(shape.layers)}: the encoder is "
                f"{self._d_model} wide and has layers 0 to {n_layers - 1}"
            )
        if shape.rank > self.limits.max_rank or shape.n_vocab > self.limits.max_vocab:
            raise AdapterRefused(
                f"adapter of rank {shape.rank} with {shape.n_vocab} symbols: the slots take rank "
                f"{self.limits.max_rank} and {self.limits.max_vocab} symbols at most"
            )
        state = adapter.state_dict()
        for (layer, site), tensors in self._blocks.items():
            for name, target in tensors.items():
                _fill(target[slot], state.get(f"blocks.{layer}.{site}.{name}"))
        for name, target in self._head.items():
            _fill(target[slot], state[f"head.{name}"])

    def batch(self, slot_index: Tensor) -> AdapterBatch:
        """The adapters of one batch: int64 `[batch]`, the slot of each row."""
        return AdapterBatch(self._blocks, self._head, slot_index)


class AdapterBatch:
    """One batch's adapters: the encoder's `adapt`, then the heads."""

    def __init__(
        self,
        blocks: dict[tuple[int, Site], dict[str, Tensor]],
        head: dict[str, Tensor],
        slot_index: Tensor,
    ) -> None:
        """See `BottleneckSlots.batch`."""
        self._blocks = blocks
        self._head = head
        self._slot_index = slot_index

    def __call__(self, hidden: Tensor, layer: int, site: Site) -> Tensor:
        """Float `[batch, n_frames, d_model]` to the same shape, each row through its own slot."""
        part = {name: value[self._slot_index] for name, value in self._blocks[layer, site].items()}
        normed = _norm(hidden, part["norm.weight"], part["norm.bias"])
        down = torch.baddbmm(part["down.bias"][:, None], normed, part["down.weight"].mT)
        up = torch.baddbmm(part["up.bias"][:, None], F.gelu(down), part["up.weight"].mT)
        return hidden + up

    def log_probs(self, encoded: Encoded, n_vocab: Tensor) -> Tensor:
        """CTC log-probabilities of each row under its own head.

        Args:
            encoded: output of the encoder for this batch.
            n_vocab: int64 `[batch]`, symbols in each row's vocabulary.

        Returns:
            float32 `[batch, n_frames, max_vocab]`; minus infinity beyond a row's vocabulary.
        """
        part = {name: value[self._slot_index] for name, value in self._head.items()}
        normed = _norm(encoded.states, part["norm.weight"], part["norm.bias"])
        logits = torch.baddbmm(
            part["projection.bias"][:, None], normed, part["projection.weight"].mT
        ).float()
        beyond = torch.arange(logits.shape[-1]) >= n_vocab[:, None]
        return logits.masked_fill(beyond[:, None, :], -torch.inf).log_softmax(dim=-1)


def _norm(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    normed = F.layer_norm(hidden, hidden.shape[-1:], eps=NORM_EPS)
    return torch.addcmul(bias[:, None], normed, weight[:, None])


def _fill(target: Tensor, value: Tensor | None) -> None:
    """Copy `value` into the leading corner of `target`, zero elsewhere."""
    target.zero_()
    if value is not None:
        target[tuple(slice(0, size) for size in value.shape)].copy_(value)
