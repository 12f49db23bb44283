"""Starting from another language's adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from common.errors import InvalidRequest
from speech.adapters.module import Adapter


@dataclass(frozen=True)
class Source:
    """A trained adapter of another language, by its key, and the symbols of its head."""

    key: str
    weights: dict[str, Tensor]
    vocabulary: tuple[str, ...]


def start_from(adapter: Adapter, vocabulary: Sequence[str], source: Source) -> None:
    """Copy the source's blocks, and the rows of its head for the symbols both languages write.

    A new head spends its first hundreds of steps writing nothing but blanks; one that knows the
    blank, the word separator and some letters is past that from the start.

    Raises:
        InvalidRequest: the source's blocks are of another shape.
    """
    own = adapter.state_dict()
    for name in own.keys() | source.weights.keys():
        rows = slice(1, None) if name.startswith("head.projection") else slice(None)
        ours, theirs = (
            tuple(tensors[name].shape)[rows] if name in tensors else None
            for tensors in (own, source.weights)
        )
        if ours != theirs:
            raise InvalidRequest(
                f"{source.key} is an adapter of another shape: leave out --kind, --rank and "
                "--layers, and its own are taken"
            )
    # The blank is first whatever it is called.
    shared = [(0, 0)] + [
        (row, source.vocabulary.index(symbol))
        for row, symbol in enumerate(vocabulary)
        if row and symbol in source.vocabulary
    ]
    for name, value in source.weights.items():
        if name.startswith("head.projection"):
            for row, from_row in shared:
                own[name][row] = value[from_row]
        else:
            own[name].copy_(value)
    adapter.load_state_dict(own)
