"""Every error has its status, and none of them is INTERNAL."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from common import errors
from common.errors import GRPC_STATUS, PanglotError, grpc_status


def descendants(kind: type[PanglotError]) -> Iterator[type[PanglotError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


EVERY = [kind for kind in descendants(PanglotError) if kind.__module__ == errors.__name__]


def test_the_walk_finds_leaves_and_branches() -> None:
    assert errors.UnknownLanguage in EVERY
    assert errors.InvalidRequest in EVERY


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_has_a_status(kind: type[PanglotError]) -> None:
    status = grpc_status(kind("what is wrong"))
    assert status not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.OK)
    assert kind.__doc__


def test_a_leaf_has_the_status_of_its_branch() -> None:
    assert grpc_status(errors.CorruptAudio("")) == grpc.StatusCode.INVALID_ARGUMENT
    assert grpc_status(errors.Overloaded("")) == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert grpc_status(errors.NoWorker("")) == grpc.StatusCode.UNAVAILABLE


def test_the_bare_root_has_none() -> None:
    with pytest.raises(KeyError):
        grpc_status(PanglotError(""))
    assert PanglotError not in GRPC_STATUS
