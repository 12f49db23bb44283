"""A language's adapter stays where it was used, and the next stream goes there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from client.types import Fleet
from common.catalogue import models_url
from tests.stack.adapters import RANDOM, adapter_id
from tests.stack.clips import clip
from tests.stack.running import RunningStack
from tests.stack.talking import END, check_protocol, configuration, pieces, talk

FIRST, SECOND = RANDOM


def _asked(fleet: Fleet) -> tuple[int, int]:
    workers = fleet.workers
    return sum(w.adapter_hits for w in workers), sum(w.adapter_misses for w in workers)


def _holders(fleet: Fleet, language: str) -> list[str]:
    held = adapter_id(language)
    return [w.worker_id for w in fleet.workers if held in w.resident_adapters]


async def test_the_next_stream_goes_where_the_adapter_is(stack: RunningStack) -> None:
    request = [configuration(fixed=FIRST), *pieces(clip("it-1").pcm), END]
    hits, misses = _asked(await stack.fleet())
    for number in range(3):
        outcome = await talk(stack.address, request)
        check_protocol(outcome.events)
        assert [final.adapter for final in outcome.finals] == [adapter_id(FIRST)]
        assert [final.language for final in outcome.finals] == [FIRST]
        # Loaded once, and then warm.
        await stack.until(
            lambda fleet: (
                _asked(fleet) == (hits + number, misses + 1)  # noqa: B023 used at once
                and len(_holders(fleet, FIRST)) == 1
            ),
            "the worker that had the adapter was not chosen",
        )


async def test_languages_share_the_workers(stack: RunningStack) -> None:
    audio = pieces(clip("it-1").pcm)
    outcomes = await asyncio.gather(
        *(
            talk(stack.address, [configuration(fixed=language), *audio, END])
            for language in (FIRST, SECOND, "en", FIRST, SECOND)
        )
    )
    adapters = [[final.adapter for final in outcome.finals] for outcome in outcomes]
    first, second = [adapter_id(FIRST)], [adapter_id(SECOND)]
    assert [adapters[0], adapters[1], adapters[3], adapters[4]] == [first, second, first, second]
    # One adapter's output does not depend on what else is in the batch.
    assert outcomes[0].text == outcomes[3].text
    assert outcomes[1].text == outcomes[4].text
    await stack.until(lambda fleet: bool(_holders(fleet, SECOND)), "nobody holds the adapter")


async def test_each_worker_says_which_base_it_runs(stack: RunningStack) -> None:
    card = json.loads((Path(models_url("")) / "es" / "card.json").read_text(encoding="utf-8"))
    for worker in (await stack.fleet()).workers:
        assert (worker.base_model, worker.universal) == ("embedded", True)
        assert worker.base_fingerprint == card["base_fingerprint"]
