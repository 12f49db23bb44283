"""Step 4: a linear head that corrects what Whisper's language token says.

Whisper knows the sound of 99 languages in any voice, and hardly tells some from their neighbours
(Belarusian from Russian, Catalan from Spanish). What it knows stays: the head adds to its logits

    logits = scale * token_logits + weight @ state + bias

where `state` is the decoder's after `<|startoftranscript|>`, and `weight` is kept small.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from common.errors import ModelNotFound
from speech.base_model import BaseModel

WEIGHTS, CARD = "head.safetensors", "head.json"


@dataclass(frozen=True)
class LanguageHead:
    """The correction.

    Attributes:
        scale: float32 `[]`, of the token's own logits.
        weight: float32 `[n_class, d_model]`.
        bias: float32 `[n_class]`.
    """

    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, states: Tensor, token_logits: Tensor) -> Tensor:
        """Logits.

        Args:
            states: float32 `[batch, d_model]`, of the decoder.
            token_logits: float32 `[batch, n_class]`, of the language tokens and, last, silence.

        Returns:
            float32 `[batch, n_class]`.
        """
        return self.scale * token_logits + states @ self.weight.T + self.bias


@dataclass(frozen=True)
class HeadCard:
    """What `head.json` says.

    Attributes:
        languages: BCP-47 tags, in the order of the logits; the background comes after them.
        base_fingerprint: of the encoder of the model that it corrects.
        temperature: divides the logits, so that posteriors are calibrated.
        sha256: of the weights' file.
        training: how it came about, in words and figures.
    """

    languages: tuple[str, ...]
    base_fingerprint: str
    temperature: float
    sha256: str
    training: dict[str, object]


def serialise(head: LanguageHead, card: HeadCard) -> dict[str, bytes]:
    """The files of a head by name; the checksum in `card` becomes that of the weights."""
    weights = save({name: getattr(head, name).contiguous() for name in ("scale", "weight", "bias")})
    said = {**asdict(card), "sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps(said, ensure_ascii=False, indent=2) + "\n"
    return {WEIGHTS: weights, CARD: text.encode()}


def load_head(folder: Path, base: BaseModel) -> tuple[LanguageHead, HeadCard]:
    """The head in `folder`, for `base`.

    Raises:
        ModelNotFound: it is missing, damaged, or made for another model; the message says which.
    """
    try:
        content = json.loads((folder / CARD).read_text(encoding="utf-8"))
        card = HeadCard(**{**content, "languages": tuple(content["languages"])})
        weights = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelNotFound(
            f"no head for language identification can be read in {folder}"
        ) from error
    if card.base_fingerprint != base.fingerprint:
        raise ModelNotFound(
            f"the head in {folder} is for base {card.base_fingerprint:.15}…, and {base.name!r} is "
            f"{base.fingerprint:.15}…: train one for it, with `panglot language-id train`"
        )
    if hashlib.sha256(weights).hexdigest() != card.sha256:
        raise ModelNotFound(f"{folder / WEIGHTS} does not match its checksum: fetch it again")
    n_classes = len(card.languages) + 1
    try:
        head = LanguageHead(**load(weights))
    except (SafetensorError, TypeError) as error:
        raise ModelNotFound(f"{folder / WEIGHTS} holds no head") from error
    if head.weight.shape[0] != n_classes or head.bias.shape != (n_classes,):
        raise ModelNotFound(f"{folder / WEIGHTS} does not hold what its card says")
    return head, card
