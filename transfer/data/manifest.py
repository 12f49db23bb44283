"""The one form in which every corpus reaches the trainer: a JSONL manifest, one clip per line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

from common.errors import InvalidRequest
from transfer.data.checks import Defect, pace_defect, text_defect
from transfer.data.text import normalise

Split = Literal["train", "development", "held_out"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Clip:
    """One utterance.

    Attributes:
        audio: path relative to the manifest's folder, or absolute.
        text: the transcript as `transfer.data.text.normalise` writes it.
        language: BCP-47 tag.
        duration_s: seconds of audio.
        source: corpus it comes from.
        speaker: a name unique within the source; empty where nobody knows.
        split: which use it is for; no text stands in two.
        confidence: expected share of the words that are right, where an adapter wrote the text;
            None where a person did.
    """

    audio: str
    text: str
    language: str
    duration_s: float
    source: str
    speaker: str
    split: Split = "train"
    confidence: float | None = None

    def as_line(self) -> str:
        """The clip as a manifest has it."""
        content = asdict(self)
        if self.confidence is None:
            del content["confidence"]
        return json.dumps(content, ensure_ascii=False)


@dataclass(frozen=True)
class Rejected:
    """A clip that cannot be used, and why."""

    clip: Clip
    reason: str
    detail: str = ""


def read_manifest(path: Path) -> list[Clip]:
    """All clips of a manifest, audio paths made absolute.

    Raises:
        InvalidRequest: the file is missing, or a line is not a clip; the message names the line
            and says how to make a manifest of it.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return [_clip(line, number, path) for number, line in enumerate(lines, start=1)]
    except FileNotFoundError as error:
        raise InvalidRequest(
            f"no manifest at {path}: run `panglot data prepare` first, or name another file"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _not_a_manifest(path, "it cannot be read as UTF-8 text") from error


def _clip(line: str, number: int, path: Path) -> Clip:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise _not_a_manifest(path, f"line {number} is not JSON") from error
    if not isinstance(content, dict):
        raise _not_a_manifest(path, f"line {number} is not a JSON object")
    known = {field.name for field in fields(Clip)}
    if missing := known - content.keys() - {"split", "confidence"}:
        raise _not_a_manifest(path, f"line {number} lacks {', '.join(sorted(missing))}")
    if unknown := content.keys() - known:
        names = ", ".join(sorted(unknown))[:80]
        raise _not_a_manifest(path, f"line {number} has fields nobody knows: {names}")
    seconds = content["duration_s"]
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
        raise _not_a_manifest(path, f"line {number}: duration_s is {seconds!r:.40}, not seconds")
    texts = known - {"duration_s", "confidence"}
    if wrong := [n for n in texts if not isinstance(content.get(n, ""), str)]:
        raise _not_a_manifest(path, f"line {number}: {wrong[0]} is not text")
    confidence = content.get("confidence")
    if confidence is not None and not (type(confidence) in (int, float) and 0 <= confidence <= 1):
        raise _not_a_manifest(path, f"line {number}: confidence is {confidence!r:.40}, not 0 to 1")
    clip = Clip(**content)
    if clip.split not in SPLITS:
        raise _not_a_manifest(
            path, f"line {number}: split is {clip.split!r:.40}, not one of {', '.join(SPLITS)}"
        )
    return replace(clip, audio=str(path.parent / clip.audio))


def _not_a_manifest(path: Path, problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path.name}: {problem}. `panglot data prepare {path.name} --language TAG` reads "
        "tables of many forms, measures the recordings and writes the manifest"
    )


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write clips as JSONL, in their order: the whole file or, where that fails, none of it."""
    write_lines(path, (clip.as_line() for clip in clips))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Replace a text file, in one go.

    Raises:
        InvalidRequest: it cannot be written, as on a full disk; what stood there still does.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        partial.replace(path)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def validate(clips: Sequence[Clip], folder: Path) -> tuple[list[Clip], list[Rejected]]:
    """Separate usable clips from the others, by what a manifest says of them.

    Args:
        clips: any clips, audio relative to `folder` or absolute.
        folder: where the manifest will lie.
    """
    good, bad = [], []
    for clip in clips:
        defect = _defect(clip, folder)
        if defect is None:
            good.append(clip)
        else:
            bad.append(Rejected(clip, defect.reason, defect.detail))
    return good, bad


def _defect(clip: Clip, folder: Path) -> Defect | None:
    if not os.path.isfile(folder / clip.audio):
        return Defect("missing audio", clip.audio)
    if clip.text != normalise(clip.text, clip.language):
        return Defect("text is not normalised", clip.text)
    return text_defect(clip.text, clip.language) or pace_defect(clip.text, clip.duration_s)
