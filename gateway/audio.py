"""Step 2: any accepted audio to 16 kHz mono, as it arrives.

Raw samples are decoded here, with numpy; files are handed to `gateway.container`. Both end in one
streaming resampler, so what follows sees one sample clock whatever the client sent.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr
from panglot.v1 import transcription_pb2

from common.errors import CorruptAudio, InvalidRequest, UnsupportedAudio
from gateway.container import decode_container

SAMPLE_RATE_HZ = 16_000
MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000
MAX_CHANNELS = 8

FloatArray = npt.NDArray[np.float32]


class Encoding(enum.Enum):
    """How the client's bytes are to be read."""

    PCM_S16LE = "pcm_s16le"
    PCM_F32LE = "pcm_f32le"
    MULAW = "mulaw"
    ALAW = "alaw"
    CONTAINER = "container"


@dataclass(frozen=True)
class AudioSpec:
    """What the client said it sends; rate and channels mean nothing for a container."""

    encoding: Encoding
    sample_rate_hz: int = SAMPLE_RATE_HZ
    channel_count: int = 1


_FROM_WIRE = {
    transcription_pb2.AUDIO_ENCODING_PCM_S16LE: Encoding.PCM_S16LE,
    transcription_pb2.AUDIO_ENCODING_PCM_F32LE: Encoding.PCM_F32LE,
    transcription_pb2.AUDIO_ENCODING_MULAW: Encoding.MULAW,
    transcription_pb2.AUDIO_ENCODING_ALAW: Encoding.ALAW,
    transcription_pb2.AUDIO_ENCODING_CONTAINER: Encoding.CONTAINER,
}


def audio_spec(audio: transcription_pb2.AudioFormat) -> AudioSpec:
    """Step 2: the checked form of `StreamConfig.audio`.

    Raises:
        UnsupportedAudio: an encoding, rate or channel count outside the limits; names the field.
    """
    encoding = _FROM_WIRE.get(audio.encoding)
    if encoding is None:
        known = ", ".join(kind.name for kind in Encoding)
        given = f"is {audio.encoding}" if audio.encoding else "is unset"
        raise UnsupportedAudio(f"config.audio.encoding {given}; give one of {known}")
    if encoding is Encoding.CONTAINER:
        return AudioSpec(encoding)
    if not MIN_SAMPLE_RATE_HZ <= audio.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise UnsupportedAudio(
            f"config.audio.sample_rate_hz is {audio.sample_rate_hz}; "
            f"give {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ}"
        )
    channel_count = audio.channel_count if audio.HasField("channel_count") else 1
    if not 1 <= channel_count <= MAX_CHANNELS:
        raise UnsupportedAudio(
            f"config.audio.channel_count is {channel_count}; give 1 to {MAX_CHANNELS}"
        )
    return AudioSpec(encoding, audio.sample_rate_hz, channel_count)


