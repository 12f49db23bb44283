"""From what came back for the code-switch set to rows and claims. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.code_switch_audio import JOINTS
from benchmarks.code_switch_play import Played
from benchmarks.code_switch_set import CONTROL, MANY, SAME_VOICE
from benchmarks.language_error import (
    FoundChange,
    LanguageError,
    found_changes,
    interval,
    language_error,
)
from benchmarks.report import quantile
from client.scoring import word_errors

BARS = {
    "language_error": 0.08,
    "wer_over_oracle": 1.1,
    "change_found_p50_ms": 1000,
    "extra_latency_p50_ms": 5,
}
"""Aimed at; each claim of the same name is to be no greater."""
NEAR_MS = 300
CHANGING = (*MANY, SAME_VOICE)
ALL = "all"


@dataclass(frozen=True)
class Judged:
    """One stream beside the truth.

    Attributes:
        error, strict: with the collar, and without any.
        wrong, words: words wrong, and words said.
        told_wrong: words wrong when the true spans are given; None where that was not tried.
    """

    played: Played
    error: LanguageError
    strict: LanguageError
    changes: tuple[FoundChange, ...]
    wrong: int
    words: int
    told_wrong: int | None


def judge(played: Played, told_text: str | None) -> Judged:
    """Compare; `told_text` is what came back when the true spans were given."""
    stream = played.stream
    wrong, words = word_errors(stream.text, played.text)
    return Judged(
        played=played,
        error=language_error(stream.spans, played.heard),
        strict=language_error(stream.spans, played.heard, collar_ms=0),
        changes=tuple(found_changes(stream.spans, played.heard, played.claims)),
        wrong=wrong,
        words=words,
        told_wrong=None if told_text is None else word_errors(stream.text, told_text)[0],
    )


def error_rate(streams: Sequence[Judged]) -> float:
    """Language error over all of them."""
    return sum((each.error for each in streams), LanguageError()).rate


def over_oracle(streams: Sequence[Judged]) -> float:
    """Words wrong, over those wrong when the true spans are given: the words said cancel out."""
    return sum(each.wrong for each in streams) / max(1, sum(e.told_wrong or 0 for e in streams))


def found_p50_ms(streams: Sequence[Judged]) -> float:
    """Median over all changes, the missed ones counted as infinite."""
    return quantile([change.delay_ms for each in streams for change in each.changes], 0.5)


def rows(streams: Sequence[Judged]) -> list[dict[str, Any]]:
    """One for each kind; then what changes language by joint, and all of it; then the control."""
    groups = [(many, joint) for many in CHANGING for joint in JOINTS]
    groups += [(ALL, joint) for joint in (*JOINTS, ALL)] + [(CONTROL, joint) for joint in JOINTS]
    chosen = [(many, joint, choose(streams, many, joint)) for many, joint in groups]
    return [row(many, joint, group) for many, joint, group in chosen if group]


def choose(streams: Sequence[Judged], languages: str, joint: str) -> list[Judged]:
    """Those of a kind; `all` languages are those that change."""
    wanted = CHANGING if languages == ALL else (languages,)
    kinds = [(each, each.played.stream.kind) for each in streams]
    return [e for e, kind in kinds if kind.languages in wanted and joint in (ALL, kind.joint)]


def row(languages: str, joint: str, streams: Sequence[Judged]) -> dict[str, Any]:
    """Figures of some streams, at least one; rates with their 95% interval."""
    error = sum((each.error for each in streams), LanguageError())
    strict = sum((each.strict for each in streams), LanguageError())
    words = sum(each.words for each in streams)
    figures: dict[str, Any] = {
        "languages": languages,
        "joint": joint,
        "streams": len(streams),
        "spans": sum(len(each.played.stream.spans) for each in streams),
        "broken": sum(bool(each.played.broken) for each in streams),
        "judged_s": round(error.speech_ms / 1000, 1),
        "language_error": [round(each, 4) for each in (error.rate, *interval(streams, error_rate))],
        "missed": round(error.missed_ms / max(1, error.speech_ms), 4),
        "confused": round(error.confused_ms / max(1, error.speech_ms), 4),
        "language_error_no_collar": round(strict.rate, 4),
        "wer": round(sum(each.wrong for each in streams) / max(1, words), 4),
    }
    if all(each.told_wrong is not None for each in streams):
        ratio = (over_oracle(streams), *interval(streams, over_oracle))
        figures["wer_told"] = round(sum(e.told_wrong or 0 for e in streams) / max(1, words), 4)
        figures["wer_over_oracle"] = [round(each, 3) for each in ratio]
    return figures | _of_changes(streams)


def _of_changes(streams: Sequence[Judged]) -> dict[str, Any]:
    changes = [change for each in streams for change in each.changes]
    if not changes:
        return {}
    off_ms = [change.off_ms for change in changes if change.found]
    p50_ms = (found_p50_ms(streams), *interval(streams, found_p50_ms))
    return {
        "changes": len(changes),
        "changes_missed": len(changes) - len(off_ms),
        "change_found_p50_ms": [_finite(each) for each in p50_ms],
        "boundary_off_p50_ms": _finite(quantile(off_ms, 0.5)),
        "boundaries_within_300_ms": round(
            sum(each <= NEAR_MS for each in off_ms) / max(1, len(off_ms)), 3
        ),
    }


def _finite(ms: float) -> float | None:
    return None if math.isinf(ms) else round(ms, 1)


@dataclass(frozen=True)
class Pair:
    """A stream of one language, heard alone: with all candidates, and with its language told."""

    identified: Played
    told: Played

    def extra_ms(self) -> list[float]:
        """What identifying adds to the latency of each utterance answered both times."""
        both = zip(self.identified.latency_ms, self.told.latency_ms, strict=True)
        return [one - other for one, other in both if not math.isinf(max(one, other))]


def extra_p50_ms(pairs: Sequence[Pair]) -> float:
    """Median over all utterances of the pairs; infinite without any."""
    extra_ms = [extra for pair in pairs for extra in pair.extra_ms()]
    return median(extra_ms) if extra_ms else math.inf


def latency_rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Latency from end of speech to final, the silence that ends a segment included."""
    if not pairs:
        return []
    sides = {
        "identified": [pair.identified for pair in pairs],
        "told": [pair.told for pair in pairs],
    }
    found = []
    for side, played in sides.items():
        latency_ms = [ms for each in played for ms in each.latency_ms]
        errors = [word_errors(each.stream.text, each.text) for each in played]
        found.append(
            {
                "languages": CONTROL,
                "language": side,
                "streams": len(played),
                "utterances": len(latency_ms),
                "unanswered": sum(map(math.isinf, latency_ms)),
                "latency_p50_ms": _finite(quantile(latency_ms, 0.5)),
                "latency_p95_ms": _finite(quantile(latency_ms, 0.95)),
                "wer": round(sum(e for e, _ in errors) / max(1, sum(n for _, n in errors)), 4),
            }
        )
    return found


