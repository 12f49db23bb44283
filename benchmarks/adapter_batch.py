"""Many languages in one batch: what it costs, and what the other ways cost.

    python -m benchmarks.adapter_batch [--repeats 3]

32 rows of 5 s (finals), and of 1 s (partials), in 1 to 32 languages on an encoder of MMS's
architecture, 12 layers by 512, random weights, in the precision that a worker would choose. Audio
in, log-probabilities out. Side by side:

- `ours`: one forward, each row through its own adapter and head;
- `grouped`: our encoder, one forward per language;
- `load_adapter`: `transformers` as its documentation has it: one request after another, the adapter
  read from its file and written into the model when the language changes;
- `load_adapter grouped`: the same, the requests of a language in one batch;
- `peft`: LoRA with as many parameters (rank 16 on each attention's output), one forward with
  `adapter_names`; a single head for all languages, so it does less.

All sides but `load_adapter` run batches of at most 20 s of audio, which is where this kind of CPU
encodes fastest and what a worker makes by default. All take turns in each round; the first round is
not counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import Tensor
from transformers import Wav2Vec2ForCTC
from transformers.utils import logging as transformers_logging

from asr_service.settings import WorkerSettings
from benchmarks.mms_shaped import (
    SMALL,
    adapter_shape,
    config,
    encoder_of,
    published_adapter,
    speech_like,
)
from benchmarks.plot import plot
from benchmarks.report import write
from benchmarks.turns import in_turn, ratio
from speech.adapters.kinds import ATTENTION, from_file
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.features import SAMPLE_RATE_HZ
from speech.precision import Placement, place

N_ROW = 32
BATCH_S = WorkerSettings().max_batch_s
LONG_S, SHORT_S = 5.0, 1.0
LANGUAGES = (1, 2, 4, 8, 16, 32)
OURS, OTHERS = "ours", ("grouped", "load_adapter", "load_adapter grouped", "peft")
AHEAD_FROM = 4
Took = dict[tuple[float, str, int], list[float]]
"""Seconds of each round, by duration of a row, side, and languages in the batch."""


class Ours:
    """Our encoder and slots, all adapters resident."""

    def __init__(self, model: Wav2Vec2ForCTC, placement: Placement) -> None:
        shapes = [adapter_shape(SMALL, number) for number in range(N_ROW)]
        limits = SlotLimits(N_ROW, SMALL.rank, max(shape.n_vocab for shape in shapes))
        self._encoder = encoder_of(model).to(placement.device, placement.dtype)
        self._slots = AdapterSlots(limits, self._encoder, placement)
        for number, shape in enumerate(shapes):
            tensors = from_file(ATTENTION, published_adapter(shape, number))
            self._slots.write(1 + number, shape, self._slots.pack(shape, tensors))

    @torch.inference_mode()
    def __call__(self, audio: list[Tensor], languages: list[int]) -> Tensor:
        adapters = self._slots.batch([1 + number for number in languages])
        return adapters.log_probs(self._encoder(*self._encoder.features(audio), adapters))


class LoadAdapter:
    """`transformers`, whose model holds one language at a time."""

    def __init__(self, directory: str, dtype: torch.dtype) -> None:
        self._model = Wav2Vec2ForCTC.from_pretrained(directory, dtype=dtype).eval()
        self._dtype = dtype

    @torch.inference_mode()
    def __call__(self, audio: list[Tensor], language: int) -> Tensor:
        self._model.load_adapter(name_of(language))
        return _log_probs(self._model(_normalised(audio).to(self._dtype)).logits)


class Peft:
    """One LoRA per language in one model."""

    def __init__(self, dtype: torch.dtype) -> None:
        lora = LoraConfig(r=SMALL.rank, target_modules=["out_proj"], init_lora_weights=False)
        plain = Wav2Vec2ForCTC(config(SMALL, adapters=False))
        self._model = get_peft_model(plain, lora, name_of(0), autocast_adapter_dtype=False)
        for number in range(1, N_ROW):
            self._model.add_adapter(name_of(number), lora, autocast_adapter_dtype=False)
        self._model.to(dtype).eval()
        self._dtype = dtype

    @torch.inference_mode()
    def __call__(self, audio: list[Tensor], languages: list[int]) -> Tensor:
        names = [name_of(number) for number in languages]
        values = _normalised(audio).to(self._dtype)
        return _log_probs(self._model(values, adapter_names=names).logits)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds that are counted")
    repeats: int = parser.parse_args().repeats
    # load_adapter warns whenever the language is there already.
    transformers_logging.set_verbosity_error()
    placement = place("cpu")
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(config(SMALL)).requires_grad_(False).eval()
    with tempfile.TemporaryDirectory(prefix="mms-") as directory:
        _publish(model, Path(directory))
        ours, others = Ours(model, placement), LoadAdapter(directory, placement.dtype)
        peft = Peft(placement.dtype)
        difference = _difference(ours, others, speech_like(4, LONG_S))
        sides: dict[tuple[float, str, int], Callable[[], object]] = {}
        for row_s in (LONG_S, SHORT_S):
            audio = speech_like(N_ROW, row_s)
            for n_language in LANGUAGES:
                each = _sides(ours, others, peft, audio, n_language)
                sides |= {(row_s, name, n_language): side for name, side in each.items()}
        # One side's numbers of languages one after another: those are compared most closely.
        took_s = in_turn({key: sides[key] for key in sorted(sides)}, repeats)
    _draw(took_s)
    print(write("adapter_batch", _rows(took_s), _claims(took_s, difference)))


def name_of(language: int) -> str:
    """Of language number `language`, in files and for PEFT."""
    return f"language{language}"


def _publish(model: Wav2Vec2ForCTC, directory: Path) -> None:
    """The model with its adapters beside it, as MMS lies on the hub."""
    model.save_pretrained(directory)
    for number in range(N_ROW):
        tensors = published_adapter(adapter_shape(SMALL, number), number)
        save_file(tensors, directory / f"adapter.{name_of(number)}.safetensors")


def _difference(ours: Ours, others: LoadAdapter, audio: list[Tensor]) -> float:
    """Greatest difference of a probability between two of our mixed rows and `load_adapter`'s."""
    mixed = ours(audio[:4], [0, 1, 2, 3]).exp()
    alone = [others([audio[number]], number).exp()[0] for number in range(4)]
    return max(
        float((mixed[row, :, : found.shape[-1]] - found).abs().max())
        for row, found in enumerate(alone)
    )


