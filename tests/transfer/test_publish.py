"""From a run to live traffic: versions, canaries, the way back, and all that may break off."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

import common.adapter_files
from common.adapter_files import CARD_FILE, AdapterFiles
from common.catalogue import Catalogue, catalogue_of, universal_languages
from common.errors import AdapterRefused, InvalidRequest, StoreUnavailable
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import StoreReader
from speech.adapters.card import LexiconSettings, card_bytes, read_card
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.module import Adapter
from speech.adapters.store import AdapterStore
from speech.base_model import WhisperBase
from speech.whisper.encoder import WhisperSharedEncoder
from tests.speech.tiny import D_MODEL
from tests.transfer.publishing import BASE, candidate
from transfer.data.manifest import Clip
from transfer.evaluation.evaluate import Verdict
from transfer.evaluation.findings import judge_part
from transfer.evaluation.scoring import accuracy, judged
from transfer.lexicon.build import build_lexicon
from transfer.lexicon.tuning import rounded_to_half
from transfer.publishing.candidate import Candidate, make_candidate
from transfer.publishing.publish import publish
from transfer.publishing.rollout import promote, rollback
from transfer.training.run import RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.vocabulary import vocabulary_of

CLIP = Clip("a.flac", "press one now", "en", 2.0, "asterisk", "someone")
WHOLE = candidate(lexicon=True)


@pytest.fixture(params=["directory", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AdapterFiles]:
    """An empty store."""
    if request.param == "directory":
        yield AdapterFiles(str(tmp_path / "store"))
        return
    yield AdapterFiles("memory://bucket-to-publish")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def shipped(tmp_path: Path) -> AdapterFiles:
    """A directory as the repository has it: version 1 in a folder of the language's name."""
    put(AdapterFiles(str(tmp_path)), "it", candidate(9, 0.6))
    return AdapterFiles(str(tmp_path))


def put(files: AdapterFiles, folder: str, made: Candidate) -> None:
    """What is in a store without having been published: no routing names it."""
    files.create(folder, "adapter.safetensors", made.weights)
    files.create(folder, CARD_FILE, card_bytes(replace(made.card, version=1)))


def catalogue(files: AdapterFiles) -> Catalogue:
    """As a gateway has it."""
    return catalogue_of(StoreReader(files).read(), universal_languages())


def serves(files: AdapterFiles, tag: str = "it") -> str:
    """`it@1`, or `it@1 it@2 10` with a canary."""
    found = catalogue(files)
    trial = found.trials.get(tag)
    canary = f" {trial.canary.adapter} {trial.routing.percent:g}" if trial else ""
    return found.languages[tag].adapter + canary


def load(files: AdapterFiles, key: str) -> None:
    """As a worker does; raises what it raises."""
    AdapterStore(files, BASE, D_MODEL).load(key)


def versions(files: AdapterFiles) -> list[str]:
    return list(StoreReader(files).read().versions)


# From a run.


def verdict(heard: str, universal: str) -> Verdict:
    return Verdict(CLIP, *(judged(CLIP.text, text, "en") for text in (heard, heard, universal)))


def test_error_rates_count_over_all_words() -> None:
    clips = [judged("press one now", text, "en") for text in ("Press 1 now.", "press won", "")]
    found = accuracy(clips)
    assert found.wer.value == round(5 / 9, 4)
    assert found.wer.low <= found.wer.value <= found.wer.high


