"""`panglot pretrain`: an encoder hears a language and its relatives before anyone teaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from common.errors import InvalidRequest, PanglotError
from transfer.pretraining.display import wording
from transfer.pretraining.model import open_start
from transfer.pretraining.pretrain import pretrain
from transfer.pretraining.record import MODEL, PretrainRecord
from transfer.pretraining.recordings import Recording, named_audio
from transfer.pretraining.settings import PretrainSettings
from transfer.progress import TerminalBars, no_bars
from transfer.training.processes import launched

_HOW = "How it learns"
_RUN = "The run"
_DEFAULT = PretrainSettings()
_FOLDER = "pretrained"
_LEARNED_FROM = ("", "train")
_COLLAPSED = (
    "mind: the codes have collapsed, hardly more than one of each codebook is in use, and a low "
    "contrastive loss says nothing then; add --restart with a lower --learning-rate, a longer "
    "--warm-up or a higher --gumbel-start"
)


def pretrain_command(
    base: Annotated[
        str,
        typer.Option(
            metavar="DIR|HUB_ID", help="wav2vec 2.0 model to go on with: XLS-R, XLSR-53, MMS."
        ),
    ],
    audio: Annotated[
        list[str],
        typer.Option(
            metavar="TAG=DIR|FILE",
            help="Recordings of a language: a folder, searched to its depths, or a JSONL manifest "
            "with `audio` in each line. The target first, then its relatives.",
        ),
    ],
    alpha: Annotated[
        float,
        typer.Option(
            rich_help_panel=_HOW,
            help="How much the hours of a language count in how often it is heard: 1 as they are, "
            "0 all alike.",
        ),
    ] = _DEFAULT.alpha,
    steps: Annotated[
        int, typer.Option(rich_help_panel=_HOW, help="Optimiser steps.")
    ] = _DEFAULT.steps,
    learning_rate: Annotated[
        float, typer.Option(rich_help_panel=_HOW, help="Peak learning rate.")
    ] = _DEFAULT.learning_rate,
    warmup_share: Annotated[
        float,
        typer.Option("--warm-up", rich_help_panel=_HOW, help="Share of the steps to the peak."),
    ] = _DEFAULT.warmup_share,
    batch_s: Annotated[
        float, typer.Option(rich_help_panel=_HOW, help="Seconds of audio in a batch.")
    ] = _DEFAULT.batch_s,
    crop_s: Annotated[
        float, typer.Option(rich_help_panel=_HOW, help="Longest piece of a recording, in seconds.")
    ] = _DEFAULT.crop_s,
    accumulation: Annotated[
        int, typer.Option(rich_help_panel=_HOW, help="Batches that make one optimiser step.")
    ] = _DEFAULT.accumulation,
    mask_prob: Annotated[
        float,
        typer.Option(rich_help_panel=_HOW, help="Share that is masked, if no masks overlapped."),
    ] = _DEFAULT.mask_prob,
    gumbel_start: Annotated[
        float, typer.Option(rich_help_panel=_HOW, help="Temperature of the codes at first.")
    ] = _DEFAULT.gumbel_start,
    gumbel_end: Annotated[
        float, typer.Option(rich_help_panel=_HOW, help="And after seven tenths of the steps.")
    ] = _DEFAULT.gumbel_end,
    weight_decay: Annotated[
        float, typer.Option(rich_help_panel=_HOW, help="Of AdamW.")
    ] = _DEFAULT.weight_decay,
    clip_norm: Annotated[
        float, typer.Option(rich_help_panel=_HOW, help="Longest gradient.")
    ] = _DEFAULT.clip_norm,
    freeze_features: Annotated[
        bool,
        typer.Option("--freeze-features", rich_help_panel=_HOW, help="Leave the convolutions."),
    ] = False,
    precision: Annotated[
        Literal["bf16", "fp32"], typer.Option(rich_help_panel=_RUN, help="Of matrix products.")
    ] = _DEFAULT.precision,
    seed: Annotated[int, typer.Option(rich_help_panel=_RUN, help="Of all that is drawn.")] = 0,
    every_split: Annotated[
        bool,
        typer.Option(
            "--every-split",
            rich_help_panel=_RUN,
            help="Also hear what a manifest sets aside for development and judging. An encoder "
            "that has heard it can no longer be judged on it.",
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(rich_help_panel=_RUN, help="Of the run; if not given, the first language."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", rich_help_panel=_RUN, help="Forget the run that is there.")
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, rich_help_panel=_RUN, help="Between checkpoints.")
    ] = 10.0,
    runs: Annotated[
        Path, typer.Option(rich_help_panel=_RUN, help="Folder of runs; the model: pretrained/NAME.")
    ] = Path("runs"),
) -> None:
    """Let a wav2vec 2.0 encoder hear a language, and those near it, before it is taught.

    No transcripts are needed. The encoder guesses stretches of sound that are hidden from it, and
    so learns how the language sounds. What comes out is a base model: teach it with `panglot train
    --base`. It is another encoder than the one it came from: adapters of that one do not fit it.

    Languages are heard by temperature, so that a small one is not drowned. A run that is broken
    off goes on with the same command, and ends as if it had not been. Samples are kept decoded in
    the run's folder: 115 MB an hour.

    `panglot pretrain --base facebook/mms-300m --audio be=radio/ --audio ru=data/ru.jsonl`

    `panglot train be --base runs/pretrained/be/model`

    `accelerate launch --num_processes 4 -m transfer pretrain --base … --audio …`
    """
    settings = PretrainSettings(
        steps=steps,
        alpha=alpha,
        learning_rate=learning_rate,
        warmup_share=warmup_share,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        batch_s=batch_s,
        crop_s=crop_s,
        accumulation=accumulation,
        mask_prob=mask_prob,
        gumbel_start=gumbel_start,
        gumbel_end=gumbel_end,
        freeze_features=freeze_features,
        precision=precision,
        seed=seed,
        base_model=base,
    )
    with launched() as processes:
        try:
            found = named_audio(audio)
            recordings = found if every_split else _to_learn_from(found)
            run = runs / _FOLDER / _folder_name(name or found[0].language)
            start = open_start(settings)
            if processes.main:
                _tell(base, len(found) - len(recordings), start.new, start.dropped)
            with TerminalBars(Console(stderr=True)) as bars:
                record = pretrain(
                    start,
                    recordings,
                    settings,
                    run,
                    processes=processes,
                    restart=restart,
                    checkpoint_every_s=checkpoint_minutes * 60,
                    bars=bars if processes.main else no_bars,
                )
            if processes.main:
                if record.collapsed:
                    typer.echo(_COLLAPSED, err=True)
                typer.echo(_ended(record, run, found[0].language))
        except PanglotError:
            if processes.main:
                raise
            raise typer.Exit(1) from None  # one line of one process is enough


def _to_learn_from(recordings: list[Recording]) -> list[Recording]:
    kept = [recording for recording in recordings if recording.split in _LEARNED_FROM]
    if not kept:
        raise InvalidRequest(
            f"all {len(recordings)} recordings are set aside by their manifests, for development "
            "or judging: add --every-split, or name others"
        )
    return kept


def _folder_name(name: str) -> str:
    if name in ("", ".", "..") or "/" in name:
        raise InvalidRequest(f"--name {name!r:.60}: give a name for a folder")
    return name


def _tell(base: str, n_aside: int, new: tuple[str, ...], dropped: tuple[str, ...]) -> None:
    if new:
        typer.echo(f"{base} has nothing in the place of {' and '.join(new)}: made new")
    if dropped:
        typer.echo(f"{base}: {' and '.join(dropped)} left behind, as they fit the old encoder")
    if n_aside:
        typer.echo(f"{n_aside} recordings of development and held_out are not heard")


def _ended(record: PretrainRecord, run: Path, language: str) -> str:
    settings = record.settings
    skipped = f", {record.skipped} batches skipped" if record.skipped else ""
    judged = f", judged {wording(record.judged[-1])}" if record.judged else ""
    return (
        f"{settings.steps} steps in {record.wall_s / 60:.1f} min{skipped}{judged}. Next: panglot "
        f"train {language} --base {run / MODEL}"
    )
