"""What bfloat16 costs in accuracy, and what it gains in time.

    python -m benchmarks.precision [--repeats 7]

Every clip of `tests/audio` in one language through the language's adapter, greedily and with its
lexicon, in float32 and in the precision that a worker chooses by itself on this machine; then the
encoder alone on all of them in batches of four, the two in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.plot import plot
from benchmarks.report import write
from benchmarks.turns import in_turn, ratio
from client.demo import Clip, read_clips
from client.scoring import word_errors
from common.adapter_files import AdapterFiles
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.adapters.store import AdapterStore
from speech.base_model import load_base_model
from speech.ctc.paths import greedy, text_of
from speech.precision import Placement, place
from transfer.data.audio import read_audio

ROOT = Path(__file__).parent.parent
CLIPS, MODELS = ROOT / "tests" / "audio" / "clips.json", ROOT / "models"
BATCH = 4


class Worker:
    """Encoder, slots and lexicons in one precision."""

    def __init__(self, placement: Placement, languages: Sequence[str]) -> None:
        base = load_base_model()
        self._encoder = base.encoder.to(placement.device, placement.dtype)
        self._slots = AdapterSlots(SlotLimits(len(languages)), base.encoder, placement)
        store = AdapterStore(AdapterFiles(str(MODELS)), base.fingerprint, base.encoder.d_model)
        self._loaded = [store.load(f"{language}@1") for language in languages]
        self._lexicons = [each.lexicon() if each.lexicon else None for each in self._loaded]
        self._slot = {language: 1 + number for number, language in enumerate(languages)}
        for number, each in enumerate(self._loaded):
            self._slots.write(1 + number, each.shape, self._slots.pack(each.shape, each.tensors))

    @torch.inference_mode()
    def log_probs(self, audio: list[Tensor], languages: Sequence[str]) -> Tensor:
        """`[batch, n_frames, n_vocab]` of a mixed batch."""
        adapters = self._slots.batch([self._slot[language] for language in languages])
        return adapters.log_probs(self._encoder(*self._encoder.features(audio), adapters))

    def texts(self, audio: Tensor, language: str) -> dict[str, str]:
        """What is heard in one clip, by way of decoding."""
        number = self._slot[language] - 1
        vocabulary = self._loaded[number].card.vocabulary
        log_probs = self.log_probs([audio], [language])[0, :, : len(vocabulary)].numpy()
        lexicon = self._lexicons[number]
        found = {"greedy": text_of(greedy(log_probs).symbols, vocabulary)}
        if lexicon is not None:
            found["lexicon"] = text_of(lexicon.decode(log_probs), vocabulary)
        return found


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds of the encoder")
    repeats: int = parser.parse_args().repeats
    clips = [clip for clip in read_clips(CLIPS) if len(clip.languages) == 1]
    languages = sorted({clip.languages[0] for clip in clips})
    audio = [torch.from_numpy(read_audio(clip.path)) for clip in clips]
    chosen = place("cpu")
    placements = {"float32": place("cpu", "float32"), str(chosen.dtype).split(".")[1]: chosen}
    workers = {name: Worker(placement, languages) for name, placement in placements.items()}
    rows = [
        _row(name, decoding, clips, heard)
        for name, worker in workers.items()
        for decoding, heard in _heard(worker, clips, audio).items()
    ]

    def forward(worker: Worker) -> Callable[[], object]:
        return lambda: [
            worker.log_probs(
                audio[first : first + BATCH],
                [clip.languages[0] for clip in clips[first : first + BATCH]],
            )
            for first in range(0, len(clips), BATCH)
        ]

    took_s = in_turn({name: forward(worker) for name, worker in workers.items()}, repeats)
    audio_s = float(np.sum([len(each) for each in audio])) / 16_000
    rows += [
        {"precision": name, "audio_s_per_s": round(audio_s / median(each), 1)}
        for name, each in took_s.items()
    ]
    names = list(workers)
    wrong = {(row["precision"], row["decoding"]): row["wer"] for row in rows if "wer" in row}
    claims = {
        "precision": names[-1],
        "speed_over_float32": ratio(took_s[names[-1]], took_s["float32"]),
        **{
            f"wer_change_{decoding}": round(
                wrong[names[-1], decoding] - wrong["float32", decoding], 4
            )
            for decoding in ("greedy", "lexicon")
        },
    }
    with plot("precision", "Words wrong", "decoding", "word error rate") as axes:
        for name in names:
            own = [row for row in rows if row["precision"] == name and "wer" in row]
            axes.plot([row["decoding"] for row in own], [row["wer"] for row in own], label=name)
        axes.set(ylim=(0, None))
    print(write("precision", rows, claims))


def _heard(worker: Worker, clips: list[Clip], audio: list[Tensor]) -> dict[str, list[str]]:
    heard: dict[str, list[str]] = {}
    for clip, samples in zip(clips, audio, strict=True):
        for decoding, text in worker.texts(samples, clip.languages[0]).items():
            heard.setdefault(decoding, []).append(text)
    return heard


def _row(name: str, decoding: str, clips: list[Clip], heard: list[str]) -> dict[str, Any]:
    errors = [word_errors(clip.text, text) for clip, text in zip(clips, heard, strict=True)]
    wrong, words = (sum(each) for each in zip(*errors, strict=True))
    return {
        "precision": name,
        "decoding": decoding,
        "words": words,
        "wrong": wrong,
        "wer": round(wrong / words, 4),
    }


if __name__ == "__main__":
    main()
