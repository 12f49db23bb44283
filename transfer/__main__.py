"""`panglot data|train|evaluate|calibrate`: prepare speech, train an adapter, publish it."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from common.adapter_files import AdapterFiles
from common.errors import InvalidRequest, PanglotError
from speech.adapters.card import read_card, write_card
from speech.adapters.store import AdapterStore
from speech.base_model import EMBEDDED, WhisperBase, load_base_model, load_whisper
from speech.calibration import fit
from speech.ctc.lexicon import LexiconDecoder
from speech.whisper.universal import UniversalHypothesis
from transfer.calibrate import Outcomes, Published, final_words, some, write_universal
from transfer.corpora import LANGUAGES
from transfer.data import manifest_path
from transfer.data import prepare as prepare_language
from transfer.evaluate import evaluate as evaluate_adapter
from transfer.evaluate import (
    log_probs_of,
    rounded_to_half,
    tune_lexicon,
)
from transfer.lexicon import build_lexicon
from transfer.manifest import Clip, read_manifest
from transfer.models import app as models_app
from transfer.publish import publish
from transfer.report import report
from transfer.run import RunRecord
from transfer.settings import TrainSettings
from transfer.train import Source
from transfer.train import train as train_adapter
from transfer.universal import UNIVERSAL_CACHE, universal_hypotheses

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Teach Panglot a language: data prepare, then train, then evaluate.",
)
data_app = typer.Typer(no_args_is_help=True, help="Speech to teach with.")
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")
console = Console()

Languages = Annotated[list[str], typer.Argument(help=f"Language tags, of: {' '.join(LANGUAGES)}.")]
Language = Annotated[str, typer.Argument(help="BCP-47 tag of the language, such as `it`.")]
Data = Annotated[Path, typer.Option(help="Folder of corpora and manifests.")]
Runs = Annotated[Path, typer.Option(help="Folder of training runs, one per language.")]
Models = Annotated[Path, typer.Option(help="Folder of published adapters.")]
Manifest = Annotated[
    Path | None, typer.Option(help="JSONL manifest of your own; default: what prepare wrote.")
]


@data_app.command()
def prepare(languages: Languages, data: Data = Path("data")) -> None:
    """Download free speech with transcripts, check it, and split it by text into a manifest."""
    table = Table("language", "train", "development", "held out", "left out")
    for language in languages:
        with console.status(f"{language}: downloading, listening, checking"):
            prepared = prepare_language(language, data)
        splits = (
            f"{prepared.count(split)} ({prepared.hours(split) * 60:.0f} min)"
            for split in ("train", "development", "held_out")
        )
        reasons = (f"{count} {reason}" for reason, count in prepared.reasons().most_common())
        table.add_row(language, *splits, ", ".join(reasons))
        rejected = "".join(
            f"{r.reason}\t{r.clip.audio}\t{r.clip.text}\n" for r in prepared.rejected
        )
        prepared.manifest.with_suffix(".rejected.tsv").write_text(rejected, encoding="utf-8")
    console.print(table)


@app.command()
def train(
    language: Language,
    start_from: Annotated[
        str | None, typer.Option(help="Published adapter to start from, such as `it@1`.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training clips.")] = 30,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    rank: Annotated[int, typer.Option(min=1, help="Width of the bottleneck.")] = 64,
    layers: Annotated[
        str, typer.Option(help="Encoder layers to adapt, counted from 1, such as `3-6`.")
    ] = "3-6",
    seed: int = 0,
    manifest: Manifest = None,
    data: Data = Path("data"),
    runs: Runs = Path("runs"),
    models: Models = Path("models"),
) -> None:
    """Train an adapter on a manifest's training clips; an interrupted run goes on where it was."""
    settings = TrainSettings(
        epochs=epochs,
        learning_rate=learning_rate,
        rank=rank,
        layers=_layers(layers),
        seed=seed,
    )
    base = load_base_model(settings.base_model)
    source = None
    if start_from is not None:
        store = AdapterStore(AdapterFiles(str(models)), base.fingerprint, base.encoder.d_model)
        loaded = store.load(start_from)
        source = Source(start_from, loaded.tensors, loaded.card.vocabulary)
    clips = read_manifest(manifest or manifest_path(language, data))
    record = train_adapter(base, clips, language, settings, runs / language, source)
    console.print(
        f"{language}: {record.steps} steps, development WER {record.development_wer:.3f}, "
        f"CER {record.development_cer:.3f} (greedy). Next: panglot evaluate {language}"
    )


