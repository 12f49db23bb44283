"""What each language's adapter gives each other language: the measured side of `panglot sources`.

    python -m benchmarks.transfer_pairs [--languages be,bg,…] [--minutes 3] [--epochs 7]

Every language is taught a little, from each other language's published adapter and from nothing,
all with the same few minutes, steps and seed; what counts is the share of letters wrong on its
development clips that a start saves. Some published adapters were themselves started from others:
pairs whose source has heard the target so are left out (see `heard`). Each of about a hundred runs
takes half a minute on one core; rows that are there already are kept, so that it can be broken off.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.plot import heat_map
from benchmarks.report import RESULTS, write
from speech.base_model import BaseModel, load_base_model
from transfer.data.manifest import Clip
from transfer.training.plan import clips_for, make_plan
from transfer.training.train import train

NAME = "transfer_pairs"
STARTED_FROM = {
    "es": "it",
    "ru": "it",
    "ca": "es",
    "fr": "es",
    "ro": "es",
    "el": "es",
    "en": "es",
    "be": "ru",
    "bg": "ru",
    "da": "en",
}
"""How the published adapters were taught, see docs/transfer.md."""


def main() -> None:
    """Measure and write the results, after each target."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--languages", default="be,bg,ca,da,el,ro,en,es,fr,it,ru")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training speech")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument("--models", type=Path, default=Path("models"), help="adapter store")
    arguments = parser.parse_args()
    languages = arguments.languages.split(",")
    taught = {
        "epochs": arguments.epochs,
        "patience": arguments.epochs,
        "speeds": (1.0,),
        "warmup_steps": 30,
    }
    base = load_base_model()
    rows: list[dict[str, Any]] = _there(arguments.minutes, arguments.epochs)
    for target in languages:
        clips = clips_for(target, arguments.data, arguments.minutes, 0)
        wanted = [None, *(each for each in languages if target not in heard(each))]
        done = {row["source"] for row in rows if row["target"] == target}
        for source in wanted:
            if source not in done:
                rows.append(_row(base, target, source, clips, taught, arguments))
                print(rows[-1], flush=True)
                write(NAME, rows, _claims(rows))
    _draw(rows, languages)
    print(write(NAME, rows, _claims(rows)))


def heard(source: str) -> set[str]:
    """The languages that a published adapter has heard: its own, and those it was started from."""
    found = {source}
    while source in STARTED_FROM:
        source = STARTED_FROM[source]
        found.add(source)
    return found


def benefits(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of each pair the share of wrong letters that the start saves, beside a start from nothing."""
    scratch = {row["target"]: row["cer"] for row in rows if row["source"] is None}
    for row in rows:
        if row["source"] is not None and row["target"] in scratch:
            yield dict(row) | {"benefit": round(1 - row["cer"] / scratch[row["target"]], 4)}


def _row(
    base: BaseModel,
    target: str,
    source: str | None,
    clips: list[Clip],
    taught: Mapping[str, Any],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    keys = {path.parent.name: path for path in arguments.models.glob("*/card.json")}
    key = json.loads(keys[source].read_text(encoding="utf-8")) if source else None
    name = f"{key['id']}@{key['version']}" if key else None
    # From nothing an adapter has the shape that the published ones have.
    given = dict(taught) | ({} if name else {"rank": 64, "layers": (2, 3, 4, 5)})
    plan = make_plan(target, clips, base, None, name, arguments.models, given)
    with TemporaryDirectory() as run:
        record = train(base, clips, target, plan.strategy.settings, Path(run), plan.source)
    return {
        "target": target,
        "source": source,
        "adapter": name,
        "minutes": arguments.minutes,
        "epochs": arguments.epochs,
        "steps": record.steps,
        "cer": round(record.development_cer, 4),
        "wer": round(record.development_wer, 4),
    }


def _there(minutes: float, epochs: int) -> list[dict[str, Any]]:
    path = RESULTS / f"{NAME}.json"
    if not path.is_file():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if (row["minutes"], row["epochs"]) == (minutes, epochs)]


def _draw(rows: Sequence[Mapping[str, Any]], languages: Sequence[str]) -> None:
    shares = np.full((len(languages), len(languages)), np.nan)
    for row in benefits(rows):
        shares[languages.index(row["target"]), languages.index(row["source"])] = row["benefit"]
    heat_map(
        NAME,
        "Share of wrong letters that a start saves (blank: the source has heard the target)",
        ("source", "target"),
        shares,
        (languages, languages),
    )


def _claims(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"pairs": sum(1 for _ in benefits(rows))}


if __name__ == "__main__":
    main()
