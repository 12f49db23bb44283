"""Taught by one speaker, judged by another: what an adapter knows of a language, not of a voice.

    python -m benchmarks.transfer_speakers [--languages es,fr,ru] [--source it@2]

Spanish, French and Russian have two corpora of one speaker each: prompts of a telephone system,
read by a professional, and captions of pictures, read by a volunteer. An adapter is trained on the
one, its lexicon made and tuned there too, and judged on the held-out clips of both. Sentences are
split over both corpora together, so none that is judged was taught by the other voice. Each
training takes as long as `panglot train` does; a run that is broken off goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report import write
from speech.adapters.card import ErrorRate
from speech.base_model import BaseModel, load_base_model
from transfer.data.manifest import Clip, read_manifest
from transfer.data.prepare import manifest_path
from transfer.evaluation.assess import assess_run, choose, reference_model
from transfer.evaluation.universal import UNIVERSAL_CACHE
from transfer.progress import TerminalBars
from transfer.training.plan import make_plan
from transfer.training.train import train


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--languages", default="es,fr,ru", help="those with two speakers")
    parser.add_argument("--source", default="it@2", help="adapter that all start from")
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="runs and caches")
    parser.add_argument("--models", type=Path, default=Path("models"), help="adapter store")
    arguments = parser.parse_args()
    base = load_base_model()
    rows: list[dict[str, Any]] = []
    for language in arguments.languages.split(","):
        clips = read_manifest(manifest_path(language, arguments.data))
        for taught in sorted({clip.source for clip in clips}):
            run = arguments.runs / "speakers" / f"{language}-{taught}"
            used = _of(clips, taught)
            plan = make_plan(language, used, base, None, arguments.source, arguments.models, {})
            train(
                base,
                used,
                language,
                plan.strategy.settings,
                run,
                plan.source,
                level=plan.strategy.level,
            )
            cache = arguments.runs / language / UNIVERSAL_CACHE
            rows += _judged(base, language, clips, taught, run, cache)
            print(*rows[-2:], sep="\n", flush=True)
    print(write("transfer_speakers", rows, _claims(rows)))


def _of(clips: Sequence[Clip], source: str) -> list[Clip]:
    return [clip for clip in clips if clip.source == source]


def _judged(
    base: BaseModel, language: str, clips: Sequence[Clip], taught: str, run: Path, cache: Path
) -> list[dict[str, Any]]:
    """A row for each corpus whose held-out clips the run is judged on."""
    rows = []
    with TerminalBars(Console(stderr=True)) as bars:
        for heard in sorted({clip.source for clip in clips}):
            chosen = choose(_of(clips, heard), "held_out")
            found = assess_run(
                base,
                run,
                _of(clips, taught),
                chosen,
                reference=reference_model(base, language, None),
                cache=cache,
                bars=bars,
            ).findings
            scores, against = found.whole.scores, found.whole.against_universal
            ours, universal = scores["adapter"].accuracy, scores["universal"].accuracy
            rows.append(
                {
                    "language": language,
                    "taught_by": taught,
                    "judged_on": heard,
                    "another_speaker": taught != heard,
                    "clips": found.whole.n_clip,
                    "wer": _interval(ours.wer),
                    "wer_greedy": _interval(scores["greedy"].accuracy.wer),
                    "wer_universal": _interval(universal.wer),
                    "cer": _interval(ours.cer),
                    "cer_universal": _interval(universal.cer),
                    "wer_over_universal": round(ours.wer.value / universal.wer.value, 3),
                    "difference_is_real": against.real if against else None,
                }
            )
    return rows


def _interval(rate: ErrorRate) -> list[float]:
    return [rate.value, rate.low, rate.high]


def _claims(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    others = [row["wer_over_universal"] for row in rows if row["another_speaker"]]
    return {
        "worst_wer_over_universal_another_speaker": max(others, default=None),
        "best_wer_over_universal_another_speaker": min(others, default=None),
    }


if __name__ == "__main__":
    main()
