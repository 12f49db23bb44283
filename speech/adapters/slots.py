"""Steps 7 and 8: many adapters side by side, each row of a batch through its own.

    s = slot_index[b]
    out[b] = x[b] + act(norm(x[b]) @ down[s] + e[s]) @ up[s] + f[s]

For each kind one preallocated tensor holds all slots: a slot is one contiguous row of it, so that
an adapter arrives in a single copy, and every parameter is a view `[slots, …]` of it. Slot 0 is the
identity and stays so: rows without an adapter (universal path), and in a kind's tensor the rows
whose adapter is of another kind, use it. After Punica's batched LoRA (Chen et al., 2023), gathered
rather than segmented: at these ranks the gather is small beside the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import AdapterRefused
from speech.adapters.kinds import KINDS, NORM_EPS, AdapterKind, AdapterShape
from speech.adapters.packing import Layout
from speech.encoder import Encoded, SharedEncoder, Site
from speech.precision import Placement

NO_ADAPTER = 0
"""The slot that changes nothing."""


@dataclass(frozen=True)
class SlotLimits:
    """What the slots were made for.

    Attributes:
        n_slot: adapters that fit at once, of all kinds together.
        max_rank, max_vocab: the widest bottleneck and head that fit.
    """

    n_slot: int
    max_rank: int = 64
    max_vocab: int = 128


class AdapterSlots:
    """The adapters that can be served now, in the memory of the encoder's device."""

    def __init__(
        self,
        limits: SlotLimits,
        encoder: SharedEncoder,
        placement: Placement,
    ) -> None:
        """Make `limits.n_slot` slots for adapters of `encoder`, all of them the identity.

        The memory of a kind is taken when the first adapter of that kind comes.
        """
        self.limits = limits
        self._device = placement.device
        self._layouts: dict[str, Layout] = {
            kind.name: Layout.of(
                kind,
                encoder.d_model,
                encoder.n_layers,
                limits.max_rank,
                limits.max_vocab,
                placement.dtype,
            )
            for kind in KINDS.values()
        }
        self._tables: dict[str, Tensor] = {}
        self._held: dict[int, AdapterShape] = {}
        # Copies run beside the batches; a batch never waits for an adapter it does not use.
        self._stream: torch.cuda.Stream | None = None
        if self._device.type == "cuda":
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def pack(self, shape: AdapterShape, tensors: dict[str, Tensor]) -> Tensor:
        """An adapter in host memory as its slot will hold it; pinned where slots are on a GPU.

        Args:
            shape: of the adapter.
            tensors: as `shape.tensors()` names and sizes them.

        Returns:
            `[n_parameter]` in the slots' dtype, for `write`.

        Raises:
            AdapterRefused: wider, deeper or with a larger vocabulary than the slots were made for.
        """
        packed = self._layouts[shape.kind.name].pack(shape, tensors)
        return packed.pin_memory() if self._stream is not None else packed

    def write(self, slot: int, shape: AdapterShape, packed: Tensor) -> None:
        """Put a packed adapter into `slot` (1 to `n_slot`); no row of a batch may use that slot.

        Raises:
            AdapterRefused: there is no memory for the first adapter of a kind.
        """
        table = self._table(shape.kind.name)
        if self._stream is None:
            table[slot].copy_(packed)
        else:
            with torch.cuda.stream(self._stream):
                table[slot].copy_(packed, non_blocking=True)
            self._stream.synchronize()
        self._held[slot] = shape

    def batch(self, slot_index: Sequence[int]) -> AdapterBatch:
        """The adapters of one batch: the slot of each row."""
        held = [None if slot == NO_ADAPTER else self._held[slot] for slot in slot_index]
        present = {shape.kind.name for shape in held if shape is not None}
        kinds = [name for name in self._layouts if name in present]
        groups = tuple(
            _Group(
                self._layouts[name],
                self._tables[name],
                [
                    (slot, shape) if shape is not None and shape.kind.name == name else None
                    for slot, shape in zip(slot_index, held, strict=True)
                ],
            )
            for name in kinds
        )
        return AdapterBatch(groups, len(slot_index))

    def _table(self, kind: str) -> Tensor:
        if kind not in self._tables:
            layout = self._layouts[kind]
            n_row = self.limits.n_slot + 1
            try:
                # Whoever came first, it can be written from everywhere.
                with torch.inference_mode(False):
                    table = torch.zeros(n_row, layout.size, dtype=layout.dtype, device=self._device)
            except RuntimeError as error:
                n_bytes = n_row * layout.size * layout.dtype.itemsize
                raise AdapterRefused(
                    f"no memory for {self.limits.n_slot} slots of kind {kind!r} "
                    f"({n_bytes / 2**30:.1f} GiB): set PANGLOT_WORKER_SLOTS lower"
                ) from error
            self._tables[kind] = table
        return self._tables[kind]


