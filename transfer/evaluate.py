"""What an adapter is worth: three paths over the same held-out clips, and the lexicon's tuning."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from speech.adapters.card import Evaluation, LexiconSettings
from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from speech.ctc.lexicon import LexiconDecoder
from speech.ctc.paths import LogProbs, greedy, text_of
from transfer.audio import read_audio
from transfer.manifest import Clip
from transfer.scoring import Judged, accuracy, judged

BEAM_SIZE = 50
_LM_WEIGHTS = (1.0, 1.5, 2.0)
_WORD_SCORES = (0.0, 1.0, 2.0)


@dataclass(frozen=True)
class Verdict:
    """What one clip says and what each path heard, in the form that is scored."""

    clip: Clip
    adapter: Judged
    greedy: Judged
    universal: Judged


@torch.inference_mode()
def log_probs_of(base: BaseModel, adapter: Adapter, clip: Clip) -> LogProbs:
    """CTC log-probabilities of one clip as a worker has them, float32 `[n_frames, n_vocab]`."""
    features, lengths = base.encoder.features([torch.from_numpy(read_audio(clip.audio))])
    return adapter.log_probs(base.encoder(features, lengths, adapter))[0].numpy()


def tune_lexicon(
    lexicon: bytes,
    vocabulary: Sequence[str],
    heard: Sequence[tuple[Clip, LogProbs]],
    sha256: str,
) -> LexiconSettings:
    """The weights with the lowest WER, then CER, on development clips."""
    best: tuple[tuple[float, float], LexiconSettings] | None = None
    for lm_weight, word_score in itertools.product(_LM_WEIGHTS, _WORD_SCORES):
        settings = LexiconSettings(sha256, lm_weight, word_score, BEAM_SIZE)
        decoder = LexiconDecoder.from_bytes(lexicon, vocabulary, settings)
        found = accuracy(
            [
                judged(clip.text, text_of(decoder.decode(log_probs), vocabulary), clip.language)
                for clip, log_probs in heard
            ]
        )
        rank = (found.wer.value, found.cer.value)
        if best is None or rank < best[0]:
            best = rank, settings
    assert best is not None
    return best[1]


def evaluate(
    base: BaseModel,
    adapter: Adapter,
    vocabulary: Sequence[str],
    decoder: LexiconDecoder,
    clips: Sequence[Clip],
    universal: Sequence[str],
) -> tuple[Evaluation, list[Verdict]]:
    """Score the three paths on `clips`; `universal` holds what Whisper's decoder wrote for each."""
    verdicts = []
    for clip, written in zip(clips, universal, strict=True):
        log_probs = log_probs_of(base, adapter, clip)
        by_lexicon = text_of(decoder.decode(log_probs), vocabulary)
        by_letter = text_of(greedy(log_probs).symbols, vocabulary)
        verdicts.append(
            Verdict(
                clip,
                *(
                    judged(clip.text, text, clip.language)
                    for text in (by_lexicon, by_letter, written)
                ),
            )
        )
    return summary(verdicts), verdicts


def summary(verdicts: Sequence[Verdict]) -> Evaluation:
    """Error rates of the three paths over some clips."""
    return Evaluation(
        n_clip=len(verdicts),
        hours=round(sum(verdict.clip.duration_s for verdict in verdicts) / 3600, 4),
        adapter=accuracy([verdict.adapter for verdict in verdicts]),
        greedy=accuracy([verdict.greedy for verdict in verdicts]),
        universal=accuracy([verdict.universal for verdict in verdicts]),
    )


def rounded_to_half(adapter: Adapter) -> Adapter:
    """The same adapter with the precision it is published in."""
    return adapter.half().float().eval()
