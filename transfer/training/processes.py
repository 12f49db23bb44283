"""The processes that train together: one, or those that `accelerate launch` has started.

Each has a copy of everything that learns, and hears other batches. Gradients are summed by hand and
not by a wrapper around the model: then a batch can be left out by all of them together, and
training reads the same for one process and for many.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from common.errors import InvalidRequest
from transfer.training.settings import default_device

if TYPE_CHECKING:
    from accelerate import Accelerator


class Processes:
    """Where this process stands among those that train together.

    Attributes:
        count: how many there are.
        rank: this one's number, from 0.
        main: whether it is the one that writes and shows.
        device: of this process.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        """Without an accelerator it is alone."""
        self._accelerator = accelerator
        self.count = accelerator.num_processes if accelerator else 1
        self.rank = accelerator.process_index if accelerator else 0
        self.main = self.rank == 0
        self.device = accelerator.device if accelerator else default_device()

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes of each value; the same in all of them."""
        if self._accelerator is None:
            return list(values)
        summed = self._accelerator.reduce(
            torch.tensor(values, dtype=torch.float64, device=self.device), "sum"
        )
        return [float(value) for value in summed]

    def wait(self) -> None:
        """Until all have come here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by the sum over all processes; a missing one counts as zero."""
        if self._accelerator is None:
            return
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None:
                gradient = torch.zeros_like(parameter)
            parameter.grad = self._accelerator.reduce(gradient, "sum")


@contextmanager
def launched() -> Iterator[Processes]:
    """Join the others where `accelerate launch` or `torchrun` has started several.

    Raises:
        InvalidRequest: they were started, and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    try:
        from accelerate import Accelerator  # noqa: PLC0415 a second, for several processes only
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            "several processes were started, which needs accelerate: pip install accelerate"
        ) from error
    accelerator = Accelerator()
    try:
        yield Processes(accelerator)
    finally:
        accelerator.end_training()
