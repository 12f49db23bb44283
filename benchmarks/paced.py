"""Paced streams: who says what when, how a level is judged. The same for every side.

A stream is one speaker who says clips of `tests/audio` one after another in one language, with
pauses of varying length between them. An utterance is one such clip. Its latency is from sending
its last speech (the last 10 ms within 40 dB of its loudest) to the arrival of its last text.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Protocol

import numpy as np

from benchmarks.processes import cpu_time
from benchmarks.report import quantile
from client.audio import open_audio
from client.demo import Clip
from client.errors import TranscriptionError
from client.latency import SendLog, speech_end_ms
from client.pacing import Pacer
from client.scoring import word_errors

RATE_HZ = 16_000
PIECE_MS = 40
"""As a browser or a telephone would send."""
PAUSE_MS = (800, 1600)
SPREAD_S = 5.0
"""Streams begin within so long of each other; what ends in it is not counted."""
PATIENCE_S = 15.0


@dataclass(frozen=True)
class Utterance:
    """A clip in a stream; ms from the stream's start, the pause after it up to `end_ms`."""

    text: str
    start_ms: int
    speech_end_ms: int
    end_ms: int


@dataclass(frozen=True)
class Script:
    """One stream: s16le at 16 kHz, begun `offset_s` after the level; all in one language."""

    language: str
    offset_s: float
    pcm: bytes
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True)
class Said:
    """A text that came back for a stretch of a stream, and when, on the monotonic clock."""

    start_ms: int
    end_ms: int
    text: str
    at_s: float


class Side(Protocol):
    """What recognises: one of those compared."""

    async def recognize(self, script: Script, pieces: AsyncIterator[bytes]) -> list[Said]:
        """All texts of a stream; raises TranscriptionError when it is not served."""


@dataclass(frozen=True)
class Level:
    """What a number of streams at once came to.

    Attributes:
        latency_ms: one per counted utterance, infinite where nothing came back.
        wrong, words: words wrong, and words said.
        errors: messages of the streams that broke off.
        cpu_s: CPU seconds per second of a stream, by process; the load generator is `benchmark`.
    """

    streams: int
    latency_ms: tuple[float, ...]
    wrong: int
    words: int
    errors: tuple[str, ...]
    cpu_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def wer(self) -> float:
        """Share of words wrong."""
        return self.wrong / max(1, self.words)

    def quantile_ms(self, share: float) -> float:
        """Nearest-rank quantile of the latency; infinite if there is none."""
        return quantile(self.latency_ms, share)

    def holds(self, bound_ms: float) -> bool:
        """Whether no stream broke off and 95% of the latencies are within `bound_ms`."""
        return not self.errors and self.quantile_ms(0.95) <= bound_ms

    def row(self) -> dict[str, Any]:
        """As it is written down."""
        unanswered = sum(map(math.isinf, self.latency_ms))

        def told(share: float) -> float | None:
            value = self.quantile_ms(share)
            return None if math.isinf(value) else round(value, 1)

        return {
            "streams": self.streams,
            "utterances": len(self.latency_ms),
            "latency_p50_ms": told(0.5),
            "latency_p95_ms": told(0.95),
            "latency_max_ms": told(1.0),
            "unanswered": unanswered,
            "errors": len(self.errors),
            "wer": round(self.wer, 4),
            "cpu_s_per_stream_s": dict(self.cpu_s),
        }


def scripts(clips: Sequence[Clip], n_streams: int, duration_s: float) -> list[Script]:
    """`n_streams` streams of about `duration_s`, always the same for the same arguments.

    Languages take turns among the streams. Clips in more than one language are left out.
    """
    spoken: dict[str, list[Clip]] = {}
    for clip in clips:
        if len(clip.languages) == 1:
            spoken.setdefault(clip.languages[0], []).append(clip)
    languages = cycle(sorted(spoken))
    return [
        _script(spoken[language], language, duration_s, random.Random(f"{number} of {n_streams}"))
        for number, language in zip(range(n_streams), languages, strict=False)
    ]


