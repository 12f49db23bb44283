"""How many live streams this machine holds, against faster-whisper driven the same way.

    python -m benchmarks.streams [--quick] [--told]

A number of streams holds when 95% of its utterances are final within 500 ms of their last speech,
the silence that ends a segment included, and no stream breaks off. Both sides get the same audio
at the same pace, end a segment after the same silence, and identify the language (`identified`:
ours among the five spoken, faster-whisper among all, as it has no such choice); with `--told` both
are told it, in a second pass. Ours is the whole stack over sockets, with partials, its load
generator on the same cores; faster-whisper gives finals alone.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faster_whisper_side import FasterWhisper, Layout
from benchmarks.ladder import most_streams, next_streams
from benchmarks.paced import Level, Side, measure, scripts
from benchmarks.panglot_side import running
from benchmarks.plot import plot
from benchmarks.report import write
from client.demo import Clip, read_clips

CLIPS = Path(__file__).parent.parent / "tests" / "audio" / "clips.json"
BOUND_MS, RELAXED_MS = 500.0, 1500.0
"""The second is where a side that holds nothing at the first may hold something."""
WITHIN = {BOUND_MS: 0.1, RELAXED_MS: 0.5}
"""How closely the answer is looked for, as a part of itself: the second need not be known well."""
OURS, THEIRS = "panglot", "faster-whisper"
LAYOUTS = (Layout(1, 2), Layout(2, 1))
FEW = 3
"""Fewer streams play longer, so that there are enough utterances to speak of a 95th percentile."""
WARM_UP_S, SETTLE_S = 10.0, 2.0
FIRST = 8
"""Where our climb begins; it goes down from there too."""
TICKS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Plan:
    """What is measured: levels of `level_s`, up to `most` streams."""

    clips: tuple[Clip, ...]
    level_s: float
    most: int
    end_silence_ms: int

    @property
    def languages(self) -> tuple[str, ...]:
        """All that are spoken."""
        return tuple(sorted({tag for clip in self.clips for tag in clip.languages}))


@dataclass(frozen=True)
class Climb:
    """All levels of one side; `language` is `identified` or `told`."""

    side: str
    language: str
    n_languages: int
    levels: tuple[Level, ...]

    @property
    def wer(self) -> float:
        """With as many streams as languages: for each side the same words."""
        levels = [level for level in self.levels if level.streams == self.n_languages]
        words = sum(level.words for level in levels)
        return round(sum(level.wrong for level in levels) / max(1, words), 4)

    def most(self, bound_ms: float) -> int:
        """Streams held within `bound_ms`."""
        return most_streams(self.levels, bound_ms)

    def p95_ms(self, streams: int) -> float | None:
        """The greater of the runs with so many streams."""
        rows = [level.row()["latency_p95_ms"] for level in self.levels if level.streams == streams]
        return max((p95 for p95 in rows if p95 is not None), default=None)


async def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short levels: to see that it runs")
    parser.add_argument("--told", action="store_true", help="again, with the language told")
    parser.add_argument("--end-silence-ms", type=int, default=300, help="ends a segment")
    arguments = parser.parse_args()
    plan = Plan(
        clips=tuple(read_clips(CLIPS)),
        level_s=10.0 if arguments.quick else 25.0,
        most=2 if arguments.quick else 64,
        end_silence_ms=arguments.end_silence_ms,
    )
    climbs: list[Climb] = []
    layout = await _better_layout(plan)
    for told in (False, True) if arguments.told else (False,):
        first = max(1, climbs[0].most(BOUND_MS)) if climbs else min(FIRST, plan.most)
        async with _ours(plan, told=told) as side:
            climbs.append(await _climb(OURS, side, plan, told=told, first=first))
        with closing(FasterWhisper(layout, plan.end_silence_ms, told=told)) as other:
            climbs.append(await _climb(f"{THEIRS} {layout}", other, plan, told=told, first=1))
    _draw(climbs)
    print(write("streams", _rows(climbs), _claims(climbs, plan)))


@asynccontextmanager
async def _ours(plan: Plan, *, told: bool) -> AsyncIterator[Side]:
    languages = plan.languages
    async with running(() if told else languages, plan.end_silence_ms) as side:
        await measure(side, scripts(plan.clips, len(languages), WARM_UP_S))
        yield side


async def _better_layout(plan: Plan) -> Layout:
    """Whichever is faster for two streams; a warm-up, too."""
    found = []
    for layout in LAYOUTS:
        with closing(FasterWhisper(layout, plan.end_silence_ms, told=False)) as side:
            level = await measure(side, scripts(plan.clips, 2, plan.level_s))
        found.append((level.quantile_ms(0.5), layout))
        print(f"{THEIRS} {layout}: p50 {level.quantile_ms(0.5):.0f} ms with 2 streams", flush=True)
    return min(found, key=lambda each: each[0])[1]


async def _climb(name: str, side: Side, plan: Plan, *, told: bool, first: int) -> Climb:
    levels: list[Level] = []
    language = "told" if told else "identified"
    n_languages = len(plan.languages)

    async def play(n: int) -> None:
        level_s = max(plan.level_s, plan.level_s * FEW / n if n < FEW else 0.0)
        levels.append(await measure(side, scripts(plan.clips, n, level_s)))
        row = levels[-1].row()
        print(f"{name}, language {language}: {row}", *levels[-1].errors[:1], flush=True)
        await asyncio.sleep(SETTLE_S)

    for bound_ms, within in WITHIN.items():
        while (n := next_streams(levels, bound_ms, first, within)) is not None and n <= plan.most:
            await play(n)
    if all(level.streams != n_languages for level in levels):
        await play(n_languages)  # however late: its words are compared
    return Climb(name, language, n_languages, tuple(levels))


def _rows(climbs: Sequence[Climb]) -> list[dict[str, Any]]:
    return [
        {"side": climb.side, "language": climb.language, **level.row()}
        for climb in climbs
        for level in climb.levels
    ]


def _claims(climbs: Sequence[Climb], plan: Plan) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "end_silence_ms": plan.end_silence_ms,
        "bound_ms": BOUND_MS,
        "relaxed_bound_ms": RELAXED_MS,
    }
    for prefix, (ours, theirs) in zip(("", "told_"), _passes(climbs), strict=False):
        held, other = ours.most(BOUND_MS), theirs.most(BOUND_MS)
        claims |= {
            f"{prefix}streams_ours": held,
            f"{prefix}streams_faster_whisper": other,
            # It holds none: then against one stream, which it does not hold either.
            f"{prefix}times_faster_whisper": round(held / max(1, other), 1),
            f"{prefix}times_is_against_one_stream_not_held": other == 0,
            f"{prefix}streams_ours_relaxed": ours.most(RELAXED_MS),
            f"{prefix}streams_faster_whisper_relaxed": theirs.most(RELAXED_MS),
            f"{prefix}p95_ours_ms": ours.p95_ms(max(1, held)),
            f"{prefix}p95_faster_whisper_ms": theirs.p95_ms(max(1, other)),
            f"{prefix}wer_ours": ours.wer,
            f"{prefix}wer_faster_whisper": theirs.wer,
        }
    return claims


def _passes(climbs: Sequence[Climb]) -> list[tuple[Climb, Climb]]:
    """Our climb and theirs, of each pass."""
    return list(zip(climbs[::2], climbs[1::2], strict=True))


def _draw(climbs: Sequence[Climb]) -> None:
    with plot(
        "streams",
        "End of speech to final, 95th percentile",
        "real-time streams at once",
        "latency [ms]",
    ) as axes:
        for climb in climbs:
            worst = {n: climb.p95_ms(n) for n in sorted({each.streams for each in climb.levels})}
            told = {n: p95 for n, p95 in worst.items() if p95 is not None}
            label = f"{climb.side}, language {climb.language}"
            axes.plot(list(told), list(told.values()), label=label)
        axes.axhline(BOUND_MS, color="black", linestyle="--", marker="", label="bound, 500 ms")
        axes.set(xscale="log", yscale="log", xticks=TICKS, xticklabels=TICKS)
        axes.minorticks_off()


if __name__ == "__main__":
    asyncio.run(main())
