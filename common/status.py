"""The status with which a server ended a call of ours.

When a server ends a stream while we write to it, grpc.aio replaces the status by INTERNAL,
"Internal error from Core" (https://github.com/grpc/grpc/issues/36066). The call's done callbacks
still see what the server sent.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

_T = TypeVar("_T")
_REPLACED = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class ServerStatus:
    """Watches a call from its beginning."""

    def __init__(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        """Watch `call`."""
        self._call = call
        self._first: tuple[grpc.StatusCode, str] | None = None
        call.add_done_callback(self._note)

    def behind(self, error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
        """Code and details that the server sent, given the error that the call raised."""
        raised = error.code(), error.details() or ""
        return self._first if raised == _REPLACED and self._first is not None else raised

    def _note(self, _: object) -> None:
        if self._first is None:
            self._first = _value(self._call.code()), _value(self._call.details()) or ""


def _value(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that does not have to wait: the call is done."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: _T = finished.value
        return result
    coroutine.close()
    raise RuntimeError("the call is done and yet has no status")
