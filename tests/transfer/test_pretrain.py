"""Pre-training: it learns, is broken off and ends as if it had not been, and can be taught."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Wav2Vec2ForPreTraining
from typer.testing import CliRunner, Result

from common.errors import InvalidRequest, ModelNotFound, PanglotError, StoreUnavailable
from speech.base_model import load_base_model
from speech.wav2vec2.encoder import Wav2Vec2SharedEncoder
from tests.speech.tiny_mms import write_tiny_mms
from tests.transfer.learning import spoken
from tests.transfer.test_train_resume import Breaking
from tests.transfer.unlabelled import SETTINGS, Arguments, melodies, tiny_base
from transfer.__main__ import app
from transfer.data.manifest import write_manifest
from transfer.pretraining.learner import Learner
from transfer.pretraining.model import open_start
from transfer.pretraining.pretrain import pretrain
from transfer.pretraining.record import MODEL, PretrainRecord
from transfer.pretraining.recordings import named_audio
from transfer.pretraining.settings import PretrainSettings
from transfer.training.checkpoint import CHECKPOINT
from transfer.training.run import RunRecord


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bases of both kinds, and recordings of two languages."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    for norm in ("layer", "group"):
        tiny_base(folder / norm, norm)
    melodies(folder / "be")
    melodies(folder / "ru", 4, seed=1)
    return folder


def learn(
    folder: Path, run: Path, settings: PretrainSettings = SETTINGS, norm: str = "layer", **how: Any
) -> PretrainRecord:
    settings = replace(settings, base_model=str(folder / norm))
    recordings = named_audio([f"be={folder / 'be'}", f"ru={folder / 'ru'}"])
    return pretrain(open_start(settings), recordings, settings, run, **how)


def same_model(one: Path, other: Path) -> None:
    first, second = (load_file(run / MODEL / "model.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(second[name], value), name
    records = [replace(PretrainRecord.read(run), wall_s=0.0) for run in (one, other)]
    assert records[0] == records[1]


def test_it_learns_to_tell_what_is_hidden(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", "group", layerdrop=0.0)
    settings = replace(
        SETTINGS, steps=100, accumulation=1, batch_s=3.0, mask_prob=0.3, base_model=str(base)
    )
    recordings = named_audio([f"be={melodies(tmp_path / 'be', 20)}"])
    record = pretrain(open_start(settings), recordings, settings, tmp_path / "run")
    assert [int(each["step"]) for each in record.judged] == list(range(0, 101, 10))
    first, last = record.judged[0], record.judged[-1]
    assert last["contrastive"] < first["contrastive"] - 0.5
    assert last["accuracy"] > 3 / 11  # three times as often as by guessing
    assert 8 < last["perplexity"] <= 16  # the codes of both codebooks are in use
    assert not record.collapsed


def test_codes_that_collapse_are_told(folder: Path, tmp_path: Path) -> None:
    record = learn(folder, tmp_path, replace(SETTINGS, steps=1))
    assert record.new == ("the quantiser",)
    assert record.shares.keys() == record.hours.keys() == {"be", "ru"}
    for perplexity, collapsed in ((2.5, True), (6.0, False)):
        judged = ({**record.judged[-1], "perplexity": perplexity},)
        assert replace(record, judged=judged).collapsed == collapsed


def test_what_comes_out_is_a_base_to_teach(folder: Path, tmp_path: Path) -> None:
    learn(folder, tmp_path / "pretrained", replace(SETTINGS, steps=1))
    model = tmp_path / "pretrained" / MODEL
    assert {path.name for path in model.iterdir()} == {
        *("config.json", "model.safetensors", "preprocessor_config.json")
    }
    loaded: Any = Wav2Vec2ForPreTraining.from_pretrained(model, output_loading_info=True)
    assert not loaded[1]["missing_keys"] | loaded[1]["unexpected_keys"]
    base, before = load_base_model(str(model)), load_base_model(str(folder / "layer"))
    assert isinstance(base.encoder, Wav2Vec2SharedEncoder)
    assert base.fingerprint != before.fingerprint
    again = open_start(replace(SETTINGS, base_model=str(model)))
    assert (again.new, again.dropped) == ((), ())

    write_manifest(tmp_path / "en.jsonl", [replace(x, duration_s=30.0) for x in spoken(tmp_path)])
    given = ["train", "en", "--base", str(model), "--data", str(tmp_path), "--epochs", "1"]
    given += ["--rank", "4", "--precision", "fp32", "--runs", str(tmp_path / "runs")]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert RunRecord.read(tmp_path / "runs" / "en").settings.base_model == str(model)


# Broken off


def test_a_run_broken_off_ends_as_if_it_had_not_been(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(folder, tmp_path / "unbroken")
    run = tmp_path / "broken"
    for steps in (1, 2, 0):
        with monkeypatch.context() as patched:
            broken = Breaking(Learner.step, steps, KeyboardInterrupt())
            patched.setattr(Learner, "step", lambda *given, broken=broken: broken(*given))
            with pytest.raises(KeyboardInterrupt):
                learn(folder, run, checkpoint_every_s=0.0)
        assert torch.load(run / CHECKPOINT, weights_only=True)["standing"]["step"] in (1, 3)
    torch.manual_seed(99)  # nothing depends on what was drawn before
    learn(folder, run, checkpoint_every_s=0.0)
    same_model(tmp_path / "unbroken", run)
    finished = PretrainRecord.read(run)
    monkeypatch.setattr(Learner, "hear", None)
    assert learn(folder, run) == finished


@pytest.mark.slow
def test_a_run_that_is_killed(folder: Path, tmp_path: Path) -> None:
    unbroken = Arguments(str(folder / "layer"), str(folder / "be"), str(tmp_path / "unbroken"))
    broken = replace(unbroken, run=str(tmp_path / "broken"))
    for arguments, code in (
        (unbroken, 0),
        (replace(broken, killed_after=1), -9),
        (replace(broken, killed_after=3), -9),
        (broken, 0),
    ):
        command = [sys.executable, *arguments.command()]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == code, done.stderr.decode()[-2000:]
    same_model(tmp_path / "unbroken", tmp_path / "broken")


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_accumulation(folder: Path, tmp_path: Path) -> None:
    alone = Arguments(
        str(folder / "layer"), str(folder / "be"), str(tmp_path / "one"), {"accumulation": 4}
    )
    together = replace(alone, run=str(tmp_path / "two"), settings={"accumulation": 2})
    # On GPUs `accelerate launch` does the same; for CPUs it wants MPI.
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    for command in ([sys.executable, *alone.command()], [*launch, *together.command()]):
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
    one, two = (load_file(tmp_path / name / MODEL / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


def test_a_full_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (0, 1, 3):
        with monkeypatch.context() as patched:
            full = Breaking(os.fsync, room, OSError(errno.ENOSPC, "No space left on device"))
            patched.setattr(os, "fsync", full)
            with pytest.raises(StoreUnavailable, match="run cannot be written: No space left on"):
                learn(folder, tmp_path / "run", checkpoint_every_s=0.0)
        assert not list((tmp_path / "run").glob(".*"))
    learn(folder, tmp_path / "run")


def test_a_run_of_its_own(folder: Path, tmp_path: Path) -> None:
    short = replace(SETTINGS, steps=1)
    learn(folder, tmp_path, short)
    with pytest.raises(InvalidRequest, match=r"alpha 0.1 \(was 0.5\); .*--restart"):
        learn(folder, tmp_path, replace(short, alpha=0.1))
    with pytest.raises(InvalidRequest, match="base model's weights"):
        learn(folder, tmp_path, short, "group")
    learn(folder, tmp_path, replace(short, alpha=0.1), restart=True)
    assert PretrainRecord.read(tmp_path).settings.alpha == 0.1


def test_a_loss_that_is_no_number(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Learner.hear

    def bad(*given: Any) -> Any:
        loss, sums = genuine(*given)
        return loss * float("nan"), sums

    monkeypatch.setattr(Learner, "hear", bad)
    with pytest.raises(InvalidRequest, match="no number 3 times in a row, before step 2"):
        learn(folder, tmp_path)


# The command


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["pretrain", *arguments])


def error_of(result: Result) -> PanglotError:
    assert isinstance(result.exception, PanglotError), result.output
    return result.exception


def test_the_command(folder: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "ru.jsonl"
    lines = [f'{{"audio": "{folder}/ru/{n:02}.flac", "split": "held_out"}}\n' for n in range(3)]
    manifest.write_text("".join(lines) + f'{{"audio": "{folder}/ru/03.flac"}}\n')
    given = ["--base", str(write_tiny_mms(tmp_path / "mms")), "--runs", str(tmp_path)]
    given += ["--audio", f"be={folder / 'be'}", "--audio", f"ru={manifest}", "--steps", "1"]
    result = call(*given, "--batch-s", "4", "--crop-s", "2", "--precision", "fp32")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("has nothing in the place of the quantiser: made new")
    assert "adapters and the head left behind" in lines[1]
    assert lines[2] == "3 recordings of development and held_out are not heard"
    assert lines[-1].endswith(f"panglot train be --base {tmp_path}/pretrained/be/model")
    load_base_model(f"{tmp_path}/pretrained/be/model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--base", "embedded", "--audio", "be=be"), "embedded is a Whisper model: it was taught"),
        (("--base", "nowhere", "--audio", "be=be"), "neither a directory nor a hub id"),
        (("--base", "layer", "--audio", "be=be", "--alpha", "2"), "alpha is 2.0: it must be 0 to"),
        (("--base", "layer", "--audio", "be=none"), "none: no such folder"),
        (("--base", "layer", "--audio", "be=be", "--name", "../x"), "give a name for a folder"),
        (("--base", "layer", "--audio", "be=held.jsonl"), "add --every-split, or name others"),
        (("--base", "be", "--audio", "be=be"), "base model 'be' "),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(folder)
    Path("held.jsonl").write_text('{"audio": "be/00.flac", "split": "held_out"}\n')
    error = error_of(call(*arguments))
    assert message in str(error)
    assert "\n" not in str(error)
    assert not Path("runs").exists()


def test_a_base_that_lacks_weights(folder: Path, tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="has no safetensors: panglot models convert"):
        open_start(replace(SETTINGS, base_model=str(base)))
