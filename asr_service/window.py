"""Which audio a partial hears, and how its words join those that were heard before. Pure.

A span of up to 8 s is heard as a whole by each partial. Of a longer one a partial hears a window:
3 s of context and what follows the words that are settled by now. Words are settled when two
passes one after the other agree on them and they lie 1 s or more before the end of the audio:
local agreement, of Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation
by Partial Hypothesis Selection" (2020), on a buffer that is trimmed as in Macháček et al., "Turning
Whisper into Real-Time Transcription System" (2023). So a partial costs the same however long the
span grows. Finals hear the whole span.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from speech.ctc.paths import TimedWord

MAX_WINDOW_MS = 8000
_CONTEXT_MS = 3000
# A word so near to the end of the audio may still change, or be cut.
_TAIL_MS = 1000


@dataclass(frozen=True)
class PartialTranscript:
    """What the partials of a span have heard so far; times in ms from the span's first sample.

    Attributes:
        settled: words that stay as they are, but for a window that begins with the span.
        settled_ms: where they end: a window's words count from there on.
        rest: words after them, as the last pass heard them.
        end_ms: where the audio of the last pass ended.
    """

    settled: tuple[TimedWord, ...] = ()
    settled_ms: int = 0
    rest: tuple[TimedWord, ...] = ()
    end_ms: int = 0

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """The partial."""
        return self.settled + self.rest

    def window(self, n_ms: int) -> tuple[int, int]:
        """Where the next window starts and ends in a span of `n_ms`.

        It ends early when more audio came at once than a window holds.
        """
        if n_ms <= MAX_WINDOW_MS:
            return 0, n_ms
        start = self._start
        if n_ms - start > MAX_WINDOW_MS:
            # Passes do not agree, or came too seldom: what the last one heard must do.
            start = max(start, self.end_ms - _TAIL_MS - _CONTEXT_MS)
        return start, min(n_ms, start + MAX_WINDOW_MS)

    def extended(self, words: tuple[TimedWord, ...], end_ms: int) -> PartialTranscript:
        """After a pass that heard `words` in the window that ends at `end_ms`."""
        start, _ = self.window(end_ms)
        if start == 0:
            # All is heard again, so nothing needs to be kept.
            before = PartialTranscript(rest=self.words)
        elif start > self._start:
            before = self._settled_until(self.end_ms - _TAIL_MS)
        else:
            before = self
        new = tuple(word for word in words if _middle(word) > before.settled_ms)
        count = _agreed(before.rest, new, end_ms - _TAIL_MS)
        settled = before.settled + new[:count]
        settled_ms = new[count - 1].end_ms if count else before.settled_ms
        return PartialTranscript(settled, settled_ms, new[count:], end_ms)

    @property
    def _start(self) -> int:
        return max(0, self.settled_ms - _CONTEXT_MS)

    def _settled_until(self, ms: int) -> PartialTranscript:
        count = sum(_middle(word) <= ms for word in self.rest)
        ends = [word.end_ms for word in self.rest[:count]]
        return replace(
            self,
            settled=self.settled + self.rest[:count],
            settled_ms=max([ms, *ends]),
            rest=self.rest[count:],
        )


def _middle(word: TimedWord) -> float:
    return (word.start_ms + word.end_ms) / 2


def _agreed(before: tuple[TimedWord, ...], after: tuple[TimedWord, ...], until_ms: int) -> int:
    """How many leading words are the same in both and end by `until_ms`."""
    count = 0
    for one, other in zip(before, after, strict=False):
        if one.text != other.text or other.end_ms > until_ms:
            break
        count += 1
    return count
