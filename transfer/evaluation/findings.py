"""Everything an evaluation finds, as one value: what reports show and `--json` writes."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from speech.adapters.card import Evaluation, LexiconSettings
from transfer.data.manifest import Split
from transfer.evaluation.evaluate import PathName, Verdict
from transfer.evaluation.phonemes import PhonemeFindings
from transfer.evaluation.scoring import (
    Confusion,
    Difference,
    Judged,
    Score,
    confusions,
    difference,
    score,
)
from transfer.evaluation.timing import PathTimes

PATHS: dict[PathName, str] = {
    "adapter": "adapter with lexicon",
    "greedy": "adapter alone",
    "universal": "universal model",
}
"""What people read for each path."""
Grouping = Literal["all", "source", "speaker", "length"]
_LENGTHS = (1, 3, 6, 11)
"""Words from which a clip is of the next length."""


@dataclass(frozen=True)
class Part:
    """Some of the clips, judged.

    Attributes:
        by: what they have in common; "all" of them nothing.
        name: which of those: a source, a speaker, `3 to 5 words`.
        n_clip, minutes: how much it is.
        scores: of each path that was taken.
        against_universal: the adapter with its lexicon beside the universal path, where there is
            one.
    """

    by: Grouping
    name: str
    n_clip: int
    minutes: float
    scores: dict[PathName, Score]
    against_universal: Difference | None

    @property
    def evaluation(self) -> Evaluation:
        """What a card holds of it."""
        universal = self.scores.get("universal")
        return Evaluation(
            n_clip=self.n_clip,
            hours=round(self.minutes / 60, 4),
            adapter=self.scores["adapter"].accuracy,
            greedy=self.scores["greedy"].accuracy,
            universal=universal.accuracy if universal else None,
        )


@dataclass(frozen=True)
class Confusions:
    """What one path hears wrong most often."""

    words: tuple[Confusion, ...]
    characters: tuple[Confusion, ...]


@dataclass(frozen=True)
class Findings:
    """An evaluation.

    Attributes:
        subject: what was judged: `it@2`, or the run's folder.
        language: BCP-47 tag.
        base_model: the encoder's name.
        reference: model of the universal path; None where that path was not taken.
        split: which clips were judged.
        left_out: clips of that split whose text was trained on or tuned on, which are not judged.
        known_voices: whether all speakers that were judged are in training too.
        lexicon: its weights; None where the adapter has none.
        whole: all clips.
        parts: by source, by speaker and by length, where there are several of each.
        confusions: of each path.
        times: per clip of each path; None where they were not taken.
        verdicts: clip by clip, in the manifest's order.
        phonemes: None where the language has none here, and in what earlier versions wrote.
    """

    subject: str
    language: str
    base_model: str
    reference: str | None
    split: Split
    left_out: int
    known_voices: bool
    lexicon: LexiconSettings | None
    whole: Part
    parts: tuple[Part, ...]
    confusions: dict[PathName, Confusions]
    times: PathTimes | None
    verdicts: tuple[Verdict, ...]
    phonemes: PhonemeFindings | None = None

    def to_json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"


def judge_part(by: Grouping, name: str, verdicts: Sequence[Verdict]) -> Part:
    """Scores of every path over some clips, at least one."""
    heard = heard_by_path(verdicts)
    universal = heard.get("universal")
    return Part(
        by=by,
        name=name,
        n_clip=len(verdicts),
        minutes=round(sum(verdict.clip.duration_s for verdict in verdicts) / 60, 2),
        scores={path: score(clips) for path, clips in heard.items()},
        against_universal=difference(heard["adapter"], universal) if universal else None,
    )


def judge_parts(verdicts: Sequence[Verdict]) -> tuple[Part, ...]:
    """By source, speaker and length; a grouping that says nothing new is left out."""
    groupings: dict[Grouping, Callable[[Verdict], str]] = {
        "source": lambda verdict: verdict.clip.source,
        "speaker": lambda verdict: f"{verdict.clip.speaker} ({verdict.clip.source})",
        "length": _length,
    }
    parts: list[Part] = []
    seen = []
    for by, name_of in groupings.items():
        members: dict[str, list[Verdict]] = {}
        for verdict in verdicts:
            members.setdefault(name_of(verdict), []).append(verdict)
        division = {frozenset(map(id, each)) for each in members.values()}
        if len(members) > 1 and division not in seen:  # often a source is a speaker
            seen.append(division)
            parts += [judge_part(by, name, members[name]) for name in sorted(members, key=_order)]
    return tuple(parts)


def confusions_by_path(verdicts: Sequence[Verdict]) -> dict[PathName, Confusions]:
    """What each path hears wrong most often."""
    return {
        path: Confusions(
            words=confusions(each.words() for each in clips),
            characters=confusions(each.characters() for each in clips),
        )
        for path, clips in heard_by_path(verdicts).items()
    }


def heard_by_path(verdicts: Sequence[Verdict]) -> dict[PathName, list[Judged]]:
    """What each path heard, clip by clip; without the universal path where it was not taken."""
    heard: dict[PathName, list[Judged]] = {
        "adapter": [verdict.adapter for verdict in verdicts],
        "greedy": [verdict.greedy for verdict in verdicts],
    }
    universal = [verdict.universal for verdict in verdicts if verdict.universal is not None]
    return heard | {"universal": universal} if universal else heard


def _length(verdict: Verdict) -> str:
    n_word = len(verdict.adapter.reference.split())
    for first, last in itertools.pairwise(_LENGTHS):
        if n_word < last:
            return f"{first} to {last - 1} words"
    return f"{_LENGTHS[-1]} words or more"


def _order(name: str) -> tuple[int, str]:
    """Numbers by their size, names by their letters."""
    number = re.match(r"\d+", name)
    return (int(number[0]) if number else 0, name)
