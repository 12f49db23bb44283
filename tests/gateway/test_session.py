"""A whole stream in one process: what is told, and in which order, when the audio breaks off."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panglot.v1 import transcription_pb2
from redis.asyncio import Redis

from client.audio import open_audio
from common.catalogue import Catalogue, ServedLanguage
from common.errors import CorruptAudio, IdleStream, Overloaded
from common.fleet import UNIVERSAL, FleetSnapshot, WorkerRecord
from common.registry import FleetWatcher
from gateway.options import Services
from gateway.segment import Event
from gateway.segment_audio import SegmentAudio
from gateway.session import Session
from gateway.settings import GatewaySettings
from gateway.workers import WorkerPool
from tests.gateway.serving import FakeLid, FakeWorker, services_of, stream

CLIP = Path(__file__).parents[1] / "audio" / "en-1.flac"
Request = transcription_pb2.TranscribeRequest


async def messages(pcm: bytes) -> AsyncIterator[Request]:
    """A stream in English, then `pcm`."""
    audio = transcription_pb2.AudioFormat(
        encoding=transcription_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=16_000
    )
    english = transcription_pb2.LanguageSelection(fixed="en")
    yield Request(config=transcription_pb2.StreamConfig(audio=audio, language=english))
    yield Request(audio=pcm)


def services(workers: WorkerPool) -> Services:
    """English by whatever worker there is."""
    languages = {"en": ServedLanguage("en", "English", UNIVERSAL, None, None)}
    return services_of(Catalogue(languages), workers, FakeLid())


def speech() -> bytes:
    """A clip of somebody speaking, s16le at 16 kHz."""
    with open_audio(CLIP) as source:
        return b"".join(source)


async def test_what_was_heard_before_damage_is_told_before_the_damage() -> None:
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    async with stream(worker=FakeWorker(echo=True)) as speaking:
        session = Session(services(speaking.workers), GatewaySettings(), emit)
        with pytest.raises(CorruptAudio, match="middle of a sample"):
            await session.run(messages(speech() + b"\0"))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[-1] == "final"
    assert "ended" not in kinds


async def test_a_stream_that_nobody_would_hear_is_refused_before_its_audio_is_taken() -> None:
    full = WorkerRecord("worker", "127.0.0.1:1", (), 1, 9, 9, False, 0, 0, 0)
    fleet = FleetWatcher(cast(Redis, None))
    fleet.snapshot = FleetSnapshot((full,), available=True)
    events: list[Event] = []
    asked = 0

    async def emit(event: Event) -> None:
        events.append(event)

    async def told() -> AsyncIterator[Request]:
        nonlocal asked
        async for message in messages(speech()):
            asked += 1
            yield message

    session = Session(services(WorkerPool(fleet, random.Random(0))), GatewaySettings(), emit)
    with pytest.raises(Overloaded, match="all 1 workers are full"):
        await session.run(told())
    assert (asked, events) == (1, [])


async def test_a_client_that_never_reads_is_given_up() -> None:
    async def emit(event: Event) -> None:
        if event.WhichOneof("event") != "started":
            raise TimeoutError  # what the time limit makes of waiting

    async with stream(worker=FakeWorker(echo=True)) as speaking:
        settings = replace(GatewaySettings(), idle_s=5.0)
        session = Session(services(speaking.workers), settings, emit)
        with pytest.raises(IdleStream, match="no event was read for 5 s"):
            await session.run(messages(speech()))


@given(sizes=st.lists(st.integers(0, 40_000), max_size=8), data=st.data())
async def test_a_segment_gives_back_what_it_was_given(
    sizes: list[int], data: st.DataObject
) -> None:
    whole = np.arange(sum(sizes), dtype=np.float32)
    audio = SegmentAudio(0)
    early = audio.read(0, 1)
    for first, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        audio.append(whole[first : first + size])
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, len(whole) + 10))
    assert audio.n_samples == len(whole)
    assert np.array_equal(audio.read(first, last), whole[first:last])
    assert len(early) == 0
