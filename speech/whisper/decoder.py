"""Whisper's decoder, run for many utterances at once.

`transformers`' modules hold the weights; the forward is ours because its own repeats the encoder's
keys and values for every beam, knows no true length, and copies the past whenever beams change
places. Here all tokens of all utterances are rows of the same linear layers. Attention alone is per
utterance: its rows are queries of one memory, and of one past that holds every token ever fed, of
which each row sees its own forebears. So nothing is copied when a beam is dropped or doubled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from speech.base_model import WhisperBase
from speech.whisper.packed_linear import PackedLinear


class Utterance:
    """What the decoder keeps of one utterance. Grows with every feed; owned by one decoding.

    Attributes:
        keys: of cross-attention, `[n_layers, heads, n_frames, head]`.
        values: likewise.
        n_fed: tokens fed so far; the next one gets this number.
    """

    def __init__(self, keys: Tensor, values: Tensor, n_alignment_heads: int) -> None:
        """Begin without a past."""
        n_layers, heads, n_frames, head = keys.shape
        self.keys = keys
        self.values = values
        self.n_fed = 0
        self._past = keys.new_empty(n_layers, 2, 0, heads, head)
        self._looks = keys.new_empty(0, n_alignment_heads, n_frames)

    def reserve(self, n_token: int) -> None:
        """Make room for that many tokens more."""
        needed = self.n_fed + n_token
        if needed > self._past.shape[2]:
            room = max(64, needed + needed // 2)
            self._past = _widened(self._past, 2, room, self.n_fed)
            self._looks = _widened(self._looks, 0, room, self.n_fed)

    def remember(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add `[n_token, heads, head]` to a layer's past; all of it, `[1, heads, n, head]`."""
        last = self.n_fed + len(keys)
        past = self._past[layer, :, :last]
        past[0, self.n_fed :] = keys
        past[1, self.n_fed :] = values
        return past[:1].transpose(1, 2), past[1:].transpose(1, 2)

    def look(self, head: int, weights: Tensor) -> None:
        """Keep what alignment heads, from `head` on, saw: `[n_heads, n_token, n_frames]`."""
        n_heads, n_token, _ = weights.shape
        kept = self._looks[self.n_fed : self.n_fed + n_token, head : head + n_heads]
        kept.copy_(weights.transpose(0, 1))

    def attention(self, tokens: Sequence[int]) -> Tensor:
        """How strongly each fed token, by its number, looked at each frame.

        The mean over the model's alignment heads, normalised over tokens and smoothed over frames
        as in openai/whisper `timing.py`.

        Returns:
            float32 `[n_token, n_frames]`.
        """
        heads = self._looks[list(tokens)].float().transpose(0, 1)
        heads = (heads - heads.mean(dim=1, keepdim=True)) / (heads.std(dim=1, keepdim=True) + 1e-6)
        padded = F.pad(heads, (3, 3), mode="replicate")
        return padded.unfold(-1, 7, 1).median(dim=-1).values.mean(dim=0)


@dataclass(frozen=True)
class Feed:
    """Tokens of one utterance for the next forward.

    Attributes:
        utterance: whose they are.
        tokens: for each beam the tokens to add, of the same number each.
        seen: for each beam the numbers of its tokens in the past, of the same number each.
    """

    utterance: Utterance
    tokens: Sequence[Sequence[int]]
    seen: Sequence[Sequence[int]]

    @property
    def n_row(self) -> int:
        """Tokens in all; they are numbered from `utterance.n_fed` on, beam by beam."""
        return len(self.tokens) * len(self.tokens[0])


