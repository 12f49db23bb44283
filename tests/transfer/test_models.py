"""`panglot models convert|import`, as a person calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from common.errors import InvalidRequest, ModelNotFound
from speech.base_model import load_base_model
from tests.speech.test_fairseq import LETTER_COUNTS, finetuned, pretrained, tiny
from tests.speech.test_finetuned import write_finetuned
from tests.speech.tiny_mms import LETTERS, write_tiny_mms
from transfer.__main__ import app


def run(*arguments: object) -> Result:
    """Run `panglot models ARGUMENTS…`; what is not a usage error is raised."""
    done = CliRunner().invoke(app, ["models", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_convert(tmp_path: Path) -> None:
    torch.save(pretrained(tiny()), tmp_path / "xlsr.pt")
    done = run("convert", tmp_path / "xlsr.pt", tmp_path / "out")
    assert done.exit_code == 0
    assert "2 layers of 32, 4 heads, norms before the sub-layers" in done.stdout
    assert load_base_model(str(tmp_path / "out")).encoder.d_model == 32


def test_what_was_assumed_and_what_is_missing_is_told(tmp_path: Path) -> None:
    checkpoint = {"model": finetuned(tiny())["model"]}
    torch.save(checkpoint, tmp_path / "ft.pt")
    done = run("convert", tmp_path / "ft.pt", tmp_path / "out", "--heads", 4)
    assert done.exit_code == 0
    assert "head of 8 classes" in done.stdout
    assert "assumed, since the checkpoint does not say: norms stand before" in done.stderr
    assert "not written: vocab.json" in done.stderr
    (tmp_path / "dict.txt").write_text(LETTER_COUNTS)
    arguments = ("--heads", 4, "--vocab", tmp_path / "dict.txt")
    done = run("convert", tmp_path / "ft.pt", tmp_path / "second", *arguments)
    assert "not written" not in done.stderr
    assert (tmp_path / "second" / "vocab.json").is_file()


def test_a_bad_checkpoint_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "not.pt").write_text("not a checkpoint")
    with pytest.raises(ModelNotFound, match="is not a checkpoint"):
        run("convert", tmp_path / "not.pt", tmp_path / "out")


def test_import(tmp_path: Path) -> None:
    mms = write_tiny_mms(tmp_path / "mms")
    store = tmp_path / "store"
    some = run("import", mms, "--store", store, "--languages", "fra, eng")
    assert some.exit_code == 0
    assert "2 imported, 0 already there, 0 refused; licence CC-BY-NC-4.0" in some.stdout
    rest = run("import", mms, "--store", store)
    assert rest.exit_code == 0
    assert "1 imported, 2 already there, 0 refused" in rest.stdout
    assert sorted(path.name for path in store.iterdir()) == sorted(f"mms-{x}" for x in LETTERS)


def test_a_refused_language_does_not_stop_the_others(tmp_path: Path) -> None:
    mms = write_tiny_mms(tmp_path / "mms")
    (mms / "adapter.eng.safetensors").write_bytes(b"half a download")
    done = run("import", mms, "--store", tmp_path / "store", "--languages", "deu,eng,fra")
    assert done.exit_code == 1
    assert "refused: deu: no adapter.deu.safetensors" in done.stderr
    assert "refused: eng: its file is not safetensors" in done.stderr
    assert "1 imported, 0 already there, 2 refused" in done.stdout
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["mms-fra"]


def test_no_language_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="--languages names none"):
        run("import", tmp_path, "--store", tmp_path, "--languages", " , ")


def test_import_of_a_fine_tuned_model(tmp_path: Path) -> None:
    model = write_finetuned(tmp_path / "xlsr")
    arguments = ("import", model, "--store", tmp_path / "store", "--language", "it")
    done = run(*arguments)
    assert done.exit_code == 0
    assert f"xlsr-it imported, 10 classes; it runs on --base-model {model} alone" in done.stdout
    assert "xlsr-it already there" in run(*arguments).stdout
    with pytest.raises(InvalidRequest, match="give one of them"):
        run(*arguments, "--languages", "ita")
    with pytest.raises(ModelNotFound, match=r"fine-tuned for one language .* --language TAG"):
        run(*arguments[:-2])


def test_it_is_reached_through_the_client(tmp_path: Path) -> None:
    """`panglot models` becomes this program, and an error is one line and exit code 1."""
    command = [sys.executable, "-m", "client.cli", "models", "convert", "nowhere.pt", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: checkpoint nowhere.pt cannot be read")
