"""What the client raises, as one tree. Every message is one line, to be shown as it stands."""

from __future__ import annotations


class ClientError(Exception):
    """Root of the tree."""


class TranscriptionError(ClientError):
    """The server ended the call with a status other than OK.

    Attributes:
        code: name of the gRPC status, such as `INVALID_ARGUMENT`.
        message: what the server says about it; names the field or the limit.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class ServerUnreachable(TranscriptionError):
    """Nothing answers at the address."""

    def __init__(self, address: str) -> None:
        message = f"no Panglot server answers at {address}; start one with `panglot serve`"
        super().__init__("UNAVAILABLE", message)

    def __str__(self) -> str:
        return self.message


class AudioFileError(ClientError):
    """A file that is missing, empty, or cannot be decoded as audio."""


class StackError(ClientError):
    """The services of `panglot serve` could not be started."""
