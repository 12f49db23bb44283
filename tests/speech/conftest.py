"""The real base model, once for all tests that need it, and people's voices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speech.base_model import WhisperBase, load_whisper
from tests.speech.tiny import read_clip, tiny_model

AUDIO = Path(__file__).parent.parent / "audio"

# The matrices here are small: several threads would only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base() -> WhisperBase:
    """Whisper base in float32, as installed. Shared: change nothing in it."""
    return load_whisper()


@pytest.fixture(scope="session")
def tiny() -> WhisperBase:
    """Two layers of random numbers. Shared: change nothing in it."""
    return tiny_model()


@pytest.fixture(scope="session")
def clips() -> dict[str, dict[str, Any]]:
    """What `clips.json` says, by file name."""
    listed = json.loads((AUDIO / "clips.json").read_text(encoding="utf-8"))
    return {clip["file"]: clip for clip in listed}


@pytest.fixture(scope="session")
def clip() -> Callable[[str], Tensor]:
    """Reads a clip by its file name: float32 `[n_samples]` at 16 kHz."""
    return lambda name: read_clip(AUDIO / name)
