"""Step 2: any format, any chunking: the same samples, or an error of ours; and no thread stays."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panglot.v1 import transcription_pb2 as pb

from common.errors import CorruptAudio, InvalidRequest, LimitExceeded, UnsupportedAudio
from gateway import container
from gateway.audio import AudioSpec, Encoding, audio_spec, pcm_16k

FloatArray = npt.NDArray[np.float32]

FILE = AudioSpec(Encoding.CONTAINER)
TONE_HZ = 440


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # asyncio's own executor is not ours.
    left = [t for t in threading.enumerate() if t not in before and "asyncio" not in t.name]
    assert left == []


def tone(seconds: float, rate: int) -> FloatArray:
    return (0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


def encode(
    format_name: str, codec: str, rate: int, seconds: float = 1.0, options: str = ""
) -> bytes:
    """A tone as a file."""
    data = io.BytesIO()
    with av.open(
        data, "w", format=format_name, container_options={"movflags": options} if options else {}
    ) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(tone(seconds, rate)[None], "fltp", "mono")
        frame.sample_rate = rate
        frame.pts = 0
        resampler = av.AudioResampler(
            stream.format, "mono", rate, stream.codec_context.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return data.getvalue()


FILES = {
    "wav": ("wav", "pcm_s16le", 22_050, ""),
    "wav-24": ("wav", "pcm_s24le", 48_000, ""),
    "wav-float": ("wav", "pcm_f32le", 16_000, ""),
    "wav-u8": ("wav", "pcm_u8", 16_000, ""),
    "flac": ("flac", "flac", 44_100, ""),
    "mp3": ("mp3", "libmp3lame", 44_100, ""),
    "opus": ("ogg", "libopus", 48_000, ""),
    "webm": ("webm", "libopus", 48_000, ""),
    "m4a-index-last": ("ipod", "aac", 44_100, ""),
    "m4a-index-first": ("ipod", "aac", 44_100, "faststart"),
    "m4a-fragmented": ("mp4", "aac", 44_100, "frag_keyframe+empty_moov"),
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    out = {}
    for name, (format_name, codec, rate, options) in FILES.items():
        if options == "faststart":
            # The muxer moves the index only in a file it can reopen: move it by hand instead.
            data = index_first(encode(format_name, codec, rate))
        else:
            data = encode(format_name, codec, rate, options=options)
        out[name] = data
    return out


def index_first(data: bytes) -> bytes:
    boxes: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        boxes[data[at + 4 : at + 8]] = data[at : at + size]
        at += size
    moov, grown = bytearray(boxes[b"moov"]), len(boxes[b"moov"])
    table = moov.index(b"stco") + 4
    count = int.from_bytes(moov[table + 4 : table + 8])
    for entry in range(table + 8, table + 8 + 4 * count, 4):
        offset = int.from_bytes(moov[entry : entry + 4]) + grown
        moov[entry : entry + 4] = offset.to_bytes(4)
    rest = b"".join(box for name, box in boxes.items() if name not in (b"ftyp", b"moov"))
    return boxes[b"ftyp"] + bytes(moov) + rest


async def chunked(data: bytes, sizes: list[int] | None = None) -> AsyncGenerator[bytes, None]:
    sizes, at, turn = sizes or [997], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


async def collect(spec: AudioSpec, chunks: AsyncIterator[bytes]) -> FloatArray:
    blocks = []
    async for block in pcm_16k(spec, chunks):
        assert block.dtype == np.float32
        assert block.ndim == 1
        assert block.size > 0
        blocks.append(block)
    return np.concatenate(blocks)


async def until_error(
    spec: AudioSpec, chunks: AsyncIterator[bytes]
) -> tuple[int, InvalidRequest | LimitExceeded]:
    """Samples yielded before the error, and the error."""
    count = 0
    try:
        async for block in pcm_16k(spec, chunks):
            count += block.size
    except (InvalidRequest, LimitExceeded) as error:
        return count, error
    raise AssertionError(f"no error, {count} samples")


def assert_tone(samples: FloatArray, seconds: float, tolerance_s: float) -> None:
    assert abs(len(samples) / 16_000 - seconds) <= tolerance_s
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    peak_hz = float(np.argmax(spectrum)) * 16_000 / len(middle)
    assert abs(peak_hz - TONE_HZ) < 4
    assert abs(float(np.sqrt(2 * np.mean(middle**2))) - 0.5) < 0.05


# Validation


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({}, "config.audio.encoding is unset"),
        ({"encoding": 99, "sample_rate_hz": 16_000}, "config.audio.encoding is 99"),
        (
            {"encoding": pb.AUDIO_ENCODING_PCM_S16LE, "sample_rate_hz": 4_000},
            "config.audio.sample_rate_hz is 4000; give 8000 to 192000",
        ),
        ({"encoding": pb.AUDIO_ENCODING_MULAW}, "config.audio.sample_rate_hz is 0"),
        (
            {
                "encoding": pb.AUDIO_ENCODING_PCM_F32LE,
                "sample_rate_hz": 8_000,
                "channel_count": 9,
            },
            "config.audio.channel_count is 9; give 1 to 8",
        ),
        (
            {
                "encoding": pb.AUDIO_ENCODING_PCM_F32LE,
                "sample_rate_hz": 8_000,
                "channel_count": 0,
            },
            "config.audio.channel_count is 0",
        ),
    ],
)
def test_refused_formats_name_field_value_and_limit(wire: dict[str, int], message: str) -> None:
    with pytest.raises(UnsupportedAudio, match=message):
        audio_spec(pb.AudioFormat(**wire))  # type: ignore[arg-type]


def test_accepted_formats() -> None:
    raw = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_ALAW, sample_rate_hz=192_000, channel_count=8)
    assert audio_spec(raw) == AudioSpec(Encoding.ALAW, 192_000, 8)
    mono = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=8_000)
    assert audio_spec(mono) == AudioSpec(Encoding.PCM_S16LE, 8_000, 1)
    file = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_CONTAINER, sample_rate_hz=7)
    assert audio_spec(file) == FILE


# Raw samples


async def test_s16_at_16k_is_only_scaled() -> None:
    data = struct.pack("<4h", 0, 16_384, -32_768, 32_767)
    samples = await collect(AudioSpec(Encoding.PCM_S16LE), chunked(data))
    np.testing.assert_array_equal(samples, np.array([0, 0.5, -1, 32_767 / 32_768], np.float32))


async def test_channels_are_averaged() -> None:
    data = np.array([[1.0, 0.0, 0.5], [3e38, 3e38, 3e38]], np.float32).tobytes()
    samples = await collect(AudioSpec(Encoding.PCM_F32LE, 16_000, 3), chunked(data))
    np.testing.assert_allclose(samples, [0.5, 1.0])


@pytest.mark.parametrize(
    ("encoding", "codec"), [(Encoding.MULAW, "pcm_mulaw"), (Encoding.ALAW, "pcm_alaw")]
)
async def test_g711_tables_equal_ffmpeg_for_every_code(encoding: Encoding, codec: str) -> None:
    codes = bytes(range(256))
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 16_000, "mono"
    frames = decoder.decode(av.Packet(codes))
    samples = await collect(AudioSpec(encoding), chunked(codes))
    np.testing.assert_array_equal(samples * 32_768, frames[0].to_ndarray()[0])


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 192_000])
async def test_resampled_tone(rate: int) -> None:
    spec = AudioSpec(Encoding.PCM_F32LE, rate)
    samples = await collect(spec, chunked(tone(1.0, rate).tobytes()))
    assert_tone(samples, seconds=1.0, tolerance_s=1 / 16_000)
    ideal = tone(1.0, 16_000)
    assert float(np.abs(samples - ideal)[2_000:-2_000].max()) < 1e-3


async def test_output_stays_within_full_scale() -> None:
    square = np.sign(tone(0.5, 48_000)).astype(np.float32)
    samples = await collect(AudioSpec(Encoding.PCM_F32LE, 48_000), chunked(square.tobytes()))
    assert float(np.abs(samples).max()) == 1.0


@settings(max_examples=40, deadline=None)
@given(
    encoding=st.sampled_from([Encoding.PCM_S16LE, Encoding.PCM_F32LE, Encoding.MULAW]),
    rate=st.sampled_from([8_000, 16_000, 44_100]),
    channels=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=5),
)
def test_chunking_of_raw_samples_changes_nothing(
    encoding: Encoding, rate: int, channels: int, sizes: list[int]
) -> None:
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (1_500, channels)).astype(np.float32)
    data = {
        Encoding.PCM_S16LE: (noise * 32_767).astype("<i2").tobytes(),
        Encoding.PCM_F32LE: noise.tobytes(),
        Encoding.MULAW: (noise * 127).astype(np.int8).tobytes(),
    }[encoding]
    spec = AudioSpec(encoding, rate, channels)
    whole = asyncio.run(collect(spec, chunked(data, [len(data)])))
    pieces = asyncio.run(collect(spec, chunked(data, sizes)))
    np.testing.assert_array_equal(pieces, whole)


async def test_a_large_message_comes_out_in_pieces() -> None:
    data = tone(5.0, 16_000).tobytes()
    blocks = [b async for b in pcm_16k(AudioSpec(Encoding.PCM_F32LE), chunked(data, [10**9]))]
    assert [block.size for block in blocks] == [16_000] * 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
async def test_non_finite_sample_is_corrupt(bad: float) -> None:
    data = np.array([0.1, bad, 0.1], np.float32).tobytes()
    _, error = await until_error(AudioSpec(Encoding.PCM_F32LE), chunked(data))
    assert isinstance(error, CorruptAudio)
    assert "finite" in str(error)


async def test_half_a_sample_at_the_end_is_corrupt_after_all_else_was_yielded() -> None:
    spec = AudioSpec(Encoding.PCM_S16LE, 16_000, 2)
    count, error = await until_error(spec, chunked(bytes(4 * 100 + 3), [7]))
    assert count == 100
    assert isinstance(error, CorruptAudio)
    assert "3 of the 4 bytes" in str(error)


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_no_audio_at_all(encoding: Encoding) -> None:
    for data in ([], [b"", b""]):

        async def chunks(data: list[bytes] = data) -> AsyncIterator[bytes]:
            for chunk in data:
                yield chunk

        count, error = await until_error(AudioSpec(encoding), chunks())
        assert count == 0
        assert type(error) is InvalidRequest
        assert "no audio was sent" in str(error)


# Containers


@pytest.mark.parametrize("name", FILES)
async def test_files(name: str, files: dict[str, bytes], capfd: pytest.CaptureFixture[str]) -> None:
    # mp3 and aac pad to whole frames at either end.
    tolerance_s = 0.1 if name.startswith(("mp3", "m4a")) else 0.001
    whole = await collect(FILE, chunked(files[name], [10**9]))
    assert_tone(whole, seconds=1.0, tolerance_s=tolerance_s)
    for sizes in ([1, 13, 5_000], [997]):
        np.testing.assert_array_equal(await collect(FILE, chunked(files[name], sizes)), whole)
    assert capfd.readouterr().err == ""


async def test_stereo_file_is_averaged() -> None:
    data = io.BytesIO()
    with av.open(data, "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=16_000, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        packed = np.array([[1_000, 3_000] * 800], np.int16)
        frame = av.AudioFrame.from_ndarray(packed, "s16", "stereo")
        frame.sample_rate = 16_000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    samples = await collect(FILE, chunked(data.getvalue()))
    np.testing.assert_allclose(samples, np.full(800, 2_000 / 32_768), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("webm", 0.5),
        ("mp3", 0.5),
        ("m4a-fragmented", 0.5),
        ("m4a-index-first", 0.5),
        ("wav-float", 0.2),
    ],
)
async def test_samples_come_while_the_file_is_still_being_sent(
    name: str, share: float, files: dict[str, bytes]
) -> None:
    data, at = files[name], int(len(files[name]) * share)
    gate = asyncio.Event()

    async def some_then_wait() -> AsyncIterator[bytes]:
        yield data[:at]
        await gate.wait()
        yield data[at:]

    samples = 0
    async with aclosing(pcm_16k(FILE, some_then_wait())) as blocks, asyncio.timeout(5):
        async for block in blocks:
            samples += block.size
            gate.set()  # Only once something came: a decoder that waits for the end times out.
    assert samples > 15_000


@pytest.mark.parametrize(
    "data",
    [
        b"these are not the bytes of any audio file " * 200,
        b"\x00" * 5_000,
        b"R",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n" * 40,
        b"ffconcat version 1.0\nfile /etc/hostname\n" * 40,
        b"\x00\x00\x00\x18ftypM4A " + b"\xff" * 5_000,
    ],
    ids=["text", "zeros", "one-byte", "playlist", "concat", "ftyp-only"],
)
async def test_unknown_bytes_are_corrupt_and_say_what_to_send(
    data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    count, error = await until_error(FILE, chunked(data))
    assert count == 0
    assert isinstance(error, CorruptAudio)
    assert "send wav, flac, mp3" in str(error)
    assert capfd.readouterr().err == ""


async def test_formats_that_were_not_asked_for_are_not_opened() -> None:
    _, error = await until_error(FILE, chunked(encode("aiff", "pcm_s16be", 16_000)))
    assert "cannot be read as a file" in str(error)


async def test_header_without_samples_is_corrupt(files: dict[str, bytes]) -> None:
    header = files["wav"][: files["wav"].index(b"data") + 8]
    count, error = await until_error(FILE, chunked(header))
    assert count == 0
    assert isinstance(error, CorruptAudio)


async def test_flac_cut_in_the_middle_of_a_frame(files: dict[str, bytes]) -> None:
    count, error = await until_error(FILE, chunked(files["flac"][: len(files["flac"]) * 2 // 3]))
    assert 5_000 < count < 12_000
    assert isinstance(error, CorruptAudio)
    assert "cut off after 0." in str(error)


@pytest.mark.parametrize("name", ["wav", "mp3", "webm"])
async def test_formats_that_cannot_tell_give_what_is_there(
    name: str, files: dict[str, bytes]
) -> None:
    samples = await collect(FILE, chunked(files[name][: len(files[name]) * 2 // 3]))
    assert 5_000 < len(samples) < 12_000


JUNK = np.random.default_rng(0).bytes(300)


@pytest.mark.parametrize("junk", [b"TAG".ljust(128, b"\x00"), JUNK], ids=["tag", "noise"])
async def test_junk_after_an_mp3_does_no_harm(junk: bytes, files: dict[str, bytes]) -> None:
    clean = await collect(FILE, chunked(files["mp3"]))
    followed = await collect(FILE, chunked(files["mp3"] + junk))
    assert abs(len(clean) - len(followed)) < 1_200


@pytest.mark.parametrize("name", ["mp3", "flac", "m4a-fragmented"])
async def test_a_damaged_packet_costs_only_itself(name: str, files: dict[str, bytes]) -> None:
    data, middle = files[name], len(files[name]) // 2
    samples = await collect(FILE, chunked(data[:middle] + JUNK + data[middle + 300 :]))
    assert 11_000 < len(samples) < 17_600


async def test_bytes_after_the_end_of_the_file_are_taken_and_dropped(
    files: dict[str, bytes],
) -> None:
    clean = await collect(FILE, chunked(files["m4a-index-last"]))
    padded = files["m4a-index-first"] + bytes(3_000_000)
    np.testing.assert_array_equal(await collect(FILE, chunked(padded, [60_000])), clean)


async def test_file_with_index_last_has_a_limit(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "RETAINED_BYTES", 2_000)
    count, error = await until_error(FILE, chunked(files["m4a-index-last"]))
    assert count == 0
    assert isinstance(error, LimitExceeded)
    # Those that can be read forward have none.
    await collect(FILE, chunked(files["m4a-index-first"]))
    await collect(FILE, chunked(files["m4a-fragmented"]))


async def test_sender_is_held_back_while_nobody_reads() -> None:
    data = encode("wav", "pcm_s16le", 48_000, seconds=30)
    sent = 0

    async def count() -> AsyncIterator[bytes]:
        nonlocal sent
        async for chunk in chunked(data, [16_384]):
            sent += len(chunk)
            yield chunk

    async with aclosing(pcm_16k(FILE, count())) as blocks:
        await anext(blocks)
        await asyncio.sleep(0.15)
        assert sent < 1_000_000 < len(data)
        rest = sum([block.size async for block in blocks])
    assert sent == len(data)
    assert rest > 29 * 16_000


async def test_closing_ends_the_thread_at_once(files: dict[str, bytes]) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield files["webm"]
        await asyncio.Event().wait()

    blocks = pcm_16k(FILE, never_ending())
    await anext(blocks)
    assert threading.active_count() > 1
    async with asyncio.timeout(2):
        await blocks.aclose()  # The fixture sees that the thread is gone.


@pytest.mark.parametrize("sent", [0, 1, 40, 3_000])
async def test_cancelling_a_waiting_reader_ends_the_thread(
    sent: int, files: dict[str, bytes]
) -> None:
    waiting = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield files["webm"][:sent]
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(collect(FILE, stalls()))
    await waiting.wait()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_while_the_thread_waits_for_room() -> None:
    data = encode("wav", "pcm_s16le", 48_000, seconds=20)
    blocks = pcm_16k(FILE, chunked(data, [16_384]))
    await anext(blocks)
    await asyncio.sleep(0.1)
    async with asyncio.timeout(2):
        await blocks.aclose()


async def test_error_of_the_sender_reaches_the_reader(files: dict[str, bytes]) -> None:
    class VanishedError(Exception):
        pass

    async def vanishes() -> AsyncIterator[bytes]:
        yield files["webm"]
        raise VanishedError

    with pytest.raises(VanishedError):
        await collect(FILE, vanishes())


# The encoders write a few bytes of their own in each process: no example can be kept.
@settings(max_examples=60, deadline=None, database=None)
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_audio(files: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    damaged = bytearray(files[name])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=30)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    damaged = damaged[: data.draw(st.integers(1, len(damaged)))]

    async def decode() -> None:
        try:
            samples = await collect(FILE, chunked(bytes(damaged)))
            assert np.isfinite(samples).all()
        except CorruptAudio:
            pass

    asyncio.run(decode())
