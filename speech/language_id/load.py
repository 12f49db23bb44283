"""Step 4: which identifier a name stands for."""

from __future__ import annotations

import json
from pathlib import Path

from common.errors import ModelNotFound
from speech.base_model import EMBEDDED, find_directory, load_whisper
from speech.language_id.head import load_head
from speech.language_id.identifier import LanguageIdentifier
from speech.precision import Placement
from speech.wav2vec2.language_id import ARCHITECTURE, load_wav2vec2_identifier
from speech.whisper.language_id import WhisperLanguageIdentifier

_EMBEDDED_HEAD = Path(__file__).resolve().parent.parent.parent / "models" / "language-id"


def load_identifier(
    name: str, placement: Placement, temperature: float = 1.0
) -> LanguageIdentifier:
    """Load `name`: `embedded`, a directory in the hub's layout, or a hub id.

    `embedded` is the embedded base with the shipped head; a Whisper model by any other name
    identifies by its language token as it is.

    Args:
        name: of a Whisper model, or of a `Wav2Vec2ForSequenceClassification` such as MMS-LID's.
        placement: where its weights go.
        temperature: divides the logits of a model that brings no calibration of its own; above 1
            for one that is too sure of itself.

    Raises:
        ModelNotFound: nothing of that name can be read, or it identifies no languages.
    """
    if name == EMBEDDED:
        base = load_whisper(name)
        head, card = load_head(_EMBEDDED_HEAD, base)
        return WhisperLanguageIdentifier(base, placement, card.temperature, head)
    directory = find_directory(name)
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        family, architectures = config["model_type"], config.get("architectures") or ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelNotFound(f"model {name!r} has no readable config.json") from error
    if family == "whisper":
        return WhisperLanguageIdentifier(load_whisper(name), placement, temperature)
    if ARCHITECTURE in architectures:
        return load_wav2vec2_identifier(directory, name, placement, temperature)
    raise ModelNotFound(
        f"model {name!r} is a {', '.join(map(str, architectures)) or family:.80}, which identifies "
        f"no languages: give {EMBEDDED!r}, a Whisper model, or a {ARCHITECTURE} such as "
        "facebook/mms-lid-126"
    )
