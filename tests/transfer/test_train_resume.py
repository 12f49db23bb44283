"""Runs that are broken off in every way end as if they had not been."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from common.errors import InvalidRequest, StoreUnavailable
from speech.base_model import BaseModel, load_base_model
from tests.transfer.learning import SETTINGS, Arguments, spoken, tiny_whisper, write_wav2vec2
from transfer.data.manifest import Clip, write_manifest
from transfer.evaluation.history import read_history
from transfer.training.checkpoint import CHECKPOINT
from transfer.training.learner import Learner
from transfer.training.run import RUN_FILE, WEIGHTS, RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.step import judge
from transfer.training.train import train

# Four batches and two optimiser steps an epoch, with all that is random.
SHORT = replace(SETTINGS, epochs=4, batch_s=0.1, accumulation=2, feature_dropout=0.1)


@pytest.fixture(scope="module")
def base() -> BaseModel:
    torch.set_num_threads(1)
    return tiny_whisper()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return spoken(tmp_path_factory.mktemp("audio"))


class Breaking:
    """Runs what it stands for so many times, and then raises."""

    def __init__(self, genuine: Callable[..., Any], after: int, error: BaseException) -> None:
        self._genuine = genuine
        self._left = after
        self._error = error

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return self._genuine(*arguments, **named)


def same_result(one: Path, other: Path) -> None:
    first, second = (RunRecord.read(run) for run in (one, other))
    assert replace(first, wall_s=0.0) == replace(second, wall_s=0.0)
    history, other_history = (read_history(run) for run in (one, other))
    assert len(history) == SHORT.epochs
    assert other_history == history
    weights, others = (load_file(run / WEIGHTS) for run in (one, other))
    contents = [torch.load(run / CHECKPOINT, weights_only=True) for run in (one, other)]
    for left, right in ((weights, others), tuple(content["weights"] for content in contents)):
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert torch.equal(right[name], value), name


@pytest.mark.parametrize("every_s", [0.0, 1e9], ids=["every step", "every epoch"])
def test_a_run_broken_off_in_an_epoch(
    base: BaseModel,
    clips: list[Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every_s: float,
) -> None:
    train(base, clips, "en", SHORT, tmp_path / "unbroken")
    run = tmp_path / "broken"
    for steps in (1, 2, 3):
        with monkeypatch.context() as patched:
            broken = Breaking(Learner.step, steps, KeyboardInterrupt())
            patched.setattr(Learner, "step", lambda *given, broken=broken: broken(*given))
            with pytest.raises(KeyboardInterrupt):
                train(base, clips, "en", SHORT, run, checkpoint_every_s=every_s)
    train(base, clips, "en", SHORT, run, checkpoint_every_s=every_s)
    same_result(tmp_path / "unbroken", run)


def test_a_fine_tune_broken_off_before_it_is_judged(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_base_model(str(write_wav2vec2(tmp_path / "base")))
    settings = replace(
        SHORT, kind="attention", rank=1, layers=(), unfrozen=(1,), encoder_learning_rate=1e-3
    )
    train(base, clips, "en", settings, tmp_path / "unbroken")
    run = tmp_path / "broken"
    with monkeypatch.context() as patched:
        patched.setattr("transfer.training.train.judge", Breaking(judge, 2, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            train(base, clips, "en", settings, run, checkpoint_every_s=0.0)
    with monkeypatch.context() as patched:
        never = Breaking(lambda: None, 0, KeyboardInterrupt())
        patched.setattr("transfer.training.train.write_model", never)
        with pytest.raises(KeyboardInterrupt):
            train(base, clips, "en", settings, run)
    assert not (run / RUN_FILE).exists()
    train(base, clips, "en", settings, run)
    same_result(tmp_path / "unbroken", run)
    one, other = (
        load_file(each / "model/model.safetensors") for each in (run, tmp_path / "unbroken")
    )
    assert all(torch.equal(one[name], value) for name, value in other.items())


def test_a_finished_run_is_not_run_again(
    base: BaseModel, clips: list[Clip], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = replace(SHORT, patience=1, learning_rate=0.0)
    record = train(base, clips, "en", stopped, tmp_path)
    content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert content["standing"]["epoch"] == 2
    capsys.readouterr()
    assert train(base, clips, "en", stopped, tmp_path) == record
    assert capsys.readouterr().out == ""
    again = train(base, clips, "en", stopped, tmp_path, restart=True)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert replace(again, wall_s=record.wall_s) == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 4}, r"rank 4 \(was 8\)"),
        ({"seed": 7}, r"seed 7 \(was 0\)"),
        ({"epochs": 9, "accumulation": 1}, r"epochs 9 \(was 4\), accumulation 1 \(was 2\)"),
    ],
    ids=["rank", "seed", "two"],
)
def test_other_settings_are_refused(
    base: BaseModel, clips: list[Clip], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    train(base, clips, "en", SHORT, tmp_path)
    with pytest.raises(InvalidRequest, match=f"{message}; .*--restart .* another --runs folder"):
        train(base, clips, "en", replace(SHORT, **change), tmp_path)
    assert RunRecord.read(tmp_path).settings == SHORT
    train(base, clips, "en", replace(SHORT, **change), tmp_path, restart=True)


def test_other_clips_are_refused(base: BaseModel, clips: list[Clip], tmp_path: Path) -> None:
    train(base, clips, "en", SHORT, tmp_path)
    for other in (clips[1:], [replace(clips[0], text="aab"), *clips[1:]]):
        with pytest.raises(InvalidRequest, match="run of its own: clips; go on with the same man"):
            train(base, other, "en", SHORT, tmp_path)
    moved = [replace(clip, audio=f"{tmp_path}/../{Path(clip.audio).name}") for clip in clips]
    train(base, moved, "en", SHORT, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no checkpoint"], ids=["empty", "other"])
def test_a_checkpoint_that_cannot_be_read(
    base: BaseModel, clips: list[Clip], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"or of an earlier version: .*--restart"):
        train(base, clips, "en", SHORT, tmp_path)


def test_a_full_disk(
    base: BaseModel, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(base, clips, "en", SHORT, tmp_path / "unbroken")
    run = tmp_path / "full"
    for room, epochs in ((0, 0), (3, 2), (1, 3)):
        with monkeypatch.context() as patched:
            full = Breaking(os.fsync, room, OSError(errno.ENOSPC, "No space left on device"))
            patched.setattr(os, "fsync", full)
            with pytest.raises(StoreUnavailable, match="full cannot be written: No space left on"):
                train(base, clips, "en", SHORT, run)
        assert not list(run.glob(".*"))
        if epochs:  # what was written before is whole
            content = torch.load(run / CHECKPOINT, weights_only=True)
            assert content["standing"]["epoch"] == epochs
    train(base, clips, "en", SHORT, run)
    same_result(tmp_path / "unbroken", run)


def test_a_run_folder_that_cannot_be(base: BaseModel, clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="file/run cannot be written: Not a directory"):
        train(base, clips, "en", SHORT, tmp_path / "file" / "run")


# Processes that are killed


def run_to_end(arguments: Arguments) -> None:
    done = subprocess.run([sys.executable, *arguments.command()], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def run_to_death(arguments: Arguments) -> None:
    done = subprocess.run([sys.executable, *arguments.command()], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()[-2000:]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again(clips: list[Clip], tmp_path: Path) -> None:
    manifest = tmp_path / "chords.jsonl"
    write_manifest(manifest, clips)
    names = ("epochs", "batch_s", "accumulation", "feature_dropout")
    settings = {name: getattr(SHORT, name) for name in names}
    unbroken = Arguments(str(manifest), str(tmp_path / "unbroken"), settings)
    run_to_end(unbroken)
    broken = replace(unbroken, run=str(tmp_path / "broken"))
    for every_s, place, after in (
        (0.0, "step", 1),
        (0.0, "write", 0),
        (0.0, "write", 2),
        (1e9, "step", 2),
        (1e9, "write", 1),
    ):
        run_to_death(replace(broken, every_s=every_s, killed_at=place, killed_after=after))
        assert not (tmp_path / "broken" / RUN_FILE).exists()
    # And from outside, wherever it is after it has told of an epoch.
    with subprocess.Popen(
        [sys.executable, *broken.command()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert any(b"loss" in line for line in process.stdout)
        process.kill()
    run_to_end(broken)
    same_result(tmp_path / "unbroken", tmp_path / "broken")


# Several processes


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_accumulation(
    clips: list[Clip], tmp_path: Path
) -> None:
    manifest = tmp_path / "chords.jsonl"
    write_manifest(manifest, clips)
    # Three batches and then four: the last turn of the first epoch leaves one process idle.
    settings: dict[str, Any] = {"epochs": 4, "batch_s": 0.1, "feature_dropout": 0.1}
    alone = Arguments(str(manifest), str(tmp_path / "one"), settings | {"accumulation": 4})
    run_to_end(alone)
    together = replace(alone, run=str(tmp_path / "two"), settings=settings | {"accumulation": 2})
    # On GPUs `accelerate launch` does the same; for CPUs it wants MPI.
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *together.command()], capture_output=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    lines = done.stdout.decode().splitlines()
    assert len([line for line in lines if " loss " in line]) == 4  # of the main process alone
    one, two = (RunRecord.read(tmp_path / name) for name in ("one", "two"))
    assert (two.steps, two.development_wer) == (one.steps, one.development_wer)
    weights, others = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    for name, value in weights.items():
        torch.testing.assert_close(others[name], value, rtol=1e-4, atol=1e-5)
    assert isinstance(one.settings, TrainSettings)
