"""`panglot calibrate`: fit confidence to the development split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.errors import InvalidRequest
from speech.adapters.card import write_card
from speech.base_model import EMBEDDED, WhisperBase, load_whisper
from speech.calibration import fit
from transfer.calibrate import Outcomes, Published, some, write_universal
from transfer.data import manifest_path
from transfer.manifest import read_manifest
from transfer.progress import TerminalBars
from transfer.universal import UNIVERSAL_CACHE, universal_hypotheses

_console = Console(highlight=False)


def calibrate_command(
    languages: Annotated[list[str], typer.Argument(help="BCP-47 tags, such as `en it`.")],
    universal: Annotated[
        bool, typer.Option(help="The base model's own decoder, on all languages as one.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="With --universal: clips per language.")] = 80,
    base_model: Annotated[str, typer.Option(help="With --universal: the base model.")] = EMBEDDED,
    data: Annotated[Path, typer.Option(help="Folder of corpora and manifests.")] = Path("data"),
    runs: Annotated[Path, typer.Option(help="Folder of training runs.")] = Path("runs"),
    models: Annotated[Path, typer.Option(help="Adapter store.")] = Path("models"),
) -> None:
    """Fit confidence to the development split: published adapters, or the base model's decoder."""
    if universal:
        _calibrate_universal(load_whisper(base_model), languages, most, data, runs)
        return
    for language in languages:
        published = Published.load(models, language)
        clips = read_manifest(manifest_path(language, data))
        found = published.outcomes(clip for clip in clips if clip.split == "development")
        calibration = fit(found.confidence, found.right)
        write_card(replace(published.card, calibration=calibration), models / language)
        _console.print(f"{published.card.key}: {len(found.right)} words: {calibration}")


def _calibrate_universal(
    base: WhisperBase, languages: list[str], most: int, data: Path, runs: Path
) -> None:
    heard = []
    with TerminalBars(Console(stderr=True)) as bars:
        for language in languages:
            clips = some(read_manifest(manifest_path(language, data)), "development", most)
            advance = bars(f"{language} universal model", len(clips))
            cache = runs / language / UNIVERSAL_CACHE
            found = universal_hypotheses(base, clips, cache, advance)
            heard += [(clip, each.words) for clip, each in zip(clips, found, strict=True)]
    outcomes = Outcomes.of(heard)
    calibration = fit(outcomes.confidence, outcomes.right)
    if calibration is None:
        raise InvalidRequest(
            f"{len(outcomes.right)} words are too few to calibrate on: add languages"
        )
    fitted_on = {"languages": languages, "split": "development", "clips": len(heard)}
    write_universal(base, calibration, fitted_on | {"words": len(outcomes.right)})
    _console.print(f"{base.name}: {len(outcomes.right)} words: {calibration}")