def test_what_was_evaluated_is_what_the_store_loads(files: AdapterFiles, tmp_path: Path) -> None:
    settings = TrainSettings(rank=4, layers=(1,))
    vocabulary = vocabulary_of([CLIP.text])
    record = RunRecord("en", vocabulary, settings, "it@1", 10, 0.5, 0.2)
    whisper = _whisper()
    encoder = WhisperSharedEncoder(whisper.model.encoder)
    base = WhisperBase("tiny", "sha256:0", encoder, whisper, Tokenizer(BPE()), GenerationConfig())
    adapter = Adapter(AdapterShape(BOTTLENECK, 16, 4, (1,), len(vocabulary)))
    torch.nn.init.normal_(adapter.head["projection"].weight)  # type: ignore[arg-type]
    rounded_to_half(adapter)
    lexicon = build_lexicon([CLIP.text], "qu", vocabulary)
    tuned = LexiconSettings(hashlib.sha256(lexicon).hexdigest(), 1.5, 0.0, 50)
    evaluation = judge_part("all", "", [verdict("press one now", "press wan now")]).evaluation
    made = make_candidate(base, record, adapter, lexicon, tuned, evaluation, [CLIP])
    made.write(tmp_path / "run")
    card = publish(files, Candidate.read(tmp_path / "run")).card

    assert card.served_by == "adapter"
    assert card.training.licences == ("CC-BY-SA-3.0",)
    assert "started from it@1" in card.training.strategy
    assert replace(card, version=0, published=None) == made.card
    loaded = AdapterStore(files, "sha256:0", 16).load("en@1")
    assert loaded.card == card
    assert loaded.lexicon is not None
    for name, value in adapter.state_dict().items():
        assert torch.equal(loaded.tensors[name], value)


def test_the_universal_path_serves_where_it_is_better(files: AdapterFiles) -> None:
    evaluation = judge_part("all", "", [verdict("press wan now", "Press 1 now.")]).evaluation
    assert evaluation.universal is not None
    assert evaluation.universal.wer.value == 0.0 < evaluation.adapter.wer.value
    done = publish(files, candidate(wer=0.3, universal=0.2))
    assert done.card.served_by == UNIVERSAL
    assert "universal path serves in place of it@1" in done.warnings[0]
    assert "20.0% (19.0–21.0), the adapter 30.0%" in done.warnings[0]
    assert serves(files) == UNIVERSAL
    assert versions(files) == ["it@1"]


# Versions.


def test_versions_stand_side_by_side(files: AdapterFiles) -> None:
    for number, wer in enumerate((0.5, 0.4, 0.3), 1):
        done = publish(files, candidate(number, wer))
        assert (done.card.key, done.fresh, done.warnings) == (f"it@{number}", True, ())
        assert serves(files) == f"it@{number}"
    for number in (1, 2, 3):
        load(files, f"it@{number}")
    assert rollback(files, "it") == Routing("it@2", previous=(UNIVERSAL, "it@1"))


def test_the_same_again_changes_nothing(files: AdapterFiles) -> None:
    first = publish(files, WHOLE)
    names = {folder: files.names(folder) for folder in files.names()}
    again = publish(files, WHOLE)
    assert (again.card, again.fresh, again.routing) == (first.card, False, first.routing)
    assert {folder: files.names(folder) for folder in files.names()} == names
    with pytest.raises(InvalidRequest, match="it@1 is the same adapter: leave --version 5 out"):
        publish(files, WHOLE, version=5)


def test_a_version_never_changes(files: AdapterFiles) -> None:
    publish(files, candidate(1), version=7)
    with pytest.raises(InvalidRequest, match="it@7 is there with other content, and a version nev"):
        publish(files, candidate(2, 0.1), version=7)
    assert publish(files, candidate(2, 0.1)).card.key == "it@8"
    assert publish(files, candidate(3, 0.05), version=2).card.key == "it@2"


def test_the_shipped_layout_is_followed_by_versions_beside_it(shipped: AdapterFiles) -> None:
    assert serves(shipped) == "it@1"
    with pytest.raises(InvalidRequest, match="it@1 is there with other content"):
        publish(shipped, candidate(1), version=1)
    done = publish(shipped, candidate(1), canary=10)
    assert (done.card.key, serves(shipped)) == ("it@2", "it@1 it@2 10")
    load(shipped, "it@1")
    load(shipped, "it@2")
    promote(shipped, "it")
    assert serves(shipped) == "it@2"
    rollback(shipped, "it")
    assert serves(shipped) == "it@1"


# What is refused.


