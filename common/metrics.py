"""Metrics over HTTP, for Prometheus to read: on a port of their own, and only where asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from common.errors import SettingsError

_log = structlog.get_logger()


def process_metrics() -> CollectorRegistry:
    """A new registry, with this process's memory, CPU time and open files in it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


@contextmanager
def exposed(address: str, registry: CollectorRegistry) -> Iterator[None]:
    """Answer `GET /metrics` at `address` for the duration of the block, from a thread.

    Args:
        address: `host:port`; empty for nowhere.
        registry: what to tell.

    Raises:
        SettingsError: the address is none, or cannot be bound.
    """
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"metrics cannot be served at {address!r:.100}: give host:port")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise SettingsError(
            f"metrics cannot be served at {address}: {error.strerror}; is the port in use?"
        ) from error
    _log.info("metrics", address=f"{host}:{server.server_port}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
