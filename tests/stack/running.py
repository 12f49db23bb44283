"""A stack as a user starts it, by `panglot serve`, and its processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from client import probes
from client.aio import AsyncClient
from client.stack import LOOPBACK, free_ports
from client.types import Fleet

PANGLOT = Path(sys.executable).with_name("panglot")
WORKERS = 2
PATIENCE_S = 120.0
"""For whatever has to happen sooner or later; machines may be slow and shared."""


@dataclass(frozen=True)
class Service:
    """A process of ours that serves gRPC."""

    pid: int
    address: str

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def census(self) -> tuple[int, int]:
        """How many threads it has, and how many open files."""
        process = Path(f"/proc/{self.pid}")
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


class RunningStack:
    """`panglot serve` and its children."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log_dir: Path) -> None:
        """Of a stack that has said that it is ready."""
        self.process = process
        self.address = address
        self.log_dir = log_dir

    @property
    def gateway(self) -> Service:
        """The gateway, as it runs now."""
        return Service(self._pid("-m gateway"), self.address)

    def worker(self, worker_id: str) -> int:
        """The process id of a worker."""
        return self._pid("-m asr_service", PANGLOT_WORKER_ID=worker_id)

    @property
    def workers(self) -> tuple[int, ...]:
        """The process ids of all workers."""
        return tuple(self.worker(f"worker-{number}") for number in range(1, WORKERS + 1))

    @property
    def lid(self) -> int:
        """The process id of language identification."""
        return self._pid("-m lid_service")

    @property
    def redis(self) -> int:
        """The process id of the Redis server."""
        return self._pid("unixsocket")

    def log(self, name: str) -> str:
        """All that a service has logged."""
        return (self.log_dir / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    async def fleet(self) -> Fleet:
        """The fleet as the gateway sees it."""
        async with AsyncClient(self.address) as client:
            return await client.fleet()

    async def until(self, holds: Callable[[Fleet], bool], what: str) -> Fleet:
        """The first fleet of which `holds` is true."""
        fleet: Fleet | None = None

        async def asked() -> bool:
            nonlocal fleet
            fleet = await self.fleet()
            return holds(fleet)

        await eventually(asked, lambda: f"{what}: {fleet}")
        assert fleet is not None
        return fleet

    async def at_rest(self) -> None:
        """Wait until all processes serve and none has anything to do."""
        await self.until(
            lambda fleet: (
                fleet.registry_available
                and len(fleet.workers) == WORKERS
                and not any(worker.active_spans for worker in fleet.workers)
            ),
            "the fleet is not at rest",
        )
        for worker in (await self.fleet()).workers:
            await eventually(probes.serving(worker.address), lambda: "a worker does not serve")
        lid_address = self.settings()["PANGLOT_LID_ADDRESS"]
        await eventually(probes.serving(lid_address), lambda: "the LID service does not serve")

    def settings(self) -> dict[str, str]:
        """The environment of the gateway."""
        return _environment(self.gateway.pid)

    def _pid(self, words: str, **environment: str) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for pid in _children(self.process.pid):
                try:
                    command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                    # Not the launcher, which is about to become it.
                    runs = words in command and "launch.py" not in command
                    if runs and environment.items() <= _environment(pid).items():
                        return pid
                except OSError:
                    continue
            time.sleep(0.1)
        raise AssertionError(f"`{words}` does not run")


@contextmanager
def running_stack(
    log_dir: Path, *options: str, workers: int = WORKERS, **environment: str
) -> Iterator[RunningStack]:
    """`panglot serve`, until the block ends; it must then end well."""
    given = ("--port", "0", "--workers", str(workers), "--log-dir", str(log_dir), *options)
    process = subprocess.Popen(
        [PANGLOT, "serve", *given],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        word, _, address = process.stdout.readline().decode().strip().partition(" ")
        assert word == "ready", f"the stack did not start; see {log_dir}"
        yield RunningStack(process, address, log_dir)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def running_gateway(
    stack: RunningStack, log: Path, **environment: str
) -> AsyncIterator[tuple[Service, asyncio.subprocess.Process]]:
    """One more gateway for the stack's workers, with settings of its own."""
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    settings = {**stack.settings(), "PANGLOT_GATEWAY_ADDRESS": address, **environment}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "gateway"),
            env=settings,
            stdin=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        await eventually(probes.fleet_of(WORKERS, address), lambda: f"no gateway; see {log}")
        yield Service(process.pid, address), process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def eventually(asked: Callable[[], Awaitable[bool]], what: Callable[[], str]) -> None:
    """Return when the answer is yes; fail with `what` if it stays no."""
    deadline = time.monotonic() + PATIENCE_S
    while not await asked():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.1)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (command) state ppid …; the command may hold spaces.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found


def _environment(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)