def test_what_is_worse_is_refused_with_both_numbers(files: AdapterFiles) -> None:
    publish(files, candidate(1, 0.2))
    with pytest.raises(InvalidRequest) as caught:
        publish(files, candidate(2, 0.25))
    said = str(caught.value)
    assert "the candidate has a held-out WER of 25.0% (24.0–26.0) on 74 clips" in said
    assert "it@1, which serves, has 20.0% (19.0–21.0) on 74" in said
    assert "--force" in said
    assert versions(files) == ["it@1"]
    assert publish(files, candidate(2, 0.25), force=True).card.key == "it@2"
    with pytest.raises(InvalidRequest, match="was not measured, and it@2, which serves, was"):
        publish(files, candidate(3, None))


def test_it_is_compared_with_what_serves_not_with_the_last(files: AdapterFiles) -> None:
    publish(files, candidate(1, 0.5))
    publish(files, candidate(2, 0.1))
    rollback(files, "it")
    assert publish(files, candidate(3, 0.4)).card.key == "it@3"


def test_another_base_is_told(files: AdapterFiles) -> None:
    publish(files, candidate(1, 0.5))
    done = publish(files, candidate(2, 0.4, base="sha256:" + "c" * 64), canary=10)
    assert "it@2 needs workers of base sha256:cccccccccccc…" in done.warnings[0]
    assert "the other versions of it need sha256:bbbbbbbbbbbb…" in done.warnings[0]


def test_a_canary_needs_something_beside_it(files: AdapterFiles) -> None:
    with pytest.raises(InvalidRequest, match=r"nothing serves quz .* without --canary"):
        publish(files, candidate(language="quz"), canary=10)
    assert versions(files) == []
    publish(files, candidate(language="quz"))
    assert serves(files, "quz") == "quz@1"


def test_a_first_canary_is_tried_against_the_base_model(files: AdapterFiles) -> None:
    publish(files, candidate(), canary=25)
    assert serves(files) == "universal it@1 25"
    assert publish(files, candidate(), canary=50).routing.percent == 50
    promote(files, "it")
    rollback(files, "it")
    assert serves(files) == UNIVERSAL


# The way back.


def test_rolling_back(files: AdapterFiles) -> None:
    with pytest.raises(InvalidRequest, match="the store holds no version of quz"):
        rollback(files, "quz")
    for number in (1, 2, 3):
        publish(files, candidate(number, 0.5 - number / 10))
    publish(files, candidate(4, 0.1), canary=10)
    assert rollback(files, "it").stable == "it@3"
    assert serves(files) == "it@3"
    for name, key in (("1", "it@1"), ("it@2", "it@2"), (UNIVERSAL, UNIVERSAL)):
        rollback(files, "it", name)
        assert serves(files) == key
    for name in ("9", "fr@1", "../it@1", ""):
        with pytest.raises(InvalidRequest, match="names no version of it: give one of it@1, it@2"):
            rollback(files, "it", name)


def test_what_served_before_may_be_gone(shipped: AdapterFiles, tmp_path: Path) -> None:
    publish(shipped, candidate(1))
    (tmp_path / "it" / CARD_FILE).unlink()
    (tmp_path / "it" / "adapter.safetensors").unlink()
    (tmp_path / "it").rmdir()
    with pytest.raises(InvalidRequest, match="it@1 served it before and is not in the store any"):
        rollback(shipped, "it")
    assert serves(shipped) == "it@2"


def test_without_a_canary_there_is_nothing_to_promote(files: AdapterFiles) -> None:
    publish(files, candidate())
    with pytest.raises(InvalidRequest, match="no canary to promote: it@1 hears all streams"):
        promote(files, "it")


# What breaks off in the middle.


def killed_at(step: int, publishing: Callable[[], object], call: str) -> bool:
    """Run in a process of its own that dies, as by kill -9, at the `step`-th of the calls."""
    child = os.fork()
    if child == 0:
        n_calls = 0
        whole = getattr(os, call)

        def dying(*arguments: object, **named: object) -> object:
            nonlocal n_calls
            n_calls += 1
            if n_calls == step:
                os._exit(9)
            return whole(*arguments, **named)

        setattr(os, call, dying)
        try:
            publishing()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 9


