"""The seam: a second loss on what the encoder makes of a batch.

Its parameters learn with the adapter and lie in the checkpoint. They are dropped after training:
what is published is an adapter like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from speech.encoder import Encoded
from transfer.training.examples import Batch, Speech
from transfer.training.processes import Processes

Hear = Callable[[Tensor, Tensor], tuple[Encoded, Tensor]]
"""`Learner.hear`: hidden states and lengths to encoder output and CTC log-probabilities."""


class Auxiliary(nn.Module, ABC):
    """A task beside the letters.

    Attributes:
        name: in the checkpoint, and of the setting that holds the weight.
        weight: of its loss beside the CTC loss.
        told: what it is, for people to read.
    """

    name: str
    weight: float
    told: str

    def begin(self, hear: Hear, heard: Speech, frames: int, processes: Processes) -> None:
        """Look at the training clips once, before the first step; not when a run goes on.

        Args:
            hear: the learner as it begins.
            heard: the training clips.
            frames: in a batch.
            processes: those that train together; what is learned here must be the same in all.
        """

    @abstractmethod
    def loss(self, encoded: Encoded, log_probs: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch, in nats per frame or symbol.

        Args:
            encoded: what the encoder with the adapter makes of the batch; gradients flow into it.
            log_probs: float32 `[batch, n_frames, n_vocab]`, what the head says of it, detached.
            batch: targets and texts.
        """