@app.command()
def evaluate(
    language: Language,
    manifest: Manifest = None,
    version: Annotated[int, typer.Option(min=1, help="Version to publish.")] = 1,
    data: Data = Path("data"),
    runs: Runs = Path("runs"),
    models: Models = Path("models"),
) -> None:
    """Build and tune the lexicon, score all paths on held-out clips, and publish with a card."""
    run = runs / language
    record = RunRecord.read(run)
    base = load_whisper(record.settings.base_model)
    adapter = rounded_to_half(record.adapter(run, base.encoder.d_model))
    clips = read_manifest(manifest or manifest_path(language, data))
    training, development, held_out = (
        [clip for clip in clips if clip.split == split]
        for split in ("train", "development", "held_out")
    )

    lexicon = build_lexicon([clip.text for clip in training], language, record.vocabulary)
    heard = [(clip, log_probs_of(base, adapter, clip)) for clip in development]
    tuned = tune_lexicon(lexicon, record.vocabulary, heard, hashlib.sha256(lexicon).hexdigest())
    decoder = LexiconDecoder.from_bytes(lexicon, record.vocabulary, tuned)
    finals = ((clip, final_words(each, record.vocabulary, decoder)) for clip, each in heard)
    outcomes = Outcomes.of(finals)
    calibration = fit(outcomes.confidence, outcomes.right)
    written = [found.text for found in _universal(base, held_out, run)]
    evaluation, verdicts = evaluate_adapter(
        base, adapter, record.vocabulary, decoder, held_out, written
    )
    card = publish(
        models, base, record, adapter, lexicon, tuned, evaluation, training, calibration, version
    )
    console.print(report(verdicts, tuned))
    console.print(f"published {card.key} in {models / language}; served by: {card.served_by}")


@app.command()
def calibrate(
    languages: Languages,
    universal: Annotated[
        bool, typer.Option(help="The base model's own decoder, on all languages as one.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="With --universal: clips per language.")] = 80,
    base_model: Annotated[str, typer.Option(help="With --universal: the base model.")] = EMBEDDED,
    data: Data = Path("data"),
    runs: Runs = Path("runs"),
    models: Models = Path("models"),
) -> None:
    """Fit confidence to the development split: published adapters, or the base model's decoder."""
    if universal:
        _calibrate_universal(load_whisper(base_model), languages, most, data, runs)
        return
    for language in languages:
        base = load_base_model(read_card(models / language).base_model)
        published = Published.load(models, language, base)
        clips = read_manifest(manifest_path(language, data))
        found = published.outcomes(base, (c for c in clips if c.split == "development"))
        calibration = fit(found.confidence, found.right)
        write_card(replace(published.card, calibration=calibration), models / language)
        console.print(f"{published.card.key}: {len(found.right)} words: {calibration}")


def _calibrate_universal(
    base: WhisperBase, languages: list[str], most: int, data: Path, runs: Path
) -> None:
    heard = []
    for language in languages:
        clips = some(read_manifest(manifest_path(language, data)), "development", most)
        heard += [
            (clip, found.words)
            for clip, found in zip(clips, _universal(base, clips, runs / language), strict=True)
        ]
    found = Outcomes.of(heard)
    calibration = fit(found.confidence, found.right)
    if calibration is None:
        raise InvalidRequest(f"{len(found.right)} words are too few to calibrate on: add languages")
    fitted_on = {"languages": languages, "split": "development", "clips": len(heard)}
    write_universal(base, calibration, fitted_on | {"words": len(found.right)})
    console.print(f"{base.name}: {len(found.right)} words: {calibration}")


def _universal(base: WhisperBase, clips: list[Clip], run: Path) -> list[UniversalHypothesis]:
    with Progress(console=console) as progress:
        bar = progress.add_task(f"{run.name} universal decoder", total=len(clips))
        advance = partial(progress.advance, bar)
        return universal_hypotheses(base, clips, run / UNIVERSAL_CACHE, advance)


def _layers(text: str) -> tuple[int, ...]:
    """`3-6` → (2, 3, 4, 5)."""
    match = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise InvalidRequest(f"--layers {text!r}: give a range counted from 1, such as 3-6")
    return tuple(range(int(match[1]) - 1, int(match[2] or match[1])))


def main() -> None:
    """Run the command line; our own errors are one line, not a traceback."""
    try:
        app(prog_name="panglot")
    except PanglotError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
