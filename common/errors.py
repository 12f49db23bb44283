"""Everything that can go wrong, as one tree, and the one table from it to gRPC status.

A message names the field, the value, the limit, and what to do. It is shown to the caller as it
stands, so it never holds a path of ours, a transcript or a traceback.
"""

from __future__ import annotations

import grpc


class PanglotError(Exception):
    """Root of the tree. Raise a leaf."""


class InvalidRequest(PanglotError):
    """The caller sent something that can never work as it is."""


class UnknownLanguage(InvalidRequest):
    """A language tag that is malformed or that nothing here serves."""


class UnsupportedAudio(InvalidRequest):
    """An encoding, sample rate or channel count outside what is accepted."""


class CorruptAudio(InvalidRequest):
    """Bytes that cannot be decoded as the format they claim to be."""


class LimitExceeded(PanglotError):
    """The request is well formed and larger than what is allowed."""


class Overloaded(PanglotError):
    """No capacity now; the same request may succeed later."""


class IdleStream(PanglotError):
    """The caller sent nothing for longer than allowed."""


class DeadlinePassed(PanglotError):
    """The caller's own deadline passed before its turn came; what it asked for was not done."""


class NoWorker(PanglotError):
    """No worker is reachable, or the one that was died and no other could take over."""


class NoBase(NoWorker):
    """Workers are there, and none runs the base model that is asked for."""


class AdapterNotFound(PanglotError):
    """The store holds no adapter of that id and version."""


class AdapterRefused(PanglotError):
    """An adapter that does not match its card, its base encoder, or the format."""


class StoreUnavailable(PanglotError):
    """The adapter store cannot be read now; another worker, or another moment, may do better."""


class ModelNotFound(PanglotError):
    """The base model is neither installed, nor a directory, nor a reachable hub id."""


class SettingsError(PanglotError):
    """An environment variable that cannot be used. The process does not start."""


GRPC_STATUS: dict[type[PanglotError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    IdleStream: grpc.StatusCode.DEADLINE_EXCEEDED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    NoWorker: grpc.StatusCode.UNAVAILABLE,
    AdapterNotFound: grpc.StatusCode.NOT_FOUND,
    AdapterRefused: grpc.StatusCode.FAILED_PRECONDITION,
    StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    ModelNotFound: grpc.StatusCode.FAILED_PRECONDITION,
    SettingsError: grpc.StatusCode.FAILED_PRECONDITION,
}


def grpc_status(error: PanglotError) -> grpc.StatusCode:
    """The status of the nearest ancestor in the table; raises KeyError for the bare root."""
    for kind in type(error).__mro__:
        if kind in GRPC_STATUS:
            return GRPC_STATUS[kind]
    raise KeyError(type(error).__name__)
