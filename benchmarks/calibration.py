"""How far confidence can be believed: expected calibration error on held-out speech.

    python -m benchmarks.calibration en es fr it ru

For each language two paths: the published adapter's finals, and the base model's own decoder.
Confidence of every word before and after calibration, against whether the word was said. The
calibrations were fitted on the development split; no sentence stands in both. The prepared speech
(`panglot data prepare`) and `runs/`, which keeps what the slow decoder heard, are needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.plot import plot
from benchmarks.report import write
from speech.adapters.card import Calibration
from speech.base_model import load_whisper
from speech.calibration import apply, expected_calibration_error, universal_calibration
from transfer.data.manifest import read_manifest
from transfer.data.prepare import manifest_path
from transfer.evaluation.calibrate import Outcomes, Published, some
from transfer.evaluation.universal import UNIVERSAL_CACHE, universal_hypotheses


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("languages", nargs="+")
    parser.add_argument("--universal-clips", type=int, default=80, help="per language")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args()

    base = load_whisper()
    own = universal_calibration(base.fingerprint)
    judged: list[tuple[str, str, Outcomes, Calibration | None]] = []
    for language in track(options.languages, description="languages"):
        clips = read_manifest(manifest_path(language, options.data))
        held_out = [clip for clip in clips if clip.split == "held_out"]
        published = Published.load(options.models, language, base)
        outcomes = published.outcomes(held_out)
        judged.append((language, "adapter", outcomes, published.card.calibration))

        held_out = some(clips, "held_out", options.universal_clips)
        cache = options.runs / language / UNIVERSAL_CACHE
        found = universal_hypotheses(base, held_out, cache)
        heard = [(clip, each.words) for clip, each in zip(held_out, found, strict=True)]
        judged.append((language, "universal", Outcomes.of(heard), own))
    rows = [_row(language, path, [(found, fitted)]) for language, path, found, fitted in judged]
    pooled = [
        _row("all", path, [(found, fitted) for _, its, found, fitted in judged if its == path])
        for path in ("adapter", "universal")
    ]
    _draw(rows)
    claims = {f"ece_{row['path']}": row["ece_after"] for row in pooled}
    print(write("calibration", rows + pooled, claims))


def _row(
    language: str, path: str, judged: list[tuple[Outcomes, Calibration | None]]
) -> dict[str, Any]:
    right = np.concatenate([found.right for found, _ in judged])
    before = np.concatenate([found.confidence for found, _ in judged])
    after = np.concatenate(
        [
            apply(fitted, found.confidence) if fitted else found.confidence
            for found, fitted in judged
        ]
    )
    return {
        "language": language,
        "path": path,
        "words": len(right),
        "accuracy": round(float(right.mean()), 4),
        "mean_confidence_before": round(float(before.mean()), 4),
        "mean_confidence_after": round(float(after.mean()), 4),
        "ece_before": round(expected_calibration_error(before, right), 4),
        "ece_after": round(expected_calibration_error(after, right), 4),
    }


def _draw(rows: list[dict[str, Any]]) -> None:
    title = "How far word confidences are from the share of words right"
    with plot("calibration", title, "language", "expected calibration error") as axes:
        for path in ("adapter", "universal"):
            own = [row for row in rows if row["path"] == path]
            for when in ("before", "after"):
                errors = [row[f"ece_{when}"] for row in own]
                label = f"{path}, {when} calibration"
                axes.plot([row["language"] for row in own], errors, label=label, linestyle="")
        axes.set(ylim=(0, None))


if __name__ == "__main__":
    main()