async def pcm_16k(
    audio_format: AudioSpec, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[FloatArray, None]:
    """Step 2: samples `[n]`, float32 in [-1, 1], 16 kHz mono; n > 0, at most a few seconds.

    How the bytes are cut into chunks makes no difference to the samples. The resampler looks
    ahead, so its output lags its input by about 20 ms from 44.1 and 48 kHz, 65 ms from 8 kHz, and
    not at all from 16 kHz. Close the generator (`contextlib.aclosing`) to release a container's
    thread at once; `chunks` itself stays the caller's.

    Raises:
        CorruptAudio: bytes that are not what the format says. What came before has been yielded.
        LimitExceeded: a file that has to be kept whole and is too large.
        InvalidRequest: `chunks` ended and held no audio.
    """
    is_file = audio_format.encoding is Encoding.CONTAINER
    decoded = decode_container(chunks) if is_file else _decode_raw(audio_format, chunks)
    resampler: _Resampler | None = None
    heard = False
    async with aclosing(decoded):
        async for sample_rate_hz, samples in decoded:
            heard = True
            if resampler is None or resampler.sample_rate_hz != sample_rate_hz:
                # Chained ogg files may change their rate between one track and the next.
                if resampler is not None and (tail := resampler.flush()).size:
                    yield tail
                resampler = _Resampler(sample_rate_hz)
            if (resampled := resampler.feed(samples)).size:
                yield resampled
    if resampler is not None and (tail := resampler.flush()).size:
        yield tail
    if not heard:
        raise InvalidRequest("no audio was sent: the stream ended before its first sample")


class _Resampler:
    """Float32 `[n]` at one rate to float32 `[m]` at 16 kHz, in [-1, 1]."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._stream = (
            None
            if sample_rate_hz == SAMPLE_RATE_HZ
            else soxr.ResampleStream(sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
        )

    def feed(self, samples: FloatArray) -> FloatArray:
        return self._resample(samples, last=False)

    def flush(self) -> FloatArray:
        return self._resample(np.zeros(0, np.float32), last=True)

    def _resample(self, samples: FloatArray, last: bool) -> FloatArray:
        if self._stream is not None:
            samples = self._stream.resample_chunk(samples, last=last)
        # Filters ring: a full-scale square wave comes out above 1.
        return np.clip(samples, -1.0, 1.0)


async def _decode_raw(
    audio_format: AudioSpec, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[tuple[int, FloatArray], None]:
    """Rate and mono samples of each stretch; a sample cut by a message waits for its rest."""
    sample_bytes, decode = _RAW[audio_format.encoding]
    frame_bytes = sample_bytes * audio_format.channel_count
    # One large message must not become one large stretch: everything behind takes its turn per
    # stretch, and so do the other streams of this process.
    most_bytes = frame_bytes * audio_format.sample_rate_hz
    rest = b""
    async for chunk in chunks:
        data = rest + chunk
        whole = len(data) - len(data) % frame_bytes
        for at in range(0, whole, most_bytes):
            samples = decode(data[at : min(at + most_bytes, whole)])
            mono = samples.reshape(-1, audio_format.channel_count).mean(axis=1, dtype=np.float32)
            yield audio_format.sample_rate_hz, mono
        rest = data[whole:]
    if rest:
        raise CorruptAudio(
            f"the audio ends in the middle of a sample: {len(rest)} of the {frame_bytes} bytes of "
            f"{audio_format.channel_count} x {audio_format.encoding.name} were sent"
        )


def _decode_s16(data: bytes) -> FloatArray:
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def _decode_f32(data: bytes) -> FloatArray:
    samples = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.isfinite(samples).all():
        raise CorruptAudio(
            "a PCM_F32LE sample is not a finite number; send samples in [-1, 1], little-endian"
        )
    # Before channels are added up: two samples near the largest float would overflow.
    return np.clip(samples, -1.0, 1.0)


def _mulaw_table() -> FloatArray:
    """The 256 mu-law codes as float32 in [-1, 1] (ITU-T G.711, table 2)."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent = ((code >> 4) & 7).astype(np.int32)
    mantissa = (code & 0x0F).astype(np.int32)
    magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / 32768).astype(np.float32)


def _alaw_table() -> FloatArray:
    """The 256 A-law codes as float32 in [-1, 1] (ITU-T G.711, table 1)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = ((code >> 4) & 7).astype(np.int32)
    mantissa = ((code & 0x0F).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent, (mantissa + 0x100) << np.maximum(exponent - 1, 0), mantissa)
    return (np.where(code & 0x80, magnitude, -magnitude) / 32768).astype(np.float32)


_MULAW = _mulaw_table()
_ALAW = _alaw_table()

# Bytes per sample, and the decoder of whole samples.
_RAW: dict[Encoding, tuple[int, Callable[[bytes], FloatArray]]] = {
    Encoding.PCM_S16LE: (2, _decode_s16),
    Encoding.PCM_F32LE: (4, _decode_f32),
    Encoding.MULAW: (1, lambda data: _MULAW[np.frombuffer(data, np.uint8)]),
    Encoding.ALAW: (1, lambda data: _ALAW[np.frombuffer(data, np.uint8)]),
}
