"""How well each layer of the shared encoder serves each language: `panglot probe` of all of them.

    python -m benchmarks.transfer_probe [--languages be,bg,…] [--minutes 5]

Half a minute a language on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.plot import plot
from benchmarks.report import write
from speech.base_model import load_base_model
from transfer.probing.command import default_frozen
from transfer.probing.probe import probe
from transfer.probing.probes import ProbeSettings
from transfer.progress import TerminalBars
from transfer.training.plan import clips_for
from transfer.training.subset import minutes_of, subset


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--languages", default="be,bg,ca,da,el,ro,en,es,fr,it,ru")
    parser.add_argument("--minutes", type=float, default=5.0, help="of speech; all where less")
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    arguments = parser.parse_args()
    base = load_base_model()
    rows: list[dict[str, Any]] = []
    with TerminalBars(Console(stderr=True)) as bars:
        for language in arguments.languages.split(","):
            clips = clips_for(language, arguments.data, None, 0)
            there = minutes_of(clip for clip in clips if clip.split == "train")
            if arguments.minutes < there:
                clips = subset(clips, arguments.minutes)
            found, _ = probe(base, clips, language, "letters", ProbeSettings(), bars)
            rows.append(
                {
                    "language": language,
                    "minutes": found.minutes,
                    "cer_by_height": [
                        [round(value, 4) for value in (error.value, error.low, error.high)]
                        for error in found.errors
                    ],
                    "proposed_frozen": found.frozen,
                    "default_frozen": default_frozen(base, there / 60),
                }
            )
            print(rows[-1], flush=True)
    _draw(rows)
    proposed = [row["proposed_frozen"] for row in rows]
    print(write("transfer_probe", rows, {"proposed_frozen": proposed}))


def _draw(rows: list[dict[str, Any]]) -> None:
    with plot(
        "transfer_probe",
        "Letters wrong by a linear probe on each layer",
        "layer (0: what the convolutions make)",
        "CER",
    ) as axes:
        for row in rows:
            axes.plot([error[0] for error in row["cer_by_height"]], label=row["language"])
        axes.set(ylim=(0, None))


if __name__ == "__main__":
    main()
