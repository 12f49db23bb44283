"""What the base model's own decoder hears in clips, kept from one command to the next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import speech.whisper.universal
from speech.base_model import WhisperBase
from speech.ctc.paths import TimedWord
from speech.whisper.languages import model_languages
from speech.whisper.universal import UniversalHypothesis, UniversalRecognizer
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip
from transfer.files import write_whole

UNIVERSAL_CACHE = "universal.json"
"""Name of the cache in a run's folder."""
BEAM = 5
_CLIPS_BETWEEN_SAVES = 20


def told_language(base: WhisperBase, language: str) -> str | None:
    """What the model's decoder is told of a BCP-47 tag: it, or it without region; None for neither.

    `pt-BR` is `pt` to Whisper.
    """
    known = model_languages(base.tokenizer)
    return next((tag for tag in (language, language.partition("-")[0]) if tag in known), None)


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
        cache: written again every few clips, so that an interrupted command goes on where it was;
            one of another model, or of a decoder that has changed since, is forgotten.
        advance: called after each clip.

    Raises:
        ModelNotFound: the model does not know a clip's language.
    """
    maker = f"{base.fingerprint} {_decoder()}"
    known = _read(cache, maker)
    missing = [clip for clip in clips if _key(clip) not in known]
    for _ in range(len(clips) - len(missing)):
        advance()
    recognizer = UniversalRecognizer(base)
    for number, clip in enumerate(missing, start=1):
        audio = torch.from_numpy(read_audio(clip.audio))
        language = told_language(base, clip.language) or clip.language
        known[_key(clip)] = asdict(recognizer.recognize(base.encoder, audio, language, BEAM))
        if number % _CLIPS_BETWEEN_SAVES == 0 or number == len(missing):
            _write(cache, maker, known)
        advance()
    return [_hypothesis(known[_key(clip)]) for clip in clips]


def _key(clip: Clip) -> str:
    """The same whether the manifest was named from here or from the root."""
    return str(Path(clip.audio).absolute())


def _decoder() -> str:
    """Changes whenever the decoder's code does: what it once heard, it may hear otherwise."""
    digest = hashlib.sha256()
    for file in sorted(Path(speech.whisper.universal.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _read(cache: Path, maker: str) -> dict[str, Any]:
    """Hypotheses of a model and decoder by audio file; none where the file is missing or spoilt."""
    try:
        document = json.loads(cache.read_text(encoding="utf-8"))
        if document["maker"] == maker:
            return dict(document["hypotheses"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it is only a cache
    return {}


def _write(cache: Path, maker: str, known: dict[str, Any]) -> None:
    document = {"maker": maker, "hypotheses": known}
    write_whole(cache, json.dumps(document, ensure_ascii=False, indent=1))


def _hypothesis(document: dict[str, Any]) -> UniversalHypothesis:
    words = tuple(TimedWord(**word) for word in document["words"])
    return UniversalHypothesis(document["text"], words, document["confidence"])
