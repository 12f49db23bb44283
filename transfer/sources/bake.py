"""`python -m transfer.sources.bake`: make `common/language_facts.npz` of published tables.

It reads tables out of three packages, none of which is needed afterwards, nor installed:

    pip download --no-deps urielplus==1.3.2 allophant==1.0.0 panphon==0.22.2
    for wheel in *.whl; do unzip -q "$wheel" -d tables; done
    python -m transfer.sources.bake tables

The same tables give the same file, byte for byte.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from common.language_facts import FACTS_FILE
from transfer.sources.inventories import Inventory, read_inventories

_NO_FAMILY = frozenset(
    {
        "Artificial Language",
        "Bookkeeping",
        "Mixed Language",
        "Pidgin",
        "Sign Language",
        "Speech Register",
        "Unattested",
        "Unclassifiable",
    }
)
"""What Glottolog files languages under that are not related by descent."""

_ABOUT = {
    "tree": {
        "from": "Glottolog's classification as in URIEL+ (urielplus 1.3.2: lang_fam_geo.csv)",
        "by": "Khan et al. 2025, URIEL+; Hammarström, Forkel, Haspelmath and Bank, Glottolog",
        "licence": "CC-BY-SA-4.0",
    },
    "inventories": {
        "from": "PHOIBLE as in Allophoible (allophant 1.0.0: allophoible.csv)",
        "by": "Moran and McCloy 2019, PHOIBLE 2.0; Glocker et al. 2023, Allophant",
        "licence": "CC-BY-SA-3.0",
        "changed": "one broad inventory per language, without tones and marginal sounds",
    },
    "features": {
        "from": "panphon 0.22.2",
        "by": "Mortensen et al. 2016, PanPhon",
        "licence": "MIT",
    },
}


@dataclass
class _Tree:
    """Clades in depth-first order: those within one come right after it."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def grow(self, lineages: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
        """The innermost clade of each lineage; -1 for that of an isolate, which has none."""
        placed: dict[tuple[str, ...], int] = {(): -1}
        for lineage in sorted(set(lineages)):
            clades = [lineage[:depth] for depth in range(1, len(lineage) + 1)]
            for clade in clades:
                if clade not in placed:
                    placed[clade] = len(self.names)
                    self.names.append(clade[-1])
                    self.parents.append(placed[clade[:-1]])
                    self.ends.append(0)
            for clade in clades:
                self.ends[placed[clade]] = len(self.names)
        return placed


def bake(tables: Path) -> dict[str, np.ndarray]:
    """The arrays of `common.language_facts`, by name; of a folder with the packages' content."""
    inventories = read_inventories(tables / "allophant" / "package_data" / "allophoible.csv")
    lineages = _lineages(tables / "urielplus" / "database" / "urielplus_csvs")
    panphon = tables / "panphon" / "data"
    codes = sorted(lineages.keys() | inventories.keys())
    tree = _Tree()
    placed = tree.grow(line for line in lineages.values() if line is not None)
    clades = [-2 if (line := lineages.get(code)) is None else placed[line] for code in codes]
    own = [inventories.get(code, Inventory((), None)) for code in codes]
    segments = sorted({phoneme for inventory in own for phoneme in inventory.phonemes})
    number = {segment: index for index, segment in enumerate(segments)}
    return {
        "about": _text([json.dumps(_ABOUT, ensure_ascii=False)]),
        "codes": _text(codes),
        "clade": np.array(clades, np.int16),
        "clade_names": _text(tree.names),
        "clade_parent": np.array(tree.parents, np.int16),
        "clade_end": np.array(tree.ends, np.int16),
        "tonal": np.array([-1 if i.tonal is None else i.tonal for i in own], np.int8),
        "n_phoneme": np.array([len(i.phonemes) for i in own], np.uint8),
        "phonemes": np.array([number[p] for i in own for p in i.phonemes], np.uint16),
        "segments": _text(segments),
        "features": _features(segments, panphon),
        "weights": np.array(list(_weights(panphon).values()), np.float32),
    }


def _lineages(tables: Path) -> dict[str, tuple[str, ...] | None]:
    """From the family to the innermost branch, by ISO 639-3; None where none is known."""
    with (tables / "lang_fam_geo.csv").open(encoding="utf-8", newline="") as file:
        lines = {row["language_id"]: row["lineage"] for row in csv.DictReader(file)}
    with (tables / "uriel_glottocode_map.csv").open(encoding="utf-8", newline="") as file:
        glottocodes = {row["iso_code"]: row["glottocode"] for row in csv.DictReader(file)}
    found: dict[str, tuple[str, ...] | None] = {}
    for code, glottocode in glottocodes.items():
        names = lines.get(glottocode, "Unattested").split(",")
        lineage = tuple(name.strip() for name in names if name.strip())
        found[code] = None if lineage[:1] and lineage[0] in _NO_FAMILY else lineage
    return found


def _features(segments: Sequence[str], panphon: Path) -> np.ndarray:
    """int8 [n_segment, n_feature] in -2..2: twice panphon's, so that a mean of two is whole.

    `tʃ` is one segment if panphon has it with a tie, and else, like `mb`, the mean of its parts.
    """
    with (panphon / "ipa_all.csv").open(encoding="utf-8", newline="") as file:
        values = {"+": 2, "0": 0, "-": -2}
        names = _weights(panphon)
        table = {
            unicodedata.normalize("NFD", row["ipa"]): [values[row[name]] for name in names]
            for row in csv.DictReader(file)
        }
    rows = np.array([np.mean(_parts(segment, table), axis=0) for segment in segments])
    whole: np.ndarray = np.rint(rows).astype(np.int8)
    return whole


def _parts(segment: str, table: Mapping[str, list[int]]) -> list[list[int]]:
    """Features of the longest known pieces; marks that are unknown are passed over."""
    tied = segment[:1] + "͡" + segment[1:]
    if segment in table or tied in table:
        return [table.get(segment) or table[tied]]
    parts, start = [], 0
    while start < len(segment):
        ends = range(len(segment), start, -1)
        end = next((end for end in ends if segment[start:end] in table), None)
        if end is not None:
            parts.append(table[segment[start:end]])
        start = end or start + 1
    return parts or [[0] * len(next(iter(table.values())))]


def _weights(panphon: Path) -> dict[str, float]:
    """What a difference in a feature counts, by its name; in all 1. Those of tone are left out."""
    with (panphon / "feature_weights.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    weights = {name: float(weight) for name, weight in row.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def _text(lines: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\n".join(lines).encode(), np.uint8)


def main(
    tables: Annotated[
        Path,
        typer.Argument(
            exists=True,
            file_okay=False,
            help="Folder with what is in the wheels of urielplus, allophant and panphon.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write.")] = FACTS_FILE,
) -> None:
    """Make the table of languages that sources are ranked by, of URIEL+, PHOIBLE and panphon."""
    arrays: Mapping[str, np.ndarray] = bake(tables)
    np.savez_compressed(out, allow_pickle=False, **arrays)
    inventories = int(np.count_nonzero(arrays["n_phoneme"]))
    typer.echo(
        f"{out}: {len(arrays['clade'])} languages, {inventories} with an inventory, "
        f"{out.stat().st_size / 1024:.0f} KiB"
    )


if __name__ == "__main__":
    typer.run(main)