def _script(clips: list[Clip], language: str, duration_s: float, draw: random.Random) -> Script:
    offset_s = draw.uniform(0, SPREAD_S)
    pcm = bytearray()
    utterances = []
    order: list[Clip] = []
    while offset_s + _ms(pcm) / 1000 < duration_s:
        order = order or draw.sample(clips, len(clips))
        clip = order.pop()
        samples = _decoded(clip)
        start_ms = _ms(pcm)
        pcm += samples.tobytes() + bytes(2 * RATE_HZ // 1000 * draw.randint(*PAUSE_MS))
        speech_end = start_ms + speech_end_ms(samples, RATE_HZ)
        utterances.append(Utterance(clip.text, start_ms, speech_end, _ms(pcm)))
    return Script(language, offset_s, bytes(pcm), tuple(utterances))


def _ms(pcm: bytes | bytearray) -> int:
    return len(pcm) // 2 * 1000 // RATE_HZ


def _decoded(clip: Clip) -> np.ndarray[Any, np.dtype[np.int16]]:
    with open_audio(clip.path) as source:
        if source.format.sample_rate_hz != RATE_HZ:
            raise ValueError(f"{clip.path} has {source.format.sample_rate_hz} Hz; give {RATE_HZ}")
        return np.frombuffer(b"".join(source), np.int16)


async def measure(side: Side, streams: Sequence[Script]) -> Level:
    """All `streams` at once, in real time."""
    before = cpu_time()
    played = await asyncio.gather(*(_play(side, script) for script in streams))
    cpu_s = cpu_time().since(before)
    stream_s = sum(_ms(script.pcm) for script in streams) / 1000
    latency_ms = []
    wrong = words = 0
    for script, (log, texts, _) in zip(streams, played, strict=True):
        for utterance in script.utterances:
            if script.offset_s + utterance.speech_end_ms / 1000 < SPREAD_S:
                continue
            mine = [said for said in texts if _belongs(said, utterance)]
            errors, n_words = word_errors(utterance.text, " ".join(said.text for said in mine))
            wrong, words = wrong + errors, words + n_words
            came_s = max((said.at_s for said in mine), default=math.inf)
            latency_ms.append(1000 * (came_s - log.sent_at_s(utterance.speech_end_ms)))
    return Level(
        streams=len(streams),
        latency_ms=tuple(latency_ms),
        wrong=wrong,
        words=words,
        errors=tuple(error for _, _, error in played if error),
        cpu_s={name: round(used / stream_s, 4) for name, used in cpu_s.items()},
    )


def _belongs(said: Said, utterance: Utterance) -> bool:
    middle_ms = (said.start_ms + said.end_ms) / 2
    return utterance.start_ms <= middle_ms < utterance.end_ms


async def _play(side: Side, script: Script) -> tuple[SendLog, list[Said], str]:
    log = SendLog()
    await asyncio.sleep(script.offset_s)
    try:
        async with asyncio.timeout(_ms(script.pcm) / 1000 + PATIENCE_S):
            return log, await side.recognize(script, _microphone(script.pcm, log)), ""
    except (TranscriptionError, TimeoutError) as error:
        # What was never sent counts as unanswered.
        log.sent(math.inf, -math.inf)
        return log, [], str(error) or f"no end {PATIENCE_S:g} s after the audio"


async def _microphone(pcm: bytes, log: SendLog) -> AsyncIterator[bytes]:
    """The stream piece by piece, as slowly as it is spoken, noting when each left."""
    piece_bytes = 2 * RATE_HZ * PIECE_MS // 1000
    pacer = Pacer()
    for start in range(0, len(pcm), piece_bytes):
        piece = pcm[start : start + piece_bytes]
        until_ms = (start + len(piece)) * 500 / RATE_HZ
        await asyncio.sleep(pacer.delay_s(until_ms))
        log.sent(until_ms, time.monotonic())
        yield piece
