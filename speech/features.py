"""Log-mel features, as Whisper was trained on them, of the audio's true length."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160
_WINDOW_SAMPLES = 400


def log_mel(audio: Tensor, n_mels: int = 80) -> Tensor:
    """Log-mel spectrogram of one utterance.

    Same as `transformers.WhisperFeatureExtractor` without its padding to 30 s: Hann window of
    25 ms every 10 ms, Slaney mel scale, log10 clamped to 8 below the utterance's maximum.

    Args:
        audio: float32 `[n_samples]` at 16 kHz, at least 25 ms of it.

    Returns:
        float32 `[n_mels, n_samples // 160]`.
    """
    window = torch.hann_window(_WINDOW_SAMPLES, device=audio.device)
    spectrum = torch.stft(
        audio, _WINDOW_SAMPLES, HOP_SAMPLES, window=window, return_complex=True, pad_mode="reflect"
    )
    power = spectrum[:, :-1].abs() ** 2
    mel = (_filters(n_mels).to(audio.device) @ power).clamp(min=1e-10).log10()
    mel = torch.maximum(mel, mel.max() - 8.0)
    return (mel + 4.0) / 4.0


def pad_batch(features: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack features of different lengths.

    Returns:
        float32 `[batch, n_mels, max_frames]`, zero beyond each row's end, and int64 `[batch]` the
        frames of each row.
    """
    lengths = torch.tensor([feature.shape[-1] for feature in features])
    longest = int(lengths.max())
    return torch.stack([F.pad(x, (0, longest - x.shape[-1])) for x in features]), lengths


@cache
def _filters(n_mels: int) -> Tensor:
    bank = mel_filter_bank(
        num_frequency_bins=_WINDOW_SAMPLES // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE_HZ / 2,
        sampling_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank.T).to(torch.float32)
