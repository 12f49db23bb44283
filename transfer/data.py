"""`prepare`: corpora → one validated manifest per language, split by text."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from common.errors import CorruptAudio, UnknownLanguage
from speech.features import SAMPLE_RATE_HZ
from transfer.audio import read_audio
from transfer.corpora import LANGUAGES, recordings
from transfer.manifest import Clip, Rejected, split_by_text, validate, write_manifest
from transfer.text import normalise


@dataclass(frozen=True)
class Prepared:
    """A language's manifest and what did not make it into it."""

    manifest: Path
    clips: tuple[Clip, ...]
    rejected: tuple[Rejected, ...]

    def hours(self, split: str | None = None) -> float:
        """Hours of speech, of one split or of all."""
        return sum(c.duration_s for c in self.clips if split in (None, c.split)) / 3600

    def count(self, split: str) -> int:
        """Clips of one split."""
        return sum(clip.split == split for clip in self.clips)

    def reasons(self) -> Counter[str]:
        """How many clips were rejected, by reason."""
        return Counter(rejected.reason for rejected in self.rejected)


def manifest_path(language: str, data: Path) -> Path:
    """Where `prepare` writes a language's manifest."""
    return data / f"{language}.jsonl"


def prepare(language: str, data: Path) -> Prepared:
    """Download what is missing, decode, normalise, validate, split and write `<data>/<lang>.jsonl`.

    Raises:
        UnknownLanguage: no corpus here speaks it.
        CorpusUnavailable: a package cannot be downloaded.
    """
    if language not in LANGUAGES:
        raise UnknownLanguage(
            f"language {language!r} has no corpus here; there is {', '.join(LANGUAGES)}"
        )
    clips, undecodable = [], []
    for recording in recordings(language, data):
        clip = Clip(
            audio=os.path.relpath(recording.audio, data),
            text=normalise(recording.text, language),
            language=language,
            duration_s=0.0,
            source=recording.source,
            speaker=recording.speaker,
        )
        try:
            duration_s = len(read_audio(recording.audio)) / SAMPLE_RATE_HZ
        except CorruptAudio as error:
            undecodable.append(Rejected(clip, str(error)))
            continue
        clips.append(Clip(**{**clip.__dict__, "duration_s": round(duration_s, 3)}))
    good, bad = validate(clips, data)
    target = manifest_path(language, data)
    good = split_by_text(good)
    write_manifest(target, good)
    return Prepared(target, tuple(good), (*undecodable, *bad))
