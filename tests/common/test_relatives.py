"""How alike languages are: facts that anybody can look up."""

from __future__ import annotations

from itertools import pairwise

import pytest

from common.errors import UnknownLanguage
from common.language_facts import FACTS_FILE, LanguageTable
from common.relatives import Relatives

ELEVEN = ("be", "bg", "ca", "da", "el", "en", "es", "fr", "it", "ro", "ru")


@pytest.fixture(scope="module")
def relatives() -> Relatives:
    return Relatives.read()


@pytest.fixture(scope="module")
def table(relatives: Relatives) -> LanguageTable:
    return relatives.table


def nearest(relatives: Relatives, tag: str, count: int) -> set[str]:
    others = [other for other in ELEVEN if other != tag]
    return {relative.tag for relative in relatives.nearest(tag, others, count)}


@pytest.mark.parametrize(
    ("tag", "family"),
    [
        ("be", {"ru", "bg"}),
        ("uk", {"be", "ru", "bg"}),
        ("ca", {"es", "it", "fr", "ro"}),
        ("pt", {"ca", "es", "it", "fr", "ro"}),
        ("ltg", {"be", "bg", "ru"}),  # Baltic: the Slavic languages are its nearest
        ("sv", {"da", "en"}),
        ("deu", {"da", "en"}),
    ],
)
def test_the_nearest_are_of_the_same_branch(
    relatives: Relatives, tag: str, family: set[str]
) -> None:
    assert nearest(relatives, tag, len(family)) == family


def test_the_other_germanic_language_is_nearest_to_danish(relatives: Relatives) -> None:
    (english,) = relatives.nearest("da", [tag for tag in ELEVEN if tag != "da"], 1)
    assert english.tag == "en"
    assert "same branch: Northwest Germanic" in english.reasons


def test_reasons_say_what_is_shared(relatives: Relatives) -> None:
    russian, bulgarian, italian = relatives.nearest("be", ("it", "bg", "ru"))
    assert [russian.tag, bulgarian.tag, italian.tag] == ["ru", "bg", "it"]
    assert russian.reasons[0] == "same branch: East Slavic"
    assert bulgarian.reasons[0] == "same branch: Slavic"
    assert italian.reasons[0] == "same family: Indo-European"
    # PHOIBLE lists no inventory of Belarusian.
    assert russian.reasons[1] == "33 of 36 phonemes usual in East Slavic"
    assert 1 > russian.similarity > bulgarian.similarity > italian.similarity > 0


def test_a_closer_branch_is_never_less_alike_by_descent(table: LanguageTable) -> None:
    relatives = Relatives(table)
    target = table.find("be")
    order = ("ru", "bg", "lv", "it", "vi")  # East Slavic, Slavic, Balto-Slavic, Indo-European, none
    found = [relatives.compare(target, table.find(tag)).genetic for tag in order]
    known = [genetic for genetic in found if genetic is not None]
    assert len(known) == len(order)
    assert all(near > far for near, far in pairwise(known))
    assert known[-1] == 0


def test_tonal_languages(table: LanguageTable) -> None:
    assert [table.find(tag).tonal for tag in ("vi", "zh", "yo", "th")] == [True] * 4
    assert [table.find(tag).tonal for tag in ("it", "ru", "de", "fi")] == [False] * 4


def test_a_lost_tone_is_said(relatives: Relatives) -> None:
    chinese, italian = sorted(relatives.nearest("vi", ("it", "zh")), key=lambda one: one.tag)[::-1]
    assert (chinese.tag, italian.tag) == ("zh", "it")
    assert "tonal too" in chinese.reasons
    assert "not tonal" in italian.reasons


@pytest.mark.parametrize("tag", ["zh", "cmn", "zh-Hant-TW", "zho"])
def test_a_macrolanguage_is_its_largest_member(table: LanguageTable, tag: str) -> None:
    assert table.find(tag).code == "cmn"


@pytest.mark.parametrize(("tag", "code"), [("be", "bel"), ("sr-Latn", "srp"), ("nb", "nob")])
def test_languages_go_by_any_tag(table: LanguageTable, tag: str, code: str) -> None:
    assert table.find(tag).code == table.find(code).code == code


def test_the_sounds_are_those_of_the_language(table: LanguageTable) -> None:
    spanish, italian = table.find("es").phonemes, table.find("it").phonemes
    assert {"θ", "x", "ɲ", "k"} <= spanish
    assert {"ts", "dz", "ʃ"} <= italian - spanish
    assert {"bʲ", "tʲ"} <= table.find("ru").phonemes  # palatalised beside plain: told apart
    assert not any("̪" in phoneme for phoneme in spanish | italian)  # dental: told apart by none


def test_an_inventory_that_nobody_listed_is_that_of_the_branch(table: LanguageTable) -> None:
    belarusian = table.find("be")
    assert belarusian.stand_in == "East Slavic"
    assert "rʲ" in belarusian.phonemes
    assert table.find("ru").stand_in is None


def test_an_isolate_is_compared_by_its_sounds(relatives: Relatives) -> None:
    assert relatives.table.find("eu").clades == ()
    (spanish, *_, last) = relatives.nearest("eu", ELEVEN, len(ELEVEN))
    assert spanish.tag == "es"
    assert spanish.similarity > last.similarity > 0
    assert spanish.reasons[0] == "no relatives known"


def test_an_invented_language_is_like_none(relatives: Relatives) -> None:
    esperanto = relatives.table.find("eo")
    assert (esperanto.clades, esperanto.phonemes) == (None, frozenset())
    found = relatives.nearest("eo", ("it", "pl"))
    assert [one.similarity for one in found] == [0, 0]
    assert found[0].reasons == ("descent not known", "phonemes not known")


@pytest.mark.parametrize(
    ("tag", "meant"),
    [("Belarusian", "be"), ("catalan", "ca"), ("xx", None), ("", None), ("é", None)],
)
def test_an_unknown_language_is_refused_with_the_nearest(
    relatives: Relatives, tag: str, meant: str | None
) -> None:
    assert not relatives.table.knows(tag)
    with pytest.raises(UnknownLanguage, match="is not known") as refused:
        relatives.nearest(tag, ELEVEN)
    if meant is not None:
        assert f"nearest: {meant} (" in str(refused.value)


def test_one_of_whom_nothing_is_known_comes_last(relatives: Relatives) -> None:
    *_, last = relatives.nearest("it", ("x-own", "vi", "es"))
    assert (last.tag, last.similarity) == ("x-own", 0)
    assert last.reasons == ("nothing is known of it",)


def test_the_same_language_is_most_alike(relatives: Relatives) -> None:
    first, _ = relatives.nearest("it", ("ita", "es"))
    assert (first.tag, first.similarity, first.reasons) == ("ita", 1.0, ("the same language",))


def test_articulation(table: LanguageTable) -> None:
    def distance(phoneme: str, *among: str) -> float:
        return float(table.phoneme_distance(frozenset({phoneme}), frozenset(among))[0])

    assert distance("p", "p", "a") == 0
    assert 0 < distance("p", "b") < distance("p", "m") < distance("p", "a") <= 1


def test_thousands_of_languages_in_a_small_file(table: LanguageTable) -> None:
    assert len(table.codes) > 7900
    assert len(table.described) > 2000
    assert FACTS_FILE.stat().st_size < 600 * 1024
    assert {each["licence"] for each in table.about.values()} == {
        "CC-BY-SA-4.0",
        "CC-BY-SA-3.0",
        "MIT",
    }
    for code in table.codes:
        assert table.find(code).code
