"""The model that learns: a wav2vec 2.0 encoder with the quantiser its targets come from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, Wav2Vec2ForPreTraining
from transformers.utils import logging as transformers_logging

from common.errors import InvalidRequest, ModelNotFound
from speech.base_model import EMBEDDED, find_directory, fingerprint
from speech.features import SAMPLE_RATE_HZ
from speech.wav2vec2.encoder import read_architecture
from speech.wav2vec2.hub_directory import HubModel, write
from transfer.pretraining.chance import seeded
from transfer.pretraining.settings import MASK_FRAMES, PretrainSettings

_QUANTISER = ("quantizer.", "project_q.", "project_hid.")
_MASK = "wav2vec2.masked_spec_embed"
_MASK_PROB_OF_FINE_TUNING = 0.05


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        model: float32 on the CPU, in training mode.
        normalise: whether it hears audio of zero mean and unit variance.
        fingerprint: of all its weights, those that are new as well.
        new: what the checkpoint does not hold and is made new, in words.
        dropped: what it holds and is of no use here, in words.
    """

    model: Wav2Vec2ForPreTraining
    normalise: bool
    fingerprint: str
    new: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def padding_is_masked(self) -> bool:
        """Whether the model is told where rows end.

        As in `transformers`: extractors with layer norms are; those with a group norm were trained
        without, on rows that end in zeros.
        """
        return bool(self.model.config.feat_extract_norm == "layer")


def open_start(settings: PretrainSettings) -> Start:
    """Read the base model; what it lacks of a quantiser is drawn with the run's seed.

    Raises:
        InvalidRequest: it is a Whisper model.
        ModelNotFound: it cannot be read, lacks weights of its encoder, or has no safetensors.
    """
    name = settings.base_model
    directory = _directory(name)
    config, normalise = read_architecture(directory, name)
    dropped = []
    if config.adapter_attn_dim is not None:
        dropped.append("adapters")
        config.adapter_attn_dim = None
    config.apply_spec_augment = True  # else the masks would be passed over
    config.mask_time_prob = settings.mask_prob  # else there would be nothing to put in their place
    if not any(directory.glob("*.safetensors")):
        raise ModelNotFound(
            f"base model {name!r} has no safetensors: panglot models convert CHECKPOINT OUT_DIR"
        )
    try:
        with seeded(settings.seed), _without_report():
            loaded: Any = _ForPreTraining.from_pretrained(
                directory,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # safetensors and transformers raise kinds of their own
        raise ModelNotFound(f"base model {name!r} holds no readable wav2vec2 model") from error
    model, found = loaded
    missing = set(found["missing_keys"])
    if lost := [key for key in missing if not key.startswith(_QUANTISER) and key != _MASK]:
        raise ModelNotFound(f"base model {name!r} has no weights for {sorted(lost)[:3]}")
    new = ["the quantiser"] if any(key.startswith(_QUANTISER) for key in missing) else []
    new += ["the vector in the place of masked frames"] if _MASK in missing else []
    if _has_head(directory):
        dropped.append("the head")
    if settings.freeze_features:
        model.freeze_feature_encoder()
    return Start(model.train(), normalise, fingerprint(model), tuple(new), tuple(dropped))


def write_model(model: Wav2Vec2ForPreTraining, normalise: bool, out: Path) -> None:
    """Write the directory `out` in the hub's layout, in place of another: encoder and quantiser.

    Raises:
        ModelNotFound: it cannot be written.
    """
    config = model.config
    # What transformers fine-tunes with: masks for pre-training would hide half of what is said.
    config.mask_time_prob = _MASK_PROB_OF_FINE_TUNING
    config.mask_time_length = MASK_FRAMES
    preprocessor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": SAMPLE_RATE_HZ,
        "do_normalize": normalise,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": config.feat_extract_norm == "layer",
    }
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    shutil.rmtree(out, ignore_errors=True)
    write(
        HubModel(
            config=config,
            encoder=tensors,
            head={},
            documents={"preprocessor_config.json": preprocessor},
            architecture="Wav2Vec2ForPreTraining",
        ),
        out,
    )


def _directory(name: str) -> Path:
    family = "whisper" if name == EMBEDDED else ""
    directory = Path()
    if not family:
        directory = find_directory(name)
        try:
            family = str(PretrainedConfig.get_config_dict(directory)[0].get("model_type"))
        except OSError as error:
            raise ModelNotFound(f"base model {name!r} has no readable config.json") from error
    if family == "whisper":
        raise InvalidRequest(
            f"{name} is a Whisper model: it was taught with transcripts, from log-mel features, "
            "and has nothing to predict in audio alone; give a wav2vec2 model (XLS-R, XLSR-53, "
            "MMS), or use the audio with panglot self-train"
        )
    if family != "wav2vec2":
        raise ModelNotFound(
            f"base model {name!r} is of the family {family!r:.40}: give a wav2vec2 model (XLS-R, "
            "XLSR-53, MMS)"
        )
    return directory


def _has_head(directory: Path) -> bool:
    architectures = PretrainedConfig.get_config_dict(directory)[0].get("architectures") or []
    return any(
        name.startswith("Wav2Vec2For") and "PreTraining" not in name for name in architectures
    )


@contextmanager
def _without_report() -> Iterator[None]:
    """What is missing is told by the command, in words."""
    before = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


class _ForPreTraining(Wav2Vec2ForPreTraining):
    # What else a checkpoint may hold, and transformers would warn of.
    _keys_to_ignore_on_load_unexpected = [r"adapter_layer", r"^lm_head"]  # noqa: RUF012 theirs
