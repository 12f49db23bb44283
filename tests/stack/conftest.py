"""One real stack for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from common.catalogue import models_url
from tests.stack.adapters import write_adapters
from tests.stack.running import RunningStack, running_stack


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`panglot serve` with two workers, and a store that holds the tests' adapters too."""
    directory = tmp_path_factory.mktemp("stack")
    models = write_adapters(directory / "models", Path(models_url("")))
    with running_stack(
        directory / "logs", PANGLOT_MODELS=str(models), PANGLOT_GATEWAY_CATALOGUE_SECONDS="0.3"
    ) as running:
        yield running


@pytest_asyncio.fixture
async def stack(started: RunningStack) -> AsyncIterator[RunningStack]:
    """The stack; whatever a test does to it, it comes to rest again."""
    yield started
    await started.at_rest()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a process of the test's own writes its log."""
    return tmp_path / "log"
