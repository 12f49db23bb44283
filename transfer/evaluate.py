"""What an adapter is worth: three paths over the same held-out clips, and the lexicon's tuning."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from speech.adapters.bottleneck import BottleneckAdapter
from speech.adapters.card import Evaluation, LexiconSettings
from speech.base_model import BaseModel
from speech.ctc import LogProbs, greedy, text_of
from speech.encoder import WhisperSharedEncoder
from speech.lexicon import LexiconDecoder
from speech.universal import UniversalRecognizer
from transfer.audio import read_audio
from transfer.manifest import Clip
from transfer.scoring import Judged, accuracy, judged

BEAM_SIZE = 50
_LM_WEIGHTS = (1.0, 1.5, 2.0)
_WORD_SCORES = (0.0, 1.0, 2.0)
_UNIVERSAL_BEAM = 5


@dataclass(frozen=True)
class Verdict:
    """What one clip says and what each path heard, in the form that is scored."""

    clip: Clip
    adapter: Judged
    greedy: Judged
    universal: Judged


@torch.inference_mode()
def log_probs_of(base: BaseModel, adapter: BottleneckAdapter, clip: Clip) -> LogProbs:
    """CTC log-probabilities of one clip as a worker has them, float32 `[n_frames, n_vocab]`."""
    encoder = WhisperSharedEncoder(base.whisper.model.encoder)
    features, lengths = encoder.features([torch.from_numpy(read_audio(clip.audio))])
    return adapter.log_probs(encoder(features, lengths, adapter))[0].numpy()


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
    adapter: BottleneckAdapter,
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


def universal_texts(
    base: BaseModel,
    clips: Sequence[Clip],
    cache: Path,
    advance: Callable[[], None] = lambda: None,
) -> list[str]:
    """What Whisper's own decoder writes, beam 5, told the language; kept in `cache` (JSON)."""
    known: dict[str, str] = {}
    if cache.is_file():
        document = json.loads(cache.read_text(encoding="utf-8"))
        known = document["texts"] if document["base"] == base.fingerprint else {}
    encoder = WhisperSharedEncoder(base.whisper.model.encoder)
    recognizer = UniversalRecognizer(base)
    for clip in clips:
        if clip.audio not in known:
            audio = torch.from_numpy(read_audio(clip.audio))
            known[clip.audio] = recognizer.recognize(
                encoder, audio, clip.language, _UNIVERSAL_BEAM
            ).text
        advance()
    cache.parent.mkdir(parents=True, exist_ok=True)
    document = {"base": base.fingerprint, "texts": known}
    cache.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return [known[clip.audio] for clip in clips]


def rounded_to_half(adapter: BottleneckAdapter) -> BottleneckAdapter:
    """The same adapter with the precision it is published in."""
    return adapter.half().float().eval()
