"""Real speech with transcripts and a free licence, from Debian's packages; no root needed.

- `asterisk`: telephone prompts, one professional speaker per language, 21 to 29 minutes each.
- `tuxpaint`: one-sentence descriptions of pictures, read by volunteers in many languages.
"""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import PanglotError
from transfer.data.repair import mend_question_marks, restore_accents
from transfer.data.script import mend_lookalikes
from transfer.data.text import spell_digits


class CorpusUnavailable(PanglotError):
    """A corpus could neither be found nor downloaded."""


@dataclass(frozen=True)
class Recording:
    """An audio file and what its corpus says was said, not normalised yet.

    Attributes:
        audio: the file.
        text: the corpus's text, repaired where the corpus is known to be damaged.
        source: which corpus, `asterisk` or `tuxpaint`.
        speaker: a name unique within the source.
    """

    audio: Path
    text: str
    source: str
    speaker: str


@dataclass(frozen=True)
class Licence:
    """Where a corpus's words and voice may go."""

    source: str
    title: str
    licence: str


ASTERISK_LANGUAGES = ("en", "es", "fr", "it", "ru")
TUXPAINT_LANGUAGES = ("be", "bg", "ca", "da", "el", "es", "fr", "ro", "ru")
_TUXPAINT_LACKS_ACCENTS = {"el", "ro"}
"""Here and there: `dupa` for `după`, `κοκκινη` for `κόκκινη`."""
LANGUAGES = tuple(sorted({*ASTERISK_LANGUAGES, *TUXPAINT_LANGUAGES}))
_ASTERISK_LICENCES = {"it": "CC-BY-3.0", "ru": "CC-BY-3.0"}


def licences(language: str) -> list[Licence]:
    """The corpora of a language, as their packages' copyright files license them."""
    found = []
    if language in ASTERISK_LANGUAGES:
        licence = _ASTERISK_LICENCES.get(language, "CC-BY-SA-3.0")
        found.append(Licence("asterisk", f"asterisk-core-sounds-{language} 1.6.1", licence))
    if language in TUXPAINT_LANGUAGES:
        found.append(Licence("tuxpaint", "tuxpaint-stamps-default 2022.06.04", "GPL-2.0-only"))
    return found


def recordings(language: str, data: Path) -> Iterator[Recording]:
    """Everything the corpora hold in `language`, downloaded into `data` where it is absent.

    Raises:
        CorpusUnavailable: a package cannot be downloaded or unpacked.
    """
    if language in ASTERISK_LANGUAGES:
        for package in (
            f"asterisk-core-sounds-{language}",
            f"asterisk-core-sounds-{language}-g722",
        ):
            unpack(package, data)
        yield from _asterisk(language, data / "raw")
    if language in TUXPAINT_LANGUAGES:
        unpack("tuxpaint-stamps-default", data)
        yield from _tuxpaint(language, data / "raw")


def unpack(package: str, data: Path) -> None:
    """Download a Debian package into `data/packages` and unpack it into `data/raw`, once."""
    packages, raw = data / "packages", data / "raw"
    if (raw / "usr/share/doc" / package).is_dir():
        return
    packages.mkdir(parents=True, exist_ok=True)
    try:
        if not list(packages.glob(f"{package}_*.deb")):
            _run(["apt-get", "download", package], packages)
        (archive,) = packages.glob(f"{package}_*.deb")
        _run(["dpkg", "-x", str(archive.resolve()), str(raw.resolve())], packages)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise CorpusUnavailable(
            f"Debian package {package} could not be had: on Debian or Ubuntu run `apt-get update`, "
            f"elsewhere put its .deb into {packages}"
        ) from error


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _asterisk(language: str, raw: Path) -> Iterator[Recording]:
    package = f"asterisk-core-sounds-{language}"
    listing = gzip.decompress(
        (raw / f"usr/share/doc/{package}/core-sounds-{language}.txt.gz").read_bytes()
    )
    (voice,) = (raw / "usr/share/asterisk/sounds").glob(f"{language}_*")
    seen = set()
    for line in listing.decode("utf-8-sig").splitlines():
        match = re.match(r"([\w/-]+):\s*(.+)", line)
        if match is None or match[1] in seen:
            continue
        key, text = match[1], match[2].removeprefix(f"{match[1]}:").strip()
        seen.add(key)
        audio = voice / f"{key}.g722"
        # `[…]` and `(…)` describe a sound instead of quoting speech.
        if text.startswith(("[", "(")) or not audio.is_file():
            continue
        yield Recording(audio, _repair(text, language), "asterisk", voice.name)


def _repair(text: str, language: str) -> str:
    if language == "it":
        text = mend_question_marks(text, language)
    if language == "es":
        text = restore_accents(text, language)
    return spell_digits(text, language)


def _tuxpaint(language: str, raw: Path) -> Iterator[Recording]:
    stamps = raw / "usr/share/tuxpaint/stamps"
    for audio in sorted(stamps.rglob(f"*_desc_{language}.ogg")):
        listing = audio.with_name(audio.name.replace(f"_desc_{language}.ogg", ".txt"))
        if not listing.is_file():
            continue
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            # The Catalan reader says a letter's name only: `te` where the text is `La lletra t.`
            if language == "ca" and "la lletra" in line.lower():
                continue
            if line.startswith(f"{language}.utf8="):
                text = mend_lookalikes(line.partition("=")[2].strip(), language)
                if language in _TUXPAINT_LACKS_ACCENTS:
                    text = restore_accents(text, language, only_missing=True)
                yield Recording(audio, text, "tuxpaint", f"tuxpaint-{language}")
