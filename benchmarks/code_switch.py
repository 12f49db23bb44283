"""Speakers who change language, through the whole stack: which language, which words, how soon.

    python -m benchmarks.code_switch [--streams 24] [--no-arbitration]

The set is `code_switch_set`'s. Every stream is sent in real time, with the 11 languages as
candidates. Measured, the formulas in `language_error` and `code_switch_scores`:

    language error     share of speech with no language or another, 200 ms collar
    words wrong        over those wrong when each true span is sent alone, its language fixed
    change found       audio from a change to the first event that tells of it
    extra latency      end of speech to final, languages identified less language fixed, the same
                       one-language streams alone on an idle machine, the two in turns

Events are timed by the audio spoken when they arrive. Streams that are not timed against each
other run three at once; two cores hold seven (`streams`). Needs the manifests of `data/`. It takes
about 12 minutes; a few streams (`--streams 4`) take three.

Where two languages are close, spans are heard in both, which is not the gateway's default
(`PANGLOT_GATEWAY_ARBITRATION`). With `--no-arbitration` only the streams that change are played,
and what arbitration gains and costs is told beside the last whole run over the same set
(`results/code_switch.json`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import code_switch_plot
from benchmarks.code_switch_audio import Stream
from benchmarks.code_switch_play import Played, in_order, play, told
from benchmarks.code_switch_scores import Judged, Pair, claims, judge, latency_rows, rows
from benchmarks.code_switch_set import CONTROL, LANGUAGES, build, digest, read_recordings
from benchmarks.processes import cpu_time
from benchmarks.report import RESULTS, write
from client.aio import AsyncClient
from client.errors import ClientError
from client.stack import Stack, StackOptions
from client.types import Options
from common.errors import PanglotError

NAME, WITHOUT = "code_switch", "code_switch_no_arbitration"
ARBITRATION = "PANGLOT_GATEWAY_ARBITRATION"
AT_ONCE = 3
ALONE = "long pause"
"""Streams so joined have a final for each span, and are played alone, twice each."""
SETTLE_S = 2.0


@dataclass(frozen=True)
class Heard:
    """All that was measured; `cpu_s` per second of a stream that changes, by process."""

    streams: tuple[Judged, ...]
    cpu_s: dict[str, float]
    pairs: tuple[Pair, ...] = field(default=())


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=24, help="that change; as many that do not")
    parser.add_argument("--seed", type=int, default=0, help="of the set; results are for 0")
    parser.add_argument("--data", type=Path, default=Path("data"), help="manifests")
    parser.add_argument("--workers", type=int, default=1, choices=(1, 2), help="of the stack")
    parser.add_argument(
        "--no-arbitration", action="store_true", help="one adapter only where languages are close"
    )
    arguments = parser.parse_args()
    if arguments.streams < 1:
        parser.error(f"--streams is {arguments.streams}: give at least 1")
    options = StackOptions(port=0, workers=arguments.workers)
    try:
        streams = build(read_recordings(arguments.data), arguments.streams, arguments.seed)
        _run(options, streams, arbitration=not arguments.no_arbitration)
    except (PanglotError, ClientError) as error:
        sys.exit(f"{parser.prog}: {error}")


def _run(options: StackOptions, streams: Sequence[Stream], *, arbitration: bool) -> None:
    named = {"set": digest(streams)}
    os.environ[ARBITRATION] = str(int(arbitration))  # the stack's services inherit it
    if not arbitration:
        streams = [stream for stream in streams if stream.kind.languages != CONTROL]
    heard = asyncio.run(_measure(options, streams))
    figures = named | claims(heard.streams, heard.pairs) | {"cpu_s_per_stream_s": heard.cpu_s}
    table = [*rows(heard.streams), *latency_rows(heard.pairs)]
    if arbitration:
        code_switch_plot.draw(NAME, table, heard.streams)
        print(write(NAME, table, figures))
    else:
        print(write(WITHOUT, [*table, *_gain(figures)], figures))
    _show(figures, {each.played.broken for each in heard.streams if each.played.broken})


async def _measure(options: StackOptions, streams: Sequence[Stream]) -> Heard:
    control = [stream for stream in streams if stream.kind.languages == CONTROL]
    changing = [stream for stream in streams if stream.kind.languages != CONTROL]
    alone = [stream for stream in control if stream.kind.joint == ALONE]
    others = [stream for stream in control if stream.kind.joint != ALONE]
    stack = Stack(options)
    try:
        await stack.start()
        async with AsyncClient(stack.address) as client:
            heard = await _changing(client, changing)
            judged = [judge(each, None) for each in await _played(client, others, "one language")]
            pairs = await _alone(client, alone)
    finally:
        await stack.stop()
    judged += [judge(pair.identified, pair.told.text) for pair in pairs]
    return Heard((*heard.streams, *judged), heard.cpu_s, pairs)


async def _changing(client: AsyncClient, streams: Sequence[Stream]) -> Heard:
    await play(client, streams[0], Options(candidates=LANGUAGES))  # the first one warms up
    before = cpu_time()
    played = await _played(client, streams, "languages change")
    used_s = cpu_time().since(before)
    audio_s = sum(stream.duration_ms for stream in streams) / 1000
    # One at a time: sent this fast, more would be refused on a machine that lags.
    texts = [await told(client, stream) for stream in track(streams, "true spans given")]
    judged = (judge(each, text) for each, text in zip(played, texts, strict=True))
    return Heard(tuple(judged), {name: round(s / audio_s, 4) for name, s in used_s.items()})


async def _played(client: AsyncClient, streams: Sequence[Stream], description: str) -> list[Played]:
    options = Options(candidates=LANGUAGES)
    jobs = [partial(play, client, stream, options) for stream in streams]
    return await in_order(jobs, AT_ONCE, description)


async def _alone(client: AsyncClient, streams: Sequence[Stream]) -> tuple[Pair, ...]:
    """Each with its language identified and told; which of the two comes first takes turns."""
    if not streams:
        return ()
    await asyncio.sleep(SETTLE_S)
    pairs = []
    for number, stream in enumerate(track(streams, "alone, in turns")):
        sides = [Options(candidates=LANGUAGES), Options(language=stream.spans[0].language)]
        order = (0, 1) if number % 2 == 0 else (1, 0)
        played = {side: await play(client, stream, sides[side]) for side in order}
        pairs.append(Pair(played[0], played[1]))
    return tuple(pairs)


def _gain(without: dict[str, Any]) -> list[dict[str, Any]]:
    """A row of what arbitration changes, if the run with it was over the same set."""
    path = RESULTS / f"{NAME}.json"
    if not path.exists():
        return []
    with_it = json.loads(path.read_text(encoding="utf-8"))["claims"]
    if with_it["set"] != without["set"]:
        return []
    names = ("language_error", "wer", "change_found_p50_ms", "cpu_s_per_stream_s")
    return [{"arbitration": name, "on": with_it[name], "off": without[name]} for name in names]


def _show(figures: dict[str, Any], broken: set[str]) -> None:
    table = Table("claim", "measured", "95%", "aim")
    for name, bar in figures["bars"].items():
        if name in figures:
            bounds = figures[f"{name}_interval"]
            table.add_row(name, str(figures[name]), str(bounds), f"≤ {bar}")
    Console().print(table)
    for message in sorted(broken):
        print(f"a stream broke off: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
