"""What the stack is made of, and `serve` around it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from client import probes
from client.commands.serve import serve
from client.errors import StackError
from client.progress import StackProgress
from client.stack import LOOPBACK, Stack, StackOptions, claim_port, free_ports, plan
from client.supervisor import Change, Child, State, Supervisor
from tests.client.fake_gateway import FakeGateway


def planned(tmp_path: Path, **environment: str) -> dict[str, Child]:
    """The children of a stack with two workers, by name, in order."""
    return children_of(StackOptions(workers=2), tmp_path, environment)


def children_of(
    options: StackOptions, tmp_path: Path, environment: dict[str, str]
) -> dict[str, Child]:
    """The children of a stack, by name, in order."""
    groups = plan(options, "0.0.0.0:50051", tmp_path, environment)
    return {child.name: child for group in groups for child in group}


def test_plan_connects_the_services(tmp_path: Path) -> None:
    children = planned(tmp_path)
    assert list(children) == ["redis", "lid", "worker-1", "worker-2", "gateway"]
    assert children["redis"].gate
    lid = children["lid"].env["PANGLOT_LID_ADDRESS"]
    gateway = children["gateway"]
    assert gateway.env["PANGLOT_LID_ADDRESS"] == lid
    assert gateway.env["PANGLOT_GATEWAY_ADDRESS"] == "0.0.0.0:50051"
    assert gateway.drain_s == 15
    assert gateway.argv[1:] == ("-P", "-m", "gateway")
    addresses = {children[f"worker-{n}"].env["PANGLOT_WORKER_ADDRESS"] for n in (1, 2)} | {lid}
    assert len(addresses) == 3
    assert children["worker-2"].env["PANGLOT_WORKER_ID"] == "worker-2"
    redis = {child.env["PANGLOT_REDIS_URL"] for name, child in children.items() if name != "redis"}
    assert redis == {f"unix://{tmp_path}/redis.sock"}


def test_plan_leaves_to_the_environment_what_it_names(tmp_path: Path) -> None:
    children = planned(tmp_path, PANGLOT_REDIS_URL="redis://there", PANGLOT_WORKER_THREADS="7")
    assert "redis" not in children
    assert "PANGLOT_REDIS_URL" not in children["gateway"].env
    assert "PANGLOT_WORKER_THREADS" not in children["worker-1"].env


def test_plan_passes_base_and_store_to_those_who_read_them(tmp_path: Path) -> None:
    options = StackOptions(workers=1, base_model="facebook/mms-1b-all", models="s3://b/adapters")
    children = children_of(options, tmp_path, {"PANGLOT_BASE_MODEL": "other"})
    told = {
        name: (child.env.get("PANGLOT_BASE_MODEL"), child.env.get("PANGLOT_MODELS"))
        for name, child in children.items()
    }
    assert told == {
        "redis": (None, None),
        "lid": (None, None),
        "worker-1": ("facebook/mms-1b-all", "s3://b/adapters"),
        "gateway": (None, "s3://b/adapters"),
    }
    silent = planned(tmp_path)["worker-1"].env
    assert not {"PANGLOT_BASE_MODEL", "PANGLOT_MODELS"} & silent.keys()


def test_port_in_use_is_found_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"cannot listen on {LOOPBACK}:{port}: address alrea"):
            Stack(StackOptions(port=port))
    assert claim_port(LOOPBACK, port) == port
    assert claim_port(LOOPBACK, 0) > 0
    assert len(set(free_ports(5))) == 5


async def test_redis_of_the_stack_answers_its_probe(tmp_path: Path) -> None:
    groups = plan(StackOptions(), "127.0.0.1:1", tmp_path, {})[:1]
    is_up = probes.redis_answers(tmp_path / "redis.sock")
    assert not await is_up()
    supervisor = Supervisor(groups, tmp_path, lambda change: None, poll_s=0.01)
    await supervisor.start()
    try:
        assert await is_up()
    finally:
        await supervisor.stop()


async def test_health_probe_says_no_where_nothing_or_no_health_service_is(
    gateway: FakeGateway,
) -> None:
    assert not await probes.serving("127.0.0.1:1")()
    assert not await probes.serving(gateway.address)()
    assert not await probes.fleet_of(1, gateway.address)()


class FakeStack:
    """Starts at once or fails; notes what was asked of it."""

    address = "127.0.0.1:50051"

    def __init__(self, failure: StackError | None, when_up: Callable[[], None]) -> None:
        self.failure = failure
        self.when_up = when_up
        self.asked: list[str] = []

    async def start(self) -> None:
        self.asked.append("start")
        if self.failure is not None:
            raise self.failure
        asyncio.get_running_loop().call_later(0.05, self.when_up)

    async def stop(self) -> None:
        self.asked.append("stop")
        await asyncio.sleep(0.1)

    def kill(self) -> None:
        self.asked.append("kill")


def interrupt_twice() -> None:
    """Two Ctrl-C, so close that the second falls into the first one's stop."""
    os.kill(os.getpid(), signal.SIGINT)
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)


def quiet() -> StackProgress:
    """Progress that nobody sees."""
    return StackProgress(Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("signals", "asked"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGTERM), ["start", "stop"]),
        (interrupt_twice, ["start", "stop", "kill"]),
    ],
)
def test_serve_says_ready_and_stops_when_asked(
    signals: Callable[[], None], asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = FakeStack(None, signals)
    asyncio.run(serve(lambda: stack, quiet()))  # type: ignore[arg-type, return-value]
    assert stack.asked == asked
    assert capsys.readouterr().out == "ready 127.0.0.1:50051\n"


def test_serve_stops_what_failed_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    stack = FakeStack(StackError("lid ended"), lambda: None)
    with pytest.raises(StackError, match="lid ended"):
        asyncio.run(serve(lambda: stack, quiet()))  # type: ignore[arg-type, return-value]
    assert stack.asked == ["start", "stop"]
    assert capsys.readouterr().out == ""


def test_progress_is_a_line_per_change_where_there_is_no_terminal() -> None:
    output = io.StringIO()
    progress = StackProgress(Console(file=output, width=200))
    log = Path("logs/w1.log")
    with progress:
        progress.changed(Change("w1", State.STARTING, 0.0, log))
        progress.changed(Change("w1", State.READY, 5.25, log))
    progress.changed(Change("w1", State.EXITED, 9.0, log, -9))
    assert output.getvalue().splitlines() == [
        "starting w1",
        "w1 is ready after 5.2 s",
        "w1 ended with SIGKILL after 9.0 s; starting it again; its log: logs/w1.log",
    ]
