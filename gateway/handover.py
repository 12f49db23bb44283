"""Step 2: two bounded queues between the event loop and a thread that blocks.

Bytes go to the thread, values come back. Each side waits for the other without polling, the event
loop never blocks, and closing both queues sets the thread free wherever it waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

INBOX_BYTES = 256 * 1024
OUTBOX_ITEMS = 32

T = TypeVar("T")


class Inbox:
    """Bytes to the thread. Holds at most INBOX_BYTES and one message."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._bytes = bytearray()
        self._ended = False
        self._room = asyncio.Event()

    async def put(self, data: bytes) -> None:
        """Returns when there is room for more; drops the data once closed."""
        with self._changed:
            if self._ended:
                return
            self._bytes += data
            self._changed.notify()
            if len(self._bytes) < INBOX_BYTES:
                return
            self._room.clear()
        await self._room.wait()

    def end(self) -> None:
        """No more bytes follow those that are here."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def close(self) -> None:
        """Nobody reads any more, or nobody should. From any thread."""
        with self._changed:
            self._ended = True
            self._bytes.clear()
            self._changed.notify()
        _call(self._loop, self._room.set)

    def read(self, size: int) -> bytes:
        """What FFmpeg calls, in the thread: 1 to `size` bytes, or none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes or self._ended)
            data = bytes(self._bytes[:size])
            was_full = len(self._bytes) >= INBOX_BYTES
            del self._bytes[:size]
            if was_full and len(self._bytes) < INBOX_BYTES:
                _call(self._loop, self._room.set)
            return data


class AbandonedError(Exception):
    """In the thread: nobody wants the values any more."""


class Outbox(Generic[T]):
    """Values from the thread, at most OUTBOX_ITEMS; then None, or the error that ended them."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[T | Exception | None] = asyncio.Queue()
        self._free = threading.Semaphore(OUTBOX_ITEMS)
        self._closed = False

    def put(self, item: T) -> None:
        """In the thread: blocks while full. Raises AbandonedError once closed."""
        self._free.acquire()
        if self._closed:
            raise AbandonedError
        self.post(item)

    def post(self, item: T | Exception | None) -> None:
        """Without waiting, from any thread."""
        _call(self._loop, lambda: self._queue.put_nowait(item))

    def leave(self) -> None:
        """The thread's last act."""
        _call(self._loop, self.left.set)

    async def get(self) -> T | None:
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        self._free.release()
        return item

    def close(self) -> None:
        self._closed = True
        self._free.release()


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
    # A closed loop has nobody left to tell.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(action)
