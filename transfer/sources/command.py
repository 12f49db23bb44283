"""`panglot sources`: which languages to teach a language from."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common.adapter_files import AdapterFiles
from common.catalogue import models_url
from common.errors import InvalidRequest
from common.language_facts import LanguageFacts
from common.relatives import Relatives
from common.tags import english_name
from transfer.sources.adapters import read_adapters
from transfer.sources.benefit import Benefit
from transfer.sources.knowledge import SourceAdapter, check_sources
from transfer.sources.ranking import (
    Ranked,
    nearest_languages,
    rank_adapters,
    rank_languages,
    substitutes,
)

_WIDTH_WHEN_PIPED = 200


def sources_command(
    language: Annotated[
        str, typer.Argument(help="BCP-47 or ISO 639-3 tag of the language, such as `be` or `bel`.")
    ],
    models: Annotated[
        str,
        typer.Option(
            envvar="PANGLOT_MODELS",
            metavar="DIR|URL",
            help="Adapter store. If not given, the one that `panglot serve` reads.",
            show_default=False,
        ),
    ] = "",
    among: Annotated[
        str | None,
        typer.Option(metavar="TAG,TAG…", help="Only these languages, with an adapter or without."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The nearest of all languages, not of those in the store.")
    ] = False,
    count: Annotated[int, typer.Option(min=1, help="Of --all: how many.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank the languages that a language could be taught from, with reasons. Works offline.

    The expected benefit is the share of wrong letters that a start from this source spares, beside
    a start from nothing with the same three minutes of speech and few steps. It is calibrated on
    such transfers, and goes by descent, by the target's phonemes that the source has, by how far
    the others are in articulation, by tone, and by how much the source's adapter was taught and how
    well it hears. Trust the order more than the figures: how hard a language is in itself nobody
    knows beforehand.

    Some 8,000 languages are known by ISO 639-3, 2,100 of them with their phonemes; for the others
    the phonemes that are usual in their branch are taken, and that is said.

    Examples:

    `panglot sources be`

    `panglot sources yor --all`

    `panglot sources ca --among it,es,fr`

    then `panglot train be --from ru@2`
    """
    if everything and among is not None:
        raise InvalidRequest("--all ranks all languages, --among only some: give one")
    relatives, benefit = Relatives.read(), Benefit.read()
    facts = relatives.table.find(language)
    if everything:
        ranked = nearest_languages(relatives, benefit, language, count)
    else:
        adapters = [
            adapter
            for adapter in read_adapters(AdapterFiles(models_url(models)))
            if relatives.table.knows(adapter.tag)
            and relatives.table.find(adapter.tag).code != facts.code
        ]
        if among is None:
            ranked = rank_adapters(relatives, benefit, language, adapters)
        else:
            tags = [tag.strip() for tag in among.split(",") if tag.strip()]
            ranked = _among(relatives, benefit, language, tags, adapters)
    if as_json:
        typer.echo(json.dumps(_document(facts, ranked), ensure_ascii=False, indent=2))
        return
    for told in substitutes(facts):
        typer.echo(f"mind: {told}", err=True)
    if not ranked:
        typer.echo(
            "the store holds no adapter of another language: see --all for languages to begin with",
            err=True,
        )
        return
    # Rich would squeeze it into 80 columns where it is piped.
    width = None if sys.stdout.isatty() else _WIDTH_WHEN_PIPED
    Console(width=width, highlight=False).print(_table(ranked))


def _among(
    relatives: Relatives,
    benefit: Benefit,
    language: str,
    tags: Sequence[str],
    adapters: Sequence[SourceAdapter],
) -> list[Ranked]:
    check_sources(relatives, language, tags)
    wanted = {relatives.table.find(tag).code: tag for tag in tags}
    here = [each for each in adapters if relatives.table.find(each.tag).code in wanted]
    taught = {relatives.table.find(each.tag).code for each in here}
    untaught = [tag for code, tag in wanted.items() if code not in taught]
    ranked = rank_adapters(relatives, benefit, language, here)
    if untaught:
        ranked += rank_languages(relatives, benefit, language, untaught)
    return sorted(ranked, key=lambda one: -one.benefit)


def _document(language: LanguageFacts, ranked: Sequence[Ranked]) -> dict[str, Any]:
    return {
        "language": language.code,
        "phonemes": sorted(language.phonemes),
        "tonal": language.tonal,
        "mind": substitutes(language),
        "sources": [
            {
                "language": one.pair.source,
                "adapter": one.adapter.key if one.adapter else None,
                "expected_benefit": round(one.benefit, 3),
                "similarity": round(one.pair.similarity, 3),
                "genetic": one.pair.genetic,
                "inventory": one.pair.inventory,
                "coverage": one.pair.coverage,
                "lacking_distance": one.pair.lacking_distance,
                "tone_lost": one.pair.tone_lost,
                "reasons": one.reasons,
            }
            for one in ranked
        ],
    }


def _table(ranked: Sequence[Ranked]) -> Table:
    table = Table("source", "language", box=None, pad_edge=False)
    table.add_column("expected benefit", justify="right")
    table.add_column("similarity", justify="right")
    table.add_column("reasons", overflow="fold")
    for one in ranked:
        table.add_row(
            one.adapter.key if one.adapter else one.pair.source,
            english_name(one.pair.source),
            f"{one.benefit:.0%}",
            f"{one.pair.similarity:.2f}",
            "; ".join(one.reasons),
        )
    return table
