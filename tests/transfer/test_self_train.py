"""Self-training: what is learned from what an adapter heard, and what never is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from common.errors import InvalidRequest, PanglotError
from speech.base_model import load_base_model
from tests.transfer.learning import BY_HEART, spoken, write_wav2vec2
from tests.transfer.speech_on_disk import noise, record
from transfer.__main__ import app
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip, read_manifest, write_manifest
from transfer.pretraining.recordings import Recording
from transfer.self_training.choice import KEPT, choose, texts_judged
from transfer.self_training.hypotheses import Hypothesis, Labelled
from transfer.self_training.rounds import SelfTraining
from transfer.training.run import RunRecord
from transfer.training.train import train

SelfTrain = Callable[..., Result]


def hypothesis(name: str, text: str, confidence: float, seconds: float = 1.0) -> Hypothesis:
    return Hypothesis(Recording(Path(name), "en"), seconds, text, confidence)


# Choosing


def test_the_surest_are_kept() -> None:
    heard = [
        hypothesis("a", "one two", 0.9),
        hypothesis("b", "three", 0.95),
        hypothesis("c", "four", 0.4),
        hypothesis("d", "", 0.99),
        hypothesis("e", "judged by", 0.99),
        hypothesis("f", "far too much for so short a clip", 0.99, seconds=0.5),
        hypothesis("g", "five", 0.7),
    ]
    chosen = choose(heard, 0.6, 2 / 7, {"judged by"})
    assert [each.recording.path.name for each in chosen.kept] == ["b", "a"]
    assert [verdict for _, verdict in chosen.verdicts] == [
        KEPT,
        KEPT,
        "not sure enough",
        "nothing was heard",
        "says what is judged by",
        "impossibly fast",
        "beyond the surest 29%",
    ]
    assert chosen.mean_confidence == pytest.approx(0.925)
    first = chosen.clips()[0]
    assert (first.source, first.split, first.text, first.confidence) == (
        *("pseudo", "train", "three"),
        0.95,
    )
    assert len(choose(heard, 0.6, 1.0, set()).kept) == 4


@pytest.mark.parametrize(("confidence", "keep"), [(1.1, 1.0), (-0.1, 1.0), (0.5, 0.0), (0.5, 2.0)])
def test_limits_out_of_range(confidence: float, keep: float) -> None:
    with pytest.raises(InvalidRequest, match="it must be"):
        SelfTraining(confidence, keep, 1, 1, None)


def test_audio_is_known_again_by_its_sound(tmp_path: Path) -> None:
    clips = spoken(tmp_path)[:4]
    labelled = Labelled([*clips, replace(clips[0], split="held_out")])
    original, copy = Path(clips[0].audio), tmp_path / "copy.flac"
    shutil.copy(original, copy)
    samples = read_audio(copy)
    for path in (original, copy):
        assert labelled.use_of(path, samples) == "held_out"  # the one that judges counts
        assert Labelled(clips).use_of(path, samples) == "train"
    assert labelled.use_of(copy, samples + 0.01) is None


def test_confidence_stands_in_a_manifest_where_there_is_one(tmp_path: Path) -> None:
    clip = Clip("a.wav", "a", "en", 1.0, "pseudo", "")
    path = tmp_path / "en.jsonl"
    write_manifest(path, [clip, replace(clip, confidence=0.75)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert ["confidence" in line for line in lines] == [False, True]
    assert [each.confidence for each in read_manifest(path)] == [None, 0.75]
    for wrong in ('"sure"', "1.5", "true"):
        path.write_text(json.dumps(lines[1]).replace("0.75", wrong))
        with pytest.raises(InvalidRequest, match=r"line 1: confidence is .*, not 0 to 1"):
            read_manifest(path)


def test_texts_that_are_judged_by() -> None:
    clip = Clip("a.wav", "Yes", "en", 1.0, "test", "")
    others = [replace(clip, text="no", split="held_out"), replace(clip, split="development")]
    assert texts_judged([clip, *others]) == {"no", "yes"}


# The command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows four clips by heart, and recordings of what it knows and does not."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    base = write_wav2vec2(folder / "base")
    clips = spoken(folder)
    clips = [*clips[:4], *(replace(clip, text="b b") for clip in clips[4:])]
    write_manifest(folder / "data" / "en.jsonl", clips)
    settings = replace(BY_HEART, base_model=str(base))
    train(load_base_model(str(base)), clips, "en", settings, folder / "runs" / "en")
    audio = folder / "audio"
    for number in range(3):  # as the clips, and not the same
        samples = read_audio(clips[number].audio)
        record(audio / f"{number}.wav", samples + 0.001 * noise(number, len(samples) / 16_000))
    shutil.copy(clips[1].audio, audio / "known.flac")
    record(audio / "long.wav", noise(9, 29.0))
    (audio / "broken.mp3").write_bytes(b"no audio")
    return folder


@pytest.fixture
def self_train(folder: Path, tmp_path: Path) -> SelfTrain:
    def called(*arguments: str, language: str = "en", audio: str = "audio") -> Result:
        given = ["self-train", language, "--audio", str(folder / audio)]
        given += ["--data", str(folder / "data"), "--runs", str(folder / "runs")]
        given += ["--out", str(tmp_path), "--models", str(folder / "models")]
        return CliRunner().invoke(app, [*given, *arguments])

    return called


def error_of(result: Result) -> PanglotError:
    assert isinstance(result.exception, PanglotError), result.output
    return result.exception


def test_it_says_what_was_kept_and_learns_from_it(
    self_train: SelfTrain, folder: Path, tmp_path: Path
) -> None:
    result = self_train("--confidence", "0", "--epochs", "1")
    assert result.exit_code == 0, result.output
    said = result.stdout
    assert "left out 1, audio cannot be decoded: broken.mp3" in said
    assert "left out 1, the same audio is in the development clips: known.flac" in said
    assert "left out 1, not within 0.1 and 28 s: cut it up: long.wav" in said
    round_1 = next(line for line in said.splitlines() if line.startswith("round 1: en@run-"))
    assert " of 3 clips kept, 0.00 of 0.00 hours, mean confidence 0." in round_1
    clips = read_manifest(tmp_path / "round-1" / "en.jsonl")
    pseudo = [clip for clip in clips if clip.source == "pseudo"]
    assert pseudo
    assert all(clip.split == "train" and 0 <= (clip.confidence or 0) <= 1 for clip in pseudo)
    assert [replace(clip, audio="") for clip in clips if clip.source != "pseudo"] == [
        replace(clip, audio="") for clip in read_manifest(folder / "data" / "en.jsonl")
    ]
    told = (tmp_path / "round-1" / "en.pseudo.tsv").read_text().splitlines()
    assert len(told) == 4
    student = RunRecord.read(tmp_path / "round-1" / "en")
    assert student.level == "self-trained"
    assert student.source is not None
    assert student.source.startswith("en@run-")
    teacher = RunRecord.read(folder / "runs" / "en")
    assert (student.settings.rank, student.settings.epochs) == (teacher.settings.rank, 1)
    ended = said.splitlines()[-1]
    better = student.development_cer < teacher.development_cer
    assert ("Next: panglot evaluate" if better else "no better, the run stays as it is") in ended


def test_the_manifest_alone(self_train: SelfTrain, tmp_path: Path) -> None:
    result = self_train("--confidence", "0", "--keep", "0.4", "--no-train")
    assert result.exit_code == 0, result.output
    assert "1 of 3 clips kept" in result.stdout
    assert result.stdout.splitlines()[-1].endswith(
        f"Next: panglot train en --data {tmp_path}/round-1"
    )
    assert not (tmp_path / "round-1" / "en").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runs", "nowhere"), "somebody must write down what is said: panglot train en first"),
        (("--adapter", "en@7"), "adapter 'en' has no card.json"),
        (("--confidence", "1"), "nothing of 3 recordings was heard with a confidence of 1"),
        (("--confidence", "7"), "--confidence is 7: it must be 0 to 1"),
        (("--keep", "0"), "--keep is 0"),
        (("--audio", "nowhere"), "nowhere: no such folder or manifest"),
        (("--minutes", "900"), "900 minutes of training speech were asked for"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    self_train: SelfTrain, arguments: tuple[str, ...], message: str
) -> None:
    error = error_of(self_train(*arguments))
    assert message in str(error)
    assert "\n" not in str(error)


def test_only_audio_that_is_labelled(self_train: SelfTrain) -> None:
    error = error_of(self_train(audio="data/en.jsonl"))
    assert "none of the 8 recordings can be used: the same audio" in str(error)
