"""Strategies by hours of speech, and parts of a manifest."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_args

import pytest

from common.errors import InvalidRequest
from transfer.data.manifest import Clip
from transfer.training import options
from transfer.training.settings import TrainSettings
from transfer.training.strategy import LEVELS, Family, LevelName, choose
from transfer.training.subset import minutes_of, subset

CLIPS = [
    Clip(f"somewhere/{number}.flac", f"text {number}", "it", 2.0 + number % 7, "test", "one")
    for number in range(200)
]
JUDGED = [replace(clip, split="development") for clip in CLIPS[:10]]


@pytest.mark.parametrize(
    ("hours", "level"),
    [
        (0.0, "zero-shot"),
        (1 / 60, "few-shot"),
        (0.99, "few-shot"),
        (1.0, "low"),
        (9.99, "low"),
        (10.0, "medium"),
        (99.9, "medium"),
        (100.0, "high"),
        (5000.0, "high"),
    ],
)
@pytest.mark.parametrize("family", get_args(Family))
def test_the_level_goes_by_hours(hours: float, level: str, family: Family) -> None:
    strategy = choose(hours, family, 24)
    assert strategy.level == level
    assert all(choice.why for choice in strategy.choices)


@pytest.mark.parametrize(
    ("minutes", "epochs"), [(1, 100), (3.3, 100), (5, 80), (12, 33), (22, 20), (45, 20)]
)
def test_minutes_are_taught_by_steps_in_short_batches(minutes: float, epochs: int) -> None:
    settings = choose(minutes / 60, "whisper", 6).settings
    patience = max(10, epochs // 2)
    assert settings == TrainSettings(epochs=epochs, patience=patience, batch_s=10.0)
    longer = choose(minutes / 60, "whisper", 6, given={"batch_s": 20.0}).settings
    assert settings.epochs <= longer.epochs <= 2 * settings.epochs + 1


@pytest.mark.parametrize(
    ("hours", "family", "n_layers", "first", "rank", "accumulation"),
    [
        (0.5, "whisper", 12, 4, 64, 1),
        (0.5, "whisper", 32, 10, 64, 1),
        (5, "whisper", 6, 2, 128, 4),
        (50, "whisper", 6, 2, 256, 2),
        (500, "whisper", 6, 0, 256, 1),
        (0.5, "wav2vec2", 24, 18, 64, 1),
        (5, "wav2vec2", 24, 16, 128, 4),
        (50, "wav2vec2", 48, 16, 256, 2),
    ],
)
def test_more_speech_teaches_more(
    hours: float, family: Family, n_layers: int, first: int, rank: int, accumulation: int
) -> None:
    settings = choose(hours, family, n_layers).settings
    assert settings.layers == tuple(range(first, n_layers))
    assert (settings.rank, settings.accumulation) == (rank, accumulation)
    assert settings.kind == ("bottleneck" if family == "whisper" else "attention")
    assert settings.unfrozen == ()


def test_much_speech_teaches_a_wav2vec2_encoder_itself() -> None:
    settings = choose(100, "wav2vec2", 24).settings
    assert settings.unfrozen == tuple(range(24))
    assert (settings.layers, settings.kind) == ((), "attention")
    assert (settings.encoder_learning_rate, settings.warmup_steps) == (1e-5, 2000)


@pytest.mark.parametrize("given", [{"kind": "attention"}, {"rank": 32}, {"layers": (1,)}])
def test_who_describes_an_adapter_gets_one(given: dict[str, Any]) -> None:
    strategy = choose(100, "wav2vec2", 24, given=given)
    assert strategy.settings.unfrozen == ()
    assert strategy.settings.layers


def test_what_is_given_is_not_chosen() -> None:
    given = {"rank": 32, "learning_rate": 5e-4, "speeds": (1.0,)}
    strategy = choose(0.5, "whisper", 6, given=given)
    assert strategy.settings == replace(choose(0.5, "whisper", 6).settings, **given)  # type: ignore[arg-type]
    asked = [choice.name for choice in strategy.choices if choice.why == "as asked"]
    assert asked == ["rank", "learning rate"]


def test_a_level_by_its_name() -> None:
    strategy = choose(0.5, "whisper", 6, "medium")
    assert (strategy.level, strategy.because) == ("medium", "as asked")
    assert strategy.settings.rank == 256
    option = get_args(get_args(options.Strategy)[0])
    assert option == ("auto", *LEVELS)
    assert get_args(LevelName) == LEVELS


@pytest.mark.parametrize(
    ("hours", "family", "given", "message"),
    [
        (30 / 3600, "whisper", {}, "30 seconds of speech to learn from are too few: at least 1 m"),
        (0.5, "whisper", {"unfrozen": (5,)}, "a Whisper encoder cannot be fine-tuned here"),
        (0.5, "whisper", {"rank": 0}, "rank is 0"),
    ],
)
def test_what_cannot_be(hours: float, family: Family, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        choose(hours, family, 6, given=given)


# Parts of a manifest


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_smaller_parts_lie_within_larger_ones(seed: int) -> None:
    before: set[Clip] = set()
    for minutes in (0.5, 1, 2, 5, 10, minutes_of(CLIPS)):
        part = subset([*CLIPS, *JUDGED], minutes, seed)
        training = [clip for clip in part if clip.split == "train"]
        assert before <= set(training)
        assert minutes - 8 / 60 < minutes_of(training) <= minutes + 1e-9
        assert [clip for clip in part if clip.split != "train"] == JUDGED
        before = set(training)
    assert before == set(CLIPS)


def test_the_seed_decides_and_neither_order_nor_folder_does() -> None:
    part = subset(CLIPS, 5, 3)
    assert part == [clip for clip in CLIPS if clip in part]
    mixed = random.Random(0).sample(CLIPS, len(CLIPS))
    assert set(subset(mixed, 5, 3)) == set(part)
    moved = [replace(clip, audio=clip.audio.replace("somewhere", "/else")) for clip in CLIPS]
    assert [clip.text for clip in subset(moved, 5, 3)] == [clip.text for clip in part]
    assert subset(CLIPS, 5, 4) != part


@pytest.mark.parametrize(
    ("minutes", "message"),
    [
        (0, "0 minutes of speech were asked for: give more than 0"),
        (-1, "give more than 0"),
        (float("nan"), "give more than 0"),
        (0.01, "shorter than a single clip"),
        (1000, "1000 minutes of training speech were asked for, the manifest has 16.6"),
    ],
)
def test_parts_that_cannot_be(minutes: float, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        subset(CLIPS, minutes)
