"""The rows of a new head that begin as rows of the sources' heads.

A new head spends its first hundreds of steps writing nothing but blanks; one that knows the blank,
the word separator and some letters is past that from the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transfer.training.source import Start

Row = tuple[int, int]
"""Number of a source, and of a class of its head."""


@torch.no_grad()
def fill_head(head: nn.ModuleDict, vocabulary: Sequence[str], start: Start) -> None:
    """Take over the rows that `rows_of` names, as weighted means over the sources that lend them.

    Those of no source stay random. The norm before the projection is the sources' mean.
    """
    projection, norm = head["projection"], head["norm"]
    for name, parameter in norm.named_parameters():
        parameter.copy_(
            weighted_mean([s.weights[f"head.norm.{name}"] for s in start.sources], start.weights)
        )
    for own_row, rows in rows_of(vocabulary, start).items():
        weights = [start.weights[source] for source, _ in rows]
        for name, parameter in projection.named_parameters():
            lent = [
                start.sources[source].weights[f"head.projection.{name}"][row]
                for source, row in rows
            ]
            parameter[own_row] = weighted_mean(lent, weights)


def rows_of(vocabulary: Sequence[str], start: Start) -> dict[int, list[Row]]:
    """For each class of a new head the rows that it begins as; classes of its own are left out."""
    if start.head == "new":
        return {}
    found = {0: [(number, 0) for number in range(len(start.sources))]}  # whatever blanks are called
    for own_row, symbol in enumerate(vocabulary[1:], start=1):
        lent = [
            (number, source.vocabulary.index(symbol))
            for number, source in enumerate(start.sources)
            if symbol in source.vocabulary[1:]
        ]
        lent = lent or [
            (loan.source, start.sources[loan.source].vocabulary.index(loan.lent))
            for loan in start.loans
            if loan.letter == symbol
        ]
        if lent:
            found[own_row] = lent
    return found


def weighted_mean(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """float32, of the shape that all have; the weights need not sum to 1."""
    if len(tensors) == 1:
        return tensors[0].float()
    total = sum(weights)
    parts = zip(tensors, weights, strict=True)
    return torch.stack([tensor.float() * (weight / total) for tensor, weight in parts]).sum(0)
