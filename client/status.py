"""From the status that ended a call to our errors, and to the status itself in grpc.aio.

When a server ends a call while the client is writing, grpc.aio replaces the status by INTERNAL,
"Internal error from Core" (https://github.com/grpc/grpc/issues/36066). It calls the call's done
callbacks before that, or else corrects itself before the reading side learns of the end. So one of
the two statuses, the one seen first and the one that was raised, is the server's.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from client.errors import ServerUnreachable, TranscriptionError

if TYPE_CHECKING:
    from panglot.v1 import transcription_pb2 as pb

    Call = grpc.aio.StreamStreamCall[pb.TranscribeRequest, pb.TranscribeResponse]

T = TypeVar("T")
_NEVER_CONNECTED = ("failed to connect", "dns resolution failed", "name resolution")
_REPLACED = (grpc.StatusCode.INTERNAL, "Internal error from Core")


def from_rpc(error: grpc.RpcError, address: str) -> TranscriptionError:
    """Our error for one of gRPC's, which came from a call to `address`."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return TranscriptionError("UNKNOWN", str(error))
    return from_status(error.code(), error.details() or "", address)


def from_status(status: grpc.StatusCode, details: str, address: str) -> TranscriptionError:
    """Our error for the status that ended a call to `address`."""
    if status is grpc.StatusCode.UNAVAILABLE:
        if any(sign in details.lower() for sign in _NEVER_CONNECTED):
            return ServerUnreachable(address)
        if "socket closed" in details.lower() or "connection reset" in details.lower():
            details = f"the connection to {address} was lost"
    return TranscriptionError(status.name, " ".join(details.split()) or "no details given")


class ServerStatus:
    """Watches a call from its beginning."""

    def __init__(self, call: Call) -> None:
        self._first: tuple[grpc.StatusCode, str] | None = None
        self._call = call
        call.add_done_callback(self._note)

    def behind(self, error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
        """Code and details that the server sent, given the error that the call raised."""
        raised = error.code(), error.details() or ""
        return self._first if raised == _REPLACED and self._first is not None else raised

    def _note(self, _: object) -> None:
        if self._first is None:
            self._first = _value(self._call.code()), _value(self._call.details()) or ""


def _value(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that does not have to wait."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    coroutine.close()
    raise RuntimeError("the call is done and yet has no status")
