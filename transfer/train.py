"""Teach the shared encoder a language: one adapter, trained with CTC. Read `train` first."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from common.errors import InvalidRequest
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from speech.encoder import SharedEncoder
from transfer.examples import Example, batches, precompute
from transfer.manifest import Clip
from transfer.run import WEIGHTS, RunRecord
from transfer.settings import TrainSettings, default_device, learning_rate_at
from transfer.step import ctc_loss, forward, judge, masked
from transfer.vocabulary import vocabulary_of

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Source:
    """A trained adapter of another language, by its key, and the symbols of its head."""

    key: str
    weights: dict[str, Tensor]
    vocabulary: tuple[str, ...]


@dataclass
class _Standing:
    """Where a run stands; what a checkpoint holds."""

    epoch: int = 0
    step: int = 0
    best_cer: float = float("inf")
    best_wer: float = float("inf")
    best_epoch: int = 0


def train(
    base: BaseModel,
    clips: Sequence[Clip],
    language: str,
    settings: TrainSettings,
    run: Path,
    source: Source | None = None,
) -> RunRecord:
    """Train on the clips of split `train`, choose by those of split `development`.

    A run that was interrupted goes on from its last whole epoch, and ends as if it had not been.

    Args:
        base: the encoder; its weights stay as they are.
        clips: audio paths absolute; other splits are ignored.
        language: BCP-47 tag, for scoring.
        settings: all there is to choose.
        source: another language's adapter to start from; None starts from nothing.
        run: folder for the checkpoint, the best weights and TensorBoard's events.
    """
    began = time.monotonic()
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    device = default_device()
    encoder = base.encoder.to(device).eval()

    if max(settings.layers) >= encoder.n_layers:
        raise InvalidRequest(f"the encoder of {base.name} has {encoder.n_layers} layers")
    training = [clip for clip in clips if clip.split == "train"]
    development = [clip for clip in clips if clip.split == "development"]
    if not (training and development):
        raise InvalidRequest("the manifest needs clips of split 'train' and of 'development'")
    vocabulary = vocabulary_of(clip.text for clip in training)
    shape = AdapterShape(
        BOTTLENECK, encoder.d_model, settings.rank, settings.layers, len(vocabulary)
    )
    adapter = Adapter(shape).to(device)
    if source is not None:
        start_from(adapter, vocabulary, source)
    optimizer = torch.optim.AdamW(
        adapter.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    state = _resume(run, adapter, optimizer)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, SummaryWriter(str(run)) as log:
        bar = progress.add_task(f"{language} listening", total=len(training) + len(development))
        examples, judged = (
            precompute(
                encoder,
                part,
                vocabulary,
                first_layer=min(settings.layers),
                speeds=speeds,
                seed=settings.seed,
                half=settings.precision == "bf16",
                advance=lambda: progress.advance(bar),
            )
            for part, speeds in ((training, settings.speeds), (development, (1.0,)))
        )
        frames = settings.batch_frames
        total_steps = settings.epochs * _steps_per_epoch(examples, frames, settings)
        bar = progress.add_task(
            f"{language} training", total=settings.epochs, completed=state.epoch
        )

        while state.epoch < settings.epochs:
            loss = _epoch(encoder, adapter, optimizer, examples, settings, state, total_steps)
            state.epoch += 1
            wer, cer = judge(encoder, adapter, judged, vocabulary, language, settings)
            if cer < state.best_cer:
                state.best_cer, state.best_wer, state.best_epoch = cer, wer, state.epoch
                save_file(adapter.state_dict(), run / WEIGHTS)
            _save(run, adapter, optimizer, state)
            for name, value in (("loss", loss), ("development/wer", wer), ("development/cer", cer)):
                log.add_scalar(name, value, state.step)
            progress.console.print(
                f"{language} epoch {state.epoch:3} loss {loss:.3f} "
                f"development WER {wer:.3f} CER {cer:.3f}  {time.monotonic() - began:.0f} s"
            )
            progress.advance(bar)
            if state.epoch - state.best_epoch >= settings.patience:
                break

    record = RunRecord(
        language=language,
        vocabulary=vocabulary,
        settings=settings,
        source=source.key if source else None,
        steps=state.step,
        development_wer=state.best_wer,
        development_cer=state.best_cer,
    )
    record.write(run)
    return record


def start_from(adapter: Adapter, vocabulary: Sequence[str], source: Source) -> None:
    """Copy the source's blocks, and the rows of its head for the symbols both languages write.

    A new head spends its first hundreds of steps writing nothing but blanks; one that knows the
    blank, the word separator and some letters is past that from the start.
    """
    own = adapter.state_dict()
    shared = [
        (row, source.vocabulary.index(symbol))
        for row, symbol in enumerate(vocabulary)
        if symbol in source.vocabulary
    ]
    for name, value in source.weights.items():
        if own[name].shape == value.shape and not name.startswith("head.projection"):
            own[name].copy_(value)
        elif name.startswith("head.projection"):
            for row, from_row in shared:
                own[name][row] = value[from_row]
    adapter.load_state_dict(own)


def _epoch(
    encoder: SharedEncoder,
    adapter: Adapter,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[Example],
    settings: TrainSettings,
    state: _Standing,
    total_steps: int,
) -> float:
    """One pass over the training clips; returns the mean loss per symbol, in nats."""
    adapter.train()
    # Seeded by epoch, so that a resumed run sees the same order and masks as an unbroken one.
    seed = settings.seed * 100_003 + state.epoch
    order, masks = random.Random(seed), torch.Generator().manual_seed(seed)
    pending = list(batches(examples, settings.batch_frames, order))
    total = symbols = 0.0
    for number, batch in enumerate(pending, start=1):
        hidden = masked(batch, settings, masks)
        log_probs, lengths = forward(encoder, adapter, hidden, batch.lengths, settings)
        loss = ctc_loss(log_probs, lengths, batch)
        (loss / settings.accumulation).backward()  # type: ignore[no-untyped-call]
        total += loss.item() * len(batch.targets)
        symbols += len(batch.targets)
        if number % settings.accumulation and number < len(pending):
            continue
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(state.step, total_steps, settings)
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        state.step += 1
    return total / symbols


def _steps_per_epoch(examples: Sequence[Example], frames: int, settings: TrainSettings) -> int:
    return math.ceil(sum(1 for _ in batches(examples, frames)) / settings.accumulation)


def _save(run: Path, adapter: Adapter, optimizer: torch.optim.Optimizer, state: _Standing) -> None:
    """Write the checkpoint whole or not at all."""
    scratch = run / f".{CHECKPOINT}.new"
    content = {"adapter": adapter.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(content | {"standing": asdict(state)}, scratch)
    scratch.replace(run / CHECKPOINT)


def _resume(run: Path, adapter: Adapter, optimizer: torch.optim.Optimizer) -> _Standing:
    path = run / CHECKPOINT
    if not path.is_file():
        return _Standing()
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        adapter.load_state_dict(content["adapter"])
    except RuntimeError as error:
        raise InvalidRequest(
            f"{run} holds a run of another shape or vocabulary: continue it with the same manifest "
            "and settings, or train into another folder"
        ) from error
    optimizer.load_state_dict(content["optimizer"])
    return _Standing(**content["standing"])
