"""Step 4: which language is spoken, from language identification of growing windows.

A sticky hidden Markov model over languages. Its state is the odds of each language before the
window at hand; a window multiplies them by its evidence. Pure and deterministic.

    odds(l)   = 1 + (stay_odds - 1) * belief(l)               where a segment begins
    odds(l)   = 1 + (odds(l) - 1) * (1 - window_switch)       at each later window of a segment
    belief(l) ~ odds(l) * max(posterior(l), floor) ** weight(window)

Odds are against any one other language, not against all of them together, so that a thousand
candidates make the model no stickier than two. Windows of one segment contain one another: each
replaces the evidence of the one before, instead of counting the same speech twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TrackerSettings:
    """How fast to believe.

    Attributes:
        stay_odds: how much likelier a new segment is in the language of the one before than in
            any one other. Low enough that 0.8 against 0.2 on a 2 s window switches at once.
        window_switch: share of the initial doubt that returns with each later window of a segment:
            people change language within a segment too, but rarely.
        floor: least posterior of any language, and so the most that one window can say (25 to 1).
            Language identification is wrong once in 14 times even on 3 s.
        window_weights: (window in ms, exponent on its posteriors), interpolated between. They are
            the log odds of the accuracy measured at that length (72, 88 and 93% at 1, 2 and 3 s)
            relative to 2 s.
        certain_probability: belief from which a decision counts as certain.
        settled_probability: belief from which more of the same segment is not worth judging.
    """

    stay_odds: float = 3.5
    window_switch: float = 0.05
    floor: float = 0.04
    window_weights: tuple[tuple[int, float], ...] = ((0, 0.1), (1000, 0.47), (2000, 1), (3000, 1.3))
    certain_probability: float = 0.8
    settled_probability: float = 0.97

    def __post_init__(self) -> None:
        if self.stay_odds < 1:
            raise ValueError(f"stay_odds is {self.stay_odds}; give 1 or more")
        if not 0 < self.floor < 1 or not 0 <= self.window_switch <= 1:
            raise ValueError("give 0 < floor < 1 and 0 <= window_switch <= 1")
        lengths = [length for length, _ in self.window_weights]
        if not lengths or lengths != sorted(set(lengths)):
            raise ValueError("window_weights must be by ascending length, at least one")

    def weight(self, window_ms: int) -> float:
        """The exponent on the posteriors of a window of that length."""
        before_ms, before = self.window_weights[0]
        for after_ms, after in self.window_weights:
            if window_ms <= after_ms:
                share = (window_ms - before_ms) / max(after_ms - before_ms, 1)
                return before + (after - before) * max(share, 0.0)
            before_ms, before = after_ms, after
        return before


@dataclass(frozen=True)
class LanguageDecision:
    """The likeliest language given all heard so far.

    Attributes:
        language, probability: which, and the belief in it.
        certain: whether to act on it.
        settled: whether the rest of the segment need not be judged.
    """

    language: str
    probability: float
    certain: bool
    settled: bool = False


class LanguageTracker:
    """One stream's belief about its language.

    Args:
        candidates: the only languages to choose among; None for all that are ever observed.
    """

    def __init__(self, candidates: Sequence[str] | None, settings: TrackerSettings) -> None:
        if candidates is not None and not candidates:
            raise ValueError("candidates is empty; give at least one, or None for all")
        self._candidates = tuple(dict.fromkeys(candidates)) if candidates is not None else None
        self._settings = settings
        self._odds: dict[str, float] = {}  # 1 for every language that is not in it
        self._belief: dict[str, float] = {}
        self._expected: str | None = None
        if self._candidates is not None and len(self._candidates) == 1:
            self._expected = self._candidates[0]

    @property
    def expected(self) -> str | None:
        """The language to decode the next segment in; None before anything is known."""
        return self._expected

    def observe(
        self, posteriors: Mapping[str, float], window_ms: int, new_segment: bool
    ) -> LanguageDecision:
        """Take in one window and decide.

        Args:
            posteriors: probability by language, over the window only; languages may be missing.
                What is negative or not finite counts as 0.
            window_ms: length of the window, which reaches from the segment's start, or from where
                the speaker was last cut, to now.
            new_segment: whether this is the first window of its segment.

        Raises:
            ValueError: `posteriors` is empty and no language is known yet.
        """
        if self._candidates is not None and len(self._candidates) == 1:
            return LanguageDecision(self._candidates[0], 1.0, certain=True, settled=True)
        self._propagate(new_segment)
        observed = self._restrict(posteriors)
        weight = self._settings.weight(window_ms)
        # Who is in play: what the window names, and what the stream so far suggests. All others
        # share one place, or many unlikely languages would outweigh a likely one by their number.
        names = [name for name, p in observed.items() if p >= self._settings.floor]
        names += [name for name, odds in self._odds.items() if odds > 1 and name not in names]
        if not names and self._expected is not None:
            names = [self._expected]
        if not names:
            names = sorted(observed, key=lambda name: (-observed[name], name))[:1]
        if not names:
            raise ValueError("no posteriors, and no language is known yet")
        scores = {
            name: self._odds.get(name, 1.0) * self._evidence(observed.get(name, 0.0), weight)
            for name in names
        }
        total = math.fsum(scores.values())
        if self._candidates is None or len(names) < len(self._candidates):
            rest = 1.0 - math.fsum(observed.get(name, 0.0) for name in names)
            total += self._evidence(rest, weight)
        self._belief = {name: score / total for name, score in scores.items()}
        # Between equals the one we had, then the alphabet: the same input, the same answer.
        best = min(
            self._belief, key=lambda name: (-self._belief[name], name != self._expected, name)
        )
        self._expected = best
        probability = self._belief[best]
        return LanguageDecision(
            best,
            probability,
            certain=probability >= self._settings.certain_probability,
            settled=probability >= self._settings.settled_probability,
        )

    def _propagate(self, new_segment: bool) -> None:
        settings = self._settings
        if new_segment:
            stay = settings.stay_odds - 1
            odds = {name: 1 + stay * belief for name, belief in self._belief.items()}
        else:
            keep = 1 - settings.window_switch
            odds = {name: 1 + (odds - 1) * keep for name, odds in self._odds.items()}
        # Beliefs fade and never vanish: forget those that no longer move anything.
        self._odds = {name: value for name, value in odds.items() if value > 1.01}

    def _restrict(self, posteriors: Mapping[str, float]) -> dict[str, float]:
        """Posteriors among the candidates, summing to at most 1."""
        allowed = {
            name: p
            for name, p in posteriors.items()
            if math.isfinite(p) and p > 0 and (not self._candidates or name in self._candidates)
        }
        total = math.fsum(allowed.values())
        if self._candidates is not None:
            # Where identification ranged over more languages, only the ratios among ours count.
            allowed = {name: p / total for name, p in allowed.items()}
        elif total > 1:
            allowed = {name: p / total for name, p in allowed.items()}
        return allowed

    def _evidence(self, posterior: float, weight: float) -> float:
        return math.pow(max(posterior, self._settings.floor), weight)
