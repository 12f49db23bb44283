"""What the base model's own decoder hears in clips, kept from one command to the next."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from speech.base_model import WhisperBase
from speech.ctc.paths import TimedWord
from speech.whisper.universal import UniversalHypothesis, UniversalRecognizer
from transfer.audio import read_audio
from transfer.manifest import Clip

UNIVERSAL_CACHE = "universal.json"
"""Name of the cache in a run's folder."""
_BEAM = 5


def universal_hypotheses(
    base: WhisperBase,
    clips: Sequence[Clip],
    cache: Path,
    advance: Callable[[], None] = lambda: None,
) -> list[UniversalHypothesis]:
    """Whisper's own decoder, beam 5, told the language; kept in `cache` (JSON).

    Args:
        base: the model.
        clips: audio to hear.
        cache: written again when all clips are heard; one of another model is forgotten.
        advance: called after each clip.
    """
    known: dict[str, Any] = {}
    if cache.is_file():
        document = json.loads(cache.read_text(encoding="utf-8"))
        if document["base"] == base.fingerprint:
            known = document.get("hypotheses", {})
    recognizer = UniversalRecognizer(base)
    for clip in clips:
        if clip.audio not in known:
            audio = torch.from_numpy(read_audio(clip.audio))
            found = recognizer.recognize(base.encoder, audio, clip.language, _BEAM)
            known[clip.audio] = asdict(found)
        advance()
    cache.parent.mkdir(parents=True, exist_ok=True)
    document = {"base": base.fingerprint, "hypotheses": known}
    cache.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return [_hypothesis(known[clip.audio]) for clip in clips]


def _hypothesis(document: dict[str, Any]) -> UniversalHypothesis:
    words = tuple(TimedWord(**word) for word in document["words"])
    return UniversalHypothesis(document["text"], words, document["confidence"])
