"""Language identification on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import grpc
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from panglot.v1 import lid_pb2, lid_pb2_grpc

from common.audio import Samples, from_wire, to_wire
from lid_service.batcher import Batcher, Posteriors
from lid_service.posteriors import rank
from lid_service.servicer import LidServicer
from speech.whisper.language_id import LanguageIdentifier
from tests.speech.tiny import noise, tiny_model

LANGUAGES = ("en", "zh", "de", "jv")
PCM = to_wire(noise(16_000).numpy())


def test_rank() -> None:
    posteriors = np.array([0.5, 0.125, 0.25, 0.125], dtype=np.float32)
    assert rank(LANGUAGES, posteriors, ()) == [
        ("en", 0.5),
        ("de", 0.25),
        ("zh", 0.125),
        ("jv", 0.125),
    ]
    found = rank(LANGUAGES, posteriors, ("zh", "de"))
    assert [language for language, _ in found] == ["de", "zh"]
    assert [value for _, value in found] == pytest.approx([2 / 3, 1 / 3])
    assert rank(LANGUAGES, posteriors, ("jv",)) == [("jv", 1.0)]


def test_rank_where_no_candidate_has_any() -> None:
    posteriors = np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)
    assert rank(LANGUAGES, posteriors, ("zh", "de")) == [("zh", 0.5), ("de", 0.5)]


@given(
    st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
    st.sets(st.sampled_from(LANGUAGES)),
)
def test_rank_is_a_distribution_over_the_candidates(
    values: list[float], candidates: set[str]
) -> None:
    found = rank(LANGUAGES, np.array(values, dtype=np.float32), tuple(candidates))
    assert {language for language, _ in found} == (candidates or set(LANGUAGES))
    probabilities = [value for _, value in found]
    assert probabilities == sorted(probabilities, reverse=True)
    if candidates:
        assert sum(probabilities) == pytest.approx(1)


@pytest.fixture
async def stub() -> AsyncIterator[lid_pb2_grpc.LanguageIdServiceAsyncStub]:
    model = LanguageIdentifier(tiny_model())

    def identify(windows: Sequence[Samples]) -> Sequence[Posteriors]:
        return list(model.posteriors([torch.from_numpy(window) for window in windows]).numpy())

    batcher = Batcher(identify, 4, 16)
    server = grpc.aio.server()
    lid_pb2_grpc.add_LanguageIdServiceServicer_to_server(
        LidServicer(batcher, model.languages), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    batching = asyncio.create_task(batcher.run())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield lid_pb2_grpc.LanguageIdServiceStub(channel)
    await server.stop(None)
    batching.cancel()
    with suppress(asyncio.CancelledError):
        await batching


def expected(pcm: bytes = PCM) -> dict[str, float]:
    model = LanguageIdentifier(tiny_model())
    (row,) = model.posteriors([torch.from_numpy(from_wire(pcm))])
    return dict(zip(model.languages, row.tolist(), strict=True))


def pairs(response: lid_pb2.IdentifyResponse) -> dict[str, float]:
    return {each.language: each.probability for each in response.posteriors}


async def test_all_languages(stub: lid_pb2_grpc.LanguageIdServiceAsyncStub) -> None:
    response = await stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=PCM))
    assert pairs(response) == pytest.approx(expected(), abs=1e-4)
    probabilities = [each.probability for each in response.posteriors]
    assert probabilities == sorted(probabilities, reverse=True)


async def test_only_the_candidates(stub: lid_pb2_grpc.LanguageIdServiceAsyncStub) -> None:
    request = lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["zh", "jv"])
    found = pairs(await stub.Identify(request))
    whole = expected()
    assert found == pytest.approx(
        {tag: whole[tag] / (whole["zh"] + whole["jv"]) for tag in ("zh", "jv")}, abs=1e-4
    )


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (3, 3), (9, 4)])
async def test_top_k(stub: lid_pb2_grpc.LanguageIdServiceAsyncStub, top_k: int, count: int) -> None:
    response = await stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=PCM, top_k=top_k))
    whole = sorted(expected().values(), reverse=True)
    assert [each.probability for each in response.posteriors] == pytest.approx(
        whole[:count], abs=1e-4
    )


async def test_callers_at_once_get_their_own_answers(
    stub: lid_pb2_grpc.LanguageIdServiceAsyncStub,
) -> None:
    windows = [to_wire(noise(1600 + 900 * number, number).numpy()) for number in range(8)]
    found = await asyncio.gather(
        *(stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=window)) for window in windows)
    )
    for window, response in zip(windows, found, strict=True):
        assert pairs(response) == pytest.approx(expected(window), abs=1e-4)


@pytest.mark.parametrize("n_samples", [1600, 480_000])
async def test_the_shortest_and_the_longest(
    stub: lid_pb2_grpc.LanguageIdServiceAsyncStub, n_samples: int
) -> None:
    response = await stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=bytes(2 * n_samples)))
    assert len(response.posteriors) == 4


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (lid_pb2.IdentifyRequest(), "pcm_s16le holds 0 ms: give 100 to 30000"),
        (lid_pb2.IdentifyRequest(pcm_s16le=bytes(3198)), "pcm_s16le holds 99 ms"),
        (lid_pb2.IdentifyRequest(pcm_s16le=bytes(960_002)), "give 100 to 30000"),
        (lid_pb2.IdentifyRequest(pcm_s16le=bytes(3201)), "whole samples"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, top_k=0), "top_k is 0"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, top_k=-2), "top_k is -2"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["en", "xx"]), "candidates: 'xx'"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["jw"]), "candidates: 'jw'"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=[""]), "candidates: ''"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["x" * 50_000]), "candidates: 'xxx"),
    ],
)
async def test_what_is_wrong_is_named(
    stub: lid_pb2_grpc.LanguageIdServiceAsyncStub, request_: lid_pb2.IdentifyRequest, says: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Identify(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert says in (caught.value.details() or "")
