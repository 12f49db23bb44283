"""MMS through the whole stack: its own base, its published adapters, beside Whisper's workers."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from panglot.v1 import asr_pb2, asr_pb2_grpc
from safetensors.torch import load, save

from client.stack import LOOPBACK, free_ports
from common.audio import from_wire
from common.catalogue import models_url
from speech.adapters.card import WEIGHTS_FILE, AdapterCard, read_card, write_card
from speech.wav2vec2.mms import import_adapter, open_published
from tests.speech.tiny_mms import LETTERS, reference_text, write_tiny_mms
from tests.stack.clips import SILENCE, clip, word_error_rate
from tests.stack.running import RunningStack, running_stack
from tests.stack.talking import (
    END,
    channel_to,
    check_protocol,
    configuration,
    pieces,
    spoken,
    talk,
)

SEED = 3  # of random numbers that say something in each language
PCM = clip("it-1").pcm
SPANISH = read_card(Path(models_url("")) / "es").key
TAGS = {"eng": "en", "fra": "fr", "cmn-script_simplified": "zh"}
CODES = {tag: code for code, tag in TAGS.items()}

Damage = Callable[[AdapterCard, bytes], tuple[AdapterCard, bytes]]


def _checked(card: AdapterCard, content: bytes) -> tuple[AdapterCard, bytes]:
    """With the checksum that fits, so that something else is what is wrong."""
    return replace(card, sha256=hashlib.sha256(content).hexdigest()), content


def _with_nan(card: AdapterCard, content: bytes) -> tuple[AdapterCard, bytes]:
    tensors = load(content)
    tensors["wav2vec2.encoder.layers.1.adapter_layer.norm.bias"][3] = torch.nan
    return _checked(card, save(tensors))


def _too_many_symbols(card: AdapterCard, content: bytes) -> tuple[AdapterCard, bytes]:
    n_vocab, tensors = 129, load(content)
    tensors["lm_head.weight"] = torch.zeros(n_vocab, tensors["lm_head.weight"].shape[1])
    tensors["lm_head.bias"] = torch.zeros(n_vocab)
    symbols = tuple(chr(0x4E00 + number) for number in range(n_vocab))
    return _checked(replace(card, vocabulary=symbols), save(tensors))


# By the language that it is published for: what is wrong with it, and what has to be said of it.
BAD: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "de": (
        lambda card, content: (card, content[:-1] + bytes([content[-1] ^ 1])),
        ("sha256", "card says"),
    ),
    "nl": (lambda card, content: _checked(card, b"PK\3\4"), ("not safetensors",)),
    "sv": (_with_nan, ("adapter_layer.norm.bias", "NaN")),
    "da": (lambda card, content: (replace(card, vocabulary=()), content), ("0 symbols",)),
    "fi": (
        lambda card, content: (replace(card, vocabulary=card.vocabulary[:-1]), content),
        ("head.projection", "card asks for"),
    ),
    "ja": (_too_many_symbols, ("129 symbols", "PANGLOT_WORKER_MAX_VOCABULARY")),
}
OTHER_BASE = "pl"


@dataclass(frozen=True)
class MmsStack:
    """`panglot serve` on a small MMS."""

    directory: Path
    stack: RunningStack


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MmsStack]:
    """One worker; in the store MMS's languages, damaged ones, and one of Whisper's."""
    root = tmp_path_factory.mktemp("mms")
    directory = write_tiny_mms(root / "tiny-mms", SEED)
    store = root / "store"
    published = open_published(str(directory), None)
    for code in LETTERS:
        import_adapter(published, code, store)
    for language, (damage, _) in BAD.items():
        _write_damaged(store, language, damage)
    _write_damaged(store, OTHER_BASE, lambda card, x: (replace(card, base_fingerprint="?"), x))
    (store / "es").symlink_to(Path(models_url("")) / "es")
    options = ("--base-model", str(directory), "--models", str(store))
    precise = {"PANGLOT_PRECISION": "float32"}
    with running_stack(root / "logs", *options, workers=1, **precise) as running:
        yield MmsStack(directory, running)


def _write_damaged(store: Path, language: str, damage: Damage) -> None:
    whole = store / "mms-fra"
    card, content = damage(read_card(whole), (whole / WEIGHTS_FILE).read_bytes())
    folder = store / f"bad-{language}"
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(content)
    write_card(replace(card, id=folder.name, language=language), folder)


async def recognize(
    address: str, adapter: str, pcm: bytes, *, partials: bool = False
) -> asr_pb2.Hypothesis:
    """The final of one span, asked of the worker itself."""
    config = asr_pb2.SpanConfig(span_id="1", adapter=adapter, partial_results=partials)
    finalize = asr_pb2.Finalize(sequence=1, sample_count=len(pcm) // 2)
    requests = (
        asr_pb2.RecognizeRequest(config=config),
        asr_pb2.RecognizeRequest(pcm_s16le=pcm),
        asr_pb2.RecognizeRequest(finalize=finalize),
    )
    async with channel_to(address) as channel:
        call = asr_pb2_grpc.AsrServiceStub(channel).Recognize(iter(requests))
        finals = [each.final.hypothesis async for each in call if each.HasField("final")]
    assert len(finals) == 1
    return finals[0]


async def test_the_worker_writes_what_transformers_does(mms: MmsStack) -> None:
    (worker,) = (await mms.stack.fleet()).workers
    assert (worker.base_model, worker.universal) == (str(mms.directory), False)
    asked = [
        (code, PCM[: length * 2], partials)
        for code in LETTERS
        for length, partials in ((len(PCM) // 2, False), (20_000, True))
    ]
    found = await asyncio.gather(
        *(
            recognize(worker.address, f"mms-{code}@1", pcm, partials=partials)
            for code, pcm, partials in asked
        )
    )
    texts = []
    for (code, pcm, _), heard in zip(asked, found, strict=True):
        expected = reference_text(mms.directory, code, torch.from_numpy(from_wire(pcm)))
        assert heard.text == " ".join(expected.split())
        assert " ".join(word.text for word in heard.words) == heard.text
        texts.append(heard.text)
    assert all(texts[::2])
    assert len(set(texts[::2])) == len(LETTERS)


@pytest.mark.parametrize("tag", TAGS.values())
async def test_the_gateway_serves_its_languages(mms: MmsStack, tag: str) -> None:
    first = configuration(fixed=tag, partials=tag == "fr")
    outcome = await talk(mms.stack.address, spoken(first, PCM + SILENCE, speed=4))
    assert outcome.code.name == "OK", outcome.details
    check_protocol(outcome.events)
    assert {final.language for final in outcome.finals} == {tag}
    assert {final.adapter for final in outcome.finals} == {f"mms-{CODES[tag]}@1"}
    # Where the segment was cut is the gateway's affair; that it was heard whole is not.
    for final in outcome.finals:
        # Cut at whole frames of 32 ms, so that what the worker heard is known to the sample.
        cut = (PCM + SILENCE)[32 * final.start_ms : 32 * final.end_ms]
        expected = reference_text(mms.directory, CODES[tag], torch.from_numpy(from_wire(cut)))
        assert final.text == " ".join(expected.split()) != ""
    assert ("partial" in outcome.kinds) == (tag == "fr")


async def test_bad_adapters_are_refused_with_the_reason(mms: MmsStack) -> None:
    audio = pieces(PCM)
    languages = [*BAD, "fr"]
    outcomes = await asyncio.gather(
        *(talk(mms.stack.address, [configuration(fixed=tag), *audio, END]) for tag in languages)
    )
    *refused, good = outcomes
    for (tag, (_, said)), outcome in zip(BAD.items(), refused, strict=True):
        assert outcome.code.name == "FAILED_PRECONDITION", (tag, outcome)
        assert all(part in outcome.details for part in said), outcome.details
        assert str(mms.directory.parent) not in outcome.details
    assert good.code.name == "OK", good.details
    assert good.text
    (worker,) = (await mms.stack.fleet()).workers
    assert not any(key.startswith("bad-") for key in worker.resident_adapters)


async def test_an_adapter_of_another_base_is_refused_by_the_worker(mms: MmsStack) -> None:
    (worker,) = (await mms.stack.fleet()).workers
    for adapter in (SPANISH, f"bad-{OTHER_BASE}@1"):
        with pytest.raises(Exception, match=f"{adapter} was trained on base"):
            await recognize(worker.address, adapter, PCM)


@asynccontextmanager
async def whisper_worker(stack: RunningStack, log: Path) -> AsyncIterator[str]:
    """One more worker for the fleet, of the embedded base; gives its id."""
    settings = {
        **stack.settings(),
        "PANGLOT_WORKER_ID": "whisper",
        "PANGLOT_WORKER_ADDRESS": f"{LOOPBACK}:{free_ports(1)[0]}",
        "PANGLOT_WORKER_THREADS": "1",
        "PANGLOT_BASE_MODEL": "embedded",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "asr_service"),
            env=settings,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=output,
        )
    try:
        await stack.until(lambda fleet: len(fleet.workers) == 2, f"no second worker; see {log}")
        yield "whisper"
    finally:
        process.terminate()
        await process.wait()


async def test_two_bases_in_one_fleet(mms: MmsStack, log: Path) -> None:
    said = clip("es-1")
    async with whisper_worker(mms.stack, log) as whisper:
        spanish, french, universal = await asyncio.gather(
            talk(mms.stack.address, [configuration(fixed="es"), *pieces(said.pcm), END]),
            talk(mms.stack.address, [configuration(fixed="fr"), *pieces(PCM), END]),
            talk(mms.stack.address, [configuration(fixed="it"), *pieces(PCM), END]),
        )
        fleet = await mms.stack.until(
            lambda fleet: any(
                SPANISH in worker.resident_adapters and worker.worker_id == whisper
                for worker in fleet.workers
            ),
            "the Spanish adapter is not where its base is",
        )
    assert word_error_rate(said.text, spanish.text) <= 0.35, spanish.text
    assert [final.adapter for final in french.finals] == ["mms-fra@1"]
    assert {final.adapter for final in universal.finals} == {"universal"}
    assert word_error_rate(clip("it-1").text, universal.text) <= 0.5, universal.text
    held = {worker.worker_id: worker.resident_adapters for worker in fleet.workers}
    assert held[whisper] == (SPANISH,)
    assert SPANISH not in held["worker-1"]
