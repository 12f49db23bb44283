"""Audio that nobody has written down: a folder of recordings, or a manifest without texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import langcodes

from common.errors import InvalidRequest

ENDINGS = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mp4", ".webm"),
    *(".wma", ".amr", ".g722", ".aiff", ".aif", ".mka"),
)
"""Of the files in a folder that are taken for recordings."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class Recording:
    """One file.

    Attributes:
        path: where it lies.
        language: BCP-47 tag, as the caller says.
        split: what its manifest uses it for; empty where that does not say.
        speaker: as its manifest says; empty where nobody knows.
    """

    path: Path
    language: str
    split: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A recording that is not used, and why."""

    path: Path
    reason: str


def named_audio(options: Sequence[str]) -> list[Recording]:
    """Recordings of `be=folder/` and `ru=manifest.jsonl`; a language may come more than once.

    Raises:
        InvalidRequest: one is malformed, or holds nothing.
    """
    found = []
    for option in options:
        language, equals, where = option.partition("=")
        if not (equals and where):
            raise InvalidRequest(
                f"--audio {option!r:.80}: give LANGUAGE=FOLDER or LANGUAGE=MANIFEST, such as "
                "be=recordings/"
            )
        found += find_recordings(language, Path(where))
    if not found:
        raise InvalidRequest("no audio was named: give --audio LANGUAGE=FOLDER, once or more")
    return found


def find_recordings(language: str, where: Path) -> list[Recording]:
    """All recordings below a folder, by name, or those a JSONL manifest lists in `audio`.

    Of a manifest only `audio` is needed; `language`, `split` and `speaker` are heeded.

    Raises:
        InvalidRequest: `language` is no tag, or there is nothing.
    """
    if not langcodes.tag_is_valid(language):
        raise InvalidRequest(f"{language!r:.60} is no language tag: give one such as be")
    if where.is_dir():
        paths = sorted(path for path in where.rglob("*") if path.suffix.lower() in ENDINGS)
        found = [Recording(path, language) for path in paths if path.is_file()]
        holds = f"no recordings ({', '.join(ENDINGS)})"
    elif where.is_file():
        found = _listed(language, where)
        holds = f"no recordings of {language}"
    else:
        raise InvalidRequest(f"{where}: no such folder or manifest")
    if not found:
        raise InvalidRequest(f"{where} holds {holds}: name another folder or manifest")
    return found


def told(left_out: Iterable[LeftOut]) -> list[str]:
    """A line for each reason, with the first of the files."""
    by_reason: dict[str, list[str]] = {}
    for each in left_out:
        by_reason.setdefault(each.reason, []).append(each.path.name)
    return [
        f"left out {len(names)}, {reason}: {', '.join(names[:_MOST_NAMED])}"
        + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
        for reason, names in by_reason.items()
    ]


def _listed(language: str, manifest: Path) -> list[Recording]:
    found = []
    try:
        with manifest.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                recording, spoken = _recording(language, manifest, number, line)
                if _primary(spoken) == _primary(language):
                    found.append(recording)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{manifest} cannot be read as UTF-8 text") from error
    return found


def _recording(language: str, manifest: Path, number: int, line: str) -> tuple[Recording, str]:
    """A line's recording, and the language it says."""
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    texts = content if isinstance(content, dict) else {}
    values = {name: texts.get(name) or "" for name in ("audio", "split", "speaker")}
    if not (values["audio"] and all(isinstance(value, str) for value in values.values())):
        raise InvalidRequest(
            f"{manifest.name}: line {number} is no recording: one JSON object a line is needed, "
            'such as {"audio": "clips/1.ogg"}'
        )
    recording = Recording(
        manifest.parent / values["audio"], language, values["split"], values["speaker"]
    )
    return recording, str(texts.get("language") or language)


def _primary(tag: str) -> str:
    return tag.partition("-")[0].lower()