class AdapterBatch:
    """One batch's adapters: the encoder's `adapt`, then the heads."""

    def __init__(self, groups: tuple[_Group, ...], n_row: int) -> None:
        """See `AdapterSlots.batch`."""
        self._groups = groups
        self._n_row = n_row

    def __call__(self, hidden: Tensor, layer: int, site: Site) -> Tensor:
        """Float `[batch, n_frames, d_model]` to the same shape, each row through its own slot."""
        for group in self._groups:
            hidden = group.adapt(hidden, layer, site)
        return hidden

    def log_probs(self, encoded: Encoded) -> Tensor:
        """CTC log-probabilities of each row under its own head.

        Returns:
            float32 `[batch, n_frames, n_vocab]` with the largest vocabulary of the batch; minus
            infinity beyond a row's own, and throughout where a row has no adapter.
        """
        n_vocab = max((group.n_vocab for group in self._groups), default=0)
        shape = (self._n_row, encoded.states.shape[1], n_vocab)
        found = torch.full(shape, -torch.inf, device=encoded.states.device)
        for group in self._groups:
            found[group.rows, :, : group.n_vocab] = group.log_probs(encoded.states)
        return found


class _Group:
    """The rows of a batch whose adapters are of one kind."""

    def __init__(
        self, layout: Layout, table: Tensor, members: list[tuple[int, AdapterShape] | None]
    ) -> None:
        self._layout = layout
        self._kind: AdapterKind = layout.kind
        self._table = table
        present = [member for member in members if member is not None]
        device = table.device
        slots = [NO_ADAPTER if member is None else member[0] for member in members]
        self._slot_index = torch.tensor(slots, device=device)
        rows = [row for row, member in enumerate(members) if member is not None]
        self.rows = torch.tensor(rows, device=device)
        self._layers = frozenset(layer for _, shape in present for layer in shape.layers)
        self._n_vocab = torch.tensor([shape.n_vocab for _, shape in present], device=device)
        self.n_vocab = max(shape.n_vocab for _, shape in present)

    def adapt(self, hidden: Tensor, layer: int, site: Site) -> Tensor:
        # Where no row has a block there is nothing to gather.
        if layer not in self._layers or site not in self._kind.sites:
            return hidden
        part = self._layout.block(self._table, self._slot_index, layer, site)
        down = torch.baddbmm(part["down.bias"][:, None], _norm(hidden), part["down.weight"].mT)
        active = self._kind.activation(down)
        return torch.baddbmm(hidden, active, part["up.weight"].mT).add_(part["up.bias"][:, None])

    def log_probs(self, states: Tensor) -> Tensor:
        """float32 `[n_member, n_frames, n_vocab]`."""
        part = self._layout.head(self._table, self._slot_index[self.rows], self.n_vocab)
        if len(self.rows) < len(states):
            states = states[self.rows]
        if self._kind.head_norm:
            states = _norm(states)
        bias = part["projection.bias"][:, None]
        logits = torch.baddbmm(bias, states, part["projection.weight"].mT).float()
        beyond = torch.arange(self.n_vocab, device=logits.device) >= self._n_vocab[:, None]
        return logits.masked_fill(beyond[:, None, :], -torch.inf).log_softmax(dim=-1)


def _norm(hidden: Tensor) -> Tensor:
    # Without scale and shift: those are in the projection that follows.
    return F.layer_norm(hidden, hidden.shape[-1:], eps=NORM_EPS)
