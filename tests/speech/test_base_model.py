"""The base model from the wheels, the cache and a directory."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import speech.base_model
from common.errors import ModelNotFound
from speech.base_model import WhisperBase, default_cache, load_whisper
from tests.speech.tiny import tiny_tokenizer, tiny_whisper


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as the hub lays it out."""
    target = tmp_path_factory.mktemp("hub") / "whisper-tiny"
    tiny_whisper().save_pretrained(target)
    tiny_tokenizer().save(str(target / "tokenizer.json"))
    return target


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    """One that a test may damage."""
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def test_the_embedded_model(base: WhisperBase) -> None:
    assert base.name == "embedded"
    assert base.whisper.config.d_model == 512
    assert not base.whisper.training
    assert not any(parameter.requires_grad for parameter in base.whisper.parameters())
    assert {parameter.dtype for parameter in base.whisper.parameters()} == {torch.float32}
    assert base.tokenizer.token_to_id("<|startoftranscript|>") == 50258
    assert len(base.generation.to_dict()["alignment_heads"]) > 1
    # It is in every published card: a change of it would refuse all of them.
    assert base.fingerprint.startswith("sha256:")
    assert len(base.fingerprint) == len("sha256:") + 64


def test_a_conversion_is_used_again(base: WhisperBase, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(target: Path) -> None:
        raise AssertionError("converted a second time")

    monkeypatch.setattr(speech.base_model, "_convert", never)
    assert load_whisper().fingerprint == base.fingerprint


def test_the_same_model_in_a_directory_has_the_same_fingerprint(
    base: WhisperBase, tmp_path: Path
) -> None:
    base.whisper.save_pretrained(tmp_path)  # in float32; the embedded one was kept in half
    base.tokenizer.save(str(tmp_path / "tokenizer.json"))
    read = load_whisper(str(tmp_path))
    assert read.name == str(tmp_path)
    assert read.fingerprint == base.fingerprint


def test_one_changed_weight_changes_the_fingerprint(directory: Path, copy: Path) -> None:
    whisper = tiny_whisper()
    whisper.model.encoder.layers[1].fc1.bias[3] += 0.01
    whisper.save_pretrained(copy)
    changed = load_whisper(str(copy)).fingerprint
    whisper.model.encoder.layers[1].fc1.bias[3] -= 0.01
    whisper.model.decoder.layers[1].fc1.bias[3] += 0.01  # no adapter stands on the decoder
    whisper.save_pretrained(copy)
    assert changed != load_whisper(str(directory)).fingerprint
    assert load_whisper(str(copy)).fingerprint == load_whisper(str(directory)).fingerprint


def test_no_such_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name = str(tmp_path / "nowhere")
    with pytest.raises(ModelNotFound, match=r"nowhere.*neither a directory nor a hub id"):
        load_whisper(name)


def test_a_directory_without_a_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFound, match=r"has no tokenizer\.json"):
        load_whisper(str(copy))


@pytest.mark.parametrize(
    "file", ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
)
def test_a_damaged_directory_is_refused(copy: Path, file: str) -> None:
    (copy / file).write_text("{")
    with pytest.raises(
        ModelNotFound, match=r"holds no readable Whisper model|no readable config\.json"
    ):
        load_whisper(str(copy))


def test_a_directory_without_weights_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="holds no readable Whisper model"):
        load_whisper(str(copy))


def test_weights_of_another_architecture_are_refused(copy: Path) -> None:
    whisper = tiny_whisper()
    save_file(whisper.model.encoder.state_dict(), copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelNotFound, match="holds no readable Whisper model"):
        load_whisper(str(copy))


def test_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def files(package: str) -> Path:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(importlib.resources, "files", files)
    with pytest.raises(ModelNotFound, match="not installed: pip install"):
        load_whisper(cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_installation_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    for package, file, _ in speech.base_model._PARTS:
        (packages / package / "data").mkdir(parents=True)
        (packages / package / "data" / file).write_bytes(b"half a download")
    monkeypatch.setattr(importlib.resources, "files", lambda package: packages / package)
    cache = tmp_path / "cache"
    with pytest.raises(ModelNotFound, match="does not match its checksum"):
        load_whisper(cache=cache)
    assert not list(cache.iterdir())


def test_where_conversions_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PANGLOT_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("PANGLOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "panglot"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(ModelNotFound, match=r"cannot be converted .*PANGLOT_CACHE"):
        load_whisper(cache=blocked)