class WhisperDecoderRunner:
    """Decoder steps over a shared encoder output."""

    def __init__(self, model: WhisperBase) -> None:
        """Copy the weights as they are, so cast the model and move it before."""
        decoder: Any = model.whisper.model.decoder
        self._n_heads = int(model.whisper.config.decoder_attention_heads)
        self._tokens: Tensor = decoder.embed_tokens.weight
        self._positions: Tensor = decoder.embed_positions.weight
        self._norm = decoder.layer_norm
        self._vocabulary = PackedLinear(self._tokens)
        heads = model.generation.to_dict().get("alignment_heads") or ()
        self._layers: list[_Layer] = []
        self._n_alignment_heads = 0
        for index, module in enumerate(decoder.layers):
            chosen = [int(head) for layer, head in heads if layer == index]
            self._layers.append(_Layer(module, chosen, self._n_alignment_heads, self.device))
            self._n_alignment_heads += len(chosen)
        crossed = [layer.encoder_attn for layer in decoder.layers]
        self._memory = _fused([part for x in crossed for part in (x.k_proj, x.v_proj)])
        # Few rows at a time: on a CPU, attention in bf16 loses more in conversions than it wins.
        on_cpu = self.device.type == "cpu"
        self._attention_dtype = torch.float32 if on_cpu else self._tokens.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are, and everything fed must be."""
        return self._tokens.device

    def utterance(self, states: Tensor) -> Utterance:
        """Prepare one utterance, float `[n_frames, d_model]` of the weights' dtype."""
        n_frames, width = states.shape
        shape = (n_frames, len(self._layers), 2, self._n_heads, width // self._n_heads)
        memory = self._memory(states).view(shape).permute(2, 1, 3, 0, 4)
        memory = memory.to(self._attention_dtype, memory_format=torch.contiguous_format)
        return Utterance(memory[0], memory[1], self._n_alignment_heads)

    def step(self, feeds: Sequence[Feed]) -> Tensor:
        """One forward for all; each utterance appears at most once.

        Returns:
            hidden states `[n_row, d_model]`, feed by feed, beam by beam, token by token.
        """
        tokens = [token for feed in feeds for beam in feed.tokens for token in beam]
        positions = [
            len(seen) + index
            for feed in feeds
            for beam, seen in zip(feed.tokens, feed.seen, strict=True)
            for index in range(len(beam))
        ]
        hidden = self._tokens[torch.tensor(tokens, device=self.device)]
        hidden = hidden + self._positions[torch.tensor(positions, device=self.device)]
        masks = [_visible(feed).to(self.device) for feed in feeds]
        for feed in feeds:
            feed.utterance.reserve(feed.n_row)
        for index, layer in enumerate(self._layers):
            hidden = self._layer(index, layer, hidden, feeds, masks)
        for feed in feeds:
            feed.utterance.n_fed += feed.n_row
        return self._norm(hidden)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 `[n_row, n_vocab]` of hidden states `[n_row, d_model]`."""
        return self._vocabulary(hidden).float()

    def _layer(
        self,
        index: int,
        layer: _Layer,
        hidden: Tensor,
        feeds: Sequence[Feed],
        masks: Sequence[Tensor],
    ) -> Tensor:
        counts = [feed.n_row for feed in feeds]
        heads = (self._n_heads, hidden.shape[1] // self._n_heads)

        projected = layer.query_key_value(layer.self_norm(hidden)).to(self._attention_dtype)
        mixed = []
        for feed, mask, rows in zip(feeds, masks, torch.split(projected, counts), strict=True):
            query, key, value = rows.view(-1, 3, *heads).unbind(1)
            past = feed.utterance.remember(index, key, value)
            mixed.append(_attend(query, *past, mask))
        hidden = hidden + layer.self_out(torch.cat(mixed).to(hidden.dtype))

        projected = layer.cross_query(layer.cross_norm(hidden)).to(self._attention_dtype)
        mixed = []
        for feed, rows in zip(feeds, torch.split(projected, counts), strict=True):
            query = rows.view(-1, *heads)
            keys = feed.utterance.keys[index]
            mixed.append(_attend(query, keys[None], feed.utterance.values[index, None], None))
            if layer.alignment_heads is not None:
                chosen = query.transpose(0, 1)[layer.alignment_heads]
                scores = chosen @ keys[layer.alignment_heads].transpose(1, 2) * heads[1] ** -0.5
                feed.utterance.look(layer.first_alignment_head, scores.softmax(dim=-1))
        hidden = hidden + layer.cross_out(torch.cat(mixed).to(hidden.dtype))

        return hidden + layer.down(layer.up(layer.final_norm(hidden)))


class _Layer:
    """One layer's norms, and its weights as a step wants them."""

    def __init__(
        self, module: Any, alignment_heads: list[int], first: int, device: torch.device
    ) -> None:
        own, cross = module.self_attn, module.encoder_attn
        self.self_norm = module.self_attn_layer_norm
        self.query_key_value = _fused([own.q_proj, own.k_proj, own.v_proj])
        self.self_out = PackedLinear(own.out_proj.weight, own.out_proj.bias)
        self.cross_norm = module.encoder_attn_layer_norm
        self.cross_query = PackedLinear(cross.q_proj.weight, cross.q_proj.bias)
        self.cross_out = PackedLinear(cross.out_proj.weight, cross.out_proj.bias)
        self.final_norm = module.final_layer_norm
        self.up = PackedLinear(module.fc1.weight, module.fc1.bias, gelu=True)
        self.down = PackedLinear(module.fc2.weight, module.fc2.bias)
        self.alignment_heads = (
            torch.tensor(alignment_heads, device=device) if alignment_heads else None
        )
        self.first_alignment_head = first


def _fused(linears: Sequence[Any]) -> PackedLinear:
    """Linear layers of one input, their outputs side by side; Whisper's keys have no bias."""
    weights = [linear.weight for linear in linears]
    biases = [
        linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
        for linear in linears
    ]
    return PackedLinear(torch.cat(weights), torch.cat(biases))


def _visible(feed: Feed) -> Tensor:
    """Which tokens of the past and of this feed each row sees: bool `[n_row, n_fed + n_row]`."""
    n_beam, n_new = len(feed.tokens), len(feed.tokens[0])
    before = torch.zeros(n_beam, feed.utterance.n_fed, dtype=torch.bool)
    if feed.seen[0]:
        before.scatter_(1, torch.tensor(feed.seen), True)
    among = torch.kron(torch.eye(n_beam), torch.ones(n_new, n_new).tril()).bool()
    return torch.cat((before.repeat_interleave(n_new, dim=0), among), dim=1)


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Rows `[n_row, heads, head]` to keys and values `[1, heads, n, head]`: `[n_row, d_model]`."""
    query = query.transpose(0, 1)[None]
    mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    return mixed[0].transpose(0, 1).flatten(1)


def _widened(kept: Tensor, dim: int, room: int, used: int) -> Tensor:
    """`kept` with `room` along `dim`, of which the first `used` are kept."""
    shape = list(kept.shape)
    shape[dim] = room
    wider = kept.new_empty(shape)
    wider.narrow(dim, 0, used).copy_(kept.narrow(dim, 0, used))
    return wider
