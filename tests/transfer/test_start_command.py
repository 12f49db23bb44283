"""`panglot train --from A,B --fusion … --head …` as a person types it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from typer.testing import CliRunner, Result

from common.adapter_files import CARD_FILE
from common.errors import (
    AdapterNotFound,
    AdapterRefused,
    InvalidRequest,
    PanglotError,
    UnknownLanguage,
)
from speech.adapters.card import WEIGHTS_FILE, write_card
from speech.adapters.kinds import ATTENTION, AdapterShape, to_file
from speech.base_model import BaseModel, load_base_model
from tests.speech.tiny import make_card, random_adapter
from tests.transfer.learning import spoken, write_wav2vec2
from transfer.__main__ import app
from transfer.data.manifest import write_manifest
from transfer.training.plan import make_plan
from transfer.training.run import RunRecord
from transfer.training.source import Fusion

Train = Callable[..., Result]
ADAPTERS = {
    "es": ("es", 6, (1,), 1),
    "it": ("it", 6, (1,), 1),
    "it@2": ("it", 6, (1,), 2),
    "fr": ("fr", 6, (1,), 1),
    "narrow": ("ro", 4, (1,), 1),
    "low": ("pt", 6, (0,), 1),
    "deep": ("gl", 6, (1, 7), 1),
    "ca": ("ca", 6, (1,), 1),
    "unheard": ("qaa", 6, (1,), 1),
    "es@2": ("es", 6, (1,), 2),
}
"""Folder: language, rank, layers, version."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, clips, and a store of adapters; one of them is of another base."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    write_wav2vec2(folder / "base")
    base = load_base_model(str(folder / "base"))
    clips = [replace(clip, duration_s=30.0, language="ca") for clip in spoken(folder)]
    write_manifest(folder / "data" / "ca.jsonl", clips)
    for name in ADAPTERS.keys() - {"es@2"}:
        write(folder / "models", name, base.fingerprint)
    write(folder / "strange", "es", "sha256:another")
    return folder


def write(store: Path, name: str, fingerprint: str) -> None:
    language, rank, layers, version = ADAPTERS[name]
    adapter = random_adapter(AdapterShape(ATTENTION, 32, rank, layers, 4), len(name))
    content = save(to_file(ATTENTION, adapter.state_dict()))
    digest = hashlib.sha256(content).hexdigest()
    identity = name.partition("@")[0]
    card = make_card(adapter, identity, fingerprint, digest)
    card = replace(card, kind="attention", language=language, version=version)
    (store / name).mkdir(parents=True)
    (store / name / WEIGHTS_FILE).write_bytes(content)
    write_card(card, store / name)


@pytest.fixture
def train(folder: Path, tmp_path: Path) -> Train:
    def called(*arguments: str) -> Result:
        given = ["train", "ca", "--base", str(folder / "base"), "--data", str(folder / "data")]
        given += ["--models", str(folder / "models"), "--runs", str(tmp_path), "--precision"]
        return CliRunner().invoke(app, [*given, "fp32", "--epochs", "1", *arguments])

    return called


def lines_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line for line in result.stdout.splitlines() if line.startswith("  ")]


def error_of(result: Result) -> PanglotError:
    assert isinstance(result.exception, PanglotError), result.output
    assert "\n" not in str(result.exception)
    return result.exception


@pytest.mark.parametrize("fusion", ["mean", "attention", "concatenation"])
def test_several_become_one_plain_adapter(train: Train, tmp_path: Path, fusion: str) -> None:
    lines = lines_of(train("--from", "es@1=3,it@2=1", "--fusion", fusion))
    assert lines[-3].startswith(f"  start             {fusion:<18}")
    assert lines[-3].endswith("and the letters both write")
    assert lines[-2:] == [
        f"  {'':<18}{'es@1 x 0.75':<18}as asked",
        f"  {'':<18}{'it@2 x 0.25':<18}as asked",
    ]
    record = RunRecord.read(tmp_path / "ca")
    assert (record.source, record.fusion) == ("es@1=0.75,it@2=0.25", fusion)
    assert record.settings.rank == 6
    assert record.strategy().endswith(f"started from the {fusion} of es@1=0.75,it@2=0.25")
    plain = AdapterShape(ATTENTION, 32, 6, (1,), 4).tensors()
    found = record.adapter(tmp_path / "ca", 32).state_dict()
    assert {name: tuple(value.shape) for name, value in found.items()} == plain


