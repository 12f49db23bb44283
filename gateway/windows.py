"""Step 4: which stretches of a segment are judged for their language, and where a change is. Pure.

All positions are samples from the segment's start, 16 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.audio import SAMPLE_RATE_HZ, Samples

_SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
# Long enough to be right, short enough to lie in one language. A hop of half a second would find a
# few more changes (0.21 in place of 0.23 of the time was in a wrong language, in switching streams
# of development clips, by hand and with an earlier head) for nearly twice the calls.
_WINDOW_MS = 2000
_HOP_MS = 1000
# The least that tells anything.
_NARROW_MS = 1000
# A change is looked for this far on both sides of where it seems to be: that may be half a hop away
# from it, and still a narrow stretch lies wholly on each side.
_REACH_MS = _NARROW_MS + _HOP_MS // 2
_STEP_MS = 250
# A speaker takes breath, or closes the mouth, where one language ends.
_QUIET_WITHIN_MS = 200
_QUIET_FRAME = 20 * _SAMPLES_PER_MS


@dataclass(frozen=True)
class Stretch:
    """Samples `[first, last)` of a segment."""

    first: int
    last: int

    @property
    def n_samples(self) -> int:
        """Its length."""
        return self.last - self.first


def next_stretch(judged: int, there: int, end: int | None) -> Stretch | None:
    """What to judge next, or None while there is too little news.

    Args:
        judged: up to where the segment was judged last; it may end before that.
        there: up to where it has been heard.
        end: where it ends, if it may; at most `there`.
    """
    # A file comes faster than it is judged: still step by step, or a change would be passed over.
    last = judged + _in_samples(_HOP_MS)
    if end is not None:
        last = min(last, end)
    elif last > there:
        return None
    return Stretch(max(0, last - _in_samples(_WINDOW_MS)), last)


def around(change_ms: int, there: int) -> tuple[Stretch, ...]:
    """Narrow stretches about a change, to find where it is, as far as there is audio."""
    low, high = change_ms - _REACH_MS, change_ms + _REACH_MS - _NARROW_MS
    stretches = (
        Stretch(_in_samples(first), _in_samples(first + _NARROW_MS))
        for first in range(low, high + 1, _STEP_MS)
    )
    return tuple(one for one in stretches if one.first >= 0 and one.last <= there)


def quietest(samples: Samples, change_ms: int, after: int) -> int:
    """The quietest sample near a change: no word is cut in two where it can be helped.

    Args:
        samples: float32 `[n_samples]`, of the segment from its start.
        change_ms: where the change seems to be.
        after: where the language before it begins, at most `n_samples`.

    Returns:
        From `after` to `n_samples`.
    """
    change, reach = _in_samples(change_ms), _in_samples(_QUIET_WITHIN_MS)
    low = max(after, change - reach)
    near = samples[low : change + reach]
    n_frames = len(near) // _QUIET_FRAME
    if n_frames == 0:
        return max(after, min(change, len(samples)))
    frames = near[: n_frames * _QUIET_FRAME].reshape(n_frames, _QUIET_FRAME)
    loudness = np.square(frames).mean(axis=1)
    return low + int(loudness.argmin()) * _QUIET_FRAME + _QUIET_FRAME // 2


def _in_samples(time_ms: int) -> int:
    return time_ms * _SAMPLES_PER_MS
