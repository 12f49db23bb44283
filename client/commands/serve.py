"""`panglot serve`: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from client.progress import StackProgress
    from client.stack import Stack

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def command(
    workers: Annotated[int, typer.Option(min=1, help="How many recognise speech.")] = 2,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 50051,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    base_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What workers run: `embedded`, a directory or a hub id.",
            envvar="PANGLOT_BASE_MODEL",
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="DIRECTORY|URL",
            help="Where the adapters are; if not given, those shipped.",
            envvar="PANGLOT_MODELS",
        ),
    ] = None,
    log_dir: Annotated[
        Path | None, typer.Option(help="Keep the services' logs here.", file_okay=False)
    ] = None,
) -> None:
    """Start the whole stack on this machine.

    Starts Redis (unless `PANGLOT_REDIS_URL` names one), language identification, workers and the
    gateway, each in a process of its own, and starts again what dies. Prints `ready HOST:PORT`, and
    nothing else, on stdout. Ctrl-C lets streams finish and stops everything; a second one does not
    wait.

    Examples:

    `panglot serve --workers 1 --port 50051`

    `panglot serve --base-model ./mms-1b-all --models ./mms-adapters`
    """
    from client.display import console  # noqa: PLC0415
    from client.progress import StackProgress  # noqa: PLC0415
    from client.stack import Stack, StackOptions  # noqa: PLC0415

    progress = StackProgress(console(stderr=True))
    options = StackOptions(
        workers=workers,
        host=host,
        port=port,
        log_dir=log_dir,
        base_model=base_model,
        models=models,
    )
    asyncio.run(serve(lambda: Stack(options, progress.changed), progress))


async def serve(make_stack: Callable[[], Stack], progress: StackProgress) -> None:
    """Run a stack until a signal asks to stop; raises StackError if it does not come up."""
    stop = asyncio.Event()
    stack = make_stack()

    def asked_to_stop() -> None:
        if stop.is_set():
            stack.kill()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, asked_to_stop)
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        with progress:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            typer.echo(f"ready {stack.address}")
            await stopping
    finally:
        stop.set()
        starting.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await starting
        await stack.stop()
