"""Step 2: the queues between event loop and thread: bounded, and free at once when closed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.handover import INBOX_BYTES, OUTBOX_ITEMS, AbandonedError, Inbox, Outbox


async def test_inbox_gives_what_there_is_and_then_its_end() -> None:
    inbox = Inbox()
    await inbox.put(b"abc")
    await inbox.put(b"de")
    inbox.end()
    assert [inbox.read(4), inbox.read(4), inbox.read(4)] == [b"abcd", b"e", b""]


async def test_full_inbox_holds_the_sender_until_somebody_reads() -> None:
    inbox = Inbox()
    put = asyncio.create_task(inbox.put(bytes(INBOX_BYTES)))
    await asyncio.sleep(0.01)
    assert not put.done()
    await asyncio.to_thread(inbox.read, 1)
    await asyncio.wait_for(put, 2)


async def test_closed_inbox_frees_both_sides_and_drops_what_comes() -> None:
    inbox = Inbox()
    put = asyncio.create_task(inbox.put(bytes(INBOX_BYTES)))
    await asyncio.sleep(0.01)
    threading.Thread(target=inbox.close).start()
    await asyncio.wait_for(put, 2)
    await asyncio.wait_for(inbox.put(bytes(INBOX_BYTES)), 2)
    assert inbox.read(1) == b""


async def test_closing_wakes_a_reader_that_waits() -> None:
    inbox = Inbox()
    read = asyncio.create_task(asyncio.to_thread(inbox.read, 1))
    await asyncio.sleep(0.01)
    inbox.close()
    assert await asyncio.wait_for(read, 2) == b""


async def test_outbox_in_order_then_error() -> None:
    outbox = Outbox[int]()
    for item in (1, 2):
        outbox.put(item)
    outbox.post(ValueError("three"))
    assert [await outbox.get(), await outbox.get()] == [1, 2]
    with pytest.raises(ValueError, match="three"):
        await outbox.get()


async def test_full_outbox_holds_the_thread_and_closing_frees_it() -> None:
    outbox = Outbox[int]()
    for item in range(OUTBOX_ITEMS):
        outbox.put(item)
    put = asyncio.create_task(asyncio.to_thread(outbox.put, -1))
    await asyncio.sleep(0.02)
    assert not put.done()
    outbox.close()
    with pytest.raises(AbandonedError):
        await asyncio.wait_for(put, 2)


def test_a_closed_loop_is_no_error_for_the_thread() -> None:
    async def make() -> Outbox[int]:
        return Outbox[int]()

    outbox = asyncio.run(make())
    outbox.put(1)
    outbox.leave()
