"""`panglot evaluate` as it is called: what it prints, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from common.errors import AdapterNotFound, PanglotError
from speech.adapters.card import read_card
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.base_model import WhisperBase
from speech.wav2vec2.mms import import_adapter, open_published
from speech.whisper.universal import UniversalHypothesis, UniversalRecognizer
from tests.speech.tiny import D_MODEL, noise, publish, random_adapter, tiny_model
from tests.speech.tiny_mms import write_tiny_mms
from transfer.__main__ import app
from transfer.data.audio import write_flac
from transfer.data.manifest import Clip, Split, write_manifest
from transfer.training.run import WEIGHTS, RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.vocabulary import vocabulary_of

# One that the tiny model's decoder knows, and that no list of words makes slow to tune.
LANGUAGE = "jv"


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> WhisperBase:
    made = tiny_model()
    for module in ("command", "calibrate", "curve"):
        monkeypatch.setattr(f"transfer.evaluation.{module}.load_base_model", lambda _: made)
    monkeypatch.setattr(
        UniversalRecognizer, "recognize", lambda *_: UniversalHypothesis("Ab c.", (), 0.5)
    )
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest and a finished run."""
    clips = []
    for number in range(12):
        path = tmp_path / "audio" / f"{number}.flac"
        path.parent.mkdir(exist_ok=True)
        write_flac(path, noise(8_000, number).numpy())
        split: Split = "train" if number < 6 else "development" if number < 8 else "held_out"
        text = f"ab {'c' * (number + 1)}"
        clips.append(Clip(str(path), text, LANGUAGE, 30.0, "mine", "ada", split))
    write_manifest(tmp_path / "data" / f"{LANGUAGE}.jsonl", clips)
    finish(clips, tmp_path / "runs" / LANGUAGE)
    return tmp_path


def finish(clips: Sequence[Clip], run: Path) -> RunRecord:
    """Leave what a finished run leaves, with random weights."""
    vocabulary = vocabulary_of(clip.text for clip in clips if clip.split == "train")
    adapter = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), len(vocabulary)))
    run.mkdir(parents=True, exist_ok=True)
    save_file(adapter.state_dict(), run / WEIGHTS)
    settings = TrainSettings(rank=4, layers=(0, 1))
    record = RunRecord(LANGUAGE, vocabulary, settings, None, 10, 0.5, 0.25)
    record.write(run)
    return record


def evaluate(folder: Path, *options: str) -> Result:
    folders = [f"--{name}={folder / name}" for name in ("data", "runs", "models")]
    return CliRunner().invoke(app, ["evaluate", LANGUAGE, "--timed=0", *folders, *options])


def test_a_run_is_judged_and_made_a_candidate(base: WhisperBase, folder: Path) -> None:
    result = evaluate(folder, f"--json={folder / 'all.json'}", f"--html={folder / 'page.html'}")
    assert result.exception is None, result.output
    assert "In 100 words it makes" in result.stdout
    assert "universal model" in result.stdout
    assert "panglot publish jv" in result.stderr
    run = folder / "runs" / LANGUAGE
    card = read_card(run / "candidate")
    assert card.evaluation is not None
    written = json.loads((folder / "all.json").read_text())
    assert written == json.loads((run / "evaluation.json").read_text())
    assert (
        written["whole"]["scores"]["adapter"]["wer"]["value"] == card.evaluation.adapter.wer.value
    )
    assert written["split"] == "held_out"
    assert "Javanese" in (folder / "page.html").read_text()
    assert (run / "report.html").read_text() == (folder / "page.html").read_text()


def test_what_is_piped_are_plain_lines_of_one_width_of_columns(
    base: WhisperBase, folder: Path
) -> None:
    lines = evaluate(folder).stdout.splitlines()
    assert not set("━│┃─\x1b") & set("".join(lines))
    rows = [line for line in lines if line.startswith(("clips", "all clips", " "))]
    assert len(rows) == 4
    assert [line.index("adapter") for line in rows[1:3]] == [rows[0].index("path")] * 2


def test_another_split_leaves_the_run_as_it_is(base: WhisperBase, folder: Path) -> None:
    result = evaluate(folder, "--split=development")
    assert result.exception is None, result.output
    assert "flatter" in result.stderr
    assert not (folder / "runs" / LANGUAGE / "candidate").exists()
    assert not (folder / "runs" / LANGUAGE / "report.html").exists()


def test_a_published_adapter_is_judged_where_it_lies(base: WhisperBase, folder: Path) -> None:
    (folder / "models").mkdir()
    shape = AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), 5)
    publish(folder / "models", random_adapter(shape), LANGUAGE, base.fingerprint)
    result = evaluate(folder, f"--adapter={LANGUAGE}@1", f"--html={folder / 'page.html'}")
    assert result.exception is None, result.output
    assert f"{LANGUAGE}@1: In 100 words" in result.stdout
    assert f"{LANGUAGE}@1" in (folder / "page.html").read_text()
    assert not (folder / "runs" / LANGUAGE / "candidate").exists()
    assert isinstance(evaluate(folder, f"--adapter={LANGUAGE}@7").exception, AdapterNotFound)


def test_an_adapter_of_mms_is_judged_without_a_universal_path(folder: Path) -> None:
    mms = write_tiny_mms(folder / "mms")
    import_adapter(open_published(str(mms), ["eng"]), "eng", folder / "models")
    result = evaluate(folder, "--adapter=mms-eng", "--timed=1")
    assert result.exception is None, result.output
    assert "no universal model to compare with" in result.stdout
    assert "A clip of 30.0 s takes" in result.stdout


def test_the_curve_is_measured_kept_and_shown(
    base: WhisperBase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def train(
        _: object, clips: Sequence[Clip], __: str, ___: object, run: Path, *____: object, level: str
    ) -> RunRecord:
        trained.append(run.name)
        return finish(clips, run)

    monkeypatch.setattr("transfer.evaluation.command.train", train)
    result = evaluate(folder, "--curve=1,2")
    assert result.exception is None, result.output
    assert trained == ["jv-1min", "jv-2min"]
    run = folder / "runs" / LANGUAGE
    curve = json.loads((run / "curve.json").read_text())
    assert [point["minutes"] for point in curve["points"]] == [1.0, 2.0, 3.0]
    assert curve["points"][-1]["run"] == LANGUAGE
    assert "<polyline" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--curve=many"], "give minutes such as 2,5,10"),
        (["--curve=2", "--adapter=jv@1"], "give one"),
        (["--manifest=/no/such.jsonl"], "no manifest"),
        (["--runs=/no/such"], "no finished run"),
        (["--reference=none", "--json=/proc/no/all.json"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    base: WhisperBase, folder: Path, options: list[str], message: str
) -> None:
    error = evaluate(folder, *options).exception
    assert isinstance(error, PanglotError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_a_damaged_manifest_leaves_nothing_behind(base: WhisperBase, folder: Path) -> None:
    manifest = folder / "data" / f"{LANGUAGE}.jsonl"
    clips = [json.loads(line) for line in manifest.read_text().splitlines()]
    write_manifest(manifest, [replace(Clip(**clip), audio="gone.flac") for clip in clips])
    error = evaluate(folder).exception
    assert isinstance(error, PanglotError)
    assert "have no audio any more" in str(error)
    assert not (folder / "runs" / LANGUAGE / "candidate").exists()
