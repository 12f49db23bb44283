"""Runs child processes together: starts them in order, keeps them alive, stops them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from client.errors import StackError

LAUNCHER = Path(__file__).with_name("launch.py")
TAIL_LINES = 15
HEALTHY_S = 30.0
"""A child that lived this long is restarted without having to wait for what it did before."""


@dataclass(frozen=True)
class Child:
    """One process.

    Attributes:
        name: shown to the user, and the log file's stem.
        argv: the command.
        ready: asked again and again while it starts.
        env: added to our own environment.
        gate: nothing of a later group starts before it is ready.
        drain_s: how long it may take to end after SIGTERM.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)
    gate: bool = False
    drain_s: float = 5.0


class State(Enum):
    """What became of a child."""

    STARTING = "starting"
    READY = "ready"
    EXITED = "exited"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Change:
    """A child's new state; `after_s` counts from its start, `exit_code` is below 0 for a signal."""

    name: str
    state: State
    after_s: float
    log: Path
    exit_code: int | None = None


class Supervisor:
    """Children in groups: started first to last, stopped last to first.

    Args:
        groups: the members of one are started, and stopped, together.
        log_dir: gets `<name>.log` of each child, appended to.
        on_change: told of each change of state, from the event loop.
        backoff_s: wait before the first restart of a child that died; doubles up to 20 times that.
        poll_s: between two questions whether a child is ready.
        start_timeout_s: for all of them to be ready.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Child]],
        log_dir: Path,
        on_change: Callable[[Change], None],
        *,
        backoff_s: float = 0.5,
        poll_s: float = 0.1,
        start_timeout_s: float = 600.0,
    ) -> None:
        self._groups = groups
        self._log_dir = log_dir
        self._on_change = on_change
        self._backoff_s = backoff_s
        self._poll_s = poll_s
        self._start_timeout_s = start_timeout_s
        self._started = False
        self._stopping = asyncio.Event()
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._born: dict[str, float] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._keepers: list[asyncio.Task[None]] = []

    def log(self, child: Child) -> Path:
        """Where the child's output goes."""
        return self._log_dir / f"{child.name}.log"

    async def start(self) -> None:
        """Start all; return when all are ready.

        Raises:
            StackError: a child ended meanwhile, or is not ready in time; the message shows the end
                of its log. The others still run: call `stop`.
        """
        try:
            async with asyncio.timeout(self._start_timeout_s):
                for group in self._groups:
                    for child in group:
                        self._ready[child.name] = asyncio.Event()
                        self._keepers.append(asyncio.create_task(self._keep(child)))
                    await self._until_ready([child for child in group if child.gate])
                await self._until_ready([child for group in self._groups for child in group])
        except TimeoutError:
            late = [c for g in self._groups for c in g if not self._is_ready(c)]
            waited = f"is not ready after {self._start_timeout_s:.0f} s"
            raise StackError(self._with_tail(late[0], waited)) from None
        self._started = True

    async def stop(self) -> None:
        """SIGTERM group by group, last first, waiting for each; then kill what is left."""
        self._stopping.set()
        for group in reversed(self._groups):
            await asyncio.gather(*(self._end(child) for child in group))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def kill(self) -> None:
        """End all at once, without a chance to finish; `stop` still has to be awaited."""
        self._stopping.set()
        for process in self._processes.values():
            if process.returncode is None:
                _signal_group(process, signal.SIGKILL)

    def _is_ready(self, child: Child) -> bool:
        return child.name in self._ready and self._ready[child.name].is_set()

    async def _until_ready(self, children: Sequence[Child]) -> None:
        """Returns when these are ready; raises what any keeper raises before that."""

        async def all_ready() -> None:
            for child in children:
                await self._ready[child.name].wait()

        waiting = asyncio.create_task(all_ready())
        try:
            await asyncio.wait([waiting, *self._keepers], return_when=asyncio.FIRST_COMPLETED)
            for keeper in self._keepers:
                if keeper.done():
                    keeper.result()
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting

    async def _keep(self, child: Child) -> None:
        """One child's life: run it, and run it again when it ends though nobody asked it to."""
        delay = self._backoff_s
        while not self._stopping.is_set():
            process = await self._spawn(child)
            probe = asyncio.create_task(self._probe(child))
            try:
                code = await process.wait()
            finally:
                probe.cancel()
            if self._stopping.is_set():
                return
            lived_s = self._tell(child, State.EXITED, code)
            if not self._started:
                raise StackError(self._with_tail(child, f"ended with {ending(code)}"))
            delay = self._backoff_s if lived_s > HEALTHY_S else delay
            await asyncio.sleep(delay)
            delay = min(2 * delay, 20 * self._backoff_s)

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        # A session of its own keeps the terminal's Ctrl-C from it: stopping is our business.
        with self.log(child).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *child.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **child.env},
                start_new_session=True,
            )
        self._processes[child.name] = process
        self._born[child.name] = time.monotonic()
        self._tell(child, State.STARTING)
        return process

    async def _probe(self, child: Child) -> None:
        while not await child.ready():  # noqa: ASYNC110 - another process: nothing to wait on
            await asyncio.sleep(self._poll_s)
        self._ready[child.name].set()
        self._tell(child, State.READY)

    async def _end(self, child: Child) -> None:
        process = self._processes.get(child.name)
        if process is None or process.returncode is not None:
            return
        self._tell(child, State.STOPPING)
        _signal_group(process, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), child.drain_s)
        _signal_group(process, signal.SIGKILL)  # also what it started and left behind
        self._tell(child, State.STOPPED, await process.wait())

    def _tell(self, child: Child, state: State, exit_code: int | None = None) -> float:
        after_s = time.monotonic() - self._born[child.name]
        self._on_change(Change(child.name, state, after_s, self.log(child), exit_code))
        return after_s

    def _with_tail(self, child: Child, what: str) -> str:
        lines = self.log(child).read_text(errors="replace").splitlines()[-TAIL_LINES:]
        shown = "".join(f"\n  {line}" for line in lines) or " (which is empty)"
        return f"{child.name} {what}; the end of {self.log(child)}:{shown}"


def ending(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    with suppress(ValueError):
        return signal.Signals(-exit_code).name
    return f"signal {-exit_code}"


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the process and whatever it started; nothing if none of them is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
