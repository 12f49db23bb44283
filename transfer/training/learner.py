"""What learns: an adapter, and in a full fine-tune the upper layers of the encoder as well."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from common.errors import InvalidRequest
from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from speech.encoder import Encoded, SharedEncoder
from speech.wav2vec2.encoder import Wav2Vec2SharedEncoder
from transfer.files import whole
from transfer.training.auxiliary.task import Auxiliary
from transfer.training.examples import Batch, Speech
from transfer.training.processes import Processes
from transfer.training.run import ENCODER, WEIGHTS
from transfer.training.settings import TrainSettings, learning_rate_at

AUXILIARY = "auxiliary."
"""Prefix of the auxiliaries' tensors in a checkpoint."""


class Learner:
    """The encoder, the adapter on it, and the optimiser of what learns of them.

    Attributes:
        encoder: in evaluation mode: none of it is dropped.
        adapter: blocks and head.
        auxiliaries: by name, what learns beside them and is dropped after training.
    """

    def __init__(
        self,
        encoder: SharedEncoder,
        adapter: Adapter,
        settings: TrainSettings,
        auxiliaries: Sequence[Auxiliary] = (),
    ) -> None:
        """Let the adapter learn, and the encoder's layers that `settings` unfreeze."""
        self.encoder = encoder
        self.adapter = adapter
        self.auxiliaries = nn.ModuleDict({task.name: task for task in auxiliaries})
        self._settings = settings
        self._of_encoder = _unfrozen(encoder, settings.unfrozen)
        groups = [{"params": list(adapter.parameters()), "peak": settings.learning_rate}]
        if self._of_encoder:
            peak = settings.encoder_learning_rate
            groups.append({"params": list(self._of_encoder.values()), "peak": peak})
        if beside := list(self.auxiliaries.parameters()):
            groups.append({"params": beside, "peak": settings.learning_rate})
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    @property
    def d_model(self) -> int:
        """Width of the encoder."""
        return self.encoder.d_model

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that learn."""
        return [
            *self.adapter.parameters(),
            *self._of_encoder.values(),
            *self.auxiliaries.parameters(),
        ]

    def hear(self, hidden: Tensor, lengths: Tensor) -> tuple[Encoded, Tensor]:
        """Encoder output and CTC log-probabilities from the input of the first layer that learns.

        Args:
            hidden: float32 `[batch, n_frames, d_model]`, on any device.
            lengths: int64 `[batch]`, frames.

        Returns:
            the output, and float32 `[batch, n_frames, n_vocab]`.
        """
        device = next(self.adapter.parameters()).device
        lengths = lengths.to(device)
        layers = range(self._settings.first_layer, self.encoder.n_layers)
        half = self._settings.precision == "bf16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            hidden = self.encoder.run_layers(hidden.to(device), lengths, self.adapter, layers)
            encoded = Encoded(self.encoder.finish(hidden), lengths)
            return encoded, self.adapter.log_probs(encoded)

    def log_probs(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The log-probabilities of `hear`, and `lengths` beside them, on the same device."""
        encoded, log_probs = self.hear(hidden, lengths)
        return log_probs, encoded.lengths

    def begin(self, heard: Speech, processes: Processes) -> None:
        """Let the auxiliaries look at the training clips, before the first step."""
        for task in self.tasks:
            task.begin(self.hear, heard, self._settings.batch_frames, processes)

    def loss_beside(self, encoded: Encoded, log_probs: Tensor, batch: Batch) -> Tensor | float:
        """The auxiliaries' losses by their weights; 0 without any. Arguments as of their `loss`."""
        return sum(
            task.weight * task.loss(encoded, log_probs.detach(), batch) for task in self.tasks
        )

    def weights(self) -> dict[str, Tensor]:
        """All that learn, by name; those of the encoder after `ENCODER`, of others `AUXILIARY`."""
        beside = self.auxiliaries.state_dict(prefix=AUXILIARY)
        return self.adapter.state_dict() | self._encoder_weights() | beside

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` returned."""
        own = self.weights()
        for name, value in weights.items():
            own[name].copy_(value)

    def write(self, run: Path) -> None:
        """Write the weights into the run's folder, as the best so far.

        Raises:
            InvalidRequest: they are not finite in half precision, in which adapters are published.
            StoreUnavailable: the folder cannot be written.
        """
        served = self.adapter.plain() | self._encoder_weights()
        weights = {name: value.cpu().contiguous() for name, value in served.items()}
        if not all(value.half().isfinite().all() for value in weights.values()):
            raise InvalidRequest(
                "the weights have grown beyond what half precision holds: lower --learning-rate"
            )
        with whole(run / WEIGHTS) as file:
            file.write(save(weights))

    def step(self, step: int, total_steps: int, processes: Processes) -> bool:
        """Make one optimiser step of the gradients there are, and forget them.

        Returns:
            False, and nothing is changed, where they are not finite.
        """
        settings = self._settings
        processes.sum_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm)
        finite = bool(torch.isfinite(norm))
        if finite:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate_at(step, total_steps, settings, group["peak"])
            self.optimizer.step()
        self.optimizer.zero_grad()
        return finite

    @property
    def tasks(self) -> list[Auxiliary]:
        """The auxiliaries."""
        return cast(list[Auxiliary], list(self.auxiliaries.values()))

    def _encoder_weights(self) -> dict[str, Tensor]:
        return {
            f"{ENCODER}{name}": parameter.detach() for name, parameter in self._of_encoder.items()
        }


def encoder_to_learn(
    base: BaseModel, settings: TrainSettings, device: torch.device
) -> SharedEncoder:
    """The encoder of `base` on `device`; a copy where some of it will change.

    Raises:
        InvalidRequest: it has fewer layers than `settings` name, is narrower than their rank, or is
            not one to fine-tune.
    """
    encoder = base.encoder
    if settings.last_layer >= encoder.n_layers:
        raise InvalidRequest(
            f"layer {settings.last_layer + 1} was asked for: the encoder of {base.name} has "
            f"{encoder.n_layers} layers"
        )
    if settings.rank > encoder.d_model:
        raise InvalidRequest(
            f"rank {settings.rank} was asked for: the encoder of {base.name} is {encoder.d_model} "
            "wide, and a bottleneck is no wider"
        )
    if settings.unfrozen:
        if not isinstance(encoder, Wav2Vec2SharedEncoder):
            raise InvalidRequest(
                f"{base.name} is a Whisper model, which is not fine-tuned here: its decoder, which "
                "serves all other languages, would hear by a changed encoder; train an adapter, or "
                "give a wav2vec2 model with --base"
            )
        encoder = copy.deepcopy(encoder)
    return encoder.to(device).eval()


def _unfrozen(encoder: SharedEncoder, layers: tuple[int, ...]) -> dict[str, nn.Parameter]:
    """Parameters of these layers and of the norm above them, by name, made to learn."""
    if not layers:
        return {}
    assert isinstance(encoder, Wav2Vec2SharedEncoder)
    prefixes = tuple(f"encoder.layers.{layer}." for layer in layers)
    if encoder.stable:
        prefixes += ("encoder.layer_norm.",)
    found = {
        name: parameter
        for name, parameter in encoder.wav2vec2.named_parameters()
        if name.startswith(prefixes)
    }
    for parameter in found.values():
        parameter.requires_grad_()
    return found
