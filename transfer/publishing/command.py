"""`panglot publish|versions|promote|rollback`: what has been taught, into live traffic and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from common.adapter_files import AdapterFiles
from common.catalogue import models_url
from common.errors import InvalidRequest
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import Holdings, StoreReader
from common.tags import standard_tag
from speech.adapters.card import AdapterCard
from transfer.publishing.candidate import Candidate
from transfer.publishing.publish import cards_of, publish, served_wer, told
from transfer.publishing.rollout import promote, rollback, serving

_WIDTH_WHEN_PIPED = 200

Store = Annotated[
    str,
    typer.Option(
        envvar="PANGLOT_MODELS",
        metavar="DIR|URL",
        help="Adapter store: a directory, or a URL such as s3://bucket/adapters. "
        "If not given, the one that `panglot serve` reads.",
        show_default=False,
    ),
]
Language = Annotated[str, typer.Argument(help="BCP-47 tag of the language, such as `it`.")]


@dataclass(frozen=True)
class Row:
    """A version as `panglot versions` shows it; `percent` of the streams hear it."""

    language: str
    version: str
    published: str | None
    percent: float
    served_by: str
    held_out_wer: float | None
    interval: tuple[float, float] | None
    hours: float | None
    strategy: str


def publish_command(
    languages: Annotated[list[str], typer.Argument(help="Languages that have been evaluated.")],
    canary: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=99.99,
            metavar="PERCENT",
            help="Of the streams that hear it, to begin with.",
        ),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Its number; if not given, the one after the last.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Although it is worse than what serves.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of training runs, one per language.")] = Path(
        "runs"
    ),
    store: Store = "",
) -> None:
    """Put what was trained and evaluated into the store, and serve it.

    Gateways and workers that run take it up within seconds: nothing is restarted, no stream is cut.
    A version stays as it is for ever, beside those before it, so `panglot rollback` is as quick. A
    candidate that is worse on held-out speech than what serves is refused; the same one again
    changes nothing.

    From data to live traffic:

    `panglot data prepare it && panglot train it && panglot evaluate it && panglot publish it`

    Each step goes on where it was broken off. Then watch, and `panglot promote it` or
    `panglot rollback it`.
    """
    files = AdapterFiles(models_url(store))
    for language in languages:
        candidate = Candidate.read(runs / language)
        done = publish(files, candidate, canary=canary, version=version, force=force)
        for warning in done.warnings:
            typer.echo(f"panglot: {warning}", err=True)
        rate = served_wer(done.card)
        by = " of the universal path" if done.card.served_by == UNIVERSAL else ""
        measured = "" if rate is None else f", held-out WER{by} {told(rate)}"
        said = "published" if done.fresh else "is in the store already"
        typer.echo(f"{done.card.key} {said}{measured}")
        typer.echo(_told(standard_tag(language), done.routing))


def versions_command(
    language: Annotated[
        str | None, typer.Argument(help="Tag of a language; if not given, all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    store: Store = "",
) -> None:
    """List the published versions: how good each is, and how many of the streams hear it.

    Where the universal path hears a language better than the adapter, as its card says, that serves
    in its place.
    """
    files = AdapterFiles(models_url(store))
    holdings = StoreReader(files).read()
    tags = {version.tag for version in holdings.versions.values()} | {*holdings.documents}
    if language is not None:
        tags &= {_tag(language)}
    rows = [row for tag in sorted(tags) for row in _rows(files, holdings, tag)]
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
    elif rows:
        # Rich would squeeze it into 80 columns where it is piped.
        width = None if sys.stdout.isatty() else _WIDTH_WHEN_PIPED
        Console(width=width, highlight=False).print(_table(rows))
    else:
        typer.echo(f"no version of {language or 'any language'} is published", err=True)


def promote_command(language: Language, store: Store = "") -> None:
    """Let the canary hear all streams."""
    tag = _tag(language)
    typer.echo(_told(tag, promote(AdapterFiles(models_url(store)), tag)))


def rollback_command(
    language: Language,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Such as `1` or `it@1`; `universal` for no adapter."),
    ] = None,
    store: Store = "",
) -> None:
    """Take a canary back; without one, return to the version that served before.

    Running gateways follow within seconds; a segment that is being heard is finished as it began.
    The version stays in the store.
    """
    tag = _tag(language)
    typer.echo(_told(tag, rollback(AdapterFiles(models_url(store)), tag, to)))


def add_to(app: typer.Typer) -> None:
    """Add the four commands."""
    app.command("publish", no_args_is_help=True)(publish_command)
    app.command("versions")(versions_command)
    app.command("promote", no_args_is_help=True)(promote_command)
    app.command("rollback", no_args_is_help=True)(rollback_command)


def _tag(language: str) -> str:
    try:
        return standard_tag(language)
    except ValueError as error:
        raise InvalidRequest(f"{language!r:.60} is no language tag: give one such as it") from error


def _told(tag: str, routing: Routing) -> str:
    if routing.canary is None:
        return f"{tag}: {routing.stable} serves all streams"
    return (
        f"{tag}: {routing.canary} serves {routing.percent:g}% of the streams, {routing.stable} the "
        f"rest; next: panglot promote {tag}, or panglot rollback {tag}"
    )


def _rows(files: AdapterFiles, holdings: Holdings, tag: str) -> Iterator[Row]:
    routing = serving(holdings.routing(tag), tag)
    for key, card in reversed(cards_of(files, holdings, tag).items()):
        yield _row(tag, card, 0.0 if routing is None else routing.percent_of(key))
    if routing is not None and routing.stable == UNIVERSAL:
        share = routing.percent_of(UNIVERSAL)
        yield Row(tag, UNIVERSAL, None, share, UNIVERSAL, None, None, None, "the base model")


def _row(tag: str, card: AdapterCard, percent: float) -> Row:
    rate = served_wer(card)
    return Row(
        language=tag,
        version=card.key,
        published=card.published,
        percent=percent,
        served_by=card.served_by,
        held_out_wer=None if rate is None else rate.value,
        interval=None if rate is None else (rate.low, rate.high),
        hours=card.training.hours,
        strategy=card.training.strategy,
    )


def _table(rows: list[Row]) -> Table:
    table = Table("language", "version", "published", box=None, pad_edge=False)
    table.add_column("streams", justify="right")
    table.add_column("served by")
    table.add_column("held-out WER", justify="right")
    table.add_column("taught with", overflow="fold")
    for row in rows:
        wer = "" if row.held_out_wer is None else f"{row.held_out_wer:.1%}"
        if row.interval is not None:
            low, high = row.interval
            wer += f" ({100 * low:.1f}–{100 * high:.1f})"
        hours = "" if row.hours is None else f"{60 * row.hours:.0f} min, "
        table.add_row(
            row.language,
            row.version,
            (row.published or "").partition("T")[0],
            f"{row.percent:g}%" if row.percent else "",
            row.served_by,
            wer,
            hours + row.strategy,
        )
    return table
