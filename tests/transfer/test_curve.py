"""Few minutes among more, trained once, judged on the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from common.errors import InvalidRequest
from speech.adapters.card import ErrorRate
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from tests.speech.tiny import D_MODEL, noise, random_adapter, tiny_model
from transfer.data.audio import write_flac
from transfer.data.manifest import Clip, Split
from transfer.evaluation.assess import choose
from transfer.evaluation.curve import Curve, CurvePoint, measure_points
from transfer.training.run import WEIGHTS, RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.train import train
from transfer.training.vocabulary import vocabulary_of

RATE = ErrorRate(0.5, 0.25, 0.75)


def clip(number: int, split: Split = "train") -> Clip:
    # No list of words makes the lexicon of this language slow to build.
    return Clip(f"{number}.flac", f"ab {'c' * number}", "jv", 6.0, "mine", "ada", split)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    point = CurvePoint(2.0, 30, "it-2min", "few-shot", RATE, RATE, RATE)
    for curve in (Curve("it", 40, (point,), RATE), Curve("it", 40, (point,), None)):
        curve.write(tmp_path)
        assert Curve.read(tmp_path) == curve


@pytest.mark.parametrize("content", [None, "{", "{}", '{"language": "it"}'])
def test_no_curve_is_no_curve(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "curve.json").write_text(content)
    assert Curve.read(tmp_path) is None


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    made = []
    for number in range(10):
        path = tmp_path / f"{number}.flac"
        write_flac(path, noise(8_000, number).numpy())
        split: Split = "train" if number < 6 else "development" if number < 8 else "held_out"
        made.append(replace(clip(number, split), audio=str(path)))
    return made


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny_model()
    monkeypatch.setattr("transfer.evaluation.curve.load_base_model", lambda _: made)


class Trainer:
    """Writes runs with random weights, and remembers of what."""

    def __init__(self) -> None:
        self.trained: list[tuple[str, int]] = []

    def __call__(self, clips: Sequence[Clip], run: Path) -> RunRecord:
        training = [each for each in clips if each.split == "train"]
        self.trained.append((run.name, len(training)))
        vocabulary = vocabulary_of(each.text for each in training)
        settings = TrainSettings(rank=4, layers=(0, 1))
        adapter = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), len(vocabulary)))
        run.mkdir(parents=True)
        save_file(adapter.state_dict(), run / WEIGHTS)
        record = RunRecord("jv", vocabulary, settings, None, 10, 0.5, 0.25)
        record.write(run)
        return record


def test_each_part_is_trained_and_judged_on_the_same_clips(
    clips: list[Clip], tmp_path: Path
) -> None:
    trainer, run = Trainer(), tmp_path / "runs" / "jv"
    points = measure_points(clips, choose(clips, "held_out"), [0.4, 0.2, 0.4], run, trainer)
    assert trainer.trained == [("jv-0.2min", 2), ("jv-0.4min", 4)]
    assert [(point.run, point.n_clip) for point in points] == trainer.trained
    assert [point.minutes for point in points] == [0.2, 0.4]
    assert all(0 < point.wer.low <= point.wer.value <= point.wer.high for point in points)


@pytest.mark.parametrize("minutes", [0.0, -1.0, 0.8, 100.0])
def test_more_than_there_is_cannot_be_taken(
    clips: list[Clip], tmp_path: Path, minutes: float
) -> None:
    chosen = choose(clips, "held_out")
    with pytest.raises(InvalidRequest, match=r"minutes of .*speech were asked for"):
        measure_points(clips, chosen, [0.2, minutes], tmp_path / "jv", Trainer())
    assert not (tmp_path / "jv-0.2min").exists()


def test_parts_are_trained_once_and_only_on_their_own_clips(
    clips: list[Clip], tmp_path: Path
) -> None:
    settings = TrainSettings(rank=4, layers=(0, 1), epochs=1, batch_s=3.0, precision="fp32")
    model = tiny_model()

    def teach(part: Sequence[Clip], run: Path) -> RunRecord:
        return train(model, part, "jv", settings, run)

    chosen, run = choose(clips, "held_out"), tmp_path / "jv"
    first = measure_points(clips, chosen, [0.3], run, teach)
    weights = tmp_path / "jv-0.3min" / WEIGHTS
    written = weights.stat().st_mtime_ns
    assert measure_points(clips, chosen, [0.3], run, teach) == first
    assert weights.stat().st_mtime_ns == written
    others = [replace(each, text=f"b {each.text}") for each in clips]
    with pytest.raises(InvalidRequest, match="a run of its own"):
        measure_points(others, chosen, [0.3], run, teach)
