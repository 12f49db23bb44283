"""What every process does the same: logs, metrics, a gRPC server that drains, errors to status."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.errors import PanglotError, SettingsError, grpc_status

MAX_MESSAGE_BYTES = 1 << 20
"""Largest message a server takes: 30 s of 16 kHz audio. gRPC refuses more: RESOURCE_EXHAUSTED."""

_SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Two servers on one port would share its callers silently.
    ("grpc.so_reuseport", 0),
    # A peer that vanished without a word is noticed within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]

_log = structlog.get_logger()


def configure_logging(service: str) -> None:
    """One JSON line per event on stderr, with the service's name."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(service=service)


@asynccontextmanager
async def reporting(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """End the call with the status of whatever our code raised inside the block."""
    try:
        yield
    except PanglotError as error:
        await context.abort(grpc_status(error), str(error))
    except (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError):
        raise
    except Exception:
        # The caller gets a name to quote; the traceback stays in our log.
        reference = secrets.token_hex(4)
        _log.exception("unexpected failure", reference=reference)
        await context.abort(
            grpc.StatusCode.UNKNOWN, f"unexpected failure; quote reference {reference}"
        )


async def run_server(
    address: str,
    register: Callable[[grpc.aio.Server], str],
    *,
    drain_s: float,
    draining: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    On the signal: health says NOT_SERVING, `draining` is awaited, no new call is taken, calls under
    way have `drain_s` seconds, and what is left is cancelled.

    Args:
        address: `host:port` to listen on.
        register: adds the servicer and returns the service's full name.
        drain_s: seconds calls under way may take to finish.
        draining: called first, to let others know.

    Raises:
        SettingsError: the address cannot be bound.
    """
    server = grpc.aio.server(options=_SERVER_OPTIONS)
    name = register(server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection(
        (name, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise SettingsError(f"cannot listen on {address}: is the port in use?") from error
    await server.start()
    for service in ("", name):
        await healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
    _log.info("serving", address=address)
    await _signalled()
    _log.info("draining", seconds=drain_s)
    await healthy.enter_graceful_shutdown()
    if draining is not None:
        await draining()
    await server.stop(drain_s)
    _log.info("stopped")


def start(service: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a process's main coroutine; a bad setting ends it with one line and no traceback."""

    async def main() -> None:
        await run()

    configure_logging(service)
    try:
        asyncio.run(main())
    except PanglotError as error:
        _log.error("cannot start", reason=str(error))
        sys.exit(2)


async def _signalled() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
