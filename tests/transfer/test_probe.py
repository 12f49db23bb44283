"""Probing the layers of small encoders of both families."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from typer.testing import CliRunner, Result

from common.errors import InvalidRequest, PanglotError
from speech.adapters.card import ErrorRate
from speech.base_model import BaseModel, load_base_model
from tests.transfer.learning import spoken, tiny_whisper, write_wav2vec2
from transfer.__main__ import app
from transfer.data.manifest import Clip, write_manifest
from transfer.probing.chart import plot
from transfer.probing.command import proposed, table
from transfer.probing.probe import probe
from transfer.probing.probes import ProbeSettings
from transfer.probing.proposal import ProbeRecord, layers_to_freeze, unfrozen_layers
from transfer.probing.states import EveryLayer
from transfer.progress import no_bars
from transfer.training.examples import LowerLayers
from transfer.training.run import RunRecord

LONG = ProbeSettings(steps=600, epochs=(150, 150))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, and a manifest of two minutes as it says."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    write_wav2vec2(folder / "base")
    write_manifest(folder / "data" / "en.jsonl", long(spoken(folder)))
    return folder


def long(clips: list[Clip]) -> list[Clip]:
    return [replace(clip, duration_s=30.0) for clip in clips]


@pytest.fixture(scope="module")
def bases(folder: Path) -> dict[str, BaseModel]:
    return {"whisper": tiny_whisper(), "wav2vec2": load_base_model(str(folder / "base"))}


def record_of(*errors: float) -> ProbeRecord:
    rates = tuple(ErrorRate(error, error - 0.05, error + 0.05) for error in errors)
    return ProbeRecord("ca", "embedded", "sha256:0", "letters", 5.0, 1.2, rates)


@pytest.mark.parametrize(
    ("errors", "frozen"),
    [
        ((0.66, 0.48, 0.43, 0.40, 0.39, 0.39, 0.35), 3),
        ((0.68, 0.48, 0.46, 0.38, 0.32, 0.32, 0.32), 3),
        ((0.66, 0.65, 0.43, 0.40), 2),
        ((0.9, 0.8, 0.7, 0.6), 2),  # one layer at least is left to learn
        ((0.9, 0.5, 0.5), 1),
        ((0.9, 0.0, 0.0), 1),
        ((0.9, 0.9, 0.95), 0),  # no layer helps
        ((0.9, 0.5), 0),
    ],
)
def test_layers_that_help_as_they_are_are_frozen(errors: tuple[float, ...], frozen: int) -> None:
    assert layers_to_freeze(errors) == frozen


@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
def test_every_height_is_what_fewer_layers_make(
    bases: dict[str, BaseModel], folder: Path, family: str
) -> None:
    encoder = bases[family].encoder
    samples = torch.randn(8000, generator=torch.Generator().manual_seed(0)).numpy()
    heights = EveryLayer(encoder, encoder.n_layers, half=False)(samples)
    assert heights.shape == (encoder.n_frames(8000), encoder.n_layers + 1, encoder.d_model)
    for layer in range(encoder.n_layers + 1):
        alone = LowerLayers(encoder, layer, half=False)(samples)
        torch.testing.assert_close(heights[:, layer], alone)


@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
def test_probes_learn_chords_by_heart(
    bases: dict[str, BaseModel], folder: Path, family: str
) -> None:
    clips = long(spoken(folder))
    record, left_out = probe(bases[family], clips, "en", "letters", LONG, no_bars, half=False)
    assert (record.n_layers, left_out) == (2, ())
    assert (record.minutes, record.judged_minutes) == (2.0, 2.0)
    assert min(error.value for error in record.errors) == 0.0
    again, _ = probe(bases[family], clips, "en", "letters", LONG, no_bars, half=False)
    assert again == record


def test_phonemes_are_probed_by_how_texts_are_said(
    bases: dict[str, BaseModel], folder: Path
) -> None:
    pytest.importorskip("espeakng_loader")
    clips = [replace(clip, text="ship" if "a" in clip.text else "b") for clip in spoken(folder)]
    brief = ProbeSettings(steps=1, epochs=(1, 1))
    record, _ = probe(bases["whisper"], long(clips), "en", "phonemes", brief, no_bars, half=False)
    assert record.target == "phonemes"
    assert len(record.errors) == 3


def test_what_people_read() -> None:
    lines = list(table(record_of(0.66, 0.48, 0.43, 0.42)))
    assert lines[0].startswith("ca: letters wrong by a linear probe on each layer of embedded")
    assert lines[2].split() == ["input", "66.0%", "61.0%–71.0%", "0%"]
    assert lines[3].split() == ["1", "48.0%", "43.0%–53.0%", "75%"]
    line = proposed(record_of(0.66, 0.48, 0.45, 0.42, 0.41, 0.4, 0.39), 2, 0.25)
    assert line.startswith(
        "default 1-2 frozen for 15 minutes of speech; the probe proposes 1-3, the "
    )
    assert line.endswith("--freeze probe, which is --layers 4-6")
    assert "the probe proposes none" in proposed(record_of(0.5, 0.5, 0.5), 0, 0.25)


def test_the_plot_is_a_file_of_its_own() -> None:
    drawn = plot(replace(record_of(0.66, 0.48, 0.47), language="<x&y>"))
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall(".//{*}circle")) == 2
    assert len(root.findall(".//{*}rect")) == 2
    assert any("letters of <x&y> wrong" in (text.text or "") for text in root.iter())


def call(folder: Path, runs: Path, command: str, *arguments: str) -> Result:
    given = [command, "en", "--base", str(folder / "base"), "--data", str(folder / "data")]
    given += ["--runs", str(runs), "--precision", "fp32"]
    return CliRunner().invoke(app, [*given, *arguments])


def error_of(result: Result) -> PanglotError:
    assert isinstance(result.exception, PanglotError), result.output
    return result.exception


def test_what_is_probed_is_trained_by(folder: Path, tmp_path: Path) -> None:
    result = call(folder, tmp_path, "probe", "--minutes", "1")
    assert result.exit_code == 0, result.output
    assert "1.0 minutes to learn from, 2.0 to judge by" in result.stdout
    assert len(result.stdout.splitlines()) == 6
    record = ProbeRecord.read(tmp_path / "en")
    assert ElementTree.parse(tmp_path / "en" / "probe.svg").getroot() is not None
    trained = call(folder, tmp_path, "train", "--freeze", "probe", "--epochs", "1", "--rank", "4")
    assert trained.exit_code == 0, trained.output
    layers = RunRecord.read(tmp_path / "en").settings.layers
    assert layers == tuple(range(record.frozen, 2))


def test_other_bases_are_not_trained_by_it(
    bases: dict[str, BaseModel], tmp_path: Path, folder: Path
) -> None:
    base = bases["wav2vec2"]
    with pytest.raises(
        InvalidRequest, match=r"there is no probe of en in .*: run panglot probe en"
    ):
        unfrozen_layers("probe", base, tmp_path / "en")
    replace(record_of(0.9, 0.5, 0.4, 0.3), fingerprint="sha256:1").write(tmp_path / "ca")
    with pytest.raises(InvalidRequest, match=r"of embedded with 3 layers, not of .* with 2: run "):
        unfrozen_layers("probe", base, tmp_path / "ca")
    replace(record_of(0.9, 0.5, 0.4), fingerprint=base.fingerprint).write(tmp_path / "ca")
    assert unfrozen_layers("probe", base, tmp_path / "ca") == (1,)
    document = json.loads((tmp_path / "ca" / "probe.json").read_text())
    assert document["frozen"] == 1
    assert unfrozen_layers("0", base, tmp_path) == (0, 1)
    for text in ("2", "-1", "most"):
        with pytest.raises(InvalidRequest, match="give probe, or 0 to 1 of the 2 layers"):
            unfrozen_layers(text, base, tmp_path)
    both = call(folder, tmp_path, "train", "--freeze", "1", "--layers", "2")
    assert "give one" in str(error_of(both))


def test_too_little_to_probe_with(
    bases: dict[str, BaseModel], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, clips = bases["whisper"], spoken(folder)
    for some in (clips, long(clips[:4]), long(clips[4:])):
        with pytest.raises(InvalidRequest, match="a probe needs at least 1 minute to learn from"):
            probe(base, some, "en", "letters", LONG, no_bars)
    monkeypatch.setattr("transfer.probing.states.MOST_GB", 1e-6)
    with pytest.raises(InvalidRequest, match=r"2 layers of 2 minutes take .* give --minutes"):
        probe(base, long(clips), "en", "letters", LONG, no_bars)
    assert "no manifest" in str(
        error_of(call(folder, tmp_path, "probe", "--data", "nowhere.jsonl"))
    )
    assert not (tmp_path / "en").exists()
