"""One pass over the training clips: the optimiser's steps, in one process or in several."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from common.errors import InvalidRequest
from transfer.training.checkpoint import Standing
from transfer.training.examples import Group, Speech
from transfer.training.learner import Learner
from transfer.training.left_out import named
from transfer.training.processes import Processes
from transfer.training.settings import TrainSettings
from transfer.training.step import Masks, ctc_loss, draw_masks, masked

MOST_SKIPPED_IN_A_ROW = 3
"""Batches whose loss is no number; so many are no accident."""


def steps_per_epoch(heard: Speech, settings: TrainSettings, processes: Processes) -> int:
    """Optimiser steps of one epoch; as batches are drawn anew, one may have a few more or less."""
    batches = len(heard.groups(settings.batch_frames))
    return math.ceil(batches / (settings.accumulation * processes.count))


def learn_epoch(
    learner: Learner,
    heard: Speech,
    settings: TrainSettings,
    processes: Processes,
    state: Standing,
    masks: Tensor | None,
    total_steps: int,
    after_step: Callable[[Tensor], None],
) -> float:
    """Go on from where `state` stands to the end of its epoch.

    Args:
        learner: what learns.
        heard: the training clips.
        settings: of the run.
        processes: those that learn together; each takes another batch at a time.
        state: moved on with every optimiser step, and at the end to the next epoch.
        masks: state of the generator of masks there; None where the epoch begins.
        total_steps: of the whole run, for the learning rate.
        after_step: called after each step with the generator's state.

    Returns:
        The mean loss per symbol, in nats.

    Raises:
        InvalidRequest: the loss is no number, several times in a row.
    """
    learner.adapter.train()
    # Seeded by epoch, so that a resumed run sees the same order and masks as an unbroken one.
    seed = settings.seed * 100_003 + state.epoch
    chance = torch.Generator().manual_seed(seed)
    if masks is not None:
        chance.set_state(masks)
    groups = heard.groups(settings.batch_frames, random.Random(seed))
    turns = [groups[i : i + processes.count] for i in range(0, len(groups), processes.count)]
    good = 0
    for number, turn in enumerate(turns[state.batch :], start=state.batch + 1):
        # All draw the masks of all, so that they agree on what comes next.
        drawn = [draw_masks(len(group), learner.d_model, settings, chance) for group in turn]
        good += _learn_turn(learner, heard, settings, processes, state, turn, drawn)
        if number % settings.accumulation and number < len(turns):
            continue
        if good and learner.step(state.step, total_steps, processes):
            state.in_a_row = 0
        elif good:
            _skip(state, heard, turn)
        good = 0
        state.step += 1
        state.batch = number
        after_step(chance.get_state())
    loss = state.loss / max(1.0, state.symbols)
    state.epoch, state.batch, state.loss, state.symbols = state.epoch + 1, 0, 0.0, 0.0
    return loss


def _learn_turn(
    learner: Learner,
    heard: Speech,
    settings: TrainSettings,
    processes: Processes,
    state: Standing,
    turn: Sequence[Group],
    drawn: Sequence[Masks],
) -> bool:
    """Add the gradients of one batch per process; False if none was, as a loss is no number."""
    loss, value, n_symbol = None, 0.0, 0
    if processes.rank < len(turn):
        batch = heard.batch(turn[processes.rank], state.epoch)
        hidden = masked(batch, drawn[processes.rank])
        encoded, log_probs = learner.hear(hidden, batch.lengths)
        letters, n_symbol = ctc_loss(log_probs, encoded.lengths, batch), len(batch.targets)
        loss, value = letters + learner.loss_beside(encoded, log_probs, batch), letters.item()
    bad = loss is not None and not math.isfinite(loss.item())
    summed, symbols, n_bad = processes.total([0.0 if bad else value * n_symbol, n_symbol, bad])
    if n_bad:
        _skip(state, heard, turn)
        return False
    if loss is not None:
        (loss / (settings.accumulation * processes.count)).backward()  # type: ignore[no-untyped-call]
    state.loss += summed
    state.symbols += symbols
    return True


def _skip(state: Standing, heard: Speech, turn: Sequence[Group]) -> None:
    """Count a batch that was left out; InvalidRequest after too many in a row."""
    state.skipped += 1
    state.in_a_row += 1
    if state.in_a_row < MOST_SKIPPED_IN_A_ROW:
        return
    clips = [heard.examples[index].clip for group in turn for index, _ in group]
    raise InvalidRequest(
        f"the loss is no number in {state.in_a_row} batches in a row; the last is of "
        f"{named(clips)}: lower --learning-rate, or see what these clips hold"
    )
