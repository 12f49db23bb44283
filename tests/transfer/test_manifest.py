"""Splitting and validation of manifests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import InvalidRequest
from transfer.manifest import Clip, read_manifest, split_by_text, validate, write_manifest
from transfer.text import scoring_form

CLIP = Clip("a.flac", "all circuits are busy now", "en", 2.0, "test", "someone")


def clips(count: int) -> list[Clip]:
    # Every sentence is spoken twice, once with other words around it: a near copy.
    texts = [f"sentence {_word(n)} about {_word(n + 7)} {_word(3 * n)}" for n in range(count)]
    spoken = [text for text in texts for _ in range(2)] + [f"now {text} please" for text in texts]
    return [replace(CLIP, text=text, speaker=str(n)) for n, text in enumerate(spoken)]


def _word(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number + 1000))


def test_no_text_nor_its_near_copy_is_in_two_splits() -> None:
    split = split_by_text(clips(200))
    texts: dict[str, set[str]] = {}
    for clip in split:
        texts.setdefault(clip.split, set()).add(scoring_form(clip.text, "en"))
    train, development, held_out = (texts[s] for s in ("train", "development", "held_out"))
    assert not train & development
    assert not train & held_out
    assert not development & held_out
    for text in held_out:
        assert text.removeprefix("now ").removesuffix(" please") not in train | development
    assert len(held_out) >= 60
    assert len(train) > len(held_out) > 0.09 * len(train)


def test_the_split_does_not_depend_on_order() -> None:
    forwards = {(c.text, c.split) for c in split_by_text(clips(100))}
    backwards = {(c.text, c.split) for c in split_by_text(clips(100)[::-1])}
    assert forwards == backwards


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"audio": "missing.flac"}, "missing audio"),
        ({"text": ""}, "empty text"),
        ({"text": "All circuits"}, "text is not normalised"),
        ({"text": "dial 500"}, "digits or symbols"),
        ({"duration_s": 0.3}, "impossibly fast"),
        ({"duration_s": 27.0}, "impossibly slow"),
        ({"duration_s": 31.0}, "too short or too long"),
    ],
)
def test_validation(tmp_path: Path, changes: dict[str, str], reason: str | None) -> None:
    (tmp_path / "a.flac").touch()
    good, bad = validate([replace(CLIP, **changes)], tmp_path)  # type: ignore[arg-type]
    assert [r.reason for r in bad] == ([reason] if reason else [])
    assert len(good) == (0 if reason else 1)


def test_manifest_round_trip(tmp_path: Path) -> None:
    write_manifest(tmp_path / "en.jsonl", [CLIP])
    (read,) = read_manifest(tmp_path / "en.jsonl")
    assert read == replace(CLIP, audio=str(tmp_path / "a.flac"))


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "en.jsonl").write_text('{"audio": "a.flac"}\n')
    with pytest.raises(InvalidRequest, match="line 1"):
        read_manifest(tmp_path / "en.jsonl")
    with pytest.raises(InvalidRequest, match="prepare"):
        read_manifest(tmp_path / "fr.jsonl")