def _sides(
    ours: Ours, others: LoadAdapter, peft: Peft, audio: list[Tensor], n_language: int
) -> dict[str, Callable[[], object]]:
    languages = [row % n_language for row in range(N_ROW)]
    mixed = _batches(range(N_ROW), audio)
    groups = [
        (language, [audio[row] for row in batch])
        for language in range(n_language)
        for batch in _batches(range(language, N_ROW, n_language), audio)
    ]

    def together(side: Callable[[list[Tensor], list[int]], Tensor]) -> list[Tensor]:
        return [side([audio[row] for row in b], [languages[row] for row in b]) for b in mixed]

    return {
        OURS: lambda: together(ours),
        "grouped": lambda: [ours(rows, [number] * len(rows)) for number, rows in groups],
        "load_adapter": lambda: [
            others([row], number) for row, number in zip(audio, languages, strict=True)
        ],
        "load_adapter grouped": lambda: [others(rows, number) for number, rows in groups],
        "peft": lambda: together(peft),
    }


def _batches(rows: range, audio: list[Tensor]) -> list[range]:
    """Rows that run together; all are of one length."""
    n_row = max(1, int(BATCH_S * SAMPLE_RATE_HZ) // len(audio[0]))
    return [rows[first : first + n_row] for first in range(0, len(rows), n_row)]


def _normalised(audio: list[Tensor]) -> Tensor:
    """As `Wav2Vec2FeatureExtractor` does it; all rows are of one length, so there is no mask."""
    values = torch.stack(audio)
    variance, mean = torch.var_mean(values, dim=1, correction=0, keepdim=True)
    return (values - mean) / (variance + 1e-7).sqrt()


def _log_probs(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(dim=-1)


def _rows(took_s: Took) -> list[dict[str, Any]]:
    return [
        {
            "row_s": row_s,
            "languages": n_language,
            "side": side,
            "audio_s_per_s": round(N_ROW * row_s / median(each), 1),
            "least": round(N_ROW * row_s / max(each), 1),
            "greatest": round(N_ROW * row_s / min(each), 1),
        }
        for (row_s, side, n_language), each in took_s.items()
    ]


def _claims(took_s: Took, difference: float) -> dict[str, Any]:
    claims: dict[str, Any] = {"greatest_difference_to_load_adapter": round(difference, 5)}
    for row_s, prefix in ((LONG_S, ""), (SHORT_S, "short_")):
        single, mixed = took_s[row_s, OURS, 1], took_s[row_s, OURS, 16]
        claims[f"{prefix}mixed_16_over_single"] = ratio(mixed, single)
        for n_language in LANGUAGES:
            for other in OTHERS if n_language >= AHEAD_FROM else ():
                name = f"{prefix}over_{other.replace(' ', '_')}_at_{n_language}"
                ours_s, theirs_s = (took_s[row_s, side, n_language] for side in (OURS, other))
                claims[name] = ratio(ours_s, theirs_s)
    return claims


def _draw(took_s: Took) -> None:
    with plot(
        "adapter_batch",
        f"{N_ROW} rows of {LONG_S:g} s",
        "languages among them",
        "throughput [s of audio per s]",
    ) as axes:
        for side in (OURS, *OTHERS):
            speed = [N_ROW * LONG_S / median(took_s[LONG_S, side, n]) for n in LANGUAGES]
            axes.plot(LANGUAGES, speed, label=side)
        axes.set(xscale="log", xticks=LANGUAGES, xticklabels=LANGUAGES, ylim=(0, None))
        axes.minorticks_off()


if __name__ == "__main__":
    main()
