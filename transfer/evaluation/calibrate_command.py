"""`panglot calibrate`: how far a base model's own decoder can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.errors import InvalidRequest
from speech.base_model import EMBEDDED, load_whisper
from speech.calibration import fit
from transfer.data.manifest import read_manifest
from transfer.data.prepare import manifest_path
from transfer.evaluation.calibrate import Outcomes, some, write_universal
from transfer.evaluation.universal import UNIVERSAL_CACHE, universal_hypotheses
from transfer.progress import TerminalBars

_console = Console(highlight=False)


def calibrate_command(
    languages: Annotated[list[str], typer.Argument(help="BCP-47 tags, such as `en it`.")],
    most: Annotated[int, typer.Option(min=1, help="Clips per language.")] = 80,
    base_model: Annotated[str, typer.Option(help="The base model.")] = EMBEDDED,
    data: Annotated[Path, typer.Option(help="Folder of corpora and manifests.")] = Path("data"),
    runs: Annotated[Path, typer.Option(help="Folder of training runs.")] = Path("runs"),
) -> None:
    """Fit the confidence of a base model's own decoder to the development split of languages.

    An adapter's is fitted by `panglot evaluate` and published with it.
    """
    base = load_whisper(base_model)
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
