"""`panglot evaluate`: how well a language is heard, and whether that is better than before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.errors import InvalidRequest
from speech.adapters.card import AdapterCard
from speech.base_model import load_base_model
from transfer.data.manifest import Clip, Split
from transfer.evaluation.assess import Chosen, assess, assess_run, choose, reference_model
from transfer.evaluation.calibrate import Published
from transfer.evaluation.curve import Curve, curve_point, measure_points
from transfer.evaluation.findings import Findings
from transfer.evaluation.history import Epoch, read_history
from transfer.evaluation.html_report import render
from transfer.evaluation.phoneme_sources import with_phonemes
from transfer.evaluation.report import curve_table, print_findings
from transfer.evaluation.universal import UNIVERSAL_CACHE
from transfer.evaluation.wording import made_of, warnings
from transfer.files import write_whole
from transfer.lexicon.more_words import NO_MORE_WORDS, MoreWords, gather, licences_of
from transfer.progress import TerminalBars
from transfer.publishing.candidate import make_candidate
from transfer.training.plan import clips_for, make_plan
from transfer.training.run import RunRecord
from transfer.training.train import train

EVALUATION_FILE = "evaluation.json"
REPORT_FILE = "report.html"
_WIDTH_WHEN_PIPED = 200
_HELD_OUT: Split = "held_out"


def evaluate_command(
    language: Annotated[str, typer.Argument(help="BCP-47 tag of the language, such as `it`.")],
    adapter: Annotated[
        str | None,
        typer.Option(metavar="ID@VERSION", help="Judge a published adapter, not the run."),
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="JSONL manifest; if not given, what `data prepare` wrote.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Which clips of the manifest to judge.")] = _HELD_OUT,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|none",
            help="Whisper model whose own decoder to compare with, such as `embedded`; if not "
            "given, the base model's, where it knows the language.",
        ),
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(
            metavar="MINUTES",
            help="Also train on these many minutes, such as `2,5,10`, and judge each: what would "
            "less speech have been good for?",
        ),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Sentences that people there may say; plain text."),
    ] = None,
    words: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Words and names to know, one a line."),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option("--clips", min=1, help="Judge no more than so many, drawn by chance."),
    ] = None,
    timed: Annotated[
        int, typer.Option(min=0, help="Clips on which the time of both paths is taken.")
    ] = 12,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything found, clip by clip.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write the report, one file with all in it.")
    ] = None,
    audio: Annotated[bool, typer.Option(help="Put recordings into the report.")] = True,
    data: Annotated[Path, typer.Option(help="Folder of corpora and manifests.")] = Path("data"),
    runs: Annotated[Path, typer.Option(help="Folder of training runs.")] = Path("runs"),
    models: Annotated[Path, typer.Option(help="Adapter store.")] = Path("models"),
) -> None:
    """Measure how well a language is heard, beside the universal model, on held-out speech.

    A run's lexicon is built from its training text and tuned on the development split first. Error
    rates have 95% intervals, and the difference to the universal model is said to be real or
    perhaps chance. Clips whose text was also taught are left out.

    What was said and heard is read aloud by rules, too: how many phonemes are right of those that
    the languages it started from have, how many of its own (`pip install 'panglot[phonemes]'`).

    Of a run, held out, `evaluation.json`, `report.html` and a candidate for `panglot publish` are
    written into its folder. What the universal model hears is kept there too: the first time takes
    a second per clip, the next none.

    Examples:

    `panglot evaluate it`

    `panglot evaluate it --curve 2,5,10`

    `panglot evaluate it --text prompts.txt --words names.txt`

    `panglot evaluate it --adapter it@2 --manifest mine.jsonl --html report.html`
    """
    if adapter is not None and curve is not None:
        raise InvalidRequest("--curve trains and judges runs, --adapter is published: give one")
    if adapter is not None and (text or words):
        raise InvalidRequest(
            "--text and --words go into a run's lexicon, --adapter is published: give one"
        )
    amounts = _amounts(curve)
    run = runs / language
    clips = clips_for(language, manifest or data, None, 0)
    chosen = choose(clips, split, most)
    errors = Console(stderr=True, highlight=False)
    more = NO_MORE_WORDS
    if adapter is None:
        judged = [clip.text for clip in clips if clip.split != "train"]
        more = gather(language, data, text or (), words or (), judged)
    with TerminalBars(errors) as bars:
        options = _Options(chosen, reference, run / UNIVERSAL_CACHE, timed, bars, more)
        if adapter is None:
            found = _judge_run(run, clips, amounts, models, options)
        else:
            found = _judge_published(models, adapter, options)
    findings, about_phonemes = with_phonemes(found.findings, found.started_from, data, models)
    found = replace(found, findings=findings)

    out = Console(highlight=False)
    if not out.is_terminal:  # a table is not squeezed into 80 columns
        out = Console(highlight=False, width=_WIDTH_WHEN_PIPED)
    print_findings(out, found.findings)
    if amounts and found.curve:
        out.print(curve_table(found.curve))
    for warning in (*more.warnings, *warnings(found.findings), *about_phonemes):
        errors.print(f"mind: {warning}", markup=False, soft_wrap=True)

    report = render(found.findings, found.made, found.history, found.curve, audio=audio)
    kept = adapter is None and split == _HELD_OUT
    for file, content in (
        (json_file, found.findings.to_json()),
        (html_file, report),
        (run / EVALUATION_FILE if kept else None, found.findings.to_json()),
        (run / REPORT_FILE if kept else None, report),
    ):
        if file is not None:
            write_whole(file, content)
            errors.print(f"written: {file}", markup=False, soft_wrap=True)
    if kept:
        errors.print(
            f"better by held-out WER: {found.card.served_by}. Next: panglot publish {language}"
        )


@dataclass(frozen=True)
class _Options:
    """What judging a run and judging a published adapter both need."""

    chosen: Chosen
    reference: str | None
    cache: Path
    n_timed: int
    bars: TerminalBars
    more: MoreWords


@dataclass(frozen=True)
class _Found:
    """What there is to show; `started_from` names the adapters that this one started from."""

    findings: Findings
    card: AdapterCard
    made: list[tuple[str, str]]
    started_from: str
    history: tuple[Epoch, ...] = ()
    curve: Curve | None = None


def _judge_run(
    run: Path, clips: Sequence[Clip], amounts: Sequence[float], models: Path, options: _Options
) -> _Found:
    record = RunRecord.read(run)
    base = load_base_model(record.base_model(run))
    chosen = options.chosen
    reference = reference_model(base, record.language, options.reference)
    judged = assess_run(
        base,
        run,
        clips,
        chosen,
        reference=reference,
        cache=options.cache,
        n_timed=options.n_timed,
        bars=options.bars,
        more=options.more,
    )
    findings, tuned = judged.findings, judged.tuned
    candidate = make_candidate(
        base,
        record,
        tuned.recogniser.adapter,
        tuned.lexicon,
        tuned.weights,
        findings.whole.evaluation,
        [clip for clip in clips if clip.split == "train"],
        tuned.calibration,
        licences_of(record.language, options.more),
    )
    curve = Curve.read(run)
    if chosen.split == _HELD_OUT:
        candidate.write(run)
    if amounts:
        points = measure_points(
            clips,
            chosen,
            amounts,
            run,
            partial(_train_part, record, models),
            record.settings.seed,
            options.bars,
            options.more,
        )
        universal = findings.whole.scores.get("universal")
        curve = Curve(
            language=record.language,
            n_judged=findings.whole.n_clip,
            points=(*points, curve_point(judged, run.name, clips)),
            universal=universal.wer if universal else None,
        )
        curve.write(run)
    settings = [(name, str(value)) for name, value in asdict(record.settings).items()]
    made = [*made_of(candidate.card), *settings]
    return _Found(findings, candidate.card, made, record.source or "", read_history(run), curve)


def _train_part(whole: RunRecord, models: Path, clips: Sequence[Clip], run: Path) -> RunRecord:
    """Train as the whole run was; by another strategy where so little speech asks for one."""
    base = load_base_model(whole.settings.base_model)
    given = {"seed": whole.settings.seed, "base_model": whole.settings.base_model}
    plan = make_plan(
        whole.language,
        list(clips),
        base,
        None,
        whole.source,
        models,
        given,
        whole.fusion if whole.fusion != "best" else None,
        whole.head,
    )
    level, settings = whole.level, whole.settings
    if level not in (None, plan.strategy.level):
        level, settings = plan.strategy.level, plan.strategy.settings
    with redirect_stdout(sys.stderr):  # stdout is for what is found
        return train(base, clips, whole.language, settings, run, plan.source, level=level)


def _judge_published(models: Path, key: str, options: _Options) -> _Found:
    published = Published.load(models, key)
    findings = assess(
        key,
        published.recogniser,
        options.chosen,
        reference=reference_model(
            published.recogniser.base, options.chosen.clips[0].language, options.reference
        ),
        cache=options.cache,
        weights=published.card.lexicon,
        n_timed=options.n_timed,
        bars=options.bars,
    )
    card = published.card
    return _Found(findings, card, made_of(card), card.training.strategy)


def _amounts(text: str | None) -> list[float]:
    """`2,5,10` → minutes."""
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise InvalidRequest(f"--curve {text!r}: give minutes such as 2,5,10") from error
