"""Step 4, the side with I/O: windows to the language identification service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
import numpy as np
import structlog
from panglot.v1 import lid_pb2, lid_pb2_grpc

from common.audio import SAMPLE_RATE_HZ, Samples, to_wire

# Longer and the words are late; the segment goes on in the language expected.
_URGENT_S = 2.0
# Nothing is expected yet: there are no words before the answer.
_PATIENT_S = 10.0
# The service takes no less; a word at the very end of a stream may be shorter.
_MIN_SAMPLES = SAMPLE_RATE_HZ // 10
# It is asked again and again.
_MODEL_S = 2.0
# What the tracker needs to know of the rest is that it is small.
_TOP_K = 20
_log = structlog.get_logger()


@dataclass(frozen=True)
class Identified:
    """What the service says of a window.

    Attributes:
        posteriors: probability of the likeliest languages by BCP-47 tag, given that somebody
            speaks; of all candidates they would sum to 1.
        background: probability that nobody does.
    """

    posteriors: Mapping[str, float]
    background: float


class LanguageClient:
    """One channel to the service, shared by all streams."""

    def __init__(self, address: str) -> None:
        """Connect, when first needed, to `host:port`."""
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_reconnect_backoff_ms", 1000),
                # All instances behind the name, not the first one that answered.
                ("grpc.lb_policy_name", "round_robin"),
            ],
        )
        self._stub: lid_pb2_grpc.LanguageIdServiceAsyncStub = lid_pb2_grpc.LanguageIdServiceStub(
            self._channel
        )

    async def identify(
        self, window: Samples, candidates: Sequence[str] | None, *, urgent: bool
    ) -> Identified | None:
        """Judge a window, among `candidates` or, with None or none, all languages.

        None when the service did not answer in time.
        """
        window = np.pad(window, (0, max(0, _MIN_SAMPLES - len(window))))
        request = lid_pb2.IdentifyRequest(
            pcm_s16le=to_wire(window), candidates=candidates or (), top_k=_TOP_K
        )
        try:
            response = await self._stub.Identify(
                request, timeout=_URGENT_S if urgent else _PATIENT_S
            )
        except grpc.aio.AioRpcError as error:
            _log.warning("language not identified", status=error.code().name)
            return None
        return Identified(
            {one.language: one.probability for one in response.posteriors},
            response.background_probability,
        )

    async def model_languages(self) -> tuple[str, ...] | None:
        """BCP-47 tags that the service can tell apart; None when it did not answer in time."""
        try:
            response = await self._stub.GetModel(lid_pb2.GetModelRequest(), timeout=_MODEL_S)
        except grpc.aio.AioRpcError:
            return None
        return tuple(response.languages)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
