"""What the head learns from, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InvalidRequest
from speech.base_model import load_whisper
from speech.features import SAMPLE_RATE_HZ
from speech.language_id.head import load_head
from transfer.data.manifest import Clip
from transfer.identification.background import background
from transfer.identification.crops import CROP_S, crop, speech_of
from transfer.identification.learn import LearnerSettings, learn, logits_of, temperature_for
from transfer.identification.lesson import Lesson
from transfer.identification.states import Heard, shares
from transfer.identification.train import HeadSettings, folds, train_head
from transfer.progress import no_bars


def clip_of(language: str, source: str, name: str = "a") -> Clip:
    return Clip(f"{language}-{source}-{name}", name, language, 2.0, source, "somebody")


def tone(seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)


def test_silence_around_speech_is_left_out() -> None:
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    heard = speech_of(np.concatenate([silence, tone(1.0), silence]))
    assert len(heard) / SAMPLE_RATE_HZ == pytest.approx(1.0, abs=0.05)
    assert len(speech_of(silence)) == len(silence)


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_can_be_heard_and_is_drawn_anew(seed: int) -> None:
    heard = crop(tone(6.0), np.random.default_rng(seed))
    assert heard.dtype == np.float32
    assert CROP_S[0] - 0.01 <= len(heard) / SAMPLE_RATE_HZ <= CROP_S[1] + 0.01
    assert np.isfinite(heard).all()
    assert 0.0 < np.abs(heard).max() <= 1.0
    assert np.array_equal(heard, crop(tone(6.0), np.random.default_rng(seed)))
    other = crop(tone(6.0), np.random.default_rng(seed + 100))
    assert len(other) != len(heard) or not np.array_equal(other, heard)


def test_a_clip_shorter_than_any_crop_stays_whole() -> None:
    heard = crop(tone(0.3), np.random.default_rng(0))
    assert 0.2 <= len(heard) / SAMPLE_RATE_HZ <= 0.4


@pytest.mark.parametrize("seed", range(30))
def test_backgrounds_of_any_length(seed: int) -> None:
    for n_samples in (1600, 16_001):
        sound = background(n_samples, np.random.default_rng(seed))
        assert sound.shape == (n_samples,)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() <= 1.0


def test_each_language_and_each_of_its_corpora_has_its_share() -> None:
    clips = [clip_of("es", "a")] * 3 + [clip_of("es", "b")] * 50 + [clip_of("ru", "a")] * 7
    found = shares(clips, 100)
    assert sum(found[:3]) == pytest.approx(50, abs=1)
    assert sum(found[3:53]) == pytest.approx(50, abs=1)
    assert sum(found[53:]) == pytest.approx(100, abs=1)


def test_of_each_language_with_several_corpora_one_is_left_out() -> None:
    clips = [clip_of("es", "a"), clip_of("es", "b"), clip_of("ru", "b"), clip_of("ru", "a")]
    assert folds([*clips, clip_of("it", "a")]) == [("es:a", "ru:a"), ("es:b", "ru:b")]
    assert folds([clip_of("it", "a")]) == []


def lesson(clips: list[Clip], owners: list[int]) -> Lesson:
    chance = torch.Generator().manual_seed(0)
    states = torch.randn(len(owners), 4, generator=chance)
    heard = Heard(states, torch.zeros(len(owners), 5), torch.tensor(owners))
    return Lesson(heard, clips, ("es", "ru", "be", "zh"))


def test_a_corpus_can_be_left_out() -> None:
    clips = [clip_of("es", "a"), clip_of("ru", "a"), clip_of("ru", "b")]
    made = lesson(clips, [0, 1, 2, 2, -1])
    rest = made.without(("ru:b",))
    assert rest.truth.tolist() == [0, 1, 4]
    torch.testing.assert_close(rest.heard.states, made.heard.states[[0, 1, 4]])
    alone = made.of(("ru:b",))
    assert alone.truth.tolist() == [1, 1]
    torch.testing.assert_close(alone.heard.states, made.heard.states[[2, 3]])


def learnable(n_crops: int, seed: int) -> Lesson:
    """Crops whose language is in their states; the model itself takes `ru` for `zh`."""
    chance = torch.Generator().manual_seed(seed)
    clips = [clip_of("es", "a"), clip_of("ru", "a")]
    owners = torch.randint(-1, 2, (n_crops,), generator=chance)
    states = torch.randn(n_crops, 8, generator=chance)
    states[torch.arange(n_crops), owners] += 4
    logits = torch.zeros(n_crops, 5)
    logits[owners == 0, 0] = 1.0
    logits[owners == 1, 3] = 1.0
    return Lesson(Heard(states, logits, owners), clips, ("es", "ru", "be", "zh"))


SETTINGS = LearnerSettings(ridge=1e-4, steps=150, learning_rate=0.03)


def test_a_head_learns_and_the_same_seed_learns_the_same() -> None:
    judge = learnable(200, 1)
    first, second = (learn(learnable(600, 0), SETTINGS, 5) for _ in range(2))
    right = logits_of(first, judge).argmax(dim=1) == judge.truth
    assert right.float().mean() > 0.9
    torch.testing.assert_close(first.weight, second.weight, atol=0, rtol=0)


def test_a_heavy_ridge_leaves_the_model_as_it_is() -> None:
    heavy = replace(SETTINGS, ridge=1e4)
    head = learn(learnable(600, 0), heavy, 5)
    assert head.weight[:-1].abs().max() < 1e-3


def test_an_overconfident_model_is_cooled() -> None:
    chance = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 2, (4000,), generator=chance)
    wrong = torch.rand(4000, generator=chance) < 0.1
    said = torch.where(wrong, 1 - truth, truth)
    logits = torch.nn.functional.one_hot(said, 2) * 10.0
    # Right nine times in ten: the log odds are 2.2.
    assert temperature_for(logits, truth) == pytest.approx(10 / 2.197, rel=0.05)


def test_the_command_writes_a_head_that_the_service_takes(tmp_path: Path) -> None:
    """On crops that are kept already: two corpora of `es`, one of `ru`."""
    base = load_whisper()
    clips = [clip_of("es", "a"), clip_of("es", "b"), clip_of("ru", "a")]
    n_crops, d_model = 60, base.encoder.d_model
    heard = Heard(
        torch.randn(n_crops, d_model), torch.randn(n_crops, 100), torch.arange(60) % 4 - 1
    )
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    np.savez(
        run / "train-100-1.npz",
        states=heard.states.numpy(),
        logits=heard.logits.numpy(),
        clips=heard.clips.numpy(),
    )
    told: list[str] = []
    settings = HeadSettings(100, replace(SETTINGS, steps=5))
    card = train_head(base, clips, settings, run, out, no_bars, told.append)
    assert card.training["temperature_on"] == "speakers left out"
    assert [line.partition(":")[0] for line in told] == ["without es", "without es"]
    head, read = load_head(out, base)
    assert (read.languages, read.temperature) == (card.languages, card.temperature)
    assert head.weight.shape == (100, d_model)
    assert load_head(run / "es:a", base)[0].weight.shape == (100, d_model)


def test_what_cannot_be_learned_is_said(tmp_path: Path) -> None:
    base = load_whisper()

    def train(*clips: Clip) -> None:
        train_head(base, clips, HeadSettings(), tmp_path, tmp_path, no_bars, print)

    with pytest.raises(InvalidRequest, match="'tlh' is no language"):
        train(clip_of("tlh", "a"))
    with pytest.raises(InvalidRequest, match="no clips to learn from"):
        train()
