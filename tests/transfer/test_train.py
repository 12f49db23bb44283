"""The trainer, on a few noises and an encoder with random weights: seconds, not minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from common.errors import InvalidRequest
from speech.base_model import WhisperBase
from speech.whisper.encoder import WhisperSharedEncoder
from transfer.audio import read_audio, write_flac
from transfer.manifest import Clip
from transfer.run import WEIGHTS, RunRecord
from transfer.settings import TrainSettings, learning_rate_at
from transfer.step import judge
from transfer.train import Source, train
from transfer.vocabulary import vocabulary_of

SETTINGS = TrainSettings(
    rank=8,
    layers=(1,),
    epochs=30,
    learning_rate=1e-2,
    warmup_steps=4,
    batch_s=3.0,
    speeds=(1.0, 1.1),
    time_masks=1,
    feature_dropout=0.0,
    patience=100,
    precision="fp32",
)


@pytest.fixture(scope="module")
def base() -> WhisperBase:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=64,
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    whisper = WhisperForConditionalGeneration(config).requires_grad_(False).eval()
    # As initialised, a convolution lets next to nothing of the sound through.
    for convolution in (whisper.model.encoder.conv1, whisper.model.encoder.conv2):
        convolution.weight.mul_(20.0)
    encoder = WhisperSharedEncoder(whisper.model.encoder)
    return WhisperBase("tiny", "sha256:0", encoder, whisper, Tokenizer(BPE()), GenerationConfig())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Four words, each a chord of its own, once to learn and once to judge by."""
    folder = tmp_path_factory.mktemp("audio")
    time_s = np.arange(16_000) / 16_000
    made = []
    for number, text in enumerate(["ab", "ba", "a b", "b a"]):
        pitch = 2 * np.pi * (number + 1) * time_s
        tone = np.sin(150.0 * pitch) + np.sin(410.0 * pitch)
        path = folder / f"{number}.flac"
        write_flac(path, (0.2 * tone).astype(np.float32))
        made.append(Clip(str(path), text, "en", 1.0, "test", "tone"))
    return made + [replace(clip, split="development") for clip in made]


def test_flac_round_trip(tmp_path: Path) -> None:
    samples = np.linspace(-0.5, 0.5, 4000, dtype=np.float32)
    write_flac(tmp_path / "a.flac", samples)
    read = read_audio(tmp_path / "a.flac")
    assert read.dtype == np.float32
    assert np.abs(read - samples).max() < 1e-4


def test_it_learns_four_clips_by_heart(
    base: WhisperBase, clips: list[Clip], tmp_path: Path
) -> None:
    record = train(
        base, clips, "en", replace(SETTINGS, epochs=80, speeds=(1.0,), time_masks=0), tmp_path
    )
    assert record.development_cer < 0.3
    assert RunRecord.read(tmp_path) == record
    adapter = record.adapter(tmp_path, d_model=32)
    assert adapter.shape.n_vocab == len(vocabulary_of(["ab "]))


def test_a_resumed_run_ends_like_an_unbroken_one(
    base: WhisperBase, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, epochs=4)
    train(base, clips, "en", settings, tmp_path / "unbroken")

    calls = 0

    def broken(*arguments: object) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return judge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("transfer.train.judge", broken)
    with pytest.raises(KeyboardInterrupt):
        train(base, clips, "en", settings, tmp_path / "broken")
    monkeypatch.undo()
    train(base, clips, "en", settings, tmp_path / "broken")

    unbroken = load_file(tmp_path / "unbroken" / WEIGHTS)
    resumed = load_file(tmp_path / "broken" / WEIGHTS)
    for name, value in unbroken.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-6)


def test_a_run_of_another_shape_is_refused(
    base: WhisperBase, clips: list[Clip], tmp_path: Path
) -> None:
    train(base, clips, "en", replace(SETTINGS, epochs=1), tmp_path)
    with pytest.raises(InvalidRequest, match="another folder"):
        train(base, clips, "en", replace(SETTINGS, epochs=1, rank=4), tmp_path)


def test_a_source_gives_its_blocks_and_shared_letters(
    base: WhisperBase, clips: list[Clip], tmp_path: Path
) -> None:
    first = train(base, clips, "en", replace(SETTINGS, epochs=2), tmp_path / "first")
    source = Source("en@1", load_file(tmp_path / "first" / WEIGHTS), first.vocabulary)
    other = [replace(clip, text=clip.text.replace("b", "c")) for clip in clips]
    still = replace(SETTINGS, epochs=1, learning_rate=0.0)
    train(base, other, "en", still, tmp_path / "second", source)
    taken = load_file(tmp_path / "second" / WEIGHTS)
    for name, value in source.weights.items():
        if name == "head.projection.weight":
            assert torch.equal(taken[name][:3], value[:3])  # blank, space, a
            assert not torch.equal(taken[name][3], value[3])  # c is not b
        elif "projection" not in name:
            assert torch.equal(taken[name], value)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    settings = TrainSettings(learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate_at(step, 100, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] == 0.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
