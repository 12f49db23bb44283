"""What is asked for with `--from`, and which rows a new head begins as."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from common.errors import InvalidRequest
from speech.adapters.kinds import ATTENTION, BOTTLENECK, AdapterKind, AdapterShape
from tests.speech.tiny import random_adapter
from transfer.training.run import RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.source import Loan, Source, Start
from transfer.training.start.begin import begin
from transfer.training.start.head import rows_of
from transfer.training.start.request import Request, parse_request
from transfer.training.start.sounds import loans, with_loans
from transfer.training.start.wording import told_start

LATIN = ("<blank>", " ", "a", "b", "p", "s")
CYRILLIC = ("", " ", "а", "п", "с", "ь")


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("es@2", Request(("es@2",))),
        ("mms-swh@1, it@2", Request(("mms-swh@1", "it@2"))),
        ("es@2=0.6,it@2=4", Request(("es@2", "it@2"), (0.6, 4.0))),
        ("auto", Request((), count=3)),
        ("auto:12", Request((), count=12)),
    ],
)
def test_requests(text: str, request_: Request) -> None:
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give adapters such as es@2"),
        ("es@2,,it@2", "give adapters such as es@2"),
        ("es@2,it@2,es@2", "names es@2 twice"),
        ("es@2=0.5,it@2", "give all adapters a weight, .* or none"),
        ("es@2=0,it@2=0", "gives es@2 the weight '0': give a number above 0"),
        ("es@2=-1,it@2=2", "the weight '-1'"),
        ("es@2=nan,it@2=2", "the weight 'nan'"),
        ("es@2=inf,it@2=2", "the weight 'inf'"),
        ("es@2=much,it@2=2", "the weight 'much'"),
        ("auto:0", "give auto, or auto:1 and more"),
    ],
)
def test_requests_that_contradict_themselves(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_request(text)


def test_a_start_is_written_as_it_was_asked_for() -> None:
    one, other = (Source(key, {}, LATIN) for key in ("es@2", "it@2"))
    assert (Start((one,)).text, Start((one,)).identity) == ("es@2", "es@2")
    mean = Start((one, other), (0.6, 0.4), "mean", "phonemes")
    assert mean.text == "es@2=0.6,it@2=0.4"
    assert mean.identity == "mean of es@2=0.6,it@2=0.4, head by phonemes"
    assert parse_request(mean.text) == Request(("es@2", "it@2"), (0.6, 0.4))


def test_records_of_before_say_what_they_said(tmp_path: Path) -> None:
    record = RunRecord("ca", LATIN, TrainSettings(), "es@2", 9, 0.5, 0.2, level="few-shot")
    record.write(tmp_path)
    document = (tmp_path / "run.json").read_text()
    old = "\n".join(line for line in document.splitlines() if "fusion" not in line)
    old = old.replace('"wall_s": 0.0,', '"wall_s": 0.0').replace('  "head": "letters"\n', "")
    assert "head" not in old
    (tmp_path / "run.json").write_text(old)
    assert RunRecord.read(tmp_path) == record
    assert record.strategy().endswith("; started from es@2")


# The head


def two_sources(kind: AdapterKind = BOTTLENECK) -> Start:
    shape = AdapterShape(kind, 32, 4, (0,), 6)
    es, ru = (random_adapter(shape, seed).state_dict() for seed in (1, 2))
    sources = (Source("es@2", es, LATIN, "es"), Source("ru@2", ru, CYRILLIC, "ru"))
    return Start(sources, (0.75, 0.25), "mean")


def test_letters_come_from_those_that_write_them() -> None:
    vocabulary = ("<blank>", " ", "b", "s", "ж", "п")
    assert rows_of(vocabulary, two_sources()) == {
        0: [(0, 0), (1, 0)],
        1: [(0, 1), (1, 1)],
        2: [(0, 3)],
        3: [(0, 5)],
        5: [(1, 3)],
    }


@pytest.mark.parametrize("kind", [BOTTLENECK, ATTENTION], ids=lambda kind: kind.name)
def test_rows_are_weighted_means_and_the_rest_is_new(kind: AdapterKind) -> None:
    start = two_sources(kind)
    vocabulary = ("<blank>", " ", "b", "ж")
    torch.manual_seed(0)
    adapter = begin(AdapterShape(kind, 32, 4, (0,), 4), vocabulary, start)
    torch.manual_seed(0)
    bare = begin(AdapterShape(kind, 32, 4, (0,), 4), vocabulary, None)
    es, ru = (source.weights for source in start.sources)
    for part in ("weight", "bias"):
        name = f"head.projection.{part}"
        own = adapter.state_dict()[name]
        torch.testing.assert_close(own[:2], 0.75 * es[name][:2] + 0.25 * ru[name][:2])
        assert torch.equal(own[2], es[name][3])
        assert torch.equal(own[3], bare.state_dict()[name][3])


def test_a_new_head_has_no_row_of_others() -> None:
    start = Start(two_sources().sources[:1], head="new")
    shape = AdapterShape(BOTTLENECK, 32, 4, (0,), 6)
    torch.manual_seed(0)
    adapter = begin(shape, LATIN, start).state_dict()
    torch.manual_seed(0)
    bare = begin(shape, LATIN, None).state_dict()
    for name, value in adapter.items():
        expected = bare if name.startswith("head.projection") else start.sources[0].weights
        assert torch.equal(value, expected[name]), name


def test_borrowed_rows_are_for_letters_that_nobody_writes() -> None:
    start = two_sources()
    lent = (Loan("α", "a", 0, "a", "a", 0.0), Loan("α", "a", 1, "а", "a", 0.0))
    useless = Loan("b", "b", 1, "п", "p", 0.1)
    start = Start(start.sources, start.weights, "mean", "phonemes", (*lent, useless))
    rows = rows_of(("<blank>", "α", "b"), start)
    assert rows[1] == [(0, 2), (1, 2)]
    assert rows[2] == [(0, 3)]


def test_a_letter_goes_to_the_nearest_sound_that_a_source_writes() -> None:
    sounds: Mapping[str, Mapping[str, float]] = {
        "β": {"v": 0.9, "s": 0.1},
        "α": {"a": 1.0},
        "ь": {},
    }
    written = {0: {"a": "a", "p": "p", "b": "b", "s": "s"}, 1: {"a": "а", "p": "п", "f": "ф"}}
    found = list(loans(["α", "β", "ь", "-"], sounds, written))
    assert [(loan.letter, loan.source, loan.lent) for loan in found] == [
        ("α", 0, "a"),
        ("α", 1, "а"),
        ("β", 1, "ф"),
    ]
    assert (found[0].phoneme, found[0].nearest, found[0].distance) == ("a", "a", 0.0)
    assert found[2].distance > 0


def test_greek_begins_as_spanish() -> None:
    vocabulary = ("<blank>", " ", *"abcdefghijklmnopqrstuvwxyzáéíñóúü")
    start = Start((Source("es@2", {}, vocabulary, "es"),))
    texts = [
        "καλημέρα σας",
        "το σπίτι είναι μεγάλο",
        "μία μπάλα",
        "ένα λεμόνι και ένα ποτάμι",
        "θα θέλω",
    ]
    found = with_loans(start, "el", texts)
    lent = {loan.letter: loan.lent for loan in found.loans}
    assert {letter: lent[letter] for letter in "αλμνπστκιθ"} == {
        "α": "a",
        "λ": "l",
        "μ": "m",
        "ν": "n",
        "π": "p",
        "σ": "s",
        "τ": "t",
        "κ": "c",
        "ι": "i",
        "θ": "z",  # and not c, which mostly writes /k/
    }
    assert found.head == "phonemes"
    line = list(told_start(found))[-1]
    assert line.startswith("  letters by sound  ά as a, έ as e, ")
    known = with_loans(start, "it", ["buona sera"])
    assert known.loans == ()
    assert list(told_start(known))[-1].endswith("none: the sources write all letters")


def test_words_of_a_source_are_needed_to_hear_its_letters() -> None:
    """Belarusian can be read, and no list has its words."""
    start = Start((Source("be@1", {}, CYRILLIC, "be"),))
    with pytest.raises(InvalidRequest, match="--head phonemes needs words of what be@1 hears"):
        with_loans(start, "el", ["καλημέρα"])
