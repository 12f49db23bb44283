"""How much a worker has to do, how fast it is, and when it has enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import Overloaded

_WEIGHT = 0.2
# Finals are judged by those of the last seconds, if they are enough to judge by.
_WINDOW_S = 3.0
_ENOUGH = 8
_QUANTILE = 0.9
# As TCP does with its window: give way at once, come back slowly. What is admitted now asks for
# its final some seconds from now; who came back at once would be late again by then.
_CUT = 0.8
_GROWTH_PER_S = 1.05
# Any limit is reached again by then.
_GROWN_S = 200.0


class Pace:
    """What a frame costs: the weighted mean over past batches, the last ones weighing most."""

    def __init__(self) -> None:
        """Nothing is known."""
        self.seconds_per_frame = 0.0

    def observe(self, n_frames: int, seconds: float) -> None:
        """A batch of `n_frames` of 20 ms, padding counted, took `seconds`."""
        measured = seconds / n_frames
        known = self.seconds_per_frame or measured
        self.seconds_per_frame = known + _WEIGHT * (measured - known)


class PartialShare:
    """Keeps partials to a share of the model's time.

    A worker that is busy with partials has its finals wait, and on a machine of few cores the
    processes beside it too. So after work on partials alone there is a pause in proportion.
    """

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        """`share` is above 0, 1 for no pause; `clock` gives seconds and never goes back."""
        self._share = share
        self._clock = clock
        self._free_at = 0.0

    @property
    def wait_s(self) -> float:
        """Until there may be such work again."""
        return max(0.0, self._free_at - self._clock())

    def spent(self, seconds: float) -> None:
        """The model has just worked so long on partials alone."""
        began = self._clock() - seconds
        self._free_at = max(self._free_at, began) + seconds / self._share


class Admission:
    """Counts spans under way and refuses those for which finals would come late.

    Half of a final's deadline is for its batch (`schedule.py`), the other half for waiting. When
    one in ten waits longer, fewer spans are admitted than there are; then gradually more, for as
    long as finals are on time. A worker with nothing to do admits up to its limit.

    Attributes:
        limit: spans that may ever be under way.
        active: spans under way.
        idle: no job waits and none is decoded; kept by the engine.
        draining: refuse all.
    """

    def __init__(self, limit: int, final_deadline_s: float, clock: Callable[[], float]) -> None:
        """`clock` gives seconds and never goes back."""
        self.limit = limit
        self.active = 0
        self.idle = True
        self.draining = False
        self._late_s = final_deadline_s / 2
        self._clock = clock
        self._waits: deque[tuple[float, float]] = deque()
        self._cut: tuple[float, float] | None = None

    @property
    def allowed(self) -> int:
        """Spans that may be under way now."""
        if self._cut is None or self.idle:
            return self.limit
        cut_at, level = self._cut
        on_time_s = min(max(0.0, self._clock() - cut_at - _WINDOW_S), _GROWN_S)
        return min(self.limit, max(1, int(level * _GROWTH_PER_S**on_time_s)))

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """One span for the duration; raises Overloaded when it would be one too many."""
        if self.draining:
            raise Overloaded("this worker is draining: send the span to another")
        if self.active >= self.limit:
            raise Overloaded(f"this worker has {self.limit} spans already: send it to another")
        if self.active >= self.allowed:
            raise Overloaded(
                f"finals are late with {self.active} spans in this worker: send it to another"
            )
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    def waited(self, seconds: float) -> None:
        """A final was taken into a batch after waiting so long."""
        now = self._clock()
        if self._cut is not None and now < self._cut[0] + _WINDOW_S:
            return  # it waited behind what was admitted before
        self._waits.append((now, seconds))
        while self._waits[0][0] < now - _WINDOW_S:
            self._waits.popleft()
        waits = sorted(wait for _, wait in self._waits)
        if len(waits) >= _ENOUGH and waits[int(_QUANTILE * len(waits))] > self._late_s:
            level = min(self.active, self.allowed)
            self._cut = (now, max(1.0, _CUT * level))
            self._waits.clear()


def memory_bytes() -> int:
    """Resident set size of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096
