"""How many minutes of speech are enough: error rates over what was taught with.

    python -m benchmarks.transfer_curves [--languages be,ca,es] [--minutes 2,5,10,20]

For each language `panglot evaluate LANGUAGE --curve` trains on parts of its speech, each within the
next, and judges all on the same held-out clips. Needs the language's own run, from `panglot train`.
A part takes a quarter of an hour at most on two cores, and nothing where it is trained already.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.plot import plot
from benchmarks.report import write
from speech.adapters.card import ErrorRate
from transfer.data.manifest import read_manifest
from transfer.data.prepare import manifest_path
from transfer.evaluation.curve import Curve
from transfer.training.subset import minutes_of


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--languages", default="be,ca,es", help="tags, comma between them")
    parser.add_argument("--minutes", default="2,5,10,20", help="those a language has are taken")
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of training runs")
    arguments = parser.parse_args()
    wanted = [float(each) for each in arguments.minutes.split(",")]
    curves = [
        _curve(language, wanted, arguments.data, arguments.runs)
        for language in arguments.languages.split(",")
    ]
    _draw(curves)
    print(write("transfer_curves", [row for curve in curves for row in _rows(curve)], {}))


def _curve(language: str, wanted: Sequence[float], data: Path, runs: Path) -> Curve:
    clips = read_manifest(manifest_path(language, data))
    there = minutes_of(clip for clip in clips if clip.split == "train")
    amounts = ",".join(f"{each:g}" for each in wanted if each < there)
    folders = [f"--data={data}", f"--runs={runs}"]
    command = [sys.executable, "-m", "transfer", "evaluate", language, *folders]
    subprocess.run([*command, f"--curve={amounts}", "--no-audio", "--timed=0"], check=True)
    curve = Curve.read(runs / language)
    assert curve is not None
    return curve


def _rows(curve: Curve) -> list[dict[str, Any]]:
    universal = curve.universal
    return [
        {
            "language": curve.language,
            "minutes": point.minutes,
            "strategy": point.strategy,
            "clips_judged": curve.n_judged,
            "wer": _interval(point.wer),
            "wer_greedy": _interval(point.greedy_wer),
            "cer": _interval(point.cer),
            "wer_universal": _interval(universal) if universal else None,
        }
        for point in curve.points
    ]


def _interval(rate: ErrorRate) -> list[float]:
    return list(asdict(rate).values())


def _draw(curves: Sequence[Curve]) -> None:
    with plot(
        "transfer_curves", "Words wrong on held-out speech", "minutes of training speech", "WER"
    ) as axes:
        for curve in curves:
            minutes = [point.minutes for point in curve.points]
            [line] = axes.plot(minutes, [p.wer.value for p in curve.points], label=curve.language)
            axes.fill_between(
                minutes,
                [point.wer.low for point in curve.points],
                [point.wer.high for point in curve.points],
                color=line.get_color(),
                alpha=0.15,
            )
            if curve.universal:
                axes.axhline(
                    curve.universal.value, color=line.get_color(), linestyle=":", marker=""
                )
        axes.set(xscale="log", ylim=(0, None))


if __name__ == "__main__":
    main()
