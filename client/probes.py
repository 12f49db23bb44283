"""Questions whether a process is ready, each a coroutine function that answers within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

Probe = Callable[[], Awaitable[bool]]
ANSWER_S = 1.0


def redis_answers(socket_path: Path) -> Probe:
    """A Redis-protocol server on a Unix socket answers PING."""

    async def ask() -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(str(socket_path))
                try:
                    writer.write(b"PING\r\n")
                    return (await reader.readline()).startswith(b"+PONG")
                finally:
                    writer.close()
                    await writer.wait_closed()
        except OSError:  # TimeoutError is one
            return False

    return ask


def serving(address: str) -> Probe:
    """The gRPC health service at `address` says SERVING."""

    async def ask() -> bool:
        if not await _listens(address):
            return False  # asked first: gRPC would back off for seconds after a refused connection
        import grpc  # noqa: PLC0415
        from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - server extra

        async with grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_S)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return ask


def fleet_of(worker_count: int, address: str) -> Probe:
    """The gateway at `address` is serving and knows of at least `worker_count` workers."""
    is_serving = serving(address)

    async def ask() -> bool:
        if not await is_serving():
            return False
        from client.aio import AsyncClient  # noqa: PLC0415
        from client.errors import TranscriptionError  # noqa: PLC0415

        async with AsyncClient(address) as client:
            try:
                return len((await client.fleet()).workers) >= worker_count
            except TranscriptionError:
                return False

    return ask


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
            await writer.wait_closed()
    except OSError:
        return False
    return True
