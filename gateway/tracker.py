"""Step 4: which language is spoken when, from language identification of windows of a segment.

A sticky hidden Markov model over frames of a tenth of a second (`language_path`). Each window lends
its evidence in equal parts to the frames that it covers; where windows overlap a frame takes their
mean, so that the same speech never counts twice. Pure and deterministic.

    odds(l)     = weight(l) * (1 + (stay_odds - 1) * belief(l))   where a segment begins
    switch(l)   = weight(l) * switch_odds                         from one frame to the next
    evidence(l) = trust(window) * log max(posterior(l), floor)    of a whole window

Odds are against any one other language, not against all of them together, so that a thousand
candidates make the model no stickier than two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from gateway.language_path import Floats, Path, best_path, marginals, steady

FRAME_MS = 100


@dataclass(frozen=True)
class TrackerSettings:
    """How fast to believe; chosen by hand, with an earlier head, on switching development clips.

    Attributes:
        stay_odds: how much likelier a new segment is in the language of the one before than in
            any one other.
        switch_odds: odds, at each frame, that the speaker goes over to a given other language.
        floor: least posterior of any language, and so the most that one window can say.
        trusts: (window in ms, exponent on its posteriors), interpolated between. Above 1, because
            a change has to be believed on the second or two of it that have been heard; with 1 of
            60 changes 8 were found, with these 27, and one more in twelve speakers who did not
            change was taken to.
        certain: probability from which a span's language is acted upon at once.
        rival: probability from which another language may be the one spoken after all.
        arbitration: whether rivals are named at all.
        shortest_ms: a shorter span is no change of language: it goes with a span beside it.
    """

    stay_odds: float = 3.5
    switch_odds: float = 0.05
    floor: float = 0.003
    trusts: tuple[tuple[int, float], ...] = ((0, 0.4), (1000, 2.4), (2000, 4.0), (3000, 4.8))
    certain: float = 0.7
    rival: float = 0.1
    arbitration: bool = True
    shortest_ms: int = 300

    def __post_init__(self) -> None:
        if self.stay_odds < 1:
            raise ValueError(f"stay_odds is {self.stay_odds}; give 1 or more")
        if not 0 < self.floor < 1 or not 0 < self.switch_odds < 1:
            raise ValueError("give 0 < floor < 1 and 0 < switch_odds < 1")
        lengths = [length for length, _ in self.trusts]
        if not lengths or lengths != sorted(set(lengths)):
            raise ValueError("trusts must be by ascending length, at least one")

    def trust(self, window_ms: int) -> float:
        """The exponent on the posteriors of a window of that length."""
        lengths, values = zip(*self.trusts, strict=True)
        return float(np.interp(window_ms, lengths, values))


@dataclass(frozen=True)
class Window:
    """What language identification heard in one stretch of a segment.

    Attributes:
        start_ms, end_ms: from the segment's start.
        posteriors: by tag, given that somebody speaks; languages may be missing. What is negative
            or not finite counts as 0.
        background: probability that nobody speaks in it.
    """

    start_ms: int
    end_ms: int
    posteriors: Mapping[str, float]
    background: float = 0.0


@dataclass(frozen=True)
class LanguageSpan:
    """A stretch of a segment in one language.

    Attributes:
        start_ms, end_ms: from the segment's start.
        language: the likeliest.
        probability: of that.
        certain: whether to act upon it at once.
        rival: the likeliest other language, where it is likely enough to be tried.
        rival_probability: of that; 0 where there is none.
    """

    start_ms: int
    end_ms: int
    language: str
    probability: float
    certain: bool
    rival: str | None = None
    rival_probability: float = 0.0


@dataclass(frozen=True)
class _Choice:
    """What a client chooses among; `candidates` is None for all languages."""

    candidates: tuple[str, ...] | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


class LanguageTracker:
    """One stream's belief about its languages."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._choice = _Choice()
        self._belief: Mapping[str, float] = {}  # at the end of what was heard
        self._odds: Mapping[str, float] = {}  # where the segment began
        self._windows: list[Window] = []

    def begin(self, candidates: Sequence[str] | None, weights: Mapping[str, float]) -> str | None:
        """A segment begins; returns the language to expect, None where nothing is known.

        Args:
            candidates: the only languages to choose among; None for all that are ever observed.
            weights: odds of a language against one that is not named, before anything is heard.
        """
        if candidates is not None and not candidates:
            raise ValueError("candidates is empty; give at least one, or None for all")
        allowed = None if candidates is None else tuple(candidates)
        self._choice = _Choice(allowed, weights)
        self._belief = {tag: p for tag, p in self._belief.items() if self._may_be(tag)}
        stay = self._settings.stay_odds - 1
        self._odds = {tag: 1 + stay * belief for tag, belief in self._belief.items()}
        self._windows = []
        if self._belief:
            return max(sorted(self._belief), key=lambda tag: self._belief[tag] * self._weight(tag))
        return allowed[0] if allowed is not None and len(allowed) == 1 else None

    def observe(self, *windows: Window, end_ms: int | None = None) -> tuple[LanguageSpan, ...]:
        """Take in windows of the segment.

        Args:
            windows: what is new; those of before are remembered.
            end_ms: where the segment ends, if it may; windows reach beyond that where it turns out
                to have ended some time ago.

        Returns:
            Its spans, in order, up to the last window's end or `end_ms`; none while nothing is
            known: no posteriors, no candidates, nothing before.
        """
        self._windows += [self._restricted(window) for window in windows]
        names = self._in_play()
        if not names:
            return ()
        evidence = self._evidence(names, end_ms)
        others = float(not self._all_named(names))
        odds = [self._odds.get(name, 1.0) * self._weight(name) for name in names]
        prior = np.array([*odds, others])
        switch = np.array([*(self._weight(name) for name in names), others])
        switch = switch * self._settings.switch_odds
        likely = marginals(evidence, prior, switch)
        # What no name stands for is doubt; it is nothing to decode in.
        path = best_path(evidence[:, :-1], prior[:-1], switch[:-1])
        self._belief = dict(zip(names, (float(value) for value in likely[-1, :-1]), strict=True))
        return tuple(_spans(names, path, likely[:, :-1], self._settings))

    def _in_play(self) -> list[str]:
        """Who is in play: whom a window names, or what was spoken before.

        All others share one place, or many unlikely languages would outweigh a likely one by their
        number.
        """
        floor = self._settings.floor
        names = {
            tag
            for window in self._windows
            for tag, probability in window.posteriors.items()
            if probability > floor
        }
        names |= {tag for tag, odds in self._odds.items() if odds > 1 + floor}
        if not names:
            heard = {tag for window in self._windows for tag in window.posteriors}
            names = heard or set(self._odds) or set((self._choice.candidates or ())[:1])
        return sorted(names)

    def _evidence(self, names: Sequence[str], end_ms: int | None) -> Floats:
        """Log likelihoods `[n_frame, len(names) + 1]`; the last is of all that is not named."""
        settings = self._settings
        heard_ms = max((window.end_ms for window in self._windows), default=0)
        until_ms = heard_ms if end_ms is None else min(heard_ms, end_ms)
        n_frames = max(1, -(-until_ms // FRAME_MS))
        total, covering = np.zeros((n_frames, len(names) + 1)), np.zeros((n_frames, 1))
        for window in self._windows:
            first = window.start_ms // FRAME_MS
            last = max(first + 1, -(-window.end_ms // FRAME_MS))
            observed = [window.posteriors.get(name, 0.0) for name in names]
            # Of candidates it may say nothing at all; then it is for none of them, and not against.
            silent = self._choice.candidates is not None and not window.posteriors
            observed.append(0.0 if silent else max(0.0, 1 - math.fsum(observed)))
            trust = settings.trust(window.end_ms - window.start_ms) * (1 - window.background)
            said = trust * np.log(np.maximum(observed, settings.floor))
            total[first:last] += said / (last - first)
            covering[first:last] += 1
        return total / np.maximum(covering, 1)

    def _restricted(self, window: Window) -> Window:
        """Posteriors among the candidates, summing to at most 1."""
        allowed = {
            tag: min(p, 1.0)
            for tag, p in window.posteriors.items()
            if math.isfinite(p) and p > 0 and self._may_be(tag)
        }
        total = math.fsum(allowed.values())
        if self._choice.candidates is not None or total > 1:
            # Where identification ranged over more languages, only the ratios among ours count.
            allowed = {tag: p / total for tag, p in allowed.items()}
        background = window.background if math.isfinite(window.background) else 0.0
        return Window(window.start_ms, window.end_ms, allowed, min(max(background, 0.0), 1.0))

    def _all_named(self, names: Sequence[str]) -> bool:
        """Whether there is no language besides `names`."""
        return self._choice.candidates is not None and set(names) >= set(self._choice.candidates)

    def _may_be(self, tag: str) -> bool:
        return self._choice.candidates is None or tag in self._choice.candidates

    def _weight(self, tag: str) -> float:
        return self._choice.weights.get(tag, 1.0)


def _spans(
    names: Sequence[str], path: Path, likely: Floats, settings: TrackerSettings
) -> list[LanguageSpan]:
    path = steady(path, settings.shortest_ms // FRAME_MS)
    edges = [0, *(n for n in range(1, len(path)) if path[n] != path[n - 1]), len(path)]
    spans = []
    for first, last in pairwise(edges):
        mean = likely[first:last].mean(axis=0)
        state = int(path[first])
        others = [int(other) for other in np.argsort(-mean, kind="stable") if other != state]
        close = settings.arbitration and others and mean[others[0]] >= settings.rival
        rival = others[0] if close else None
        spans.append(
            LanguageSpan(
                start_ms=first * FRAME_MS,
                end_ms=last * FRAME_MS,
                language=names[state],
                probability=float(mean[state]),
                certain=bool(mean[state] >= settings.certain),
                rival=None if rival is None else names[rival],
                rival_probability=0.0 if rival is None else float(mean[rival]),
            )
        )
    return spans
