"""Whisper's decoder, run so that all beams of an utterance share its encoder output.

`transformers`' modules hold the weights; the forward is ours because its own repeats the encoder's
keys and values for every beam and knows no true length. Here the beams are queries of one
cross-attention, so a step costs the same memory for one beam as for five.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from speech.base_model import BaseModel


@dataclass(frozen=True)
class Memory:
    """An utterance for cross-attention: keys, values per layer, `[1, heads, n_frames, head]`."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    n_frames: int


@dataclass(frozen=True)
class Past:
    """Self-attention's keys and values so far, per layer `[n_beam, heads, n_token, head]`."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def select(self, beams: Tensor) -> Past:
        """The past of the given beams, int64 `[n_beam]`, in that order."""
        return Past(
            tuple(key[beams] for key in self.keys), tuple(value[beams] for value in self.values)
        )


class WhisperDecoderRunner:
    """Decoder steps over a shared encoder output."""

    def __init__(self, model: BaseModel) -> None:
        """Share the model's weights; nothing is copied."""
        self._decoder: Any = model.whisper.model.decoder
        self._n_heads = int(model.whisper.config.decoder_attention_heads)
        heads = model.generation.to_dict().get("alignment_heads") or ()
        self._alignment_heads = [(int(layer), int(head)) for layer, head in heads]

    def memory(self, states: Tensor) -> Memory:
        """Prepare one utterance, float `[n_frames, d_model]`, for cross-attention."""
        layers = [layer.encoder_attn for layer in self._decoder.layers]
        return Memory(
            tuple(self._split(layer.k_proj(states[None])) for layer in layers),
            tuple(self._split(layer.v_proj(states[None])) for layer in layers),
            len(states),
        )

    def step(self, tokens: Tensor, memory: Memory, past: Past | None) -> tuple[Tensor, Past]:
        """Feed further tokens.

        Args:
            tokens: int64 `[n_beam, n_token]`; more than one token only while there is no past.
            memory: the utterance all beams belong to.
            past: what was fed before, or None.

        Returns:
            logits float32 `[n_beam, n_token, n_vocab]`, and the past with these tokens in it.
        """
        hidden, past = self._run(tokens, memory, past, weights=None)
        return F.linear(hidden, self._decoder.embed_tokens.weight).float(), past

    def attention(self, tokens: Tensor, memory: Memory) -> Tensor:
        """How strongly each token looked at each frame: float32 `[n_token, n_frames]`.

        The mean over the model's alignment heads, normalised over tokens and smoothed over frames
        as in openai/whisper `timing.py`.
        """
        weights: list[Tensor] = []
        self._run(tokens[None], memory, None, weights)
        heads = torch.stack(weights).float()
        heads = (heads - heads.mean(dim=1, keepdim=True)) / (heads.std(dim=1, keepdim=True) + 1e-6)
        padded = F.pad(heads, (3, 3), mode="replicate")
        return padded.unfold(-1, 7, 1).median(dim=-1).values.mean(dim=0)

    def _run(
        self, tokens: Tensor, memory: Memory, past: Past | None, weights: list[Tensor] | None
    ) -> tuple[Tensor, Past]:
        n_past = past.keys[0].shape[2] if past else 0
        n_token = tokens.shape[1]
        hidden = self._decoder.embed_tokens(tokens)
        hidden = hidden + self._decoder.embed_positions.weight[n_past : n_past + n_token]
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for index, layer in enumerate(self._decoder.layers):
            normed = layer.self_attn_layer_norm(hidden)
            key = self._split(layer.self_attn.k_proj(normed))
            value = self._split(layer.self_attn.v_proj(normed))
            if past:
                key = torch.cat((past.keys[index], key), dim=2)
                value = torch.cat((past.values[index], value), dim=2)
            keys.append(key)
            values.append(value)
            query = self._split(layer.self_attn.q_proj(normed))
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=n_token > 1)
            hidden = hidden + layer.self_attn.out_proj(_merge(mixed))

            normed = layer.encoder_attn_layer_norm(hidden)
            query = self._split(layer.encoder_attn.q_proj(normed).reshape(1, -1, hidden.shape[-1]))
            if weights is not None:
                scores = query @ memory.keys[index].transpose(-1, -2) * query.shape[-1] ** -0.5
                weights += [
                    scores[0, head].softmax(dim=-1)
                    for chosen, head in self._alignment_heads
                    if chosen == index
                ]
            mixed = F.scaled_dot_product_attention(query, memory.keys[index], memory.values[index])
            hidden = hidden + layer.encoder_attn.out_proj(_merge(mixed)).view_as(hidden)

            normed = layer.final_layer_norm(hidden)
            hidden = hidden + layer.fc2(F.gelu(layer.fc1(normed)))
        return self._decoder.layer_norm(hidden), Past(tuple(keys), tuple(values))

    def _split(self, hidden: Tensor) -> Tensor:
        batch, n_token, width = hidden.shape
        return hidden.view(batch, n_token, self._n_heads, width // self._n_heads).transpose(1, 2)


def _merge(mixed: Tensor) -> Tensor:
    return mixed.transpose(1, 2).flatten(2)
