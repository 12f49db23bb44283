"""An adapter's card: what it is, what it fits, what it was taught with and how well it hears.

`card.json` stands beside `adapter.safetensors` in a directory of the store. Nothing is loaded whose
card does not match it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from common.adapter_files import CARD_FILE
from common.errors import AdapterNotFound, AdapterRefused
from speech.adapters.kinds import KindName

WEIGHTS_FILE = "adapter.safetensors"
LEXICON_FILE = "lexicon.bin"

_T = TypeVar("_T")


@dataclass(frozen=True)
class ErrorRate:
    """An error rate, 0 upward, with the bounds of its 95% bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """Word and character error rate of one path on the held-out clips."""

    wer: ErrorRate
    cer: ErrorRate


@dataclass(frozen=True)
class Evaluation:
    """What was measured on held-out speech; no sentence of it was trained or tuned on.

    Attributes:
        n_clip: clips judged.
        hours: their duration.
        adapter: as served: with the lexicon where there is one.
        greedy: the adapter's best path alone, which partials show.
        universal: Whisper's own decoder, beam 5, told the language, on the same clips.
    """

    n_clip: int
    hours: float
    adapter: Accuracy
    greedy: Accuracy
    universal: Accuracy | None


@dataclass(frozen=True)
class Training:
    """What the adapter was taught with.

    `hours` of speech; None where whoever taught it does not say.
    """

    sources: tuple[str, ...]
    licences: tuple[str, ...]
    hours: float | None
    strategy: str
    steps: int
    seed: int


@dataclass(frozen=True)
class LexiconSettings:
    """The lexicon beside the adapter, and how it is searched, tuned on the development split.

    Attributes:
        sha256: of `lexicon.bin`.
        lm_weight: of the language model's log10 probabilities.
        word_score: added for every word.
        beam_size: hypotheses kept in a frame.
        blank_penalty: nats taken from every frame's blank. CTC taught with little speech is too
            fond of blanks, and words would be left out.
        rescue_nats: a word whose letters lose more than this against the best letters is replaced
            by those.
    """

    sha256: str
    lm_weight: float
    word_score: float
    beam_size: int
    blank_penalty: float = 0.0
    rescue_nats: float = 12.0


@dataclass(frozen=True)
class Calibration:
    """Turns the raw confidence of a final's word into the probability that the word is right.

    Platt scaling: `sigmoid(slope * logit(confidence) + intercept)`. See `speech.calibration`.

    Raises:
        AdapterRefused: a value is not finite, or the slope is not above 0: then a word that was
            heard more surely would be less likely right.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope > 0 and math.isfinite(self.intercept)):
            raise AdapterRefused(
                f"calibration: slope {self.slope}, intercept {self.intercept}: both must be finite "
                "and the slope above 0: evaluate and publish it again"
            )


@dataclass(frozen=True)
class AdapterCard:
    """One version of one language's adapter.

    Attributes:
        id, version: together `<id>@<version>`, unique in the store.
        language: BCP-47 tag.
        kind: architecture of the adapter.
        rank, layers: its width, and the encoder layers it changes, counted from 0.
        vocabulary: symbol of each CTC class; index 0 is the blank, `" "` separates words.
        base_model, base_fingerprint: the encoder it was trained on, and can only run on.
        sha256: of `adapter.safetensors`.
        served_by: the path that serves finals: whichever has the lower held-out word error rate.
        calibration: of its words' confidence; None where it was never measured.
        published: when, ISO 8601 in UTC; None where nobody wrote it down, or it is not published.
    """

    id: str
    version: int
    language: str
    kind: KindName
    rank: int
    layers: tuple[int, ...]
    vocabulary: tuple[str, ...]
    base_model: str
    base_fingerprint: str
    sha256: str
    training: Training
    evaluation: Evaluation | None
    lexicon: LexiconSettings | None
    served_by: Literal["adapter", "universal"]
    calibration: Calibration | None = None
    published: str | None = None

    @property
    def key(self) -> str:
        """`<id>@<version>`."""
        return f"{self.id}@{self.version}"


def read_card(directory: Path) -> AdapterCard:
    """Read `card.json` of a directory; raises as `parse_card` does, AdapterNotFound without one."""
    try:
        content = (directory / CARD_FILE).read_bytes()
    except OSError as error:
        raise AdapterNotFound(f"adapter {directory.name!r} has no {CARD_FILE}") from error
    return parse_card(content, directory.name)


def parse_card(content: bytes, name: str) -> AdapterCard:
    """The card of the adapter in folder `name`.

    Raises:
        AdapterRefused: it is not JSON, or a field is missing or of the wrong type.
    """
    try:
        document = json.loads(content)
    except ValueError as error:
        raise AdapterRefused(f"adapter {name!r}: {CARD_FILE} cannot be read as JSON") from error
    return _parse(AdapterCard, document, name)


def card_bytes(card: AdapterCard) -> bytes:
    """The content of `card.json`; `parse_card` reads it."""
    text = json.dumps(dataclasses.asdict(card), ensure_ascii=False, indent=2) + "\n"
    return text.encode()


def write_card(card: AdapterCard, directory: Path) -> None:
    """Write `card.json` whole or not at all."""
    scratch = directory / f".{CARD_FILE}.new"
    scratch.write_bytes(card_bytes(card))
    scratch.replace(directory / CARD_FILE)


def check_sum(card: AdapterCard, file: str, content: bytes, expected: str) -> None:
    """Raises AdapterRefused unless the sha256 of `content` is `expected`."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise AdapterRefused(
            f"adapter {card.key}: sha256 of {file} is {found[:12]}…, its card says "
            f"{expected[:12]}…: publish it again"
        )


def _parse(kind: type[_T], document: Any, where: str) -> _T:
    if not isinstance(document, dict):
        raise AdapterRefused(f"card of {where}: expected an object, found {document!r:.40}")
    hints = get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name not in document:
            if field.default is not dataclasses.MISSING:
                continue
            raise AdapterRefused(f"card of {where}: field {field.name!r} is missing")
        name = f"{where}.{field.name}"
        values[field.name] = _value(hints[field.name], document[field.name], name)
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _parse(hint, value, where)  # type: ignore[arg-type]
    arguments = get_args(hint)
    if type(None) in arguments:
        return None if value is None else _value(arguments[0], value, where)
    origin = get_origin(hint)
    if origin is Literal:
        fits = value in arguments
    elif origin is tuple:
        fits = isinstance(value, list) and all(type(item) is arguments[0] for item in value)
        value = tuple(value) if fits else value
    elif hint is float:
        fits = type(value) in (int, float)
    else:
        fits = type(value) is hint
    if not fits:
        raise AdapterRefused(f"card of {where}: {value!r:.60} is not of the type expected")
    return value
