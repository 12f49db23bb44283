"""Manifests: what is a clip, and what is said of a line that is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from common.errors import InvalidRequest
from transfer.data.manifest import Clip, read_manifest, validate, write_manifest

CLIP = Clip("a.flac", "all circuits are busy now", "en", 2.0, "test", "someone")


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
        ({"duration_s": 31.0}, "too long"),
        ({"duration_s": 0.05}, "too short"),
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


GOOD = asdict(CLIP)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"audio": "a.flac"}, "lacks duration_s, language, source, speaker, text"),
        (GOOD | {"gender": "f"}, "has fields nobody knows: gender"),
        (GOOD | {"duration_s": "2"}, "duration_s is '2', not seconds"),
        (GOOD | {"duration_s": -1}, "duration_s is -1"),
        (GOOD | {"duration_s": True}, "duration_s is True"),
        (GOOD | {"text": None}, "text is not text"),
        (GOOD | {"split": "test"}, "split is 'test', not one of train, development, held_out"),
        ([], "is not a JSON object"),
        ("audio,text", "is not a JSON object"),
    ],
)
def test_a_bad_line_is_named_with_what_to_do(tmp_path: Path, line: object, problem: str) -> None:
    (tmp_path / "en.jsonl").write_text(f"{json.dumps(GOOD)}\n{json.dumps(line)}\n")
    with pytest.raises(InvalidRequest) as caught:
        read_manifest(tmp_path / "en.jsonl")
    assert "line 2" in str(caught.value)
    assert problem in str(caught.value)
    assert "`panglot data prepare en.jsonl --language TAG`" in str(caught.value)


def test_what_is_no_manifest_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="run `panglot data prepare` first"):
        read_manifest(tmp_path / "fr.jsonl")
    (tmp_path / "a.csv").write_text("audio,text\n")
    with pytest.raises(InvalidRequest, match="line 1 is not JSON"):
        read_manifest(tmp_path / "a.csv")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="cannot be read as UTF-8"):
        read_manifest(tmp_path / "b.jsonl")


def test_a_line_ends_at_its_end(tmp_path: Path) -> None:
    """Not at a separator that Unicode also calls one."""
    clip = replace(CLIP, audio="a\u2028b.flac")
    write_manifest(tmp_path / "en.jsonl", [clip, clip])
    assert len(read_manifest(tmp_path / "en.jsonl")) == 2


def test_a_failure_leaves_the_manifest_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "en.jsonl"
    write_manifest(path, [CLIP])

    def clips() -> Iterator[Clip]:
        yield CLIP
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_manifest(path, clips())
    assert len(read_manifest(path)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["en.jsonl"]
