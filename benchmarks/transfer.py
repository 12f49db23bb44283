"""What a few minutes of speech are worth: every shipped adapter against the universal model.

    python -m benchmarks.transfer [--languages ca,ro] [--timed 12]

Held-out clips, no sentence of which was trained or tuned on; the universal path is the base model's
own decoder with beam 5, told the language. The adapter is what is shipped in `models/`, with its
lexicon, as a worker decodes a final. Needs the corpora: `panglot data prepare LANGUAGE…` first.
Who was taught by one speaker and is judged by another: `benchmarks.transfer_speakers`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console

from benchmarks.plot import plot
from benchmarks.report import write
from common.errors import InvalidRequest
from speech.adapters.card import AdapterCard, ErrorRate, read_card
from transfer.data.manifest import read_manifest
from transfer.data.prepare import manifest_path
from transfer.evaluation.assess import assess, choose, reference_model
from transfer.evaluation.calibrate import Published
from transfer.evaluation.findings import Findings
from transfer.evaluation.universal import UNIVERSAL_CACHE
from transfer.progress import TerminalBars

ROOT = Path(__file__).parent.parent
LOW_RESOURCE = ("be", "bg", "ca", "da", "el", "ro")
"""Taught with 3 to 22 minutes of one hobby speaker each."""


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--languages", help="tags, comma between them; all that are shipped if not")
    parser.add_argument("--timed", type=int, default=12, help="clips of each that are timed")
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where caches are kept")
    arguments = parser.parse_args()
    cards = newest(ROOT / "models")
    wanted = arguments.languages.split(",") if arguments.languages else sorted(cards)
    rows = []
    with TerminalBars(Console(stderr=True)) as bars:
        for language in wanted:
            card = cards[language]
            cache = arguments.runs / language / UNIVERSAL_CACHE
            findings = _judge(card, arguments.data, cache, arguments.timed, bars)
            rows.append(row(findings, card))
            print(rows[-1], flush=True)
    _draw(rows)
    print(write("transfer", rows, _claims(rows)))


def newest(models: Path) -> dict[str, AdapterCard]:
    """The last version of each language in a store's folder."""
    cards = sorted(
        (read_card(path.parent) for path in models.glob("*/card.json")), key=lambda c: c.version
    )
    return {card.language: card for card in cards}


def _judge(
    card: AdapterCard, data: Path, cache: Path, n_timed: int, bars: TerminalBars
) -> Findings:
    published = Published.load(ROOT / "models", card.key)
    chosen = choose(read_manifest(manifest_path(card.language, data)), "held_out")
    reference = reference_model(published.recogniser.base, card.language, None)
    if reference is None:
        raise InvalidRequest(f"{card.language} has no universal path to compare with")
    return assess(
        card.key,
        published.recogniser,
        chosen,
        reference=reference,
        cache=cache,
        weights=card.lexicon,
        n_timed=n_timed,
        bars=bars,
    )


def row(findings: Findings, card: AdapterCard) -> dict[str, Any]:
    """One language of the table."""
    scores = findings.whole.scores
    times = findings.times
    ours, universal = scores["adapter"].accuracy, scores["universal"].accuracy
    against = findings.whole.against_universal
    return {
        "language": findings.language,
        "adapter": card.key,
        "training_minutes": round(60 * (card.training.hours or 0.0), 1),
        "clips": findings.whole.n_clip,
        "wer": _interval(ours.wer),
        "wer_greedy": _interval(scores["greedy"].accuracy.wer),
        "wer_universal": _interval(universal.wer),
        "wer_over_universal": round(ours.wer.value / universal.wer.value, 3),
        "difference_is_real": against.real if against else None,
        "cer": _interval(ours.cer),
        "cer_universal": _interval(universal.cer),
        "served_by": card.served_by,
        "seconds_per_clip": times.adapter_s if times else None,
        "seconds_per_clip_universal": times.universal_s if times else None,
        "time_over_universal": times.ratio if times else None,
    }


def _interval(rate: ErrorRate) -> list[float]:
    return [rate.value, rate.low, rate.high]


def _claims(rows: list[dict[str, Any]]) -> dict[str, Any]:
    low = [each for each in rows if each["language"] in LOW_RESOURCE]
    times = [each["time_over_universal"] for each in rows if each["time_over_universal"]]
    worst = max(rows, key=lambda each: each["wer_over_universal"])
    return {
        "languages": len(rows),
        "worst_language": worst["language"],
        "worst_language_wer_over_universal": worst["wer_over_universal"],
        "low_resource_mean_wer_over_universal": round(
            mean(each["wer"][0] for each in low) / mean(each["wer_universal"][0] for each in low), 3
        )
        if low
        else None,
        "languages_within_0.7": [
            each["language"] for each in rows if each["wer_over_universal"] <= 0.7
        ],
        "served_time_over_universal": round(median(times), 4) if times else None,
    }


def _draw(rows: list[dict[str, Any]]) -> None:
    with plot(
        "transfer", "Words wrong on held-out speech", "minutes of training speech", "WER"
    ) as axes:
        for name, key in (("universal model", "wer_universal"), ("adapter and lexicon", "wer")):
            minutes = [each["training_minutes"] for each in rows]
            values = [each[key][0] for each in rows]
            spread = [
                [each[key][0] - each[key][1] for each in rows],
                [each[key][2] - each[key][0] for each in rows],
            ]
            axes.errorbar(minutes, values, yerr=spread, linestyle="", label=name, capsize=3)
        for each in rows:
            axes.annotate(
                each["language"],
                (each["training_minutes"], each["wer"][0]),
                xytext=(5, 5),
                textcoords="offset points",
            )
        axes.set(xscale="log")


if __name__ == "__main__":
    main()
