"""Step 2: the bytes of a wav, flac, mp3, ogg, opus, m4a or webm file to samples, as they arrive.

FFmpeg pulls its bytes and blocks while there are none, so each stream with a container has one
thread that demuxes and decodes, tied to the event loop by the two queues of `gateway.handover`.
Closing both ends the thread within one packet.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import closing
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from common.errors import CorruptAudio, LimitExceeded
from gateway.handover import INBOX_BYTES, AbandonedError, Inbox, Outbox

FloatArray = npt.NDArray[np.float32]
Block = tuple[int, FloatArray]
"""Sample rate in Hz, and mono samples `[n]`, n > 0, in [-1, 1]."""

RETAINED_BYTES = 64 * 1024 * 1024
DAMAGED_PACKETS = 16
"""In a row; with more, what is there is not audio."""

_OPTIONS = {
    # FFmpeg knows formats that are lists of addresses (HLS, concat) and would open them for the
    # sender. Only these are recognised, and none of them may open anything but our bytes.
    "format_whitelist": "wav,flac,mp3,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2",
    "protocol_whitelist": "",
    # By default seconds of audio are held back to guess at what these formats state up front.
    # (16 and 24-bit wav still is for its first 64 KiB: FFmpeg looks for compressed audio in it.)
    "probesize": "8192",
    "analyzeduration": "100000",
}


async def decode_container(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Block, None]:
    """Step 2: the audio of a file, block by block as its codec cuts it.

    Nothing is retained but for m4a files whose index comes last, which cannot be read forward:
    those are kept up to 64 MiB and decoded when complete. Bytes after the end of the file are read
    and dropped. Yields nothing if `chunks` held no bytes.

    Raises:
        CorruptAudio: an unknown format, no audio track, or a file damaged beyond single packets
            or cut off; what was decodable before has been yielded. That a file stops short shows
            only where its last packet is incomplete.
        LimitExceeded: an m4a file over 64 MiB whose index comes last.
    """
    head, retain = await _head(chunks)
    if not head:
        return
    inbox, outbox = Inbox(), Outbox[Block]()
    source: io.BytesIO | Inbox = inbox
    if retain:
        source, head = io.BytesIO(await _whole(head, chunks)), b""
    pump = asyncio.create_task(_pump(head, chunks, inbox, outbox))
    thread = threading.Thread(target=_decode, args=(source, inbox, outbox), daemon=True)
    thread.start()
    try:
        while (block := await outbox.get()) is not None:
            yield block
        await pump
    finally:
        pump.cancel()
        inbox.close()
        outbox.close()
        await asyncio.gather(pump, outbox.left.wait(), return_exceptions=True)
        thread.join()  # It has nothing more to do: it said so by `left`.


async def _head(chunks: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """The first bytes, and whether the file they begin must be kept whole."""
    head = bytearray()
    async for chunk in chunks:
        head += chunk
        if (retain := _index_comes_last(head)) is not None:
            return bytes(head), retain
    return bytes(head), False


def _index_comes_last(head: bytearray) -> bool | None:
    """Whether an mp4 family file has its media before its index; None: more bytes are needed.

    Such a file is a row of boxes, each a 32-bit size and a name, `ftyp` first (ISO/IEC 14496-12,
    4.2). Files made for streaming, and fragmented ones from browsers, put `moov` before `mdat`.
    """
    at = 0
    while len(head) >= at + 8:
        size, name = int.from_bytes(head[at : at + 4]), bytes(head[at + 4 : at + 8])
        if at == 0 and name != b"ftyp":
            return False
        if name == b"moov":
            return False
        if name == b"mdat" or size < 8 or at + size > INBOX_BYTES:
            return True
        at += size
    return None


async def _whole(head: bytes, chunks: AsyncIterator[bytes]) -> bytes:
    data = bytearray(head)
    async for chunk in chunks:
        data += chunk
        if len(data) > RETAINED_BYTES:
            raise LimitExceeded(
                f"the file is over {RETAINED_BYTES >> 20} MiB and its index comes last; write it "
                "with the index first (ffmpeg -movflags +faststart), or send webm, ogg or flac"
            )
    return bytes(data)


async def _pump(
    head: bytes, chunks: AsyncIterator[bytes], inbox: Inbox, outbox: Outbox[Block]
) -> None:
    """Move the client's bytes to the thread; what `chunks` raises reaches who reads the samples."""
    try:
        await inbox.put(head)
        async for chunk in chunks:
            await inbox.put(chunk)
        inbox.end()
    except Exception as error:
        outbox.post(error)


def _decode(source: io.BytesIO | Inbox, inbox: Inbox, outbox: Outbox[Block]) -> None:
    """The thread."""
    try:
        with closing(_blocks(source)) as blocks:
            for block in blocks:
                outbox.put(block)
        outbox.post(None)
    except AbandonedError:
        pass
    except Exception as error:
        outbox.post(error)
    finally:
        inbox.close()
        outbox.leave()


def _blocks(source: io.BytesIO | Inbox) -> Generator[Block, None, None]:
    seconds = 0.0
    try:
        with av.open(source, "r", container_options=_OPTIONS, metadata_errors="replace") as file:
            if not file.streams.audio:
                raise CorruptAudio("the file has no audio track; send one that has")
            for frame in _frames(file):
                yield frame.sample_rate, _mono(frame)
                seconds += frame.samples / frame.sample_rate
    except av.FFmpegError as error:
        if seconds:
            raise CorruptAudio(
                f"the file is damaged or cut off after {seconds:.1f} s of audio; send it again"
            ) from error
        raise CorruptAudio(
            "the audio cannot be read as a file; send wav, flac, mp3, ogg, opus, m4a or webm from "
            "its first byte, or name the raw encoding in config.audio.encoding"
        ) from error
    if not seconds:
        raise CorruptAudio("the file ends before its first sample; send all of it")


def _frames(file: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """All frames that hold samples. One damaged packet costs its own 20 ms, not the stream."""
    damaged = 0
    for packet in file.demux(file.streams.audio[0]):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            damaged += 1
            last_error = error
            if damaged > DAMAGED_PACKETS:
                raise
            continue
        if packet.size:  # The empty packet at the end only fetches what the decoder holds back.
            damaged = 0
        yield from (frame for frame in frames if frame.samples)
    # An mp3 has no end but its last frame, and commonly tags and other junk after it.
    if damaged and file.format.name != "mp3":
        raise last_error


def _mono(frame: av.AudioFrame) -> FloatArray:
    """The mean of the channels, `[n]`."""
    samples: npt.NDArray[Any] = (
        frame.to_ndarray()
    )  # planar: [channels, n]; packed: [1, n * channels]
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    elif not np.isfinite(samples).all():
        raise CorruptAudio("a sample of the file is not a finite number")
    mono: FloatArray = np.clip(samples, -1.0, 1.0).mean(axis=0).astype(np.float32)
    return mono
