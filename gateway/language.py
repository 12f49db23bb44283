"""Step 4, the side with I/O: windows to the language identification service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import structlog
from panglot.v1 import lid_pb2, lid_pb2_grpc

from common.audio import Samples, to_wire

# Longer and the words are late; the segment goes on in the language expected.
_DEADLINE_S = 2.0
# What the tracker needs to know of the rest is that it is small.
_TOP_K = 20
_log = structlog.get_logger()


class LanguageClient:
    """One channel to the service, shared by all streams."""

    def __init__(self, address: str) -> None:
        """Connect, when first needed, to `host:port`."""
        self._channel = grpc.aio.insecure_channel(
            address, options=[("grpc.max_reconnect_backoff_ms", 1000)]
        )
        self._stub: lid_pb2_grpc.LanguageIdServiceAsyncStub = lid_pb2_grpc.LanguageIdServiceStub(
            self._channel
        )

    async def identify(
        self, window: Samples, candidates: Sequence[str] | None
    ) -> Mapping[str, float] | None:
        """Posteriors of a window by BCP-47 tag, or None when the service did not answer in time."""
        request = lid_pb2.IdentifyRequest(
            pcm_s16le=to_wire(window), candidates=candidates or (), top_k=_TOP_K
        )
        try:
            response = await self._stub.Identify(request, timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            _log.warning("language not identified", status=error.code().name)
            return None
        return {one.language: one.probability for one in response.posteriors}

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
