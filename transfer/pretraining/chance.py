"""Chance that depends on a number alone, where libraries draw from generators of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed NumPy's and torch's generators by `numbers`; after it they are as they were before."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    before = np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU, add in a fixed order: threads that add to one sum as they come never repeat."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device.type == "cpu", warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
