"""Whatever a client sends, it is told what is wrong, nothing leaks, and nobody else notices."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from panglot.v1 import transcription_pb2 as pb

from tests.stack.adapters import BROKEN
from tests.stack.clips import LANGUAGES, SILENCE, Samples, clip, encoded, to_pcm, word_error_rate
from tests.stack.running import PANGLOT, RunningStack, eventually, running_gateway
from tests.stack.talking import (
    END,
    Request,
    check_protocol,
    configuration,
    pieces,
    selection,
    spoken,
    talk,
)

ENGLISH = configuration(fixed="en")
MIXED = configuration(candidates=LANGUAGES)
FILE = configuration(pb.AUDIO_ENCODING_CONTAINER, 0, fixed="en")
ONE_MIB = 1 << 20


def a_flac() -> bytes:
    return clip("en-1").path.read_bytes()


def an_m4a() -> bytes:
    return encoded(clip("en-1"), "ipod", "aac", 44_100)


# What is sent, the status, and what the message has to say.
REFUSED: dict[str, tuple[Callable[[], list[Request]], str, tuple[str, ...]]] = {
    "no message": (list, "INVALID_ARGUMENT", ("first message", "config")),
    "audio before the configuration": (
        lambda: pieces(SILENCE),
        "INVALID_ARGUMENT",
        ("first message", "config", "audio"),
    ),
    "an empty first message": (lambda: [Request()], "INVALID_ARGUMENT", ("first message", "empty")),
    "the end before the configuration": (lambda: [END], "INVALID_ARGUMENT", ("first message",)),
    "a second configuration": (
        lambda: [ENGLISH, *pieces(SILENCE), ENGLISH],
        "INVALID_ARGUMENT",
        ("`config`", "only `audio`"),
    ),
    "an empty message": (lambda: [ENGLISH, Request()], "INVALID_ARGUMENT", ("empty",)),
    "an unknown language": (
        lambda: [configuration(fixed="eo")],
        "INVALID_ARGUMENT",
        ("config.language.fixed", "'eo'", "en (English)"),
    ),
    "a language by its name": (
        lambda: [configuration(fixed="english")],
        "INVALID_ARGUMENT",
        ("config.language.fixed", "'english'", "en (English)"),
    ),
    "a malformed tag": (
        lambda: [configuration(fixed="e n!")],
        "INVALID_ARGUMENT",
        ("config.language.fixed", "'e n!'", "nearest"),
    ),
    "an empty tag": (
        lambda: [configuration(fixed="")],
        "INVALID_ARGUMENT",
        ("config.language.fixed", "''"),
    ),
    "a tag without end": (
        lambda: [configuration(fixed="x" * 100_000)],
        "INVALID_ARGUMENT",
        ("config.language.fixed", "xxx"),
    ),
    "no candidates": (
        lambda: [configuration(candidates=())],
        "INVALID_ARGUMENT",
        ("config.language.candidates", "0"),
    ),
    "too many candidates": (
        lambda: [configuration(candidates=["en"] * 201)],
        "INVALID_ARGUMENT",
        ("config.language.candidates", "201", "200"),
    ),
    "a candidate twice": (
        lambda: [configuration(candidates=("en", "es", "en"))],
        "INVALID_ARGUMENT",
        ("config.language.candidates", "'en'", "twice"),
    ),
    "a candidate twice under two names": (
        lambda: [configuration(candidates=("en-US", "en-GB"))],
        "INVALID_ARGUMENT",
        ("config.language.candidates", "'en'", "twice"),
    ),
    "an unknown candidate": (
        lambda: [configuration(candidates=("en", "qqq"))],
        "INVALID_ARGUMENT",
        ("config.language.candidates", "'qqq'", "nearest"),
    ),
    "a hint that nobody can follow": (
        lambda: [configuration(candidates=("en", "es"), hints={"es": 0})],
        "INVALID_ARGUMENT",
        ("config.language.hints", "'es'", "0.001 to 1000"),
    ),
    "a hint outside the candidates": (
        lambda: [configuration(candidates=("en", "es"), hints={"fr": 2})],
        "INVALID_ARGUMENT",
        ("config.language.hints", "'fr'", "not among config.language.candidates"),
    ),
    "a hint for a fixed language": (
        lambda: [configuration(fixed="en", hints={"en": 2})],
        "INVALID_ARGUMENT",
        ("config.language.hints", "config.language.fixed"),
    ),
    "a change to a language nobody knows": (
        lambda: [ENGLISH, *pieces(SILENCE), Request(language=selection("eo"))],
        "INVALID_ARGUMENT",
        ("language.fixed", "'eo'", "en (English)"),
    ),
    "a change before the configuration": (
        lambda: [Request(language=selection("en"))],
        "INVALID_ARGUMENT",
        ("first message", "config", "language"),
    ),
    "a change after the end": (
        lambda: [ENGLISH, *pieces(clip("en-1").pcm), END, Request(language=selection("es"))],
        "INVALID_ARGUMENT",
        ("`language` after `end_of_audio`",),
    ),
    "no encoding": (
        lambda: [configuration(pb.AUDIO_ENCODING_UNSPECIFIED)],
        "INVALID_ARGUMENT",
        ("config.audio.encoding",),
    ),
    "an encoding nobody knows": (
        lambda: [configuration(pb.AudioEncoding.ValueType(99))],
        "INVALID_ARGUMENT",
        ("config.audio.encoding", "99"),
    ),
    "no sample rate": (
        lambda: [configuration(rate=0)],
        "INVALID_ARGUMENT",
        ("config.audio.sample_rate_hz", "8000"),
    ),
    "a sample rate below the lowest": (
        lambda: [configuration(rate=7999)],
        "INVALID_ARGUMENT",
        ("config.audio.sample_rate_hz", "7999", "8000"),
    ),
    "a sample rate above the highest": (
        lambda: [configuration(rate=192_001)],
        "INVALID_ARGUMENT",
        ("config.audio.sample_rate_hz", "192001", "192000"),
    ),
    "no channels": (
        lambda: [configuration(channels=0)],
        "INVALID_ARGUMENT",
        ("config.audio.channel_count", "0"),
    ),
    "too many channels": (
        lambda: [configuration(channels=9)],
        "INVALID_ARGUMENT",
        ("config.audio.channel_count", "9", "8"),
    ),
    "an end of silence out of bounds": (
        lambda: [configuration(end_silence_ms=99)],
        "INVALID_ARGUMENT",
        ("config.end_silence_ms", "99", "100"),
    ),
    "a longest segment out of bounds": (
        lambda: [configuration(max_segment_ms=28_001)],
        "INVALID_ARGUMENT",
        ("config.max_segment_ms", "28001", "28000"),
    ),
    "too many phrases": (
        lambda: [configuration(boosted=["a"] * 101)],
        "INVALID_ARGUMENT",
        ("config.boosted_phrases", "101", "100"),
    ),
    "a phrase that is none": (
        lambda: [configuration(boosted=["a", "b\n"])],
        "INVALID_ARGUMENT",
        ("config.boosted_phrases[1]", "'b\\n'", "control"),
    ),
    "no audio": (lambda: [ENGLISH, END], "INVALID_ARGUMENT", ("no audio",)),
    "no audio, and the stream just closed": (
        lambda: [ENGLISH],
        "INVALID_ARGUMENT",
        ("no audio",),
    ),
    "empty audio": (
        lambda: [ENGLISH, Request(audio=b""), Request(audio=b""), END],
        "INVALID_ARGUMENT",
        ("no audio",),
    ),
    "half a sample": (
        lambda: [ENGLISH, *pieces(SILENCE + b"\1"), END],
        "INVALID_ARGUMENT",
        ("middle of a sample", "1 of the 2 bytes"),
    ),
    "a number that is none": (
        lambda: [
            configuration(pb.AUDIO_ENCODING_PCM_F32LE, fixed="en"),
            Request(audio=np.float32("nan").tobytes()),
        ],
        "INVALID_ARGUMENT",
        ("PCM_F32LE", "finite"),
    ),
    "audio after the end": (
        lambda: [ENGLISH, *pieces(clip("en-1").pcm), END, *pieces(SILENCE)],
        "INVALID_ARGUMENT",
        ("`audio` after `end_of_audio`",),
    ),
    "a configuration after the end": (
        lambda: [ENGLISH, *pieces(clip("en-1").pcm), END, ENGLISH],
        "INVALID_ARGUMENT",
        ("`config` after `end_of_audio`",),
    ),
    "an empty file": (lambda: [FILE, END], "INVALID_ARGUMENT", ("no audio",)),
    "a file that is none": (
        lambda: [FILE, *pieces(b"What the sea wants, it takes. " * 999), END],
        "INVALID_ARGUMENT",
        ("cannot be read as a file",),
    ),
    "a file cut off in its header": (
        lambda: [FILE, *pieces(a_flac()[:20]), END],
        "INVALID_ARGUMENT",
        ("file",),
    ),
    "a file cut off in its middle": (
        lambda: [FILE, *pieces(a_flac()[:30_000]), END],
        "INVALID_ARGUMENT",
        ("damaged or cut off after 1.", "send it again"),
    ),
    "a corrupt file": (
        lambda: [FILE, *pieces(an_m4a()[:9000] + np.random.default_rng(7).bytes(9000)), END],
        "INVALID_ARGUMENT",
        ("cannot be read as a file",),
    ),
    "a file without its index": (
        lambda: [FILE, *pieces(an_m4a()[:-4000]), END],
        "INVALID_ARGUMENT",
        ("file",),
    ),
    "a message too large": (
        lambda: [ENGLISH, Request(audio=bytes(ONE_MIB))],
        "RESOURCE_EXHAUSTED",
        ("larger than max", str(ONE_MIB)),
    ),
    "a language whose adapter is broken": (
        lambda: [configuration(fixed=BROKEN), *pieces(clip("en-1").pcm), END],
        "FAILED_PRECONDITION",
        (f"{BROKEN}-random@1", "sha256"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused(stack: RunningStack, case: str) -> None:
    send, code, said = REFUSED[case]
    outcome = await talk(stack.address, send())
    assert outcome.code.name == code, outcome
    assert all(part in outcome.details for part in said), outcome.details
    assert len(outcome.details) < 400
    assert "ended" not in outcome.kinds


async def test_an_adapter_that_is_refused_is_not_asked_for_again(stack: RunningStack) -> None:
    lost = stack.log("gateway").count("worker lost")
    send, code, _ = REFUSED["a language whose adapter is broken"]
    outcomes = await asyncio.gather(*(talk(stack.address, send()) for _ in range(8)))
    assert {outcome.code.name for outcome in outcomes} == {code}
    assert stack.log("gateway").count("worker lost") == lost


async def test_a_stream_is_refused_at_once_while_its_client_holds_it_open(
    stack: RunningStack,
) -> None:
    outcome = await talk(stack.address, [configuration(fixed="eo")], stay_open=True)
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_end_of_audio_ends_a_stream_whose_client_holds_it_open(
    stack: RunningStack,
) -> None:
    outcome = await talk(stack.address, [ENGLISH, *pieces(clip("en-1").pcm), END], stay_open=True)
    assert outcome.code is grpc.StatusCode.OK
    assert outcome.finals


async def test_a_truncated_file_is_heard_as_far_as_it_goes(stack: RunningStack) -> None:
    whole = encoded(clip("en-1"), "mp3", "libmp3lame", 44_100)
    outcome = await talk(stack.address, [FILE, *pieces(whole[: len(whole) * 3 // 4]), END])
    # An mp3 has no end of its own: where its bytes end, so does it.
    assert outcome.code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), outcome


def _noise(level: float) -> Samples:
    return level * np.random.default_rng(3).standard_normal(3 * 16_000).astype(np.float32)


def _tone(hz: float) -> Samples:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(3 * 16_000) / 16_000)).astype(np.float32)


SOUNDLESS: dict[str, Callable[[], Samples]] = {
    "silence": lambda: np.zeros(3 * 16_000, np.float32),
    "one sample": lambda: np.zeros(1, np.float32),
    "faint noise": lambda: _noise(0.001),
    "noise": lambda: _noise(0.05),
    "loud noise": lambda: _noise(0.5),
    "a hum": lambda: _tone(50),
    "a tone": lambda: _tone(440),
    "a whistle": lambda: _tone(3000),
    "a square wave": lambda: np.sign(_tone(200)),
    "clicks": lambda: (np.arange(3 * 16_000) % 8000 == 0).astype(np.float32),
    "an offset": lambda: np.full(3 * 16_000, 0.9, np.float32),
}


@pytest.mark.parametrize("name", SOUNDLESS)
async def test_what_is_no_speech_has_no_words(stack: RunningStack, name: str) -> None:
    outcome = await talk(stack.address, [MIXED, *pieces(to_pcm(SOUNDLESS[name]())), END])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    check_protocol(outcome.events)
    assert outcome.text == ""


async def test_speech_shorter_than_a_window_of_language_identification(
    stack: RunningStack,
) -> None:
    syllable = clip("en-1").pcm[2 * 8000 : 2 * 8000 + 2 * 1600]
    for first in (MIXED, configuration()):
        outcome = await talk(stack.address, [first, *pieces(syllable), END])
        assert outcome.code is grpc.StatusCode.OK, outcome.details
        check_protocol(outcome.events)


async def test_a_good_stream_beside_bad_ones(stack: RunningStack) -> None:
    said = clip("en-2")
    good = asyncio.create_task(talk(stack.address, spoken(ENGLISH, said.pcm + SILENCE)))
    while not good.done():
        bad = [talk(stack.address, send()) for send, _, _ in REFUSED.values()]
        outcomes = await asyncio.gather(*bad)
        assert grpc.StatusCode.OK not in {outcome.code for outcome in outcomes}
    outcome = await good
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    check_protocol(outcome.events)
    assert word_error_rate(said.text, outcome.text) <= 0.35, outcome.text


@pytest.mark.parametrize("first", [MIXED, FILE], ids=["raw", "file"])
async def test_clients_that_vanish_leave_nothing_behind(
    stack: RunningStack, first: Request
) -> None:
    audio = clip("en-2").pcm if first is MIXED else clip("en-2").path.read_bytes()[:60_000]

    async def vanish() -> None:
        begun = asyncio.Event()

        async def held_open() -> AsyncIterator[Request]:
            yield first
            for piece in pieces(audio[: len(audio) * 3 // 4]):
                yield piece
            await asyncio.Event().wait()

        talking = asyncio.create_task(
            talk(stack.address, held_open(), lambda event: begun.set(), stay_open=True)
        )
        await begun.wait()
        await asyncio.sleep(0.3)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)

    await vanish()
    await stack.at_rest()
    threads, files = stack.gateway.census()
    await asyncio.gather(*(vanish() for _ in range(12)))
    await stack.at_rest()
    await _no_more_than(stack, threads, files)


async def test_a_killed_client_leaves_nothing_behind(stack: RunningStack, log: Path) -> None:
    threads, files = stack.gateway.census()
    with log.open("wb") as output:
        client = await asyncio.create_subprocess_exec(
            *(PANGLOT, "transcribe", "--realtime", "--server", stack.address),
            *("--language", "en", clip("switch-en-it-fr").path),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    await stack.until(lambda fleet: any(w.active_spans for w in fleet.workers), "nothing sent")
    client.send_signal(signal.SIGKILL)
    await client.wait()
    await stack.at_rest()
    await _no_more_than(stack, threads, files)


async def _no_more_than(stack: RunningStack, threads: int, files: int) -> None:
    async def fits() -> bool:
        now = stack.gateway.census()
        # Whoever asks holds a connection, and gRPC's own pool of threads breathes.
        return now[0] <= threads + 4 and now[1] <= files + 4

    await eventually(fits, lambda: f"{(threads, files)} became {stack.gateway.census()}")


async def test_an_idle_stream_is_ended(stack: RunningStack, log: Path) -> None:
    async def heard(address: str, sent: list[Request]) -> None:
        outcome = await talk(address, sent, stay_open=True)
        assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED, outcome
        assert "1 s" in outcome.details
        assert "end_of_audio" in outcome.details

    async with running_gateway(stack, log, PANGLOT_GATEWAY_IDLE_SECONDS="1") as (gateway, _):
        await asyncio.gather(
            heard(gateway.address, []),
            heard(gateway.address, [ENGLISH]),
            heard(gateway.address, [ENGLISH, *pieces(clip("en-1").pcm)]),
            heard(gateway.address, [FILE, *pieces(a_flac()[:30_000])]),
        )
        outcome = await talk(gateway.address, spoken(ENGLISH, clip("en-1").pcm + 2 * SILENCE))
        assert outcome.code is grpc.StatusCode.OK, outcome.details


async def test_streams_beyond_the_limit_are_refused(stack: RunningStack, log: Path) -> None:
    async with running_gateway(stack, log, PANGLOT_GATEWAY_MAX_STREAMS="1") as (gateway, _):
        first = asyncio.create_task(
            talk(gateway.address, spoken(ENGLISH, clip("en-1").pcm + SILENCE))
        )
        await asyncio.sleep(0.5)
        second = await talk(gateway.address, [ENGLISH, *pieces(SILENCE), END])
        assert second.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "1 streams" in second.details
        assert (await first).code is grpc.StatusCode.OK
        third = await talk(gateway.address, [ENGLISH, *pieces(SILENCE), END])
        assert third.code is grpc.StatusCode.OK
