"""What evaluating leaves in a run's folder, and what is refused of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from common.errors import AdapterRefused, InvalidRequest
from speech.adapters.card import write_card
from tests.transfer.publishing import candidate
from transfer.publishing.candidate import Candidate

WHOLE = candidate(lexicon=True)


def written(run: Path, weights: bytes) -> None:
    """A candidate whose card vouches for its weights, whatever they are."""
    sha256 = hashlib.sha256(weights).hexdigest()
    Candidate(replace(WHOLE.card, sha256=sha256), weights, WHOLE.lexicon).write(run)


def with_nan(run: Path) -> None:
    tensors = load(WHOLE.weights)
    tensors["head.projection.bias"][1] = torch.nan
    written(run, save(tensors))


def without_head(run: Path) -> None:
    tensors = load(WHOLE.weights)
    del tensors["head.projection.weight"]
    written(run, save(tensors))


def without_block(run: Path) -> None:
    tensors = load(WHOLE.weights)
    del tensors["blocks.1.attention.up.bias"]
    written(run, save(tensors))


def without_file(name: str) -> Callable[[Path], None]:
    return lambda run: (run / "candidate" / name).unlink()


def changed(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = run / "candidate" / name
        path.write_bytes(path.read_bytes()[:-1] + b"?")

    return change


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for each in (WHOLE, candidate(3), candidate(lexicon=True)):
        each.write(tmp_path / "it")
        assert Candidate.read(tmp_path / "it") == each


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (with_nan, r"head\.projection\.bias holds NaN or infinity"),
        (without_head, "holds no CTC head"),
        (without_block, r"blocks\.1\.attention\.up\.bias is missing"),
        (lambda run: written(run, b"PK\3\4"), "is not safetensors"),
        (without_file("adapter.safetensors"), r"has no adapter\.safetensors: evaluate it again"),
        (without_file("lexicon.bin"), r"has no lexicon\.bin: evaluate it again"),
        (changed("adapter.safetensors"), r"sha256 of adapter\.safetensors is"),
        (changed("lexicon.bin"), r"sha256 of lexicon\.bin is"),
        (changed("card.json"), "cannot be read as JSON"),
        (
            lambda run: write_card(replace(WHOLE.card, rank=5), run / "candidate"),
            r"is \(4,\), its card asks for \(5,\)",
        ),
        (
            lambda run: write_card(
                replace(WHOLE.card, vocabulary=WHOLE.card.vocabulary[:-1]), run / "candidate"
            ),
            r"head\.projection\.\w+ is",
        ),
    ],
)
def test_what_is_damaged_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    WHOLE.write(tmp_path)
    damage(tmp_path)
    with pytest.raises(AdapterRefused, match=says):
        Candidate.read(tmp_path)


def test_without_one_the_next_step_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="run `panglot evaluate it`"):
        Candidate.read(tmp_path / "it")


def test_half_of_one_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WHOLE.write(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            candidate(2).write(tmp_path)
    with pytest.raises(InvalidRequest, match="holds no candidate"):
        Candidate.read(tmp_path)
