"""Metrics over HTTP."""

from __future__ import annotations

from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest
from prometheus_client import Counter
from structlog.testing import capture_logs

from common.errors import SettingsError
from common.metrics import exposed, process_metrics

_OPENER = build_opener(ProxyHandler({}))  # a proxy from the environment is no way to loopback


def read(address: str) -> str:
    with _OPENER.open(f"http://{address}/metrics", timeout=10) as response:
        return str(response.read().decode())


def test_they_are_told_while_the_block_runs() -> None:
    registry = process_metrics()
    counted = Counter("panglot_things", "Things", registry=registry)
    with capture_logs() as logs, exposed("127.0.0.1:0", registry):
        address = logs[0]["address"]
        counted.inc(3)
        text = read(address)
        assert "panglot_things_total 3.0" in text
        assert "process_resident_memory_bytes" in text
        with (
            pytest.raises(SettingsError, match=f"metrics cannot be served at {address}: .*in use"),
            exposed(address, registry),
        ):
            raise AssertionError("two on one port")
    with pytest.raises(URLError):
        read(address)


def test_nobody_asked() -> None:
    with capture_logs() as logs, exposed("", process_metrics()):
        assert not logs


@pytest.mark.parametrize(
    "address", ["9090", "localhost", "localhost:http", "localhost:99999", ":9"]
)
def test_no_address(address: str) -> None:
    with (
        pytest.raises(SettingsError, match="give host:port"),
        exposed(address, process_metrics()),
    ):
        raise AssertionError("it was taken")
