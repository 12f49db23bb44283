"""What each aid of a start is worth, by itself: three seeds, real speech where there is any.

    python -m benchmarks.transfer_ablations [--only head,prototypes,…] [--seeds 0,1,2]

- head: rows of a new head from the source's letters, also from letters that sound alike, or none;
- prototypes: of phonemes that the source lacks, as a task beside the letters;
- freezing: the layers that `panglot probe` proposes beside those of the strategy, from nothing;
- self-training: the surer half of what the run hears in the other training clips, whose texts are
  hidden from it, beside as many further steps on the labelled clips alone;
- tone: a head for tones. There is no real speech of a tonal language at hand: this one is of
  synthetic Vietnamese (espeak-ng), and says nothing of people.

Each is learned from five minutes and judged greedily on held-out clips. Differences are of all
seeds together, with 95% intervals by the paired bootstrap over clips. Finished runs are
taken as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablations import ABLATIONS, Arm, Bench
from benchmarks.report import write
from benchmarks.taught import Taught
from speech.adapters.card import ErrorRate
from speech.base_model import load_base_model
from transfer.evaluation.scoring import Judged, difference, score


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(ABLATIONS), help="some of them")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--languages", default="el,be", help="some of them")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"), help="folder of runs")
    parser.add_argument("--models", type=Path, default=Path("models"), help="adapter store")
    arguments = parser.parse_args()
    bench = Bench(
        load_base_model(),
        arguments.data,
        arguments.runs,
        arguments.models,
        arguments.minutes,
        arguments.steps,
        tuple(arguments.languages.split(",")),
    )
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    rows: list[dict[str, Any]] = []
    claims: dict[str, Any] = {}
    for name in arguments.only.split(","):
        arms = []
        for arm in ABLATIONS[name](bench, seeds):
            arms.append(arm)
            rows.append(_row(name, *arm))
            print(rows[-1], flush=True)
        for compared in _compared(name, arms):
            rows.append(compared)
            claims[f"{name}_{compared['arm']}_cer_less_{compared['base']}"] = compared["cer_less"]
    print(write("transfer_ablations", rows, claims))


def _row(ablation: str, language: str, name: str, seed: int, taught: Taught) -> dict[str, Any]:
    scored = score(taught.heard)
    return {
        "ablation": ablation,
        "language": language,
        "arm": name,
        "seed": seed,
        "steps": taught.record.steps,
        "development_cer": round(taught.record.development_cer, 4),
        "wer": _interval(scored.wer),
        "cer": _interval(scored.cer),
    }


def _compared(ablation: str, arms: Sequence[Arm]) -> Iterator[dict[str, Any]]:
    """Each arm beside the first, all languages and seeds together, and each language alone."""
    names = list(dict.fromkeys(name for _, name, _, _ in arms))
    languages = list(dict.fromkeys(language for language, _, _, _ in arms))
    for name in names[1:]:
        ours, base = (_heard(arms, each, None) for each in (name, names[0]))
        yield {
            "ablation": ablation,
            "arm": name,
            "base": names[0],
            "cer_less": _interval(difference(_letters(ours), _letters(base)).wer),
            "wer_less": _interval(difference(ours, base).wer),
            "by_language": {
                language: _interval(
                    difference(
                        _letters(_heard(arms, name, language)),
                        _letters(_heard(arms, names[0], language)),
                    ).wer
                )
                for language in languages
            },
        }


def _heard(arms: Sequence[Arm], name: str, language: str | None) -> list[Judged]:
    """Each held-out clip, what all seeds made of it end to end: resamples draw clips, not runs."""
    by_language: dict[str, list[Taught]] = {}
    for spoken, arm, _, taught in arms:
        if arm == name and language in (None, spoken):
            by_language.setdefault(spoken, []).append(taught)
    return [
        Judged(
            " ".join(clip.reference for clip in of_seeds),
            " ".join(clip.hypothesis for clip in of_seeds),
        )
        for runs in by_language.values()
        for of_seeds in zip(*(taught.heard for taught in runs), strict=True)
    ]


def _letters(heard: Sequence[Judged]) -> list[Judged]:
    """Letters as if they were words, to compare them as `difference` compares words."""
    return [
        Judged(*(" ".join(text.replace(" ", "_")) for text in (clip.reference, clip.hypothesis)))
        for clip in heard
    ]


def _interval(rate: ErrorRate) -> list[float]:
    return [round(value, 4) for value in (rate.value, rate.low, rate.high)]


if __name__ == "__main__":
    main()
