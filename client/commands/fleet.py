"""`panglot languages` and `panglot status`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from client.commands import DEFAULT_SERVER, AsJson, Server
from client.formats import zero_shot_notices

if TYPE_CHECKING:
    from rich.table import Table

    from client.types import Fleet, Language, Worker


def languages_command(
    tags: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TAG]…", help="Only these; also those that only a relative serves."
        ),
    ] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List the languages that can be asked for, and what serves each.

    A language is served by an adapter of its own, or by the universal decoder. One that was never
    taught is not in the list and may still be served, zero-shot, by a near relative's adapter: name
    it to see by whose.

    Examples:

    `panglot languages`

    `panglot languages wa an rue`
    """
    from client.blocking import Client  # noqa: PLC0415
    from client.display import console  # noqa: PLC0415

    with Client(server) as client:
        languages = client.languages(tags or ())
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in languages], ensure_ascii=False, indent=2))
        return
    console().print(languages_table(languages))
    for notice in zero_shot_notices(languages):
        typer.echo(f"panglot: {notice}", err=True)


def status_command(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Show the workers: how busy each is, and which adapters it holds."""
    from client.blocking import Client  # noqa: PLC0415
    from client.display import console  # noqa: PLC0415

    with Client(server) as client:
        fleet = client.fleet()
    if as_json:
        typer.echo(json.dumps(asdict(fleet), ensure_ascii=False, indent=2))
        return
    console().print(fleet_table(fleet))
    if not fleet.registry_available:
        typer.echo("panglot: the registry does not answer; this is what was last known", err=True)


def languages_table(languages: tuple[Language, ...]) -> Table:
    """One row per language."""
    from rich.table import Table  # noqa: PLC0415

    table = Table("tag", "language", "served by", box=None, pad_edge=False)
    table.add_column("held-out WER", justify="right")
    for each in languages:
        wer = "" if each.held_out_wer is None else f"{each.held_out_wer:.1%}"
        table.add_row(each.tag, each.name, _served_by(each), wer)
    return table


def fleet_table(fleet: Fleet) -> Table:
    """One row per worker."""
    from rich.table import Table  # noqa: PLC0415

    table = Table("worker", "address", "base", "state", box=None, pad_edge=False)
    for heading in ("spans", "slots", "warm hits", "memory"):
        table.add_column(heading, justify="right")
    table.add_column("adapters held, latest first")
    for worker in fleet.workers:
        held = worker.resident_adapters
        table.add_row(
            worker.worker_id,
            worker.address,
            _base(worker),
            _state(worker),
            f"{worker.active_spans}/{worker.max_spans}",
            f"{len(held)}/{worker.slot_count}",
            _hit_rate(worker),
            f"{worker.memory_bytes / 2**20:.0f} MiB",
            ", ".join(held),
        )
    return table


def _served_by(language: Language) -> str:
    if (relative := language.zero_shot) is None:
        return language.served_by
    near = "" if relative.similarity is None else f", similarity {relative.similarity:.2f}"
    return f"{language.served_by} (zero-shot: {relative.name}{near})"


def _base(worker: Worker) -> str:
    """The last part of its name, and enough of the fingerprint to tell it from others."""
    name = PurePath(worker.base_model).name
    return " ".join(filter(None, (name, worker.base_fingerprint.removeprefix("sha256:")[:8])))


def _state(worker: Worker) -> str:
    if worker.draining:
        return "draining"
    return "full" if worker.active_spans >= worker.max_spans else "serving"


def _hit_rate(worker: Worker) -> str:
    asked = worker.adapter_hits + worker.adapter_misses
    return f"{worker.adapter_hits / asked:.0%}" if asked else "–"
