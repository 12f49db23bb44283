"""How the error rate falls with minutes of speech: training on nested parts of the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speech.adapters.card import ErrorRate
from speech.base_model import load_base_model
from transfer.data.manifest import Clip
from transfer.evaluation.assess import Chosen, JudgedRun, assess_run
from transfer.evaluation.universal import UNIVERSAL_CACHE
from transfer.files import write_whole
from transfer.lexicon.more_words import NO_MORE_WORDS, MoreWords
from transfer.progress import Bars, no_bars
from transfer.training.run import RunRecord
from transfer.training.subset import minutes_of, subset

CURVE_FILE = "curve.json"
Train = Callable[[Sequence[Clip], Path], RunRecord]
"""Trains on clips of all splits into a folder; at once where that is done already."""


@dataclass(frozen=True)
class CurvePoint:
    """What so many minutes of speech are good for.

    Attributes:
        minutes: of training speech; development speech is not counted.
        n_clip: training clips.
        run: name of the run's folder.
        strategy: how it was trained.
        wer, cer: with the lexicon of the same text, on the held-out clips.
        greedy_wer: without.
    """

    minutes: float
    n_clip: int
    run: str
    strategy: str
    wer: ErrorRate
    cer: ErrorRate
    greedy_wer: ErrorRate


@dataclass(frozen=True)
class Curve:
    """A language's few-shot curve.

    Attributes:
        language: BCP-47 tag.
        n_judged: held-out clips, the same for every point.
        points: from few minutes to many.
        universal: word error rate of the universal path on the same clips, where there is one.
    """

    language: str
    n_judged: int
    points: tuple[CurvePoint, ...]
    universal: ErrorRate | None

    def write(self, run: Path) -> None:
        """Write `curve.json` into the folder of the language's run."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"
        write_whole(run / CURVE_FILE, text)

    @classmethod
    def read(cls, run: Path) -> Curve | None:
        """What `write` wrote; None where nothing was written, or nothing that can be read."""
        try:
            document = json.loads((run / CURVE_FILE).read_text(encoding="utf-8"))
            return cls(
                document["language"],
                document["n_judged"],
                tuple(_point(each) for each in document["points"]),
                _rate(document["universal"]) if document["universal"] else None,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def measure_points(
    clips: Sequence[Clip],
    chosen: Chosen,
    minutes: Sequence[float],
    run: Path,
    train: Train,
    seed: int = 0,
    bars: Bars = no_bars,
    more: MoreWords = NO_MORE_WORDS,
) -> list[CurvePoint]:
    """Train on parts of the data, each within the next, and judge all on the same clips.

    Args:
        clips: of all splits.
        chosen: those to judge.
        minutes: of training speech.
        run: folder of the language's whole run; those of the parts lie beside it, as `it-5min`.
        train: teaches one.
        seed: draws the parts.
        bars: shows progress.
        more: what the lexicons learn from beside each part's text.

    Raises:
        InvalidRequest: there is less speech than was asked for, or a part's folder holds a run of
            other clips.
    """
    parts = [(amount, subset(clips, amount, seed)) for amount in sorted(set(minutes))]
    points = []
    for amount, part in parts:
        folder = run.with_name(f"{run.name}-{amount:g}min")
        record = train(part, folder)
        judged = assess_run(
            load_base_model(record.base_model(folder)),
            folder,
            part,
            chosen,
            reference=None,
            cache=folder / UNIVERSAL_CACHE,
            bars=bars,
            more=more,
        )
        points.append(curve_point(judged, folder.name, part))
    return points


def curve_point(judged: JudgedRun, name: str, clips: Sequence[Clip]) -> CurvePoint:
    """What a run on `clips` adds to the curve."""
    training = [clip for clip in clips if clip.split == "train"]
    scores = judged.findings.whole.scores
    return CurvePoint(
        minutes=round(minutes_of(training), 2),
        n_clip=len(training),
        run=name,
        strategy=judged.record.strategy(),
        wer=scores["adapter"].wer,
        cer=scores["adapter"].cer,
        greedy_wer=scores["greedy"].wer,
    )


def _point(document: dict[str, Any]) -> CurvePoint:
    rates = {name: _rate(document[name]) for name in ("wer", "cer", "greedy_wer")}
    return CurvePoint(**{**document, **rates})


def _rate(document: dict[str, float]) -> ErrorRate:
    return ErrorRate(**document)
