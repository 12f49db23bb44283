"""Which version of a language's adapter hears which stream. Pure: see `common.store` for the files.

A routing is one small document of the store. It is never changed: each change is a document of its
own, under the next number, and the highest number counts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from common.errors import InvalidRequest

_REMEMBERED = 20


@dataclass(frozen=True)
class Routing:
    """What serves one language.

    Attributes:
        stable: `<id>@<version>`, or `universal`.
        canary: another version, on trial with a share of the streams; None where there is none.
        percent: the canary's share, above 0 and below 100; 0 without a canary.
        previous: what was stable before, the latest last: the way back.

    Raises:
        ValueError: a canary without a share, or a share without a canary.
    """

    stable: str
    canary: str | None = None
    percent: float = 0.0
    previous: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.canary is None and self.percent != 0:
            raise ValueError(f"{self.percent} % of the streams, and no canary")
        if self.canary is not None and not 0 < self.percent < 100:
            raise ValueError(f"canary {self.canary} with {self.percent} % of the streams")

    def is_canary(self, stream_id: str) -> bool:
        """Whether a stream is one of the canary's.

        By a hash of its id: the same at every gateway and after every restart, and a larger share
        only adds streams.
        """
        digest = hashlib.blake2b(stream_id.encode(), digest_size=8).digest()
        return 100 * int.from_bytes(digest) < self.percent * 2**64

    def percent_of(self, key: str) -> float:
        """The share of the streams that a version hears, 0 to 100."""
        if key == self.canary:
            return self.percent
        return 100 - self.percent if key == self.stable else 0.0

    def with_stable(self, key: str) -> Routing:
        """`key` hears everything; what did before is the way back."""
        if key == self.stable:
            return Routing(key, previous=self.previous)
        return Routing(key, previous=(*self.previous, self.stable)[-_REMEMBERED:])

    def with_canary(self, key: str, percent: float) -> Routing:
        """`key` hears `percent` of the streams. Raises InvalidRequest for the stable version."""
        if key == self.stable:
            raise InvalidRequest(
                f"{key} hears all streams already: it can be no canary beside itself"
            )
        return replace(self, canary=key, percent=percent)

    def promoted(self) -> Routing:
        """The canary becomes stable. Raises InvalidRequest where there is none."""
        if self.canary is None:
            raise InvalidRequest(
                f"there is no canary to promote: {self.stable} hears all streams; "
                "publish one with --canary PERCENT"
            )
        return self.with_stable(self.canary)

    def rolled_back(self) -> Routing:
        """Without the canary; without one, back to what was stable before.

        Raises:
            InvalidRequest: nothing was.
        """
        if self.canary is not None:
            return Routing(self.stable, previous=self.previous)
        if not self.previous:
            raise InvalidRequest(
                f"nothing was stable before {self.stable}: name what shall serve with --to"
            )
        return Routing(self.previous[-1], previous=self.previous[:-1])

    def rolled_back_to(self, key: str) -> Routing:
        """To a version of one's choice; what is older than it stays the way back from there."""
        if key not in self.previous:
            return Routing(key, previous=self.previous)
        last = len(self.previous) - 1 - self.previous[::-1].index(key)
        return Routing(key, previous=self.previous[:last])

    def to_json(self) -> bytes:
        """The document; `parse_routing` reads it."""
        return (json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n").encode()


def parse_routing(content: bytes) -> Routing:
    """Raises ValueError for what is no routing."""
    try:
        document = json.loads(content)
        canary = document["canary"]
        return Routing(
            stable=str(document["stable"]),
            canary=None if canary is None else str(canary),
            percent=float(document["percent"]),
            previous=tuple(str(key) for key in document["previous"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no routing: {error!r:.80}") from error
