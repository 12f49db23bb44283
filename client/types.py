"""The client's vocabulary, as values: what is asked for, and what comes back.

Times are integer milliseconds from the first sample of the stream. Languages are BCP-47 tags.
Confidences and probabilities lie in 0 to 1; None means that the server gave none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

MIN_WEIGHT, MAX_WEIGHT = 0.001, 1000.0
"""Of a hint."""


class Encoding(Enum):
    """How audio bytes are to be read; values are those of `AudioEncoding` on the wire."""

    PCM_S16LE = 1
    PCM_F32LE = 2
    MULAW = 3
    ALAW = 4
    CONTAINER = 5


@dataclass(frozen=True)
class AudioFormat:
    """Audio as it is sent: by default 16 kHz mono, signed 16-bit little-endian.

    Attributes:
        encoding: `CONTAINER` means the bytes of a file, recognised by their content.
        sample_rate_hz: 8000 to 192000; ignored for containers.
        channel_count: interleaved channels, 1 to 8, mixed down to one; ignored for containers.
    """

    encoding: Encoding = Encoding.PCM_S16LE
    sample_rate_hz: int = 16_000
    channel_count: int = 1


@dataclass(frozen=True)
class LanguageSelection:
    """Which languages to listen for. With neither `language` nor `candidates`, every known one.

    Put among the pieces of audio, it replaces the languages of the stream from there on, without a
    new connection: a segment that is open keeps what it began with.

    Attributes:
        language: all that is said is in this language; nothing is identified.
        candidates: the languages that may be spoken; speech is identified among them.
        hints: how likely a language is beforehand, against 1 for one that is not named: 4 is four
            times as likely, 0.25 a quarter; 0.001 to 1000. With candidates, only for them.

    Raises:
        ValueError: `language` is given and so are `candidates` or `hints`; a weight is out of
            bounds. Tags are the server's to judge.
    """

    language: str | None = None
    candidates: tuple[str, ...] = ()
    hints: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.language is not None and self.candidates:
            raise ValueError("give either a language or candidates, not both")
        if self.language is not None and self.hints:
            raise ValueError("give either a language or hints, not both")
        for tag, weight in self.hints.items():
            if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
                raise ValueError(
                    f"the hint for {tag!r} weighs {weight:g}: give {MIN_WEIGHT:g} to {MAX_WEIGHT:g}"
                )


Piece = bytes | LanguageSelection
"""What a stream is made of."""


@dataclass(frozen=True)
class Options:
    """How to listen.

    Attributes:
        language, candidates, hints: which languages, as in `LanguageSelection`.
        partial_results: whether `Partial` events are wanted.
        end_silence_ms: silence that ends a segment, 100 to 5000; None: the server's default.
        max_segment_ms: longest segment, 2000 to 28000; None: the server's default.
        boosted_phrases: names and terms that are likely to be said, as they should be read; at most
            100, each of 1 to 100 characters. They count in finals, where the language's adapter has
            a lexicon or the universal decoder serves it.

    Raises:
        ValueError: as `LanguageSelection` does.
    """

    language: str | None = None
    candidates: tuple[str, ...] = ()
    partial_results: bool = True
    end_silence_ms: int | None = None
    max_segment_ms: int | None = None
    boosted_phrases: tuple[str, ...] = ()
    hints: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.selection()

    def selection(self) -> LanguageSelection:
        """Its languages alone."""
        return LanguageSelection(self.language, self.candidates, self.hints)


@dataclass(frozen=True)
class Word:
    """One word; `confidence` only in a final."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None
    language: str


@dataclass(frozen=True)
class ZeroShot:
    """A language was never taught: what it is heard by is of this relative. Expect many errors.

    Attributes:
        language: of the relative; the words are spelt as in that one.
        name: of the relative, in English.
        similarity: of the two languages, 0 to 1; None where the operator chose the relative.
    """

    language: str
    name: str
    similarity: float | None


@dataclass(frozen=True)
class LanguageSpan:
    """A stretch of a segment in one language; the last four as in `Segment`."""

    start_ms: int
    end_ms: int
    language: str
    adapter: str
    language_probability: float | None
    zero_shot: ZeroShot | None = None


@dataclass(frozen=True)
class Segment:
    """One stretch of speech between two silences, so far or for good.

    Attributes:
        number: counts the stream's segments from 0.
        language: of most of the segment; `spans` and `words` tell of all.
        adapter: what produced the text in it: `<adapter id>@<version>` or `universal`.
        stable_words: leading words that are unlikely to change; in a final, all.
        language_probability: None also when the caller fixed the language.
        spans: the segment by language, in order and without gaps; most have one.
        zero_shot: whose `adapter` is, where nothing serves `language` itself.
    """

    number: int
    start_ms: int
    end_ms: int
    language: str
    text: str
    confidence: float | None
    adapter: str
    words: tuple[Word, ...]
    stable_words: int = 0
    language_probability: float | None = None
    spans: tuple[LanguageSpan, ...] = ()
    zero_shot: ZeroShot | None = None


@dataclass(frozen=True)
class Language:
    """A language that can be asked for.

    Attributes:
        served_by: `<adapter id>@<version>` or `universal`.
        held_out_wer: 0 upward; None where nobody measured it.
        zero_shot: whose `served_by` is, where nothing serves the language itself.
    """

    tag: str
    name: str
    served_by: str
    held_out_wer: float | None
    zero_shot: ZeroShot | None = None


@dataclass(frozen=True)
class Started:
    """The server accepted the stream.

    Attributes:
        stream_id: names it in the server's logs.
        zero_shot: of the languages that were named, those that only a relative serves.
    """

    stream_id: str
    zero_shot: tuple[Language, ...] = ()


@dataclass(frozen=True)
class Partial:
    """What was heard of the current segment so far; replaces the partial before it."""

    segment: Segment


@dataclass(frozen=True)
class Final:
    """What was heard in a segment, for good."""

    segment: Segment


@dataclass(frozen=True)
class LanguageChange:
    """Another language is spoken from `start_ms` on than the one in which words were shown.

    Words of `segment` shown so far that end after `start_ms` are void, also stable ones; those
    before them hold. The next partial shows both what holds and what is new.
    """

    segment: int
    start_ms: int
    previous_language: str | None
    language: str
    probability: float


@dataclass(frozen=True)
class Ended:
    """The last event: how much was heard."""

    audio_ms: int
    speech_ms: int
    segment_count: int


Event = Started | Partial | Final | LanguageChange | Ended


@dataclass(frozen=True)
class FileTranscript:
    """All of one file.

    Attributes:
        file: its name as it was given; `-` is standard input.
        duration_ms: of the audio.
        warnings: what was wrong with the file and could be worked around, for a person to read.
    """

    file: str
    duration_ms: int
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Worker:
    """One worker of the fleet.

    Attributes:
        resident_adapters: `<adapter id>@<version>`, most recently used first.
        base_model, base_fingerprint: what it runs, and of which adapters fit it; empty: not told.
        max_spans: how many it takes at once, now: fewer than it may while its finals are late.
        universal: it can serve languages without an adapter.
    """

    worker_id: str
    address: str
    resident_adapters: tuple[str, ...]
    slot_count: int
    active_spans: int
    max_spans: int
    draining: bool
    memory_bytes: int
    adapter_hits: int
    adapter_misses: int
    base_model: str
    base_fingerprint: str
    universal: bool


@dataclass(frozen=True)
class Fleet:
    """All workers; if not `registry_available`, as they were last known."""

    workers: tuple[Worker, ...]
    registry_available: bool