@pytest.mark.parametrize("call", ["fsync", "link"])  # before a file is whole; before it has a name
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])  # pin, weights, lexicon, card, routing
def test_a_kill_at_any_write_changes_nothing_that_is_served(
    shipped: AdapterFiles, step: int, call: str
) -> None:
    assert killed_at(step, lambda: publish(shipped, WHOLE), call)
    assert serves(shipped) == "it@1"
    load(shipped, "it@1")
    # The same command again goes on where it was.
    done = publish(shipped, WHOLE)
    assert (done.card.key, serves(shipped)) == ("it@2", "it@2")
    assert done.fresh == (step < 5)
    load(shipped, "it@2")


@pytest.mark.parametrize("step", [2, 3, 4, 5])
def test_what_a_kill_left_is_no_matter_to_another(shipped: AdapterFiles, step: int) -> None:
    assert killed_at(step, lambda: publish(shipped, WHOLE), "link")
    other = publish(shipped, candidate(5, 0.1, lexicon=True)).card.key
    assert other == ("it@2" if step == 2 else "it@3")
    assert serves(shipped) == other
    load(shipped, other)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_a_disk_that_is_full_at_any_write(
    shipped: AdapterFiles, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_calls = 0
    whole = common.adapter_files._create

    def filling(path: Path, store: Path, content: bytes) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(path, store, content)

    with monkeypatch.context() as full:
        full.setattr(common.adapter_files, "_create", filling)
        with pytest.raises(StoreUnavailable, match="cannot be written: No space left on device"):
            publish(shipped, WHOLE, canary=10)
    assert serves(shipped) == "it@1"
    assert publish(shipped, WHOLE, canary=10).card.key == "it@2"
    assert serves(shipped) == "it@1 it@2 10"


def test_what_the_store_does_not_give_back_is_not_served(
    shipped: AdapterFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = AdapterFiles.create

    def lossy(self: AdapterFiles, folder: str, file: str, content: bytes) -> None:
        create(self, folder, file, content[:-1] if file.endswith("safetensors") else content)

    with monkeypatch.context() as broken:
        broken.setattr(AdapterFiles, "create", lossy)
        with pytest.raises(AdapterRefused, match="it@2: sha256 of"):
            publish(shipped, WHOLE)
    assert serves(shipped) == "it@1"


# Two at once.


def at_once(*publishing: Callable[[], object]) -> None:
    """All of them, in threads that begin together; raises what one of them raised."""
    start = threading.Barrier(len(publishing))
    errors: list[BaseException] = []

    def run(one: Callable[[], object]) -> None:
        start.wait()
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in publishing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_two_publish_at_once(shipped: AdapterFiles) -> None:
    made = [candidate(number, 0.3) for number in range(5)]
    at_once(*(lambda each=each: publish(shipped, each) for each in made))
    assert versions(shipped) == [f"it@{number}" for number in range(1, 7)]
    for number in range(1, 7):
        load(shipped, f"it@{number}")
    routing = StoreReader(shipped).read().routing("it")
    assert routing is not None
    assert {routing.stable, *routing.previous} == {*versions(shipped)}


def test_two_publish_the_same_at_once(shipped: AdapterFiles) -> None:
    at_once(*(lambda: publish(shipped, WHOLE) for _ in range(4)))
    assert versions(shipped) == ["it@1", "it@2"]
    assert serves(shipped) == "it@2"


def test_published_cards_are_cards(shipped: AdapterFiles, tmp_path: Path) -> None:
    card = publish(shipped, WHOLE).card
    assert read_card(tmp_path / "it@2") == card
    assert card.published is not None
    assert card.published.endswith("+00:00")


def _whisper() -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=8,
            d_model=16,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
        )
    )
