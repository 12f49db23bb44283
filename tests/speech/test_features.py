"""Features are those Whisper was trained on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import WhisperFeatureExtractor

from speech.features import SAMPLE_RATE_HZ, log_mel, pad_batch
from tests.speech.tiny import noise


@pytest.mark.parametrize("n_mels", [80, 128])
def test_thirty_seconds_equal_the_reference(clip: Callable[[str], Tensor], n_mels: int) -> None:
    audio = clip("switch-en-it-fr.flac")
    audio = F.pad(audio, (0, 30 * SAMPLE_RATE_HZ - len(audio)))
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    expected = extractor(audio.numpy(), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
    found = log_mel(audio, n_mels)
    assert found.shape == (n_mels, 3000)
    assert torch.allclose(found, expected.input_features[0], atol=1e-4)


@pytest.mark.parametrize("n_samples", [201, 400, 799, 800, 16_001])
def test_length_is_that_of_the_audio(n_samples: int) -> None:
    features = log_mel(noise(n_samples))
    assert features.shape == (80, n_samples // 160)
    assert features.isfinite().all()


def test_silence_is_finite() -> None:
    assert log_mel(torch.zeros(8000)).isfinite().all()


def test_a_batch_is_zero_beyond_each_row() -> None:
    rows = [torch.ones(2, 3), torch.ones(2, 5)]
    features, lengths = pad_batch(rows)
    assert lengths.tolist() == [3, 5]
    assert features[0].tolist() == [[1, 1, 1, 0, 0]] * 2
    assert features[1].tolist() == [[1] * 5] * 2
