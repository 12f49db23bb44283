"""`prepare`: rows of any source → checked, heard, split → one manifest, and a report of the rest.

1. Rows are read one at a time; their text is normalised and checked.
2. The recordings of those that pass are heard, by several processes.
3. What is usable goes to a scratch file, what is not to the report.
4. Splits are decided over all clips, and the scratch file becomes the manifest.

Memory holds the distinct sentences and numbers: about a gigabyte for a million clips.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common.errors import InvalidRequest
from transfer.data.assign import assign
from transfer.data.audio import Heard
from transfer.data.checks import Defect, pace_defect, sound_defect, text_defect
from transfer.data.gathered import Gathered
from transfer.data.listen import hear_all
from transfer.data.manifest import SPLITS, Clip, Split, write_lines
from transfer.data.rejections import Rejections
from transfer.data.speech_source import Row, SpeechSource, same_language
from transfer.data.text import normalise, transcript

_SAYS_LESS = Defect("says less than its text", "far shorter than this speaker needs for it")


@dataclass
class SplitSize:
    """How much a split holds."""

    clips: int = 0
    seconds: float = 0.0
    sentences: set[int] = field(default_factory=set)
    speakers: set[int] = field(default_factory=set)

    def add(self, clip: Clip) -> None:
        """Count a clip."""
        self.clips += 1
        self.seconds += clip.duration_s
        self.sentences.add(hash(clip.text))
        if clip.speaker:
            self.speakers.add(hash((clip.source, clip.speaker)))


@dataclass(frozen=True)
class _Candidate:
    """A row with its text normalised, and why it is left out so far."""

    row: Row
    source: SpeechSource
    text: str
    defect: Defect | None


@dataclass(frozen=True)
class Prepared:
    """A language's manifest and what did not make it into it.

    Attributes:
        manifest: where it lies.
        report: the rows left out, each with its reason.
        sizes: of each split.
        faulty: how many rows have something wrong with them, by reason.
        aside: how many would only spoil a split, by reason.
        how: how the clips were split, in words.
    """

    manifest: Path
    report: Path
    sizes: dict[Split, SplitSize]
    faulty: Counter[str]
    aside: Counter[str]
    how: str


class NothingUsable(InvalidRequest):
    """Not one row of the sources could be used."""


class FaultyRows(InvalidRequest):
    """Rows are faulty, and none was to be."""


def manifest_path(language: str, data: Path) -> Path:
    """Where `prepare` writes a language's manifest."""
    return data / f"{language}.jsonl"


