"""Go on with the pre-training of a wav2vec 2.0 encoder, on audio alone. Read `pretrain` first.

Baevski et al., "wav2vec 2.0" (2020); Conneau et al., XLSR (2020). The model hides stretches of what
it hears, and learns to tell the code of what is hidden from codes of other places.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from common.errors import InvalidRequest
from transfer.files import writable
from transfer.pretraining.batches import Batch, make_batch
from transfer.pretraining.chance import repeatable, seeded
from transfer.pretraining.checkpoint import Checkpoints, Standing, recipe_of
from transfer.pretraining.corpus import Corpus, Piece, gather, open_corpus
from transfer.pretraining.display import show
from transfer.pretraining.learner import Learner, Sums
from transfer.pretraining.model import Start, write_model
from transfer.pretraining.record import MODEL, RECORD_FILE, PretrainRecord
from transfer.pretraining.recordings import Recording, told
from transfer.pretraining.sampling import Sampler
from transfer.pretraining.settings import PretrainSettings
from transfer.progress import Bars, no_bars
from transfer.training.checkpoint import CHECKPOINT
from transfer.training.epoch import MOST_SKIPPED_IN_A_ROW
from transfer.training.processes import Processes

JUDGEMENTS = 10
CHECKPOINT_EVERY_S = 600.0
_JUDGED_SHARE = 50
"""One piece in so many is set aside to judge by."""
_FEWEST_TO_SET_ASIDE = 10
_MOST_JUDGED = 64
_OF_JUDGING = 2**32
"""Lies beyond the number of any batch: what judging draws is drawn for nothing else."""


def pretrain(
    start: Start,
    recordings: Sequence[Recording],
    settings: PretrainSettings,
    run: Path,
    *,
    processes: Processes | None = None,
    restart: bool = False,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    bars: Bars = no_bars,
) -> PretrainRecord:
    """Learn from `recordings`, and write the model to `run`.

    A run that was interrupted goes on from its last checkpoint and ends as if it had not been: on a
    CPU with the same weights, on a GPU, whose sums have no fixed order, with nearly the same.

    Args:
        start: the model; it is changed.
        recordings: audio without transcripts.
        settings: all there is to choose.
        run: folder for the samples, the checkpoint, the model and TensorBoard's events; where
            several machines train together, one that all of them see.
        processes: those that train together; None is this one alone.
        restart: forget what the folder holds of an earlier run, and begin anew.
        checkpoint_every_s: seconds after which a checkpoint is written.
        bars: shows progress of decoding.

    Raises:
        InvalidRequest: nothing can be heard, a checkpoint of another run, or a loss that is no
            number.
        StoreUnavailable: `run` cannot be written.
        ModelNotFound: the model cannot be written.
    """
    began = time.monotonic()
    processes = processes or Processes()
    if processes.main:
        _prepare(run, restart)
        gather(recordings, run, bars("decoding", len(recordings)))
    processes.wait()
    corpus = open_corpus(run)
    learning, judged = set_aside(corpus.pieces(settings.crop_s))
    sampler = Sampler(learning, settings.alpha, settings.batch_s, settings.seed)
    learner = Learner(start.model, settings, processes.device)
    recipe = recipe_of(settings, start.fingerprint, corpus.digest, processes.count)
    checkpoints = Checkpoints(run, recipe, checkpoint_every_s)
    state = checkpoints.resume(learner)
    if state.step == settings.steps and (run / RECORD_FILE).is_file():
        return PretrainRecord.read(run)
    began -= state.wall_s

    judge_every = max(1, settings.steps // JUDGEMENTS)
    with (
        show(run, state.step, settings.steps, not processes.main) as display,
        repeatable(processes.device),
    ):
        for line in _begins(corpus, sampler, state):
            display.say(line)
        while state.step < settings.steps:
            if state.step == 0 and judged:
                state.judged = [_judge(learner, start, corpus, judged, settings, processes, 0)]
                display.judged(0, state.judged[-1])
            means = _learn(learner, start, corpus, sampler, settings, processes, state)
            display.step(
                state.step,
                means,
                settings.rate_at(state.step - 1),
                settings.temperature_at(state.step - 1),
            )
            ended = state.step == settings.steps
            if judged and (ended or state.step % judge_every == 0):
                state.judged.append(
                    _judge(learner, start, corpus, judged, settings, processes, state.step)
                )
                display.judged(state.step, state.judged[-1])
            state.wall_s = time.monotonic() - began
            if processes.main and (ended or checkpoints.due):
                checkpoints.save(learner, state)

    record = PretrainRecord(
        settings=settings,
        hours={language: round(each / 3600, 4) for language, each in sampler.seconds.items()},
        shares={language: round(each, 4) for language, each in sampler.shares.items()},
        new=start.new,
        left_out=len(corpus.left_out),
        n_codebooks=int(start.model.config.num_codevector_groups),
        judged=tuple(state.judged),
        skipped=state.skipped,
        wall_s=round(state.wall_s, 1),
    )
    if processes.main:
        write_model(learner.model, start.normalise, run / MODEL)
        record.write(run)
    return record


def set_aside(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Pieces to learn from, and a fiftieth of each language to judge by: evenly spread, at most 64.

    A language of fewer than ten pieces gives none away.
    """
    learning: list[Piece] = []
    aside: list[Piece] = []
    for language in dict.fromkeys(piece.language for piece in pieces):
        own = [piece for piece in pieces if piece.language == language]
        n_aside = math.ceil(len(own) / _JUDGED_SHARE) if len(own) >= _FEWEST_TO_SET_ASIDE else 0
        chosen = {number * len(own) // n_aside for number in range(n_aside)}
        learning += [piece for number, piece in enumerate(own) if number not in chosen]
        aside += [own[number] for number in sorted(chosen)]
    step = max(1, math.ceil(len(aside) / _MOST_JUDGED))
    return learning, aside[::step]


def _learn(
    learner: Learner,
    start: Start,
    corpus: Corpus,
    sampler: Sampler,
    settings: PretrainSettings,
    processes: Processes,
    state: Standing,
) -> dict[str, float]:
    """Take one optimiser step; what it heard, per masked frame."""
    model = learner.model.train()
    model.set_gumbel_temperature(settings.temperature_at(state.step))
    heard = Sums()
    for turn in range(settings.accumulation):
        number = (state.step * settings.accumulation + turn) * processes.count + processes.rank
        pieces = sampler.batch(number)
        with seeded(settings.seed, number):
            batch = make_batch([corpus.audio(p) for p in pieces], start, settings.mask_prob)
            loss, found = learner.hear(batch)
        (n_bad,) = processes.total([not math.isfinite(loss.item())])
        if n_bad:
            _skip(state)
            continue
        loss.backward()  # type: ignore[no-untyped-call]
        heard += found
    heard = heard.over(processes)
    if heard.frames:
        if learner.step(state.step, heard.frames, processes):
            state.in_a_row = 0
        else:
            _skip(state)
    state.step += 1
    return heard.means()


@torch.inference_mode()
def _judge(
    learner: Learner,
    start: Start,
    corpus: Corpus,
    pieces: Sequence[Piece],
    settings: PretrainSettings,
    processes: Processes,
    step: int,
) -> dict[str, float]:
    """How well the pieces are told apart: always the same masks, and of codes the likeliest."""
    learner.model.eval()
    found = Sums()
    for number in range(processes.rank, len(pieces), processes.count):
        with seeded(settings.seed, _OF_JUDGING + number):
            batch: Batch = make_batch([corpus.audio(pieces[number])], start, settings.mask_prob)
            found += learner.hear(batch)[1]
    return {"step": step, **found.over(processes).means()}


def _skip(state: Standing) -> None:
    state.skipped += 1
    state.in_a_row += 1
    if state.in_a_row >= MOST_SKIPPED_IN_A_ROW:
        raise InvalidRequest(
            f"the loss or its gradient is no number {state.in_a_row} times in a row, before step "
            f"{state.step + 1}: lower --learning-rate, or give --precision fp32"
        )


def _begins(corpus: Corpus, sampler: Sampler, state: Standing) -> list[str]:
    if state.step:
        return [f"goes on from step {state.step}"]
    lines = told(corpus.left_out)
    lines += [
        f"{language}: {sampler.seconds[language] / 3600:.2f} hours, drawn {share:.1%} of the time"
        for language, share in sampler.shares.items()
    ]
    return lines


def _prepare(run: Path, restart: bool) -> None:
    with writable(run):
        run.mkdir(parents=True, exist_ok=True)
        # A run that begins must not be taken for one that ended there before.
        if restart or not (run / CHECKPOINT).is_file():
            for name in (RECORD_FILE, CHECKPOINT):
                (run / name).unlink(missing_ok=True)
            for events in run.glob("events.out.tfevents.*"):
                events.unlink()
