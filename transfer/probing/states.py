"""What an encoder makes of clips at every layer, computed once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from common.errors import InvalidRequest
from speech.encoder import SharedEncoder
from transfer.data.audio import Samples
from transfer.data.manifest import Clip
from transfer.progress import Bars
from transfer.training.examples import LowerLayers, Speech, bytes_kept, listen
from transfer.training.subset import minutes_of

MOST_GB = 8.0
"""What hidden states may take in memory: 10 minutes through 48 layers of width 1280 take 3."""


class EveryLayer(LowerLayers):
    """The encoder up to `first_layer`, its state kept at each height.

    Height 0 is what the convolutions make, the input of layer 1; height `n` the output of layer n.
    """

    @torch.inference_mode()
    def __call__(self, samples: Samples) -> Tensor:
        """Hidden states of one clip, float16 `[n_frames, n_heights, d_model]` on the CPU."""
        device = next(self.encoder.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.half):
            hidden, lengths = self.encoder.subsample(*self.features(samples))
            heights = [hidden]
            for layer in range(self.first_layer):
                hidden = self.encoder.run_layers(hidden, lengths, layers=range(layer, layer + 1))
                heights.append(hidden)
        return torch.cat(heights).transpose(0, 1).to("cpu", torch.float16)


def hear(
    encoder: SharedEncoder,
    training: Sequence[Clip],
    development: Sequence[Clip],
    vocabulary: Sequence[str],
    half: bool,
    bars: Bars,
) -> tuple[Speech, Speech]:
    """Both splits at every height; batches of them hold `[batch, n_frames, n_heights, d_model]`.

    Args:
        encoder: where it is to run.
        training, development: audio paths absolute.
        vocabulary: symbol of each CTC class.
        half: compute in bfloat16.
        bars: shows progress.

    Raises:
        InvalidRequest: what it makes of the clips does not fit in memory.
    """
    width = (encoder.n_layers + 1) * encoder.d_model
    needed_gb = bytes_kept([*training, *development], 1, width) / 1e9
    if needed_gb > MOST_GB:
        minutes = minutes_of(training) * MOST_GB / needed_gb
        raise InvalidRequest(
            f"{encoder.n_layers} layers of {minutes_of(training):.0f} minutes take "
            f"{needed_gb:.0f} GB of memory, where {MOST_GB:g} are allowed: give --minutes of at "
            f"most {max(1.0, 0.8 * minutes):.0f}"
        )
    every_layer = EveryLayer(encoder, encoder.n_layers, half)
    advance = bars("hearing clips", len(training) + len(development))
    heard = listen(every_layer, training, vocabulary, advance=advance)
    return heard, listen(every_layer, development, vocabulary, advance=advance)
