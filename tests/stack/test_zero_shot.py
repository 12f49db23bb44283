"""A language that nobody taught is heard by its nearest relative, and every answer says so."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from panglot.v1 import transcription_pb2 as pb

from client.aio import AsyncClient
from client.types import ZeroShot
from common.fleet import UNIVERSAL
from tests.stack.adapters import BROKEN
from tests.stack.clips import clip, word_error_rate
from tests.stack.running import PANGLOT, RunningStack, running_gateway
from tests.stack.talking import END, Outcome, check_protocol, configuration, pieces, talk

SPANISH = clip("es-1")


async def spoken(address: str, language: str) -> Outcome:
    """The Spanish clip, called something else."""
    first = configuration(fixed=language)
    return await talk(address, [first, *pieces(SPANISH.pcm), END])


def relatives(outcome: Outcome, language: str) -> set[tuple[str, str]]:
    """Whose adapter heard it, and which, in a stream that went well and was in `language`."""
    check_protocol(outcome.events)
    found: set[tuple[str, str]] = set()
    for event in outcome.events:
        told = event.final if event.HasField("final") else event.partial
        if isinstance(told, pb.Transcript) and told.text:
            assert told.language == language
            assert {word.language for word in told.words} == {language}
            assert all(span.zero_shot == told.zero_shot for span in told.spans)
            found.add((told.zero_shot.language, told.adapter))
    return found


async def test_aragonese_is_heard_by_spanish(stack: RunningStack) -> None:
    async with AsyncClient(stack.address) as client:
        served = {each.tag: each for each in await client.languages()}
        (aragonese,) = await client.languages(["an"])
    assert "an" not in served
    assert aragonese.served_by == served["es"].served_by != UNIVERSAL
    assert isinstance(aragonese.zero_shot, ZeroShot)
    outcome = await spoken(stack.address, "an")
    assert relatives(outcome, "an") == {("es", aragonese.served_by)}
    assert word_error_rate(SPANISH.text, outcome.text) < 0.5
    (told,) = outcome.events[0].started.zero_shot
    assert (told.tag, told.name, told.served_by) == ("an", "Aragonese", aragonese.served_by)
    assert (told.zero_shot.language, told.zero_shot.name) == ("es", "Spanish")
    assert 0.6 <= told.zero_shot.similarity < 1


async def test_when_the_nearest_cannot_be_loaded_the_next_hears_it(stack: RunningStack) -> None:
    outcome = await spoken(stack.address, "ty")
    told = outcome.events[0].started.zero_shot[0]
    assert told.zero_shot.language == BROKEN  # Hawaiian, as nobody has tried it yet
    assert relatives(outcome, "ty") == {("mi", UNIVERSAL)}
    assert "stand-in failed" in stack.log("gateway")


async def test_the_command_line_says_so(stack: RunningStack) -> None:
    process = await asyncio.create_subprocess_exec(
        *(PANGLOT, "transcribe", SPANISH.path, "--language", "an", "--server", stack.address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, noted = await process.communicate()
    assert process.returncode == 0
    assert word_error_rate(SPANISH.text, said.decode()) < 0.5
    assert noted.decode().startswith("panglot: Aragonese is served zero-shot by Spanish (es")


async def test_an_operator_chooses_relatives(
    stack: RunningStack, log: Path, tmp_path: Path
) -> None:
    chosen = tmp_path / "relatives.json"
    chosen.write_text(json.dumps({"eo": ["it", "es"]}))
    settings = {
        "PANGLOT_GATEWAY_ZERO_SHOT": "1",
        "PANGLOT_GATEWAY_RELATIVES": str(chosen),
    }
    async with running_gateway(stack, log, **settings) as (gateway, _):
        esperanto = await spoken(gateway.address, "eo")
        refused = await spoken(gateway.address, "an")
    assert relatives(esperanto, "eo") == {("it", UNIVERSAL)}
    assert not esperanto.finals[0].zero_shot.HasField("similarity")
    assert (refused.code.name, refused.kinds) == ("INVALID_ARGUMENT", [])


async def test_a_gateway_with_relatives_that_cannot_be_does_not_start(
    stack: RunningStack, tmp_path: Path
) -> None:
    chosen = tmp_path / "relatives.json"
    chosen.write_text(json.dumps({"wa": ["fr", 3]}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway"),
        env={**stack.settings(), "PANGLOT_GATEWAY_RELATIVES": str(chosen)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complained = await process.communicate()
    assert process.returncode
    assert b"PANGLOT_GATEWAY_RELATIVES: 'wa'[1] is 3: give a BCP-47 tag" in complained
    assert b"Traceback" not in complained
