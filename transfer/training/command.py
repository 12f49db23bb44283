"""`panglot train`: chooses how to teach by how much speech there is, says so, and teaches."""

from __future__ import annotations

from pathlib import Path

import typer

from common.errors import InvalidRequest, PanglotError
from speech.base_model import EMBEDDED, load_base_model
from transfer.probing.proposal import unfrozen_layers
from transfer.training import options as o
from transfer.training.auxiliary.chosen import tone_weight
from transfer.training.plan import Plan, clips_for, layers_of, make_plan, told
from transfer.training.processes import launched
from transfer.training.run import RunRecord
from transfer.training.train import train
from transfer.training.zero_shot import take_over


def train_command(
    language: o.Language,
    data: o.Data = Path("data"),
    manifest: o.Manifest = None,
    hours: o.Hours = "auto",
    minutes: o.Minutes = None,
    base: o.Base = EMBEDDED,
    strategy: o.Strategy = "auto",
    start_from: o.StartFrom = None,
    fusion: o.Fusion = None,
    head: o.Head = "letters",
    kind: o.Kind = None,
    rank: o.Rank = None,
    layers: o.Layers = None,
    freeze: o.Freeze = None,
    unfreeze: o.Unfreeze = None,
    epochs: o.Epochs = None,
    learning_rate: o.LearningRate = None,
    encoder_learning_rate: o.EncoderLearningRate = None,
    warmup_steps: o.WarmupSteps = None,
    accumulation: o.Accumulation = None,
    batch_s: o.BatchS = None,
    weight_decay: o.WeightDecay = None,
    clip_norm: o.ClipNorm = None,
    patience: o.Patience = None,
    chosen_by: o.ChosenBy = None,
    prototypes: o.Prototypes = None,
    tone: o.Tone = "0",
    speeds: o.Speeds = None,
    time_masks: o.TimeMasks = None,
    feature_dropout: o.FeatureDropout = None,
    seed: o.Seed = 0,
    precision: o.Precision = None,
    memory_gb: o.MemoryGb = None,
    restart: o.Restart = False,
    checkpoint_minutes: o.CheckpointMinutes = 10.0,
    runs: o.Runs = Path("runs"),
    models: o.Models = Path("models"),
) -> None:
    """Teach a language: an adapter on the shared encoder, from minutes of speech upward.

    How it is taught follows from how much speech there is, and is said with its reasons before it
    begins. Every choice can be overridden. The best epoch on the development clips is kept. A run
    that is broken off, by a kill or a full disk, goes on with the same command, and ends as if it
    had not been.

    `panglot train it`

    `panglot train sw --data swahili.jsonl --base facebook/mms-1b-all --from mms-swh@1`

    `panglot train ca --from es@2,it@2,fr@2 --fusion mean`

    `panglot train it --minutes 10 --runs runs/ten-minutes`

    `accelerate launch --num_processes 4 -m transfer train it`
    """
    given = {
        "kind": kind,
        "rank": rank,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "encoder_learning_rate": encoder_learning_rate,
        "warmup_steps": warmup_steps,
        "accumulation": accumulation,
        "batch_s": batch_s,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "patience": patience,
        "chosen_by": chosen_by,
        "prototypes": prototypes,
        "tone": tone_weight(tone, language),
        "speeds": _speeds(speeds),
        "time_masks": time_masks,
        "feature_dropout": feature_dropout,
        "precision": precision,
        "memory_gb": memory_gb,
        "seed": seed,
        "base_model": base,
    }
    with launched() as processes:
        try:
            clips = clips_for(language, manifest or data, _minutes(hours, minutes), seed)
            model = load_base_model(base)
            n_layers = model.encoder.n_layers
            given["layers"] = layers_of("--layers", layers, n_layers)
            if freeze is not None:
                if layers is not None or unfreeze is not None:
                    raise InvalidRequest(
                        "--freeze says which --layers or what to --unfreeze: give one"
                    )
                given["layers"] = unfrozen_layers(freeze, model, runs / language)
            given["unfrozen"] = layers_of("--unfreeze", unfreeze, n_layers)
            asked = {name: value for name, value in given.items() if value is not None}
            level = None if strategy == "auto" else strategy
            plan = make_plan(language, clips, model, level, start_from, models, asked, fusion, head)
            if processes.main:
                for line in told(plan):
                    typer.echo(line)
            run = runs / language
            if plan.strategy.level == "zero-shot":
                record = _without_speech(plan, run)
            else:
                record = train(
                    model,
                    clips,
                    language,
                    plan.strategy.settings,
                    run,
                    plan.source,
                    level=plan.strategy.level,
                    processes=processes,
                    restart=restart,
                    checkpoint_every_s=checkpoint_minutes * 60,
                )
            if processes.main:
                typer.echo(_ended(record, run))
        except PanglotError:
            if processes.main:
                raise
            raise typer.Exit(1) from None  # one line of one process is enough


def _without_speech(plan: Plan, run: Path) -> RunRecord:
    if plan.source is None:
        raise InvalidRequest(
            f"there is no speech of {plan.language} to learn from, and no adapter to take as it "
            "is: give speech (panglot data prepare), or --from ID@VERSION; without either the "
            "universal path serves the languages it knows"
        )
    settings = plan.strategy.settings
    return take_over(plan.base, plan.clips, plan.language, settings, run, plan.source)


def _ended(record: RunRecord, run: Path) -> str:
    skipped = f", {record.skipped} batches skipped" if record.skipped else ""
    model = ""
    if record.settings.unfrozen:
        model = f" The model is in {record.base_model(run)}."
    return (
        f"{record.language}: {record.steps} steps in {record.wall_s / 60:.1f} min{skipped}, "
        f"development WER {record.development_wer:.3f}, CER {record.development_cer:.3f} "
        f"(greedy).{model} Next: panglot evaluate {record.language}"
    )


def _minutes(hours: str, minutes: float | None) -> float | None:
    """Minutes of training speech that were asked for; None for all there is."""
    if hours == "auto":
        return minutes
    if minutes is not None:
        raise InvalidRequest("--hours and --minutes were both given: give one of them")
    try:
        return float(hours) * 60
    except ValueError as error:
        raise InvalidRequest(f"--hours {hours!r:.40}: give auto, or a number") from error


def _speeds(text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidRequest(f"--speeds {text!r:.40}: give numbers such as 1,0.9,1.1") from error
