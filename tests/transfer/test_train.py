"""The trainer, on a few chords and encoders with random weights: seconds, not minutes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from common.errors import InvalidRequest
from speech.base_model import BaseModel, WhisperBase, load_base_model
from tests.transfer.learning import BY_HEART, SETTINGS, spoken, tiny_whisper, write_wav2vec2
from transfer.data.audio import Samples, read_audio, write_flac
from transfer.data.manifest import Clip
from transfer.training.checkpoint import CHECKPOINT, Standing
from transfer.training.examples import LowerLayers, listen
from transfer.training.run import RUN_FILE, WEIGHTS, RunRecord
from transfer.training.settings import TrainSettings, learning_rate_at
from transfer.training.source import Source, Start
from transfer.training.step import ctc_loss
from transfer.training.train import train
from transfer.training.vocabulary import frames_needed, vocabulary_of

FINE_TUNE = replace(
    BY_HEART, kind="attention", rank=1, layers=(), unfrozen=(0, 1), encoder_learning_rate=3e-3
)
Bases = Callable[[str], BaseModel]


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    torch.set_num_threads(1)
    return load_base_model(str(write_wav2vec2(tmp_path_factory.mktemp("base") / "wav2vec2")))


@pytest.fixture(scope="module")
def base() -> WhisperBase:
    torch.set_num_threads(1)
    return tiny_whisper()


@pytest.fixture(scope="module")
def bases(base: WhisperBase, wav2vec2: BaseModel) -> Bases:
    return {"whisper": base, "wav2vec2": wav2vec2}.__getitem__


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return spoken(tmp_path_factory.mktemp("audio"))


def final_weights(run: Path) -> dict[str, Tensor]:
    """Of the last epoch, whichever was the best."""
    content = torch.load(run / CHECKPOINT, weights_only=True)
    return content["weights"]  # type: ignore[no-any-return]


def test_flac_round_trip(tmp_path: Path) -> None:
    samples = np.linspace(-0.5, 0.5, 4000, dtype=np.float32)
    write_flac(tmp_path / "a.flac", samples)
    read = read_audio(tmp_path / "a.flac")
    assert read.dtype == np.float32
    assert np.abs(read - samples).max() < 1e-4


# Sum of each tensor's values, each times the cosine of its index, after four epochs.
PINNED = {
    "blocks.1.attention.norm.weight": 0.695009,
    "blocks.1.attention.norm.bias": 0.011872,
    "blocks.1.attention.down.weight": 1.653213,
    "blocks.1.attention.down.bias": 0.338723,
    "blocks.1.attention.up.weight": 0.704392,
    "blocks.1.attention.up.bias": 0.206413,
    "blocks.1.feed_forward.norm.weight": 0.709776,
    "blocks.1.feed_forward.norm.bias": 0.029293,
    "blocks.1.feed_forward.down.weight": -1.931964,
    "blocks.1.feed_forward.down.bias": 0.324027,
    "blocks.1.feed_forward.up.weight": -0.365692,
    "blocks.1.feed_forward.up.bias": 0.166823,
    "head.norm.weight": 0.787952,
    "head.norm.bias": 0.023365,
    "head.projection.weight": -0.158542,
    "head.projection.bias": -0.338713,
}


def test_the_same_recipe_gives_the_same_weights_as_ever(
    base: WhisperBase, clips: list[Clip], tmp_path: Path
) -> None:
    """What is shipped must stay reproducible: these are of the first trainer there was."""
    settings = TrainSettings(
        rank=8,
        layers=(1,),
        epochs=4,
        learning_rate=1e-2,
        warmup_steps=4,
        batch_s=0.5,
        precision="fp32",
        seed=3,
    )
    record = train(base, clips, "en", settings, tmp_path)
    assert record.steps == 12
    assert (record.development_wer, record.development_cer) == pytest.approx((2 / 3, 0.4))
    weights = final_weights(tmp_path)
    assert weights.keys() == PINNED.keys()
    for name, value in weights.items():
        found = value.flatten().double() @ torch.cos(torch.arange(value.numel()).double())
        assert float(found) == pytest.approx(PINNED[name], abs=2e-3), name


@pytest.mark.parametrize("kind", ["bottleneck", "attention"])
@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
def test_it_learns_four_clips_by_heart(
    bases: Bases,
    clips: list[Clip],
    tmp_path: Path,
    family: str,
    kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = bases(family)
    before = {name: value.clone() for name, value in base.encoder.state_dict().items()}
    settings = replace(BY_HEART, kind=kind)  # type: ignore[arg-type]
    record = train(base, clips, "en", settings, tmp_path, level="few-shot")

    assert (record.development_wer, record.development_cer) == (0.0, 0.0)
    losses = [float(line.split()[4]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == settings.epochs
    assert losses[-1] < 0.05 < losses[0]
    assert RunRecord.read(tmp_path) == record
    assert record.strategy().startswith(f"few-shot: {kind} of rank 8 after layers 1-2, encoder")
    adapter = record.adapter(tmp_path, d_model=32)
    assert adapter.shape.kind.name == kind
    assert adapter.shape.n_vocab == len(vocabulary_of(["ab "]))
    for name, value in base.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_source_gives_its_blocks_and_shared_letters(
    bases: Bases, clips: list[Clip], tmp_path: Path
) -> None:
    first = train(bases("whisper"), clips, "en", replace(SETTINGS, epochs=2), tmp_path / "first")
    weights = load_file(tmp_path / "first" / WEIGHTS)
    # An import names the blank otherwise; it is the first class all the same.
    source = Source("en@1", weights, ("", *first.vocabulary[1:]))
    other = [replace(clip, text=clip.text.replace("b", "c")) for clip in clips]
    still = replace(SETTINGS, epochs=1, learning_rate=0.0)
    record = train(bases("whisper"), other, "en", still, tmp_path / "second", Start((source,)))
    assert record.source == "en@1"
    taken = load_file(tmp_path / "second" / WEIGHTS)
    for name, value in source.weights.items():
        if name.startswith("head.projection"):
            assert torch.equal(taken[name][:3], value[:3])  # blank, space, a
            assert not torch.equal(taken[name][3], value[3])  # c is not b
        else:
            assert torch.equal(taken[name], value)


@pytest.mark.parametrize(
    "change",
    [{"rank": 4}, {"kind": "attention"}, {"layers": (0, 1)}],
    ids=["rank", "kind", "layers"],
)
def test_a_source_of_another_shape_is_refused(
    base: WhisperBase, clips: list[Clip], tmp_path: Path, change: dict[str, object]
) -> None:
    first = train(base, clips, "en", replace(SETTINGS, epochs=1), tmp_path / "first")
    source = Source("en@1", load_file(tmp_path / "first" / WEIGHTS), first.vocabulary)
    other = replace(SETTINGS, epochs=1, **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="en@1 is an adapter of another shape"):
        train(base, clips, "en", other, tmp_path / "second", Start((source,)))


def test_learning_rate_rises_then_falls_to_zero() -> None:
    settings = TrainSettings(learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate_at(step, 100, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] == 0.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate_at(103, 100, settings) == 0.0
    assert learning_rate_at(10, 100, settings, peak=0.5) == 0.5


@pytest.mark.parametrize(
    ("rates", "ends"),
    [
        ([0.8, 1.0, 1.0, 1.0, 1.2, 0.7, 0.6, 0.61, 0.62], 9),  # noise, blanks, then letters
        ([0.8, 0.7, 0.71, 0.72], 4),
        ([0.8, 0.7, 0.71, 0.69, 0.7, 0.7], 6),
    ],
)
def test_patience_counts_from_where_letters_are_heard(rates: list[float], ends: int) -> None:
    state, settings = Standing(), replace(SETTINGS, patience=2)
    for number, cer in enumerate(rates, start=1):
        assert not state.ended(settings), number
        state.epoch = number
        state.judged(1.0, cer, settings)
    assert state.ended(settings)
    assert len(rates) == ends
    assert state.best_cer == min(rates)


def test_the_epoch_is_chosen_by_letters_or_by_words() -> None:
    for chosen_by, best in (("cer", 1), ("wer", 2)):
        settings = replace(SETTINGS, chosen_by=chosen_by)  # type: ignore[arg-type]
        state = Standing()
        for number, (wer, cer) in enumerate(((0.9, 0.4), (0.8, 0.5), (0.8, 0.5)), start=1):
            state.epoch = number
            assert state.judged(wer, cer, settings) == (number <= best)
        assert state.best_epoch == best


# Clips that cannot be learned from


@pytest.mark.parametrize(
    ("classes", "frames"), [([], 0), ([2], 1), ([2, 3, 2], 3), ([2, 2], 3), ([2, 2, 2, 3], 6)]
)
def test_a_letter_twice_needs_a_blank_between(classes: list[int], frames: int) -> None:
    assert frames_needed(classes) == frames
    if classes:
        log_probs = torch.zeros(frames, 1, 4).log_softmax(-1)
        for n_frames, finite in ((frames, True), (frames - 1, False)):
            if n_frames:
                loss = torch.nn.functional.ctc_loss(
                    log_probs[:n_frames],
                    torch.tensor([classes]),
                    torch.tensor([n_frames]),
                    torch.tensor([len(classes)]),
                )
                assert bool(loss.isfinite()) is finite


@pytest.mark.parametrize("n_samples", [1, 400, 1600, 1601, 1919, 1920, 16_000, 20_001])
@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
def test_frames_are_known_before_anything_is_computed(
    bases: Bases, family: str, n_samples: int
) -> None:
    lower = LowerLayers(bases(family).encoder, 0, half=False)
    samples = np.random.default_rng(0).normal(size=n_samples).astype(np.float32)
    assert len(lower(samples)) == lower.n_frames(samples)


def test_clips_that_cannot_be_learned_from_are_left_out_by_name(
    base: WhisperBase, clips: list[Clip], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.flac").write_bytes(b"fLaC" + bytes(100))
    (tmp_path / "empty.flac").write_bytes(b"no audio")
    write_flac(tmp_path / "long.flac", np.zeros(31 * 16_000, np.float32))
    # 12 frames: 12 letters could be written, but not two alike in a row.
    write_flac(tmp_path / "short.flac", np.zeros(24 * 160, np.float32))
    unusable = [
        replace(clips[0], audio=str(tmp_path / name), text=text)
        for name, text in (
            ("broken.flac", "a"),
            ("missing.flac", "a"),
            ("empty.flac", "a"),
            ("long.flac", "a"),
            ("short.flac", "abababababaa"),
            ("short.flac", " "),
        )
    ]
    usable = replace(clips[0], audio=str(tmp_path / "short.flac"), text="abababababab")
    given = [usable, *unusable, *clips]
    record = train(base, given, "en", replace(SETTINGS, epochs=1), tmp_path / "run")
    assert record.left_out == 6
    learned_s = usable.duration_s + sum(c.duration_s for c in clips if c.split == "train")
    assert record.hours == pytest.approx(learned_s / 3600, abs=1e-4)
    said = capsys.readouterr().out
    assert "2 of the training clips, audio cannot be decoded: broken.flac, missing.flac" in said
    assert "1 of the training clips, audio longer than 30 s: long.flac" in said
    assert "1 of the training clips, audio shorter than its text can be: short.flac" in said
    assert "1 of the training clips, text is empty: short.flac" in said
    assert "1 of the training clips, there is no audio: empty.flac" in said


def test_an_error_when_all_are_too_short(
    base: WhisperBase, clips: list[Clip], tmp_path: Path
) -> None:
    long = [replace(clip, text="ab" * 60) if clip.split == "train" else clip for clip in clips]
    with pytest.raises(
        InvalidRequest,
        match=r"no training clip can be used: 4 of the training clips, audio shorter than its text "
        r"can be: 0.flac, 1.flac",
    ):
        train(base, long, "en", SETTINGS, tmp_path)
    assert not (tmp_path / RUN_FILE).exists()


@pytest.mark.parametrize("split", ["train", "development"])
def test_an_error_without_one_of_the_splits(
    base: WhisperBase, clips: list[Clip], tmp_path: Path, split: str
) -> None:
    present = {"train": 4, "development": 4, split: 0}
    with pytest.raises(
        InvalidRequest,
        match=f"{present['train']} clips of split 'train' .* {present['development']} of split",
    ):
        train(base, [clip for clip in clips if clip.split != split], "en", SETTINGS, tmp_path)


# Memory


def test_what_does_not_fit_in_memory_is_computed_when_needed(
    base: WhisperBase, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, epochs=3, speeds=(1.0,))
    train(base, clips, "en", settings, tmp_path / "kept")
    heard = 0
    genuine = LowerLayers.__call__

    def counted(self: LowerLayers, samples: Samples) -> Tensor:
        nonlocal heard
        heard += 1
        return genuine(self, samples)

    monkeypatch.setattr(LowerLayers, "__call__", counted)
    train(base, clips, "en", replace(settings, memory_gb=0.0), tmp_path / "anew")
    assert heard == 3 * len(clips)
    kept, anew = final_weights(tmp_path / "kept"), final_weights(tmp_path / "anew")
    for name, value in kept.items():
        torch.testing.assert_close(anew[name], value, rtol=0, atol=0)


def test_computed_when_needed_a_clip_is_disturbed_anew_in_every_epoch(
    base: WhisperBase, clips: list[Clip]
) -> None:
    lower = LowerLayers(base.encoder, 0, half=False)
    speech = listen(lower, clips[:1], ("", " ", "a", "b"), speeds=(1.0, 1.1), keep=False, seed=1)
    first, again, later = (speech.batch(((0, 1),), epoch).hidden for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert first.shape != later.shape or not torch.equal(first, later)


# Losses that are no number


def test_a_loss_that_is_no_number_stops_it_and_names_the_clips(
    base: WhisperBase, clips: list[Clip], tmp_path: Path
) -> None:
    wild = replace(SETTINGS, learning_rate=1e25, batch_s=0.1)
    with pytest.raises(InvalidRequest, match=r"no number in 3 batches in a row.*\d\.flac"):
        train(base, clips, "en", wild, tmp_path)
    assert not (tmp_path / RUN_FILE).exists()
    assert not (tmp_path / WEIGHTS).exists()


def test_weights_that_could_not_be_published_are_not_kept(
    base: WhisperBase, clips: list[Clip], tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="beyond what half precision holds: lower"):
        train(base, clips, "en", replace(SETTINGS, learning_rate=1e6, epochs=1), tmp_path)
    assert not (tmp_path / WEIGHTS).exists()


def test_a_single_batch_without_a_number_is_skipped_and_counted(
    base: WhisperBase, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def sometimes(*arguments: object) -> Tensor:
        nonlocal calls
        calls += 1
        loss = ctc_loss(*arguments)  # type: ignore[arg-type]
        return loss * math.nan if calls in (2, 3, 5) else loss

    monkeypatch.setattr("transfer.training.epoch.ctc_loss", sometimes)
    settings = replace(SETTINGS, epochs=4, batch_s=0.5, accumulation=2)
    record = train(base, clips, "en", settings, tmp_path)
    assert record.skipped == 3
    assert all(value.isfinite().all() for value in load_file(tmp_path / WEIGHTS).values())


# Settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 0}, "rank is 0: it must be 1 to 4096"),
        ({"learning_rate": math.nan}, "learning_rate is nan: it must be at least 0"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"batch_s": 0.0}, "batch_s is 0.0"),
        ({"accumulation": 0}, "accumulation is 0"),
        ({"feature_dropout": 1.0}, "feature_dropout is 1.0"),
        ({"patience": 0}, "patience is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"speeds": ()}, "speeds are"),
        ({"speeds": (1.0, 3.0)}, "speeds are"),
        ({"layers": (1, 0)}, "layers are"),
        ({"layers": ()}, "nothing would learn"),
        ({"unfrozen": (1,)}, "fine-tuned encoder is served with a head alone"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_more_layers_than_there_are(base: WhisperBase, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="layer 3 was asked for: the encoder of tiny has 2"):
        train(base, clips, "en", replace(SETTINGS, layers=(1, 2)), tmp_path)


def test_whisper_is_not_fine_tuned(base: WhisperBase, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="tiny is a Whisper model, which is not fine-tuned"):
        train(base, clips, "en", FINE_TUNE, tmp_path)


def test_a_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    settings = {"rank": 64, "layers": [2, 3, 4, 5], "epochs": 30, "learning_rate": 0.001}
    document = {
        "language": "it",
        "vocabulary": ["<blank>", " ", "a"],
        "settings": settings,
        "source": None,
        "steps": 1500,
        "development_wer": 0.4,
        "development_cer": 0.1,
    }
    (tmp_path / RUN_FILE).write_text(json.dumps(document), encoding="utf-8")
    record = RunRecord.read(tmp_path)
    assert record.settings == TrainSettings()
    assert record.level is None
    assert record.base_model(tmp_path) == "embedded"
    assert record.strategy() == (
        "bottleneck of rank 64 after layers 3-6, encoder frozen; 30 epochs at 0.001; "
        "started from nothing"
    )
