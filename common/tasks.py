"""Tasks that belong to somebody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any


@contextmanager
def first_error() -> Iterator[None]:
    """What went wrong first in a task group, rather than a group of all that followed from it."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@asynccontextmanager
async def alongside(*services: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `services` for the duration of the block.

    They are cancelled when it ends. If one of them fails, the block is cancelled and the error
    raised: a process that lost its model's loop must end, not go on answering health checks.
    """
    with first_error():
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(service) for service in services]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
