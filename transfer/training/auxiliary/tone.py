"""A tone head: which tones were said, for languages where tone tells words apart.

CTC over the tones of the text, by a linear head on the encoder's output. Letters alone make a model
that ignores pitch where the next letters settle the word; the second task does not let it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InvalidRequest
from speech.encoder import Encoded
from transfer.phonemes.tones import ToneReader
from transfer.training.auxiliary.task import Auxiliary
from transfer.training.examples import Batch


class ToneHead(Auxiliary):
    """CTC over tones; class 0 is the blank."""

    name = "tone"

    def __init__(
        self, reader: ToneReader, texts: Iterable[str], d_model: int, weight: float
    ) -> None:
        """Read the tones of the training texts, once.

        Raises:
            InvalidRequest: the texts hold fewer than two tones.
        """
        super().__init__()
        self.weight = weight
        classes = {name: number for number, name in enumerate(reader.names, start=1)}
        self._tones = {
            text: [classes[tone] for word in reader.read(text) for tone in word] for text in texts
        }
        if len({tone for tones in self._tones.values() for tone in tones}) < 2:
            raise InvalidRequest(
                "the training texts tell no two tones apart: write them with their tones, or leave "
                "out --tone"
            )
        self.told = f"{len(reader.names)} tones"
        self.norm = nn.LayerNorm(d_model)
        self.projection = nn.Linear(d_model, len(reader.names) + 1)

    def loss(self, encoded: Encoded, log_probs: Tensor, batch: Batch) -> Tensor:
        """CTC loss per tone; a row too short for its tones counts as zero."""
        tones = [torch.tensor(self._tones[text], dtype=torch.long) for text in batch.texts]
        logits = self.projection(self.norm(encoded.states.float()))
        summed = F.ctc_loss(
            logits.log_softmax(dim=-1).transpose(0, 1),
            torch.cat(tones).to(log_probs.device),
            encoded.lengths,
            torch.tensor([len(row) for row in tones], device=log_probs.device),
            reduction="sum",
            zero_infinity=True,
        )
        return summed / max(1, sum(len(row) for row in tones))
