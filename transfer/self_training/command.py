"""`panglot self-train`: learn a language further from audio without transcripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from transfer.pretraining.recordings import find_recordings, told
from transfer.progress import TerminalBars
from transfer.self_training.choice import KEPT
from transfer.self_training.rounds import Round, SelfTraining, self_train
from transfer.training.plan import clips_for

_FOLDER = "self-trained"
_WHICH = "Which hypotheses"
_HOW = "How it learns"
_RUN = "The run"


def self_train_command(
    language: Annotated[str, typer.Argument(help="BCP-47 tag of the language, such as `be`.")],
    audio: Annotated[
        Path,
        typer.Option(
            metavar="DIR|FILE",
            help="Recordings of up to 28 s: a folder, searched to its depths, or a JSONL manifest "
            "with `audio` in each line.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(metavar="DIR|FILE", help="Labelled speech: as of `panglot train`."),
    ] = Path("data"),
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Of the labelled training speech, those the run was given, with the same --seed.",
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(metavar="ID@VERSION", help="A published adapter listens, not the run."),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            rich_help_panel=_WHICH,
            help="Least confidence: the share of a clip's words that can be expected to be right.",
        ),
    ] = 0.5,
    keep: Annotated[
        float,
        typer.Option(rich_help_panel=_WHICH, help="At most this share of the clips, the surest."),
    ] = 1.0,
    rounds: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel=_HOW,
            help="After the first, the student listens. It ends where one is no better.",
        ),
    ] = 1,
    epochs: Annotated[
        int, typer.Option(min=1, rich_help_panel=_HOW, help="Passes over the clips, in each round.")
    ] = 12,
    learning_rate: Annotated[
        float | None,
        typer.Option(rich_help_panel=_HOW, help="Peak; if not given, that of the run."),
    ] = None,
    no_train: Annotated[
        bool, typer.Option("--no-train", rich_help_panel=_HOW, help="Write the manifest alone.")
    ] = False,
    seed: Annotated[
        int, typer.Option(rich_help_panel=_RUN, help="With which --minutes draws.")
    ] = 0,
    runs: Annotated[
        Path, typer.Option(rich_help_panel=_RUN, help="Folder of runs, one per language.")
    ] = Path("runs"),
    out: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_RUN, help="For the rounds; if not given, RUNS/self-trained."),
    ] = None,
    models: Annotated[
        Path, typer.Option(rich_help_panel=_RUN, help="Adapter store that --adapter is in.")
    ] = Path("models"),
) -> None:
    """Let a language's adapter write down audio, and learn from what it is sure of.

    The run hears as it would be served, or without its lexicon where that hears the development
    clips better. What it is sure enough of joins the
    labelled clips, marked with source `pseudo` and its confidence, and a student learns from both.
    Pseudo-labels are only ever learned from; audio that stands in the manifest's other splits is
    left out, whatever the file is called.

    `panglot self-train be --audio radio/`

    `panglot self-train be --audio radio/ --confidence 0.8 --keep 0.5 --rounds 3`

    `panglot self-train be --audio radio/ --adapter be@2 --no-train`
    """
    how = SelfTraining(confidence, keep, rounds, 0 if no_train else epochs, learning_rate)
    every_clip = clips_for(language, data, None, seed)
    labelled = clips_for(language, data, minutes, seed) if minutes is not None else every_clip
    errors = Console(stderr=True, highlight=False)
    recordings = find_recordings(language, audio)
    with TerminalBars(errors) as bars:
        done = self_train(
            language,
            labelled,
            every_clip,
            recordings,
            how,
            run=runs / language,
            out=out or runs / _FOLDER,
            models=models,
            adapter=adapter,
            bars=bars,
            tell=_tell,
        )
    typer.echo(_ended(language, done))


def _tell(found: Round) -> None:
    """What a round kept, and then what its student is worth."""
    if found.student is not None:
        typer.echo(f"round {found.number}: {_compared(found)}")
        return
    for line in told(found.left_out):
        typer.echo(line)
    verdicts = found.chosen.verdicts
    reasons = [verdict for _, verdict in verdicts if verdict != KEPT]
    counted = [f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons)]
    kept_h, all_h = (
        sum(each.duration_s for each in part) / 3600
        for part in (found.chosen.kept, [each for each, _ in verdicts])
    )
    typer.echo(
        f"round {found.number}: {found.teacher} listened, {len(found.chosen.kept)} of "
        f"{len(verdicts)} clips kept, {kept_h:.2f} of {all_h:.2f} hours, mean confidence "
        f"{found.chosen.mean_confidence:.2f}" + (f" ({', '.join(counted)})" if counted else "")
    )


def _compared(found: Round) -> str:
    student = found.student
    assert student is not None
    after = f"CER {student.development_cer:.3f}, WER {student.development_wer:.3f}"
    if found.before is None:
        return f"development {after} (greedy)"
    before = f"CER {found.before[0]:.3f}, WER {found.before[1]:.3f}"
    better = "better" if found.better else "no better: what was there before is kept"
    return f"development {before} -> {after} (greedy): {better}"


def _ended(language: str, done: list[Round]) -> str:
    last = done[-1]
    if last.student is None:
        return (
            f"written: {last.folder / language}.jsonl. Next: panglot train {language} --data "
            + (f"{last.folder}")
        )
    best = [found for found in done if found.better]
    if not best:
        return (
            f"{language}: the student is no better, the run stays as it is; more audio, another "
            "--confidence, or more transcripts may help"
        )
    folder = best[-1].folder
    return f"Next: panglot evaluate {language} --runs {folder} --data {folder}"
