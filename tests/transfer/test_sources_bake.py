"""Making the table of languages of published ones; here of a few lines in their formats."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from common.language_facts import LanguageTable
from common.relatives import Relatives
from transfer.sources.bake import main
from transfer.sources.inventories import broadly, read_inventories

PHOIBLE = ("InventoryID", "ISO6393", "Phoneme", "Marginal", "SegmentClass", "Source")


def write(path: Path, *rows: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def sounds(number: str, code: str, source: str, phonemes: str) -> list[tuple[str, ...]]:
    def row(phoneme: str) -> tuple[str, ...]:
        kinds = {"˥": "tone", "˩": "tone"} | dict.fromkeys(("a", "ai̯", "iː", "i"), "vowel")
        marginal, phoneme = ("TRUE", phoneme[1:]) if phoneme[0] == "?" else ("FALSE", phoneme)
        return number, code, phoneme, marginal, kinds.get(phoneme, "consonant"), source

    return [row(phoneme) for phoneme in phonemes.split()]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    uriel = tmp_path / "urielplus" / "database" / "urielplus_csvs"
    write(
        uriel / "lang_fam_geo.csv",
        ("language_id", "lineage"),
        ("bela1254", "Indo-European, Slavic, East Slavic"),
        ("russ1263", "Indo-European, Slavic, East Slavic"),
        ("bulg1262", "Indo-European, Slavic, South Slavic"),
        ("ital1282", "Indo-European, Italic"),
        ("viet1252", "Austroasiatic, Vietic"),
        ("basq1248", ""),
        ("espe1235", "Artificial Language, Esperantic"),
    )
    codes = {"bel": "bela1254", "rus": "russ1263", "bul": "bulg1262", "ita": "ital1282"}
    codes |= {"vie": "viet1252", "eus": "basq1248", "epo": "espe1235"}
    write(uriel / "uriel_glottocode_map.csv", ("iso_code", "glottocode"), *codes.items())
    write(
        tmp_path / "allophant" / "package_data" / "allophoible.csv",
        PHOIBLE,
        *sounds("1", "rus", "ph", "p pʲ t̪ t̪ʲ ai̯ ?m"),
        *sounds("2", "ita", "ea", "pʰ b t a iː"),
        *sounds("3", "vie", "gm", "t a ˥ ˩"),
        *sounds("4", "vie", "upsid", "t a"),
    )
    panphon = tmp_path / "panphon" / "data"
    write(panphon / "feature_weights.csv", ("syl", "voi"), ("3", "1"))
    write(
        panphon / "ipa_all.csv",
        ("ipa", "syl", "voi", "hitone"),
        *((letter, "-", "-", "0") for letter in ("p", "pʲ", "t")),
        ("b", "-", "+", "0"),
        ("a", "+", "+", "0"),
        ("i", "+", "+", "0"),
    )
    return tmp_path


def baked(tables: Path, name: str = "facts.npz") -> Path:
    app, out = Typer(), tables / name
    app.command()(main)
    result = CliRunner().invoke(app, [str(tables), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "7 languages, 3 with an inventory" in result.output
    return out


def test_the_tree_and_the_sounds(tables: Path) -> None:
    table = LanguageTable.read(baked(tables))
    assert table.find("rus").phonemes == {"p", "pʲ", "t", "tʲ", "a", "i"}
    assert table.find("it").phonemes == {"p", "b", "t", "a", "i"}
    assert table.find("be").stand_in == "East Slavic"
    assert table.find("bg").stand_in == "Slavic"
    # UPSID never writes tones; that of Italian is as in the rest of its family.
    assert [table.find(tag).tonal for tag in ("vi", "ru", "it", "eu")] == [True, False, False, None]
    assert (table.find("eu").clades, table.find("eo").clades) == ((), None)
    near = Relatives(table).nearest("bg", ("it", "vi", "ru", "be"), 4)
    assert [one.tag for one in near] == ["be", "ru", "it", "vi"]


def test_a_difference_counts_as_the_feature_weighs(tables: Path) -> None:
    table = LanguageTable.read(baked(tables))
    voiced = table.phoneme_distance(frozenset("b"), frozenset("p"))
    assert voiced.tolist() == pytest.approx([0.25])
    vowel = table.phoneme_distance(frozenset("a"), frozenset("p"))
    assert vowel.tolist() == pytest.approx([1.0])


def test_the_same_tables_give_the_same_file(tables: Path) -> None:
    assert baked(tables, "one.npz").read_bytes() == baked(tables, "two.npz").read_bytes()


@pytest.mark.parametrize(
    ("narrow", "broad"),
    [
        ("t̪ a", "t a"),  # dental, where nothing else is
        ("pʰ tʰ", "p t"),  # aspirated throughout
        ("p pʰ", "p pʰ"),  # told apart by it
        ("lˠ lʲ", "l lʲ"),
        ("i iː", "i"),  # length is not written
        ("ɐ ɔ", "a o"),  # the only open vowel, the only back one
        ("a ɑ o ɔ", "a ɑ o ɔ"),
        ("t̠ʃ", "tʃ"),
    ],
)
def test_marks_that_tell_nothing_apart_are_left_out(narrow: str, broad: str) -> None:
    assert broadly(set(narrow.split())) == set(broad.split())


def test_of_several_inventories_the_most_typical(tmp_path: Path) -> None:
    file = tmp_path / "allophoible.csv"
    write(
        file,
        PHOIBLE,
        *sounds("1", "spa", "ph", "p t s m n l x"),
        *sounds("2", "spa", "ea", "p t k s"),
        *sounds("3", "spa", "gm", "p t k s b"),
        *sounds("4", "spa", "uz", "p t s b"),
        *sounds("5", "spa", "aa", "p k s b"),
    )
    # The third is like most others; /t/, which it shares with most, is there anyway.
    assert set(read_inventories(file)["spa"].phonemes) == {"p", "t", "k", "s", "b"}