def claims(streams: Sequence[Judged], pairs: Sequence[Pair]) -> dict[str, Any]:
    """The figures quoted, and the bars; those that were not measured are left out."""
    whole = row(ALL, ALL, choose(streams, ALL, ALL))
    quoted: dict[str, Any] = {"bars": BARS, "streams": len(streams), "broken": whole["broken"]}
    for name in ("language_error", "wer_over_oracle", "change_found_p50_ms"):
        value, low, high = whole[name]
        quoted |= {name: value, f"{name}_interval": [low, high]}
    for name in ("wer", "wer_told", "language_error_no_collar", "boundary_off_p50_ms"):
        quoted[name] = whole[name]
    found = whole["changes"] - whole["changes_missed"]
    quoted["changes_found"] = round(found / whole["changes"], 3)
    quoted["boundaries_within_300_ms"] = whole["boundaries_within_300_ms"]
    if control := choose(streams, CONTROL, ALL):
        quoted["one_language_error"] = round(error_rate(control), 4)
    if any(pair.extra_ms() for pair in pairs):
        bounds = interval(pairs, extra_p50_ms)
        first_ms = [extra for pair in pairs for extra in pair.extra_ms()[:1]]
        quoted["extra_latency_p50_ms"] = round(extra_p50_ms(pairs), 1)
        quoted["extra_latency_p50_ms_interval"] = [_finite(each) for each in bounds]
        quoted["extra_latency_first_p50_ms"] = round(median(first_ms), 1)
    return quoted
