"""`panglot train` as a person types it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from typer.testing import CliRunner, Result

from common.errors import AdapterNotFound, InvalidRequest, PanglotError
from speech.adapters.card import WEIGHTS_FILE, write_card
from speech.adapters.kinds import ATTENTION, AdapterShape, to_file
from speech.base_model import load_base_model
from tests.speech.tiny import make_card, random_adapter
from tests.transfer.learning import spoken, write_wav2vec2
from transfer.__main__ import app
from transfer.data.manifest import write_manifest
from transfer.training.plan import Plan, told
from transfer.training.run import RunRecord
from transfer.training.strategy import choose

Train = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, and a manifest of two minutes as it says."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    write_wav2vec2(folder / "base")
    long = [replace(clip, duration_s=30.0) for clip in spoken(folder)]
    write_manifest(folder / "data" / "en.jsonl", long)
    return folder


@pytest.fixture
def train(folder: Path, tmp_path: Path) -> Train:
    """Calls the command with a small base and little to do."""

    def called(*arguments: str, language: str = "en") -> Result:
        given = ["train", language, "--base", str(folder / "base"), "--data", str(folder / "data")]
        given += ["--runs", str(tmp_path), "--precision", "fp32", "--epochs", "1"]
        return CliRunner().invoke(app, [*given, *arguments])

    return called


def error_of(result: Result) -> PanglotError:
    assert isinstance(result.exception, PanglotError), result.output
    return result.exception


def test_it_says_what_it_chose_and_why(train: Train, tmp_path: Path) -> None:
    result = train("--rank", "8")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == ("en: 2.0 minutes in 4 clips to learn from, 2.0 in 4 to choose by")
    assert lines[1] == "strategy: few-shot, for less than an hour of speech"
    chosen = [line for line in lines if line.startswith("  ")]
    said = {line[:20].strip(): line[20:].split(maxsplit=1)[0] for line in chosen}
    assert said["adapter"] == "attention"
    assert said["rank"] == "8"
    assert "as asked" in next(line for line in lines if line.startswith("  rank"))
    assert lines[-2].startswith("en epoch   1 loss")
    assert lines[-1].endswith("(greedy). Next: panglot evaluate en")
    record = RunRecord.read(tmp_path / "en")
    assert record.level == "few-shot"
    assert (record.settings.kind, record.settings.rank) == ("attention", 8)


def test_a_manifest_and_fewer_minutes(train: Train, folder: Path, tmp_path: Path) -> None:
    manifest = folder / "data" / "en.jsonl"
    result = train("--data", str(manifest), "--minutes", "1", "--layers", "all", "--rank", "8")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("en: 1.0 minutes in 2 clips")
    assert RunRecord.read(tmp_path / "en").settings.layers == (0, 1)


def test_wide_adapters_need_workers_that_take_them(folder: Path) -> None:
    base = load_base_model(str(folder / "base"))
    clips = spoken(folder)
    plan = Plan("en", tuple(clips), base, None, choose(20, "wav2vec2", 2))
    assert list(told(plan))[-1] == (
        "to serve it, workers need PANGLOT_WORKER_MAX_RANK=256 (default: 64)"
    )


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    """Adapter `fr@1` on the base: attention, rank 6, after layer 2, writing a and b."""
    base = load_base_model(str(folder / "base"))
    adapter = random_adapter(AdapterShape(ATTENTION, 32, 6, (1,), 4))
    content = save(to_file(ATTENTION, adapter.state_dict()))
    digest = hashlib.sha256(content).hexdigest()
    card = replace(make_card(adapter, "fr", base.fingerprint, digest), kind="attention")
    (folder / "models" / "fr").mkdir(parents=True)
    (folder / "models" / "fr" / WEIGHTS_FILE).write_bytes(content)
    write_card(card, folder / "models" / "fr")
    return folder / "models"


def test_from_another_adapter_its_shape_is_taken(train: Train, store: Path, tmp_path: Path) -> None:
    result = train("--from", "fr@1", "--models", str(store))
    assert result.exit_code == 0, result.output
    record = RunRecord.read(tmp_path / "en")
    assert record.source == "fr@1"
    assert (record.settings.kind, record.settings.rank, record.settings.layers) == (
        "attention",
        6,
        (1,),
    )
    refused = train("--start-from", "fr@1", "--models", str(store), "--rank", "5", "--restart")
    assert "fr@1 is an adapter of another shape" in str(error_of(refused))
    missing = train("--from", "de@1", "--models", str(store))
    assert isinstance(error_of(missing), AdapterNotFound)


def test_no_speech_takes_another_adapter_as_it_is(
    train: Train, store: Path, folder: Path, tmp_path: Path
) -> None:
    clips = [clip for clip in spoken(folder) if clip.split == "development"]
    manifest = folder / "judged.jsonl"
    write_manifest(manifest, clips)
    given = ("--data", str(manifest))
    assert "no speech of en to learn from" in str(error_of(train(*given)))
    result = train(*given, "--from", "fr@1", "--models", str(store))
    assert result.exit_code == 0, result.output
    assert "strategy: zero-shot, there is no speech to learn from" in result.stdout
    record = RunRecord.read(tmp_path / "en")
    assert (record.steps, record.level) == (0, "zero-shot")
    assert record.strategy() == "zero-shot: fr@1 as it is, nothing learned"
    adapter = record.adapter(tmp_path / "en", 32)
    expected = random_adapter(AdapterShape(ATTENTION, 32, 6, (1,), 4)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in adapter.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hours", "1", "--minutes", "2"), "--hours and --minutes were both given"),
        (("--hours", "many"), "--hours 'many': give auto, or a number"),
        (("--hours", "7"), "420 minutes of training speech were asked for, the manifest has 2.0"),
        (("--minutes", "0.5"), "30 seconds of speech to learn from are too few"),
        (("--layers", "0-2"), "--layers '0-2': give all, or a range from 1 to 2"),
        (("--layers", "2-1"), "--layers '2-1'"),
        (("--layers", "1-3"), "--layers '1-3'"),
        (("--unfreeze", "x"), "--unfreeze 'x'"),
        (("--speeds", "1,fast"), "--speeds '1,fast': give numbers such as 1,0.9,1.1"),
        (("--speeds", "9"), "speeds are"),
        (("--rank", "33"), "the encoder of"),
        (("--learning-rate", "-1"), "learning_rate is -1.0"),
        (("--unfreeze", "1-2", "--rank", "3", "--layers", "1"), "served with a head alone"),
        (("--data", "nowhere.jsonl"), "no manifest at nowhere.jsonl"),
        (("--base", "nowhere"), "neither a directory nor a hub id"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    train: Train, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    error = error_of(train(*arguments))
    assert message in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "en").exists()


def test_clips_of_another_language(train: Train, folder: Path) -> None:
    manifest = str(folder / "data" / "en.jsonl")
    error = error_of(train("--data", manifest, language="it"))
    assert isinstance(error, InvalidRequest)
    assert "holds no clips of it: it holds en" in str(error)
    assert "'no tag!' is no language tag" in str(error_of(train(language="no tag!")))
