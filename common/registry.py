"""The registry: workers publish themselves under a lease, gateways read a snapshot.

In Redis: the set `panglot:workers` of ids, and per worker the key `panglot:worker:<id>`, a JSON
document that expires with the lease. Audio never waits for Redis.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from common.errors import SettingsError
from common.fleet import FleetSnapshot, WorkerRecord

LEASE_MS = 2_000
HEARTBEAT_S = 0.5
REFRESH_S = 0.25
_WORKERS = "panglot:workers"
_FIELDS = tuple(field.name for field in dataclasses.fields(WorkerRecord))
_log = structlog.get_logger()


def connect(url: str) -> redis.Redis:
    """A client that gives up within a second, so that one that hangs counts as away.

    Raises:
        SettingsError: `url` is of no form that Redis has.
    """
    try:
        return redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=1.0, socket_connect_timeout=1.0
        )
    except ValueError as error:
        # Not the value itself: it may hold a password.
        raise SettingsError(
            "PANGLOT_REDIS_URL is no address of Redis: give redis://HOST:PORT/0, rediss:// or unix://"
        ) from error


def _key(worker_id: str) -> str:
    return f"panglot:worker:{worker_id}"


class WorkerPublisher:
    """Keeps one worker's record and lease alive."""

    def __init__(self, client: redis.Redis, record: Callable[[], WorkerRecord]) -> None:
        """Publish what `record` returns at the time."""
        self._client = client
        self._record = record
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Publish soon rather than at the next heartbeat."""
        self._changed.set()

    async def run(self) -> None:
        """Publish until cancelled; an unreachable Redis is logged once and tried again."""
        reachable = True
        while True:
            try:
                await self.publish()
                reachable = True
            except RedisError as error:
                if reachable:
                    _log.warning("registry unreachable", error=type(error).__name__)
                reachable = False
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
                    self._changed.clear()
                    await asyncio.sleep(0.02)  # many changes at once become one write
            except TimeoutError:
                pass

    async def publish(self) -> None:
        """Write the record once, with a fresh lease."""
        record = self._record()
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.sadd(_WORKERS, record.worker_id)
            pipe.set(_key(record.worker_id), json.dumps(dataclasses.asdict(record)), px=LEASE_MS)
            await pipe.execute()

    async def withdraw(self) -> None:
        """Forget this worker now rather than when its lease ends."""
        worker_id = self._record().worker_id
        try:
            await self._client.srem(_WORKERS, worker_id)
            await self._client.delete(_key(worker_id))
        except RedisError:
            _log.warning("could not withdraw from the registry; the lease will end")


class FleetWatcher:
    """Keeps a snapshot of the fleet."""

    def __init__(self, client: redis.Redis) -> None:
        """Start with an empty fleet."""
        self._client = client
        self.snapshot = FleetSnapshot(workers=(), available=False)

    async def run(self) -> None:
        """Refresh until cancelled. While Redis is away the last known workers stay."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Read the registry once."""
        try:
            ids = sorted(str(worker) for worker in await self._client.smembers(_WORKERS))
            documents = await self._client.mget([_key(worker) for worker in ids]) if ids else []
            expired = [worker for worker, text in zip(ids, documents, strict=True) if text is None]
            if expired:
                await self._client.srem(_WORKERS, *expired)
        except RedisError as error:
            if self.snapshot.available:
                _log.warning("registry unreachable", error=type(error).__name__)
            self.snapshot = dataclasses.replace(self.snapshot, available=False)
            return
        records = (parse_record(str(text)) for text in documents if text is not None)
        workers = tuple(record for record in records if record is not None)
        self.snapshot = FleetSnapshot(workers=workers, available=True)


def parse_record(text: str) -> WorkerRecord | None:
    """A record as it was published; None, with a log line, for one this version cannot read.

    While a fleet is upgraded two releases share the registry: fields that only the newer one knows
    are passed over by the older, and have a default for the newer.
    """
    try:
        document = json.loads(text)
        known = {name: document[name] for name in _FIELDS if name in document}
        known["resident_adapters"] = tuple(known["resident_adapters"])
        return WorkerRecord(**known)
    except (ValueError, KeyError, TypeError):
        _log.warning("unreadable worker record ignored")
        return None
