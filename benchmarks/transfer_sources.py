"""A start from several languages beside a start from none, and the ranking of sources.

    python -m benchmarks.transfer_sources [--languages be,bg,ca,da,el,ro] [--minutes 5]

Each language is taught from nothing, and with a third of the steps from its best source and in
three ways from its three best, as `panglot train --from auto:3` ranks them in the store of shipped
adapters; none of these has heard the language. Two questions: how many steps it takes until as few
development words are wrong as with what a start from nothing keeps, and what is wrong of the
held-out words at the end. All is judged without a lexicon. How well the ranking foresees what a
source is worth comes from `python -m transfer.sources.calibrate`, on what
`benchmarks.transfer_pairs` measured: each pair is foreseen by a fit that has not seen it; harder,
by one that has seen nothing of its source, or of its target. Some 45 minutes on two cores; finished
runs are taken as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.plot import plot
from benchmarks.report import write
from benchmarks.taught import Taught, Teaching, epochs_for, teach
from speech.adapters.card import ErrorRate
from speech.base_model import load_base_model
from transfer.evaluation.scoring import difference, score
from transfer.sources.benefit import BENEFIT_FILE
from transfer.training.plan import clips_for

NOTHING = "nothing"
FUSIONS = ("best", "mean", "attention", "concatenation")
MULTI = "concatenation"
"""The way that the bar is held against: chosen afterwards, of the three that join several."""
_BATCH_S = 10.0


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--languages", default="be,bg,ca,da,el,ro")
    parser.add_argument("--minutes", type=float, default=5.0, help="of speech; all where less")
    parser.add_argument("--steps", type=int, default=1200, help="from nothing; else a third")
    parser.add_argument("--starts", default=",".join((NOTHING, *FUSIONS)))
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument("--runs", type=Path, default=Path("runs/sources"), help="folder of runs")
    parser.add_argument("--models", type=Path, default=Path("models"), help="adapter store")
    arguments = parser.parse_args()
    base = load_base_model()
    found: dict[str, dict[str, Taught]] = {}
    for start in arguments.starts.split(","):
        for language in arguments.languages.split(","):
            clips = _clips(language, arguments)
            teaching = _teaching(language, start, epochs_for(clips, arguments.steps, _BATCH_S))
            taught = teach(base, language, clips, teaching, arguments.runs, arguments.models)
            found.setdefault(language, {})[start] = taught
            print(language, start, taught.record.steps, score(taught.heard).wer, flush=True)
    rows = [
        _row(language, start, taught, starts.get(NOTHING))
        for language, starts in found.items()
        for start, taught in starts.items()
    ]
    together = [
        _together(found, start) for start in arguments.starts.split(",") if start != NOTHING
    ]
    _draw(found)
    print(write("transfer_sources", [*rows, *together], _claims(together)))


def _clips(language: str, arguments: argparse.Namespace) -> list[Any]:
    whole = clips_for(language, arguments.data, None, 0)
    there = sum(clip.duration_s for clip in whole if clip.split == "train") / 60
    if there <= arguments.minutes:
        return whole
    return clips_for(language, arguments.data, arguments.minutes, 0)


def _teaching(language: str, start: str, epochs: int) -> Teaching:
    name = f"{language}-{start}"
    if start == NOTHING:
        given = {"epochs": epochs, "patience": epochs, "rank": 64, "layers": (2, 3, 4, 5)}
        return Teaching(name, given)
    third = {"epochs": epochs // 3, "patience": epochs}
    if start == "best":
        return Teaching(name, third, "auto")
    return Teaching(name, third, "auto:3", start)  # type: ignore[arg-type]


def _row(language: str, start: str, taught: Taught, scratch: Taught | None) -> dict[str, Any]:
    scored = score(taught.heard)
    row: dict[str, Any] = {
        "language": language,
        "start": start,
        "source": taught.record.source,
        "hours": taught.record.hours,
        "steps": taught.record.steps,
        "development_wer": round(taught.kept.wer, 4),
        "wer": _interval(scored.wer),
        "cer": _interval(scored.cer),
        "curve": [
            [epoch.step, round(epoch.wer, 4), round(epoch.cer, 4)] for epoch in taught.epochs
        ],
    }
    if scratch is not None and start != NOTHING:
        reached = taught.steps_to(scratch.kept.wer)
        row |= {
            "steps_to_scratch": reached,
            "steps_over_scratch": round(reached / scratch.kept.step, 4) if reached else None,
            "wer_less_scratch": _interval(difference(taught.heard, scratch.heard).wer),
        }
    return row


def _together(found: Mapping[str, Mapping[str, Taught]], start: str) -> dict[str, Any]:
    """One way of starting over all languages: mean ratio of steps, and all clips as one set."""
    pairs = [
        (starts[start], starts[NOTHING])
        for starts in found.values()
        if start in starts and NOTHING in starts
    ]
    ratios = [(taught.steps_to(scratch.kept.wer), scratch.kept.step) for taught, scratch in pairs]
    reached = [steps / whole for steps, whole in ratios if steps is not None]
    ours, others = ([clip for pair in pairs for clip in pair[side].heard] for side in (0, 1))
    return {
        "language": "all",
        "start": start,
        "languages": len(pairs),
        "reached": len(reached),
        "steps_over_scratch": round(mean(reached), 4) if reached else None,
        "wer": _interval(score(ours).wer) if ours else None,
        "wer_scratch": _interval(score(others).wer) if others else None,
        "wer_less_scratch": _interval(difference(ours, others).wer) if ours else None,
    }


def _claims(together: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    multi = next((row for row in together if row["start"] == MULTI), None)
    claims: dict[str, Any] = {}
    if multi is not None:
        claims = {
            "multi_source_steps_over_scratch": multi["steps_over_scratch"],
            "multi_source_languages_reached": multi["reached"],
            "multi_source_wer_less_scratch": multi["wer_less_scratch"],
        }
    figures = json.loads(BENEFIT_FILE.read_text(encoding="utf-8"))["agreement"]
    for left_out in ("pair", "source", "target"):
        found = figures[f"{left_out}_left_out"]
        name = "" if left_out == "pair" else f"_{left_out}_left_out"
        claims[f"source_ranking_spearman{name}"] = found["spearman"]
        claims[f"source_ranking_within_target{name}"] = found["spearman_within_target"]
    return claims


def _interval(rate: ErrorRate) -> list[float]:
    return [round(value, 4) for value in (rate.value, rate.low, rate.high)]


def _draw(found: Mapping[str, Mapping[str, Taught]]) -> None:
    with plot("transfer_sources", "Words wrong on development speech", "steps", "WER") as axes:
        for start in (NOTHING, *FUSIONS):
            curves = [starts[start].epochs for starts in found.values() if start in starts]
            if not curves:
                continue
            # Epochs of different languages have different numbers of steps.
            shares = [at / 40 for at in range(1, 41)]
            longest = max(curve[-1].step for curve in curves)
            axes.plot(
                [share * longest for share in shares],
                [
                    mean(
                        curve[min(len(curve) - 1, int(share * len(curve)))].wer for curve in curves
                    )
                    for share in shares
                ],
                label=start,
                marker="",
            )
        axes.set(ylim=(0, None))


if __name__ == "__main__":
    main()
