"""What pre-training hears: recordings found, decoded once, drawn by temperature, masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import InvalidRequest
from tests.transfer.speech_on_disk import noise, record
from tests.transfer.unlabelled import SETTINGS, melodies, tiny_base
from transfer.pretraining import corpus as corpus_module
from transfer.pretraining.batches import make_batch, n_frames
from transfer.pretraining.chance import seeded
from transfer.pretraining.corpus import Piece, gather, open_corpus
from transfer.pretraining.learner import _right
from transfer.pretraining.model import open_start
from transfer.pretraining.pretrain import set_aside
from transfer.pretraining.recordings import find_recordings, named_audio, told
from transfer.pretraining.sampling import BLOCK, Sampler, shares
from transfer.pretraining.settings import MASK_FRAMES, MIN_MASKS, PretrainSettings

# Finding


def test_a_folder_is_searched_and_a_manifest_needs_no_text(tmp_path: Path) -> None:
    for name in ("b.wav", "deep/er/a.FLAC", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [each.path.name for each in find_recordings("be", tmp_path)] == ["b.wav", "a.FLAC"]
    lines: list[dict[str, Any]] = [
        {"audio": "b.wav"},
        {"audio": "c.wav", "language": "be-Cyrl", "split": "held_out", "text": "к"},
        {"audio": "d.wav", "language": "ru"},
    ]
    manifest = tmp_path / "some.jsonl"
    manifest.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    found = named_audio([f"be={manifest}", f"ru={manifest}"])
    assert [(each.path.name, each.language, each.split) for each in found] == [
        ("b.wav", "be", ""),
        ("c.wav", "be", "held_out"),
        ("b.wav", "ru", ""),
        ("d.wav", "ru", ""),
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("be", "give LANGUAGE=FOLDER"),
        ("be=", "give LANGUAGE=FOLDER"),
        ("no tag=here", "is no language tag"),
        ("be=nowhere", "nowhere: no such folder or manifest"),
        ("be=empty", r"empty holds no recordings \(\.wav"),
        ("be=bad.jsonl", "bad.jsonl: line 2 is no recording"),
        ("de=other.jsonl", "other.jsonl holds no recordings of de"),
    ],
)
def test_audio_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("bad.jsonl").write_text('{"audio": "a.wav"}\n{"text": "a"}\n')
    Path("other.jsonl").write_text('{"audio": "a.wav", "language": "be"}\n')
    with pytest.raises(InvalidRequest, match=message):
        named_audio([option])


# Decoding


def test_each_recording_is_decoded_once_and_what_is_useless_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = tmp_path / "audio"
    record(audio / "long.wav", noise(1, 5.0))
    record(audio / "short.wav", noise(2, 0.4))
    record(audio / "silent.wav", np.zeros(16_000, np.float32))
    record(audio / "whole.wav", noise(3, 1.0))
    (audio / "broken.mp3").write_bytes(b"no audio")
    recordings = find_recordings("be", audio)
    gather(recordings, tmp_path / "run")
    found = open_corpus(tmp_path / "run")
    assert told(found.left_out) == [
        "left out 1, audio cannot be decoded: broken.mp3",
        "left out 1, shorter than 0.5 s: short.wav",
        "left out 1, nothing but silence: silent.wav",
    ]
    pieces = found.pieces(2.0)
    assert [piece.n_samples for piece in pieces] == [26_666] * 3 + [16_000]
    expected = noise(1, 5.0)[26_666 : 2 * 26_666]
    np.testing.assert_allclose(found.audio(pieces[1]), expected, atol=1e-4)

    monkeypatch.setattr(corpus_module, "read_audio", None)
    gather(recordings, tmp_path / "run")  # nothing is decoded again
    assert open_corpus(tmp_path / "run").digest == found.digest


def test_nothing_that_can_be_heard(tmp_path: Path) -> None:
    record(tmp_path / "audio" / "short.wav", noise(2, 0.2))
    with pytest.raises(InvalidRequest, match=r"none of the 1 recordings can be used: shorter than"):
        gather(find_recordings("be", tmp_path / "audio"), tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


# Drawing


@pytest.mark.parametrize(
    ("alpha", "expected"), [(1.0, (0.9, 0.1)), (0.5, (0.75, 0.25)), (0.0, (0.5, 0.5))]
)
def test_languages_are_drawn_by_temperature(alpha: float, expected: tuple[float, ...]) -> None:
    found = shares({"ru": 900.0, "be": 100.0}, alpha)
    assert tuple(found.values()) == pytest.approx(expected)


def test_a_batch_is_known_by_its_number() -> None:
    pieces = [Piece("ru", n, 16_000 + 400 * n) for n in range(90)]
    pieces += [Piece("be", 1000 + n, 16_000 + 400 * n) for n in range(10)]
    sampler = Sampler(pieces, alpha=0.5, batch_s=10.0, seed=3)
    numbers = range(10 * BLOCK)
    drawn = [sampler.batch(number) for number in numbers]
    assert all(drawn)
    other = Sampler(pieces, alpha=0.5, batch_s=10.0, seed=3)
    assert [other.batch(number) for number in reversed(numbers)] == drawn[::-1]
    assert Sampler(pieces, alpha=0.5, batch_s=10.0, seed=4).batch(0) != drawn[0]
    seconds = [sum(piece.n_samples for piece in batch) / 16_000 for batch in drawn]
    assert np.mean(seconds) == pytest.approx(10, abs=0.5)
    spread = [batch[-1].n_samples / batch[0].n_samples for batch in drawn]
    assert np.median(spread) < 1.25  # of 1 to 3.2 s
    languages = [piece.language for batch in drawn for piece in batch]
    assert languages.count("be") / len(languages) == pytest.approx(sampler.shares["be"], abs=0.05)
    assert 0.15 < sampler.shares["be"] < 0.25  # of a 15th of the hours


def test_a_fiftieth_is_set_aside_to_judge_by() -> None:
    pieces = [Piece("ru", n, 16_000) for n in range(101)] + [Piece("be", n, 1) for n in range(9)]
    learning, judged = set_aside(pieces)
    assert len(judged) == 3
    assert {piece.language for piece in judged} == {"ru"}
    assert sorted([*learning, *judged], key=pieces.index) == pieces


# Masking


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_masks_and_distractors_stay_within_a_row(tmp_path: Path, norm: str) -> None:
    settings = PretrainSettings(base_model=str(tiny_base(tmp_path, norm)))
    start = open_start(settings)
    rows = [noise(1, 2.0), noise(2, 0.5), noise(3, 1.1)]
    frames = [n_frames(len(row), start.model.config) for row in rows]
    with seeded(1):
        batch = make_batch(rows, start, settings.mask_prob)
    with seeded(1):
        again = make_batch(rows, start, settings.mask_prob)
    assert torch.equal(batch.negatives, again.negatives)
    assert (batch.heard is None) == (norm == "group")
    if batch.heard is not None:
        assert batch.heard.sum(1).tolist() == [len(row) for row in rows]
    for number, (row, length) in enumerate(zip(rows, frames, strict=True)):
        assert not batch.audio[number, len(row) :].any()
        assert batch.audio[number, : len(row)].std() == pytest.approx(1.0, abs=1e-3)
        masked = batch.masked[number]
        assert not masked[length:].any()
        assert MASK_FRAMES + MIN_MASKS - 1 <= masked.sum() <= 0.8 * length
        others = batch.negatives[number][masked] - number * batch.masked.shape[1]
        assert masked[others].all()
        assert not (others == masked.nonzero()).any()
    assert not batch.negatives[0][~batch.masked[0]].any()


def test_codes_that_have_collapsed_are_found_by_guessing_only(tmp_path: Path) -> None:
    start = open_start(PretrainSettings(base_model=str(tiny_base(tmp_path))))
    with seeded(2):
        batch = make_batch([noise(1, 2.0)], start, 0.65)
        shape = (*batch.masked.shape, 8)
        different, predicted = torch.randn(shape), torch.randn(shape)
    n = int(batch.masked.sum())
    assert _right(different, different, batch) == n
    assert _right(predicted, torch.ones(shape), batch) == pytest.approx(n / 11)
    assert _right(predicted, different, batch) < n / 3


# Settings


def test_rate_and_temperature() -> None:
    settings = PretrainSettings(steps=100, learning_rate=1.0, warmup_share=0.1)
    rates = [settings.rate_at(step) for step in (0, 9, 10, 55, 99)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 1 / 90])
    temperatures = [settings.temperature_at(step) for step in (0, 35, 70, 99)]
    assert temperatures == pytest.approx([2.0, 1.0, 0.5, 0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.5}, "alpha is 1.5: it must be 0 to 1"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"steps": 0}, "steps is 0"),
        ({"crop_s": 9.0}, "a batch must have room"),
        ({"gumbel_end": 3.0}, "the temperature falls"),
    ],
)
def test_settings_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        PretrainSettings(**{"batch_s": SETTINGS.batch_s, "crop_s": SETTINGS.crop_s, **change})


def test_melodies_differ(tmp_path: Path) -> None:
    gather(find_recordings("be", melodies(tmp_path / "audio", 3)), tmp_path / "run")
    assert len(open_corpus(tmp_path / "run").recordings) == 3
