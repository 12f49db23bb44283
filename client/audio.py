"""From any file to mono s16le at its own sample rate, piece by piece, never whole in memory.

PyAV reads wav, flac, mp3, ogg, opus, m4a, webm and whatever else FFmpeg knows; `.raw` and `.pcm`
are headerless samples. `-` is standard input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from client.errors import AudioFileError
from client.types import AudioFormat

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

PIECE_MS = 100
RAW_SUFFIXES = (".raw", ".pcm")
RAW_SAMPLE_RATE_HZ = 16_000


class AudioSource:
    """An open file: iterate it once for pieces of s16le mono audio.

    Attributes:
        name: as it was given.
        format: of the pieces.
        duration_ms: as far as the file says; None where it does not.
        warnings: filled while it is read, when damaged parts had to be left out.
    """

    def __init__(
        self,
        name: str,
        sample_rate_hz: int,
        duration_ms: int | None,
        pieces: Iterator[bytes],
        warnings: list[str],
    ) -> None:
        self.name = name
        self.format = AudioFormat(sample_rate_hz=sample_rate_hz)
        self.duration_ms = duration_ms
        self.warnings = warnings
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return _of_length(self._pieces, 2 * (self.format.sample_rate_hz * PIECE_MS // 1000))

    def duration_of(self, piece: bytes) -> float:
        """Milliseconds of sound in `piece`."""
        return len(piece) * 500 / self.format.sample_rate_hz


@contextmanager
def open_audio(path: str | Path, *, raw_sample_rate_hz: int | None = None) -> Iterator[AudioSource]:
    """Open a file and decode its beginning, so that whatever is wrong with it shows at once.

    Args:
        path: a file; `-` for standard input: raw PCM if `raw_sample_rate_hz` is given, else the
            bytes of a file.
        raw_sample_rate_hz: of `.raw`, `.pcm` and raw standard input; None: 16000.

    Raises:
        AudioFileError: it is missing, unreadable, empty, no audio, or damaged from the start.
    """
    name = str(path)
    warnings: list[str] = []
    if name == "-":
        stdin = sys.stdin.buffer
        if raw_sample_rate_hz is not None:
            source = _open_raw(name, stdin, raw_sample_rate_hz, None)
        else:
            source = _open_container(name, _Pipe(stdin), warnings)
    else:
        byte_count = _checked_size(Path(path))
        if Path(path).suffix.lower() in RAW_SUFFIXES:
            rate = raw_sample_rate_hz or RAW_SAMPLE_RATE_HZ
            file = Path(path).open("rb")  # noqa: SIM115 - closed by whoever reads it to the end
            source = _open_raw(name, file, rate, byte_count * 500 // rate)
        else:
            source = _open_container(name, f"file:{Path(path).absolute()}", warnings)
    try:
        yield source
    finally:
        # Fails only while another thread is decoding; that thread lets go of it soon after.
        with suppress(ValueError):
            source._pieces.close()  # type: ignore[attr-defined]


class _Pipe:
    """Standard input as PyAV wants it: readable as bytes come, and not seekable."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return _read_some(self._stream, size)


def _read_some(stream: BinaryIO, size: int) -> bytes:
    """At most `size` bytes, without waiting for all of them; empty at the end."""
    read1: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return read1(size)


def _checked_size(path: Path) -> int:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise AudioFileError(f"{path}: is a folder, not an audio file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioFileError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if size == 0 and path.is_file():
        raise AudioFileError(f"{path}: is empty")
    return size


def _open_raw(
    name: str, stream: BinaryIO, sample_rate_hz: int, duration_ms: int | None
) -> AudioSource:
    def pieces() -> Iterator[bytes]:
        try:
            while data := _read_some(stream, 64 * 1024):
                yield data
        finally:
            if stream is not sys.stdin.buffer:
                stream.close()

    return AudioSource(name, sample_rate_hz, duration_ms, pieces(), [])


def _open_container(name: str, file: str | _Pipe, warnings: list[str]) -> AudioSource:
    import av  # noqa: PLC0415 - a tenth of a second that only decoding needs
    import av.error  # noqa: PLC0415

    try:
        container = av.open(file, mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError):
        hint = "" if name != "-" else "; for raw PCM give its --sample-rate"
        raise AudioFileError(f"{name}: is not audio that can be read{hint}") from None
    if not container.streams.audio:
        container.close()
        raise AudioFileError(f"{name}: has no audio track")
    frames = _frames(container, warnings, name)
    try:
        first = next(frames, None)
    except OSError as error:
        raise AudioFileError(f"{name}: {error.strerror or error}") from None
    if first is None:
        problem = "is damaged: nothing in it could be decoded" if warnings else "holds no audio"
        raise AudioFileError(f"{name}: {problem}")
    duration_ms = container.duration // 1000 if container.duration else None
    rate = first.sample_rate
    return AudioSource(name, rate, duration_ms, _mono(first, frames, rate, name), warnings)


def _frames(container: InputContainer, warnings: list[str], name: str) -> Iterator[AudioFrame]:
    """All frames of the first audio track; what cannot be decoded is left out with a warning."""
    from av.error import FFmpegError  # noqa: PLC0415

    stream = container.streams.audio[0]
    decoded_s = 0.0
    packets = container.demux(stream)
    try:
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    stated_s = (container.duration or 0) / 1_000_000
                    if not warnings and decoded_s < min(0.9 * stated_s, stated_s - 0.5):
                        warnings.append(f"{name}: ends at {decoded_s:.1f} of {stated_s:.1f} s")
                    return
                frames = packet.decode()
            except FFmpegError:
                if not warnings:
                    warnings.append(f"{name}: damaged at {decoded_s:.1f} s; that part is left out")
                continue  # where it was the demuxer that gave up, `packets` has ended
            for frame in frames:
                decoded_s += frame.samples / frame.sample_rate
                yield frame
    finally:
        container.close()


def _mono(
    first: AudioFrame, frames: Iterator[AudioFrame], sample_rate_hz: int, name: str
) -> Iterator[bytes]:
    """Frames as mono s16le of one rate, also where the file changes its own on the way."""
    from av.audio.resampler import AudioResampler  # noqa: PLC0415
    from av.error import FFmpegError  # noqa: PLC0415

    def fresh() -> AudioResampler:
        return AudioResampler(format="s16", layout="mono", rate=sample_rate_hz)

    def samples(given: AudioFrame | None) -> bytes:
        if given is not None:
            given.pts = None
        return b"".join(out.to_ndarray().tobytes() for out in resampler.resample(given))

    def kind(frame: AudioFrame) -> tuple[str, str, int]:
        return frame.format.name, frame.layout.name, frame.sample_rate

    resampler, current = fresh(), kind(first)
    try:
        yield samples(first)
        for frame in frames:
            if kind(frame) != current:
                yield samples(None)
                resampler, current = fresh(), kind(frame)
            yield samples(frame)
        yield samples(None)
    except (FFmpegError, OSError) as error:
        raise AudioFileError(f"{name}: cannot be decoded: {error.strerror}") from None


def _of_length(pieces: Iterator[bytes], byte_count: int) -> Iterator[bytes]:
    """The same bytes in pieces of `byte_count`; the last may be shorter, and is whole samples."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= byte_count:
            yield bytes(held[:byte_count])
            del held[:byte_count]
    if whole := len(held) // 2 * 2:
        yield bytes(held[:whole])
