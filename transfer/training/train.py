"""Teach the shared encoder a language: one adapter, trained with CTC. Read `train` first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from common.errors import InvalidRequest
from speech.adapters.kinds import KINDS, AdapterShape
from speech.base_model import BaseModel
from transfer.data.manifest import Clip
from transfer.files import writable
from transfer.training.auxiliary.chosen import auxiliaries_for
from transfer.training.auxiliary.chosen import told as told_beside
from transfer.training.checkpoint import CHECKPOINT, Checkpoints, recipe_of
from transfer.training.display import Display, show
from transfer.training.epoch import learn_epoch, steps_per_epoch
from transfer.training.examples import LowerLayers, Speech, bytes_kept, listen
from transfer.training.fine_tuned import write_model
from transfer.training.learner import Learner, encoder_to_learn
from transfer.training.left_out import told
from transfer.training.processes import Processes
from transfer.training.run import MODEL, RUN_FILE, WEIGHTS, RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.source import Start
from transfer.training.start.begin import begin
from transfer.training.step import judge
from transfer.training.subset import minutes_of
from transfer.training.vocabulary import vocabulary_of

CHECKPOINT_EVERY_S = 600.0


def train(
    base: BaseModel,
    clips: Sequence[Clip],
    language: str,
    settings: TrainSettings,
    run: Path,
    source: Start | None = None,
    *,
    level: str | None = None,
    processes: Processes | None = None,
    restart: bool = False,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> RunRecord:
    """Train on the clips of split `train`, choose by those of split `development`.

    A run that was interrupted goes on from its last checkpoint, and ends as if it had not been: on
    a CPU with the same weights, on a GPU, whose sums have no fixed order, with nearly the same.

    Args:
        base: the encoder; its weights stay as they are.
        clips: audio paths absolute; other splits are ignored.
        language: BCP-47 tag, for scoring.
        settings: all there is to choose.
        run: folder for the checkpoint, the best weights and TensorBoard's events.
        source: other languages' adapters to start from; None starts from nothing.
        level: name of the strategy that chose the settings, for the record.
        processes: those that train together; None is this one alone.
        restart: forget what the folder holds of an earlier run, and begin anew.
        checkpoint_every_s: seconds after which a checkpoint is written within an epoch.

    Raises:
        InvalidRequest: clips or settings from which nothing can be learned, a checkpoint of another
            run, or a loss that is no number.
        StoreUnavailable: `run` cannot be written.
    """
    if settings.epochs == 0:
        raise InvalidRequest("epochs is 0: to take over an adapter as it is, see zero_shot")
    began = time.monotonic()
    processes = processes or Processes()
    torch.manual_seed(settings.seed)

    training, development = _splits(clips)
    vocabulary = vocabulary_of(clip.text for clip in training)
    learner = _learner(base, training, vocabulary, language, settings, source, processes.device)
    if processes.main:
        _prepare(run, restart)
    processes.wait()
    recipe = recipe_of(
        settings,
        base.fingerprint,
        vocabulary,
        [*training, *development],
        source.identity if source else None,
        processes.count,
    )
    checkpoints = Checkpoints(run, recipe, checkpoint_every_s)
    state, masks = checkpoints.resume(learner)
    if state.ended(settings) and (run / RUN_FILE).is_file():
        return RunRecord.read(run)
    began -= state.wall_s

    with show(run, language, state.step, silent=not processes.main) as display:
        for line in told_beside(learner.tasks):
            display.say(line)
        if state.step:
            display.say(f"{language} goes on from step {state.step}, in epoch {state.epoch + 1}")
        heard, judged = _listen(learner, training, development, vocabulary, settings, display)
        if not state.step:
            learner.begin(heard, processes)
        total_steps = settings.epochs * steps_per_epoch(heard, settings, processes)
        display.training(total_steps, state)

        def after_step(drawn: Tensor) -> None:
            display.step(state, learner.rate)
            if processes.main and checkpoints.due:
                state.wall_s = time.monotonic() - began
                checkpoints.save(learner, state, drawn)

        while not state.ended(settings):
            loss = learn_epoch(
                learner, heard, settings, processes, state, masks, total_steps, after_step
            )
            masks = None
            wer, cer = judge(learner, judged, vocabulary, language, settings, processes)
            better = state.judged(wer, cer, settings)
            state.wall_s = time.monotonic() - began
            display.epoch(state, loss, wer, cer)
            if processes.main:
                if better:
                    learner.write(run)
                checkpoints.save(learner, state)

    record = RunRecord(
        language=language,
        vocabulary=vocabulary,
        settings=settings,
        source=source.text if source else None,
        fusion=source.fusion if source else "best",
        head=source.head if source else "letters",
        steps=state.step,
        development_wer=state.best_wer,
        development_cer=state.best_cer,
        level=level,
        hours=round(minutes_of(example.clip for example in heard.examples) / 60, 4),
        left_out=len(heard.left_out),
        skipped=state.skipped,
        wall_s=round(state.wall_s, 1),
    )
    if processes.main:
        if settings.unfrozen:
            write_model(run / MODEL, base, load_file(run / WEIGHTS), vocabulary)
        record.write(run)
    return record


def _prepare(run: Path, restart: bool) -> None:
    with writable(run):
        run.mkdir(parents=True, exist_ok=True)
        # A run that begins must not be taken for one that ended there before.
        if restart or not (run / CHECKPOINT).is_file():
            for name in (RUN_FILE, WEIGHTS, CHECKPOINT):
                (run / name).unlink(missing_ok=True)
            for events in run.glob("events.out.tfevents.*"):
                events.unlink()


def _splits(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    training = [clip for clip in clips if clip.split == "train"]
    development = [clip for clip in clips if clip.split == "development"]
    if not (training and development):
        raise InvalidRequest(
            f"there are {len(training)} clips of split 'train' to learn from and "
            f"{len(development)} of split 'development' to choose by: both are needed"
        )
    return training, development


def _learner(
    base: BaseModel,
    training: Sequence[Clip],
    vocabulary: Sequence[str],
    language: str,
    settings: TrainSettings,
    source: Start | None,
    device: torch.device,
) -> Learner:
    encoder = encoder_to_learn(base, settings, device)
    shape = AdapterShape(
        KINDS[settings.kind], encoder.d_model, settings.rank, settings.layers, len(vocabulary)
    )
    adapter = begin(shape, vocabulary, source).to(device)
    texts = [clip.text for clip in training]
    beside = auxiliaries_for(settings, language, vocabulary, texts, source, encoder.d_model)
    return Learner(encoder, adapter, settings, [task.to(device) for task in beside])


def _listen(
    learner: Learner,
    training: Sequence[Clip],
    development: Sequence[Clip],
    vocabulary: Sequence[str],
    settings: TrainSettings,
    display: Display,
) -> tuple[Speech, Speech]:
    """Both splits, ready to be learned from and judged by."""
    lower = LowerLayers(learner.encoder, settings.first_layer, settings.precision == "bf16")
    parts = ((training, settings.speeds), (development, (1.0,)))
    needed = sum(bytes_kept(clips, len(speeds), learner.d_model) for clips, speeds in parts)
    keep = needed <= settings.memory_gb * 1e9
    advance = display.listening(len(training) + len(development))
    heard, judged = (
        listen(
            lower, clips, vocabulary, speeds=speeds, seed=settings.seed, keep=keep, advance=advance
        )
        for clips, speeds in parts
    )
    for line in told(training=heard, development=judged):
        display.say(f"left out {line}")
    return heard, judged
