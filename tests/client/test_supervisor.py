"""Supervision of small real processes: order, failure at the start, restart, drain, kill."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from client.errors import StackError
from client.supervisor import Change, Child, State, Supervisor

IDLE = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
IDLE += "print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
STUBBORN += "while True: signal.pause()"


class Fleet:
    """Children that each run a line of Python, and a diary of what became of them."""

    def __init__(self, tmp_path: Path) -> None:
        self.logs = tmp_path
        self.diary: list[Change] = []

    def child(self, name: str, code: str = IDLE, **settings: object) -> Child:
        """Ready once it has said `up`."""
        child = Child(name, (sys.executable, "-I", "-S", "-c", code), self._ready(name))
        for key, value in settings.items():
            object.__setattr__(child, key, value)
        return child

    def supervisor(self, *groups: list[Child], start_timeout_s: float = 20) -> Supervisor:
        """One in a hurry."""
        return Supervisor(
            groups,
            self.logs,
            self.diary.append,
            backoff_s=0.02,
            poll_s=0.01,
            start_timeout_s=start_timeout_s,
        )

    def said(self, name: str) -> str:
        """What the child has written."""
        log = self.logs / f"{name}.log"
        return log.read_text() if log.exists() else ""

    def names(self, state: State) -> list[str]:
        """Who came to this state, in order."""
        return [change.name for change in self.diary if change.state is state]

    def _ready(self, name: str) -> Callable[[], Awaitable[bool]]:
        async def ask() -> bool:
            return "up" in self.said(name)

        return ask


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another process: nothing to wait on
            await asyncio.sleep(0.01)


async def test_starts_in_order_behind_the_gate_and_stops_in_reverse(fleet: Fleet) -> None:
    groups = [
        [fleet.child("redis", gate=True)],
        [fleet.child("w1"), fleet.child("w2")],
        [fleet.child("gateway")],
    ]
    supervisor = fleet.supervisor(*groups)
    await supervisor.start()
    order = [(change.name, change.state) for change in fleet.diary]
    assert order.index(("redis", State.READY)) < order.index(("w1", State.STARTING))
    assert fleet.names(State.STARTING) == ["redis", "w1", "w2", "gateway"]
    await supervisor.stop()
    stopped = fleet.names(State.STOPPED)
    assert (stopped[0], stopped[-1]) == ("gateway", "redis")
    assert all(change.exit_code == 0 for change in fleet.diary if change.state is State.STOPPED)


async def test_child_that_dies_while_starting_fails_the_start(fleet: Fleet) -> None:
    broken = (
        "import sys; print('reading settings'); print('no model'); print(repr('up')); sys.exit(3)"
    )
    dying = fleet.child("lid", broken)
    object.__setattr__(dying, "ready", _never)
    supervisor = fleet.supervisor([fleet.child("redis", gate=True)], [dying, fleet.child("w1")])
    with pytest.raises(StackError) as raised:
        await supervisor.start()
    await supervisor.stop()
    message = str(raised.value)
    assert message.startswith("lid ended with exit code 3; the end of ")
    assert "lid.log" in message
    assert "no model" in message
    assert "redis" in fleet.names(State.STOPPED)


async def test_child_that_is_never_ready_fails_the_start(fleet: Fleet) -> None:
    slow = fleet.child("lid")
    object.__setattr__(slow, "ready", _never)
    supervisor = fleet.supervisor([slow], start_timeout_s=0.1)
    with pytest.raises(StackError, match=r"lid is not ready after 0 s"):
        await supervisor.start()
    await supervisor.stop()


async def test_child_that_dies_later_is_started_again(fleet: Fleet) -> None:
    supervisor = fleet.supervisor(
        [fleet.child("w1", "import os; print(os.getpid(), flush=True); " + IDLE)]
    )
    await supervisor.start()
    for times in (1, 2):
        await until(lambda n=times: len(pids(fleet)) == n)  # type: ignore[misc]
        os.kill(pids(fleet)[-1], signal.SIGKILL)
    await until(lambda: len(pids(fleet)) == 3)
    await supervisor.stop()
    exits = [change for change in fleet.diary if change.state is State.EXITED]
    assert [change.exit_code for change in exits] == [-signal.SIGKILL] * 2
    assert exits[0].log == fleet.logs / "w1.log"
    assert fleet.names(State.STARTING) == ["w1"] * 3


async def test_child_that_ignores_sigterm_is_killed(fleet: Fleet) -> None:
    supervisor = fleet.supervisor([fleet.child("w1", STUBBORN, drain_s=0.1)])
    await supervisor.start()
    await supervisor.stop()
    assert fleet.diary[-1].exit_code == -signal.SIGKILL


async def test_kill_does_not_wait(fleet: Fleet) -> None:
    supervisor = fleet.supervisor([fleet.child("w1", STUBBORN, drain_s=60)])
    await supervisor.start()
    stopping = asyncio.create_task(supervisor.stop())
    await until(lambda: "w1" in fleet.names(State.STOPPING))
    supervisor.kill()
    await asyncio.wait_for(stopping, 5)


async def test_stop_in_the_middle_of_starting(fleet: Fleet) -> None:
    waiting = fleet.child("redis", gate=True)
    object.__setattr__(waiting, "ready", _never)
    supervisor = fleet.supervisor([waiting], [fleet.child("w1")])
    starting = asyncio.create_task(supervisor.start())
    await until(lambda: bool(fleet.diary))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await supervisor.stop()
    assert fleet.names(State.STARTING) == fleet.names(State.STOPPED) == ["redis"]


async def test_children_get_settings_a_session_and_no_stdin(fleet: Fleet) -> None:
    code = "import os, sys; print(os.getsid(0) == os.getpid(), os.environ['X'], sys.stdin.read())\n"
    supervisor = fleet.supervisor([fleet.child("w1", code + IDLE, env={"X": "set"})])
    await supervisor.start()
    await until(lambda: "set" in fleet.said("w1"))
    await supervisor.stop()
    assert fleet.said("w1") == "True set \nup\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
async def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent_code = f"""
import asyncio, sys
from pathlib import Path
from client.supervisor import Child, Supervisor
from tests.client.test_supervisor import IDLE
async def ready(): return True
async def main():
    argv = (sys.executable, "-c", "import os; print(os.getpid()); " + IDLE)
    child = Child("w1", argv, ready)
    await Supervisor([[child]], Path({str(tmp_path)!r}), lambda change: None).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent_code, cwd=Path(__file__).parents[2]
    )
    log = tmp_path / "w1.log"
    await until(lambda: log.exists() and "up" in log.read_text())
    child = int(log.read_text().split()[0])
    assert is_running(child)
    parent.kill()
    await parent.wait()
    await until(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def pids(fleet: Fleet) -> list[int]:
    """Process ids that the child wrote, one per life."""
    return [int(line) for line in fleet.said("w1").split("\n")[:-1] if line.isdigit()]


async def _never() -> bool:
    return False