def test_weights_and_reasons_come_from_the_ranking(train: Train) -> None:
    lines = lines_of(train("--from", "es@1,it@2", "--fusion", "mean"))
    told = [line.split(maxsplit=3) for line in lines[-2:]]
    assert [words[0] for words in told] == ["es@1", "it@2"]
    assert sum(float(words[2]) for words in told) == pytest.approx(1.0, abs=0.011)
    assert all("Romance" in words[3] for words in told)


def test_without_a_fusion_the_best_is_taken(train: Train, tmp_path: Path) -> None:
    lines = lines_of(train("--from", "es@1=1,it@2=2"))
    assert lines[-2].startswith("  start             it@2              its blocks")
    assert lines[-1].strip() == "before es@1: the heaviest"
    assert RunRecord.read(tmp_path / "ca").source == "it@2"
    lines = lines_of(train("--from", "unheard@1,fr@1", "--restart"))
    assert lines[-2].startswith("  start             unheard@1 ")
    assert lines[-1].strip() == "before fr@1: the first named"


def test_auto_needs_adapters_of_this_base(train: Train, folder: Path) -> None:
    nothing = train("--from", "auto", "--models", str(folder / "strange"))
    assert "finds no adapter of another language that fits" in str(error_of(nothing))


@pytest.fixture(scope="module")
def base(folder: Path) -> BaseModel:
    return load_base_model(str(folder / "base"))


def test_auto_takes_the_latest_of_the_languages_that_rank_best(
    base: BaseModel, folder: Path
) -> None:
    """Neither the target itself, nor what nothing is known of."""
    clips = [replace(clip, duration_s=30.0) for clip in spoken(folder)]
    store = folder / "same"
    for name in ("es", "it", "it@2", "fr", "ca", "unheard", "low"):
        write(store, name, base.fingerprint)
    write(store, "es@2", "sha256:another")

    def found(text: str, language: str = "ca") -> list[str]:
        fusion: Fusion = "best" if text == "auto:1" else "concatenation"
        plan = make_plan(language, clips, base, None, text, store, {}, fusion=fusion)
        assert plan.source is not None
        assert sum(plan.source.weights) == pytest.approx(1.0)
        return [source.key for source in plan.source.sources]

    (store / "low" / CARD_FILE).unlink()
    everything = found("auto:9")
    assert sorted(everything) == ["es@1", "fr@1", "it@2"]
    assert found("auto") == everything
    assert found("auto:2") == everything[:2]
    assert found("auto:1") == everything[:1]
    with pytest.raises(UnknownLanguage, match="'qab' is not known"):
        found("auto", "qab")


def test_ranks_differ_side_by_side_alone(train: Train) -> None:
    given = ("--from", "es@1=1,narrow@1=1", "--fusion")
    message = "narrow@1 has rank 4, es@1 has 6: only adapters of one shape are put together; of"
    assert message in str(error_of(train(*given, "mean")))
    assert message in str(error_of(train(*given, "attention")))
    lines_of(train(*given, "concatenation"))
    wide = train(*given, "concatenation", "--rank", "11", "--restart")
    assert "rank 11 was asked for: side by side" in str(error_of(wide))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "es@1,es@1"), "--from names es@1 twice"),
        (("--from", "es@1,ca@1", "--fusion", "mean"), "ca@1 hears ca itself"),
        (("--from", "it@1,it@2", "--fusion", "mean"), "the same language"),
        (("--from", "es@1=0,it@2=0", "--fusion", "mean"), "gives es@1 the weight '0'"),
        (("--from", "es@1", "--fusion", "mean"), "--fusion mean is of several adapters"),
        (("--from", "es@1,low@1", "--fusion", "mean"), "low@1 has layers 1, es@1 has 2"),
        (("--from", "deep@1"), "deep@1 has a block after layer 8"),
        (("--fusion", "mean"), "--fusion is of the adapters to start from: give them with --from"),
        (("--head", "new"), "--head is of the adapters to start from"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    train: Train, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    error = error_of(train(*arguments))
    assert isinstance(error, InvalidRequest)
    assert message in str(error)
    assert not (tmp_path / "ca").exists()


def test_an_unknown_fusion_and_what_is_not_in_the_store(train: Train, folder: Path) -> None:
    unknown = train("--from", "es@1,it@2", "--fusion", "sum")
    assert unknown.exit_code == 2
    assert "'sum' is not one of" in unknown.output
    assert isinstance(error_of(train("--from", "es@1,de@1")), AdapterNotFound)
    strange = train("--from", "es@1", "--models", str(folder / "strange"))
    assert isinstance(error_of(strange), AdapterRefused)