def prepare(
    sources: Sequence[SpeechSource],
    target: Path,
    *,
    jobs: int = 1,
    strict: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> Prepared:
    """Check, hear, split and write the clips of one language.

    Args:
        sources: where they come from, all in the same language.
        target: the manifest; the report is written beside it, even where the manifest is not.
        jobs: how many processes decode.
        strict: write no manifest where a row is faulty.
        advance: called after each row.

    Raises:
        InvalidRequest: a source cannot be read, or the manifest not be written.
        NothingUsable: of all rows.
        FaultyRows: where `strict`.
        CorpusUnavailable: a package cannot be downloaded.
    """
    report = target.with_suffix(".rejected.tsv")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Gathered(target.parent) as gathered, Rejections(report) as rejections:
            heard_before = _HeardBefore()
            for candidate, heard in hear_all(_candidates(sources), _recording, jobs):
                defect = _defect(candidate, heard, heard_before)
                if defect is not None:
                    rejections.add(candidate.row, defect)
                elif isinstance(heard, Heard):
                    clip = _clip(candidate, heard, target.parent)
                    gathered.add(candidate.row, clip, paced=candidate.source.paced)
                advance()
            how, verdicts = _verdicts(gathered)
            sizes = {split: SplitSize() for split in SPLITS}
            for (row, clip), verdict in zip(gathered, verdicts, strict=True):
                if isinstance(verdict, Defect):
                    rejections.add(row, verdict)
                else:
                    sizes[verdict].add(clip)
            prepared = Prepared(target, report, sizes, rejections.faulty, rejections.aside, how)
            failure = _failure(prepared, strict=strict)
            if failure is None:
                write_lines(target, _kept(gathered, verdicts))
    except OSError as error:
        raise InvalidRequest(f"{target} cannot be written: {error.strerror}") from error
    if failure is not None:
        raise failure
    return prepared


def _candidates(sources: Sequence[SpeechSource]) -> Iterator[_Candidate]:
    for source in sources:
        for row in source.rows():
            text = (normalise if source.curated else transcript)(row.text, source.language)
            defect = row.defect or _row_defect(row, text, source.language)
            yield _Candidate(row, source, text, defect)


def _row_defect(row: Row, text: str, language: str) -> Defect | None:
    if not os.path.isfile(row.audio):  # unlike `Path.is_file`, no name is too odd for it
        return Defect("missing audio", str(row.audio))
    if row.language and not same_language(row.language, language):
        return Defect("another language", row.language)
    return text_defect(text, language)


def _recording(candidate: _Candidate) -> Path | None:
    return None if candidate.defect else candidate.row.audio


class _HeardBefore:
    """Recordings by their digests, and what was said in them."""

    def __init__(self) -> None:
        self._recordings: set[int] = set()
        self._clips: set[int] = set()

    def defect(self, heard: Heard, text: str) -> Defect | None:
        """Whether the recording was there before, with this text or another."""
        recording, clip = hash(heard.digest), hash((heard.digest, text))
        known, same = recording in self._recordings, clip in self._clips
        self._recordings.add(recording)
        self._clips.add(clip)
        detail = "" if same else "of a recording with another text"
        return Defect("duplicate", detail) if known else None


def _defect(
    candidate: _Candidate, heard: Heard | Defect | None, seen: _HeardBefore
) -> Defect | None:
    if not isinstance(heard, Heard):
        return candidate.defect or heard
    defect = pace_defect(candidate.text, heard.duration_s)
    if defect is None and not candidate.source.curated:
        defect = sound_defect(heard) or seen.defect(heard, candidate.text)
    return defect


def _clip(candidate: _Candidate, heard: Heard, folder: Path) -> Clip:
    row = candidate.row
    audio = os.path.abspath(row.audio)
    if os.path.commonpath([audio, os.path.abspath(folder)]) == os.path.abspath(folder):
        audio = os.path.relpath(audio, folder)
    return Clip(
        audio,
        candidate.text,
        candidate.source.language,
        round(heard.duration_s, 3),
        row.corpus or candidate.source.name,
        row.speaker,
    )


def _verdicts(gathered: Gathered) -> tuple[str, list[Split | Defect]]:
    """How clips are split, and of each its split or why it is left out after all."""
    kept = ~gathered.says_less()
    assignment = assign(gathered.corpus(kept))
    aside = Defect(assignment.aside, fault=False)
    verdicts: list[Split | Defect] = [_SAYS_LESS] * len(gathered)
    for number, split in zip(np.flatnonzero(kept), assignment.split, strict=True):
        verdicts[number] = split or aside
    return assignment.how, verdicts


def _kept(gathered: Gathered, verdicts: Sequence[Split | Defect]) -> Iterator[str]:
    for (_, clip), verdict in zip(gathered, verdicts, strict=True):
        if not isinstance(verdict, Defect):
            yield replace(clip, split=verdict).as_line()


def _failure(prepared: Prepared, *, strict: bool) -> InvalidRequest | None:
    n_usable = sum(size.clips for size in prepared.sizes.values())
    n_faulty = prepared.faulty.total()
    reasons = ", ".join(f"{n} {reason}" for reason, n in prepared.faulty.most_common(3))
    if n_usable == 0:
        n_rows = n_faulty + prepared.aside.total()
        return NothingUsable(
            f"of {n_rows} rows none is usable ({reasons or 'there are none'}); "
            f"{prepared.report} says why of each. No manifest was written"
        )
    if strict and n_faulty:
        return FaultyRows(
            f"{n_faulty} rows are faulty ({reasons}); {prepared.report} says why of each. "
            "No manifest was written, as --strict asks"
        )
    return None
