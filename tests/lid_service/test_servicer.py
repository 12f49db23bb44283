"""Language identification on a real socket: one window."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import grpc
import pytest
import torch
from panglot.v1 import lid_pb2
from torch import Tensor

from common.audio import from_wire, to_wire
from speech.whisper.language_id import WhisperLanguageIdentifier
from tests.lid_service.serving import FakeIdentifier, Service, serving
from tests.speech.tiny import noise, tiny_model

PCM = to_wire(noise(16_000).numpy())


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(WhisperLanguageIdentifier(tiny_model())) as found:
        yield found


def expected(pcm: bytes = PCM) -> tuple[dict[str, float], float]:
    """Posteriors given speech, and the background."""
    model = WhisperLanguageIdentifier(tiny_model())
    *languages, background = model.posteriors([torch.from_numpy(from_wire(pcm))])[0].tolist()
    total = sum(languages)
    scaled = [value / total for value in languages]
    return dict(zip(model.languages, scaled, strict=True)), background


def pairs(response: lid_pb2.IdentifyResponse) -> dict[str, float]:
    return {each.language: each.probability for each in response.posteriors}


async def test_all_languages(service: Service) -> None:
    response = await service.stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=PCM))
    posteriors, background = expected()
    assert pairs(response) == pytest.approx(posteriors, abs=1e-4)
    assert response.background_probability == pytest.approx(background, abs=1e-4)
    probabilities = [each.probability for each in response.posteriors]
    assert probabilities == sorted(probabilities, reverse=True)


async def test_only_the_candidates(service: Service) -> None:
    request = lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["zh", "jv"])
    found = pairs(await service.stub.Identify(request))
    whole, _ = expected()
    assert found == pytest.approx(
        {tag: whole[tag] / (whole["zh"] + whole["jv"]) for tag in ("zh", "jv")}, abs=1e-4
    )


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (3, 3), (9, 4)])
async def test_top_k(service: Service, top_k: int, count: int) -> None:
    request = lid_pb2.IdentifyRequest(pcm_s16le=PCM, top_k=top_k)
    response = await service.stub.Identify(request)
    whole = sorted(expected()[0].values(), reverse=True)
    assert [each.probability for each in response.posteriors] == pytest.approx(
        whole[:count], abs=1e-4
    )


async def test_callers_at_once_get_their_own_answers(service: Service) -> None:
    windows = [to_wire(noise(1600 + 900 * number, number).numpy()) for number in range(8)]
    found = await asyncio.gather(
        *(service.stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=window)) for window in windows)
    )
    for window, response in zip(windows, found, strict=True):
        assert pairs(response) == pytest.approx(expected(window)[0], abs=1e-4)


@pytest.mark.parametrize("n_samples", [1600, 480_000])
async def test_the_shortest_and_the_longest(service: Service, n_samples: int) -> None:
    response = await service.stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=bytes(2 * n_samples)))
    assert len(response.posteriors) == 4


SURE = (0.9, 0.02, 0.02, 0.01, 0.05)
DOUBT = (0.3, 0.3, 0.2, 0.1, 0.1)
NOBODY = (0.1, 0.1, 0.1, 0.1, 0.6)


@pytest.mark.parametrize(
    ("heard", "least", "language", "reason"),
    [
        (SURE, None, "en", None),
        (SURE, 0.99, None, "HESITATION"),
        (DOUBT, None, None, "HESITATION"),
        (DOUBT, 0.0, "en", None),
        (NOBODY, None, None, "NO_SPEECH"),
        (NOBODY, 0.0, None, "NO_SPEECH"),
    ],
)
async def test_undetermined(
    heard: tuple[float, ...], least: float | None, language: str | None, reason: str | None
) -> None:
    async with serving(FakeIdentifier(heard)) as service:
        request = lid_pb2.IdentifyRequest(pcm_s16le=PCM, min_probability=least)
        response = await service.stub.Identify(request)
        assert (response.language if response.HasField("language") else None) == language
        told = lid_pb2.UndeterminedReason.Name(response.undetermined)
        assert told == f"UNDETERMINED_REASON_{reason or 'UNSPECIFIED'}"
        assert len(response.posteriors) == 4
        counted = {
            name: service.count("panglot_lid_undetermined_windows_total", reason=name)
            for name in ("no_speech", "hesitation")
        }
        assert sum(counted.values()) == (reason is not None)
        assert reason is None or counted[reason.lower()] == 1


async def test_what_the_model_knows() -> None:
    async with serving(FakeIdentifier(SURE)) as service:
        model = await service.stub.GetModel(lid_pb2.GetModelRequest())
        assert (model.name, tuple(model.languages)) == ("fake", FakeIdentifier.languages)


async def test_a_call_whose_deadline_passes_in_the_queue_is_not_run() -> None:
    class Gated(FakeIdentifier):
        begun, gate = threading.Event(), threading.Event()

        def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
            self.begun.set()
            assert self.gate.wait(10)
            return super().posteriors(windows)

    model, request = Gated(SURE), lid_pb2.IdentifyRequest(pcm_s16le=PCM)
    async with serving(model) as service:
        first = service.stub.Identify(request)
        await asyncio.to_thread(model.begun.wait, 10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.Identify(request, timeout=0.05)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.sleep(0.1)  # the service's clock for it began when the call arrived
        model.gate.set()
        await first
        await service.stub.Identify(request)
        assert len(model.heard) == 2
        dropped = "panglot_lid_dropped_windows_total"
        assert sum(service.count(dropped, reason=why) for why in ("gone", "deadline")) == 1


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (lid_pb2.IdentifyRequest(), "pcm_s16le holds 0 ms: give 100 to 30000"),
        (lid_pb2.IdentifyRequest(pcm_s16le=bytes(3198)), "pcm_s16le holds 99 ms"),
        (lid_pb2.IdentifyRequest(pcm_s16le=bytes(960_002)), "give 100 to 30000"),
        (lid_pb2.IdentifyRequest(pcm_s16le=bytes(3201)), "whole samples"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, top_k=0), "top_k is 0"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, top_k=-2), "top_k is -2"),
        (
            lid_pb2.IdentifyRequest(pcm_s16le=PCM, min_probability=1.01),
            "min_probability is 1.01: give 0 to 1",
        ),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, min_probability=-0.5), "min_probability is -0.5"),
        (
            lid_pb2.IdentifyRequest(pcm_s16le=PCM, min_probability=float("nan")),
            "min_probability is nan",
        ),
        (
            lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["en", "xx"]),
            "candidates: 'xx' is not a language this model knows; nearest: ",
        ),
        (
            lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["jw"]),
            "candidates: 'jw' is not a language this model knows; nearest: jv",
        ),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["zh-Hant"]), "nearest: zh"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=[""]), "candidates: ''"),
        (lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["x" * 50_000]), "candidates: 'xxx"),
        (
            lid_pb2.IdentifyRequest(pcm_s16le=PCM, candidates=["en", "de", "en"]),
            "candidates: 'en' stands there twice",
        ),
    ],
)
async def test_what_is_wrong_is_named(
    service: Service, request_: lid_pb2.IdentifyRequest, says: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Identify(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert says in (caught.value.details() or "")
