"""MMS's published adapters in a store of ours: the same outputs, and a reason for each refusal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import speech.wav2vec2.importing
from common.adapter_files import AdapterFiles
from common.errors import AdapterRefused, ModelNotFound, StoreUnavailable
from speech.adapters.card import read_card
from speech.adapters.module import Adapter
from speech.adapters.store import AdapterStore
from speech.base_model import load_base_model
from speech.wav2vec2.mms import Published, import_adapter, open_published
from speech.wav2vec2.mms_languages import language_tag
from tests.speech.test_fairseq import no_file_above
from tests.speech.tiny import noise, tiny_tokenizer, tiny_whisper
from tests.speech.tiny_mms import (
    LETTERS,
    N_LAYERS,
    RANK,
    difference,
    reference_log_probs,
    reference_text,
    write_tiny_mms,
)


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MMS as it is published, small."""
    return write_tiny_mms(tmp_path_factory.mktemp("hub") / "mms")


@pytest.fixture(scope="module")
def published(mms: Path) -> Published:
    """All languages of it."""
    return open_published(str(mms), None)


@pytest.fixture
def damaged(published: Published, tmp_path: Path) -> Published:
    """A copy whose files a test may damage."""
    directory = Path(shutil.copytree(published.directory, tmp_path / "published"))
    return replace(published, directory=directory)


@pytest.mark.parametrize("code", LETTERS)
@torch.inference_mode()
def test_an_imported_adapter_equals_that_of_transformers(
    published: Published, tmp_path: Path, code: str
) -> None:
    assert import_adapter(published, code, tmp_path)
    base = load_base_model(published.base_model)
    store = AdapterStore(AdapterFiles(str(tmp_path)), base.fingerprint, base.encoder.d_model)
    loaded = store.load(f"mms-{code}@1")
    adapter = Adapter(loaded.shape)
    adapter.load_state_dict(loaded.tensors)
    audio = noise(20_000)
    encoded = base.encoder(*base.encoder.features([audio]), adapter)
    found = adapter.log_probs(encoded)[0]
    expected = reference_log_probs(published.directory, code, audio)
    assert difference(found, expected) < 1e-4
    best = torch.unique_consecutive(found.argmax(-1))
    text = "".join(loaded.card.vocabulary[int(number)] for number in best)
    assert text.strip() == reference_text(published.directory, code, audio)
    assert len(set(text)) > 1


def test_the_card(published: Published, tmp_path: Path) -> None:
    code = "cmn-script_simplified"
    import_adapter(published, code, tmp_path)
    card = read_card(tmp_path / f"mms-{code}")
    assert card.key == "mms-cmn-script_simplified@1"
    assert card.language == "zh"
    assert (card.kind, card.rank, card.layers) == ("attention", RANK, tuple(range(N_LAYERS)))
    assert card.vocabulary == ("", "", "", "", " ", *LETTERS[code])
    assert card.base_fingerprint == load_base_model(published.base_model).fingerprint
    assert card.training.licences == ("CC-BY-NC-4.0",)
    assert card.training.hours is None
    assert card.evaluation is None
    assert card.lexicon is None
    assert card.served_by == "adapter"


def test_the_file_is_linked_and_never_changed(published: Published, tmp_path: Path) -> None:
    import_adapter(published, "fra", tmp_path)
    source = published.directory / "adapter.fra.safetensors"
    assert os.path.samefile(tmp_path / "mms-fra" / "adapter.safetensors", source)


def test_another_file_system(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    import_adapter(published, "fra", tmp_path)
    source = published.directory / "adapter.fra.safetensors"
    target = tmp_path / "mms-fra" / "adapter.safetensors"
    assert not os.path.samefile(target, source)
    assert target.read_bytes() == source.read_bytes()


def test_an_import_goes_on_where_it_was_broken_off(published: Published, tmp_path: Path) -> None:
    assert import_adapter(published, "fra", tmp_path)
    assert not import_adapter(published, "fra", tmp_path)
    folder = tmp_path / "mms-fra"
    (folder / "card.json").unlink()
    (folder / ".adapter.safetensors.new").write_bytes(b"half")
    assert import_adapter(published, "fra", tmp_path)
    (folder / "adapter.safetensors").unlink()
    assert import_adapter(published, "fra", tmp_path)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"base_fingerprint": "sha256:other"}))
    assert import_adapter(published, "fra", tmp_path)
    assert not import_adapter(published, "fra", tmp_path)
    assert sorted(os.listdir(folder)) == ["adapter.safetensors", "card.json"]


def rewrite(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    """Other tensors in the file of French."""

    def apply(directory: Path) -> None:
        path = directory / "adapter.fra.safetensors"
        tensors = load_file(path)
        change(tensors)
        path.unlink()
        save_file(tensors, path)

    return apply


def set_nan(tensors: dict[str, Tensor]) -> None:
    """One value among many."""
    tensors["wav2vec2.encoder.layers.1.adapter_layer.norm.bias"][3] = float("nan")


LAYER = "wav2vec2.encoder.layers.1.adapter_layer"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: (d / "adapter.fra.safetensors").write_bytes(b"PK\x03\x04"), "not safetensors"),
        (lambda d: (d / "adapter.fra.safetensors").unlink(), r"no adapter\.fra\.safetensors"),
        (rewrite(lambda t: t.pop("lm_head.weight")), r"no lm_head\.weight"),
        (rewrite(lambda t: t.pop("lm_head.bias")), r"head\.projection\.bias is missing"),
        (rewrite(lambda t: t.pop(f"{LAYER}.linear_2.bias")), r"blocks\.1.* is missing"),
        (rewrite(lambda t: t.update(extra=torch.zeros(1))), r"extra is \(1,\).*none of that name"),
        (
            rewrite(lambda t: t.update({f"{LAYER}.norm.bias": torch.zeros(3)})),
            r"norm\.bias is \(3,\), an adapter of this model has \(32,\)",
        ),
        (rewrite(set_nan), "NaN or infinity"),
        (rewrite(lambda t: t.clear()), "no lm_head"),
    ],
)
def test_a_bad_file(damaged: Published, tmp_path: Path, damage: Any, says: str) -> None:
    damage(damaged.directory)
    store = tmp_path / "store"
    with pytest.raises(AdapterRefused, match=f"^fra: .*{says}") as caught:
        import_adapter(damaged, "fra", store)
    assert str(tmp_path) not in str(caught.value)
    assert not store.exists()
    assert import_adapter(damaged, "eng", store)  # others go on


def with_vocabulary(published: Published, tokens: Any) -> Published:
    """Another vocabulary of French."""
    return replace(published, vocabularies={**published.vocabularies, "fra": tokens})


def test_a_bad_vocabulary(published: Published, tmp_path: Path) -> None:
    good: dict[str, int] = published.vocabularies["fra"]
    moved = {**good, "<pad>": 5, "a": 0}
    for tokens, says in (
        (None, "vocab.json has no such language"),
        ({token: number for token, number in good.items() if token != "a"}, "numbers 13 tokens"),
        ({**good, "zz": len(good)}, "numbers 15 tokens, its head has 14 classes"),
        ({**good, "a": good["b"]}, "each must have one token"),
        ({**good, "a": "5"}, "each must have one token"),
        (moved, "class 0 is 'a', where <pad> must be"),
        ([["a", 1], ["a", 2]], "a token stands twice"),
    ):
        with pytest.raises(AdapterRefused, match=f"^fra: .*{says}"):
            import_adapter(with_vocabulary(published, tokens), "fra", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_token_that_stands_twice(mms: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(mms, tmp_path / "copy"))
    text = (copy / "vocab.json").read_text()
    (copy / "vocab.json").write_text(text.replace('"ç":', '"c":').replace('"\\u00e7":', '"c":'))
    found = open_published(str(copy), ("fra", "eng"))
    with pytest.raises(AdapterRefused, match="fra: a token stands twice"):
        import_adapter(found, "fra", tmp_path / "store")
    assert import_adapter(found, "eng", tmp_path / "store")


def test_which_languages(mms: Path, published: Published) -> None:
    assert published.codes == ("cmn-script_simplified", "eng", "fra")
    found = open_published(str(mms), ["fra", "cmn", "fra"])
    assert found.codes == ("fra", "cmn")
    with pytest.raises(AdapterRefused, match=r"cmn: no .*; there is cmn-script_simplified"):
        import_adapter(found, "cmn", mms)


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("fra", "fr"),
        ("deu", "de"),
        ("abk", "ab"),
        ("xnj", "xnj"),
        ("cmn-script_simplified", "zh"),
        ("yue-script_traditional", "yue"),
        ("azj-script_latin", "az"),
        ("azj-script_cyrillic", "az-Cyrl"),
        ("uzb-script_cyrillic", "uz-Cyrl"),
        ("uzb-script_latin", "uz"),
        ("srp-script_latin", "sr-Latn"),
        ("urd-script_devanagari", "ur-Deva"),
        ("swh", "sw"),
        ("tzo-dialect_chenalho", "tzo-x-chenalho"),
        ("ixl-dialect_sangasparchajul", "ixl-x-sangaspa-rchajul"),
    ],
)
def test_languages_are_named_as_people_ask_for_them(code: str, tag: str) -> None:
    assert language_tag(code) == tag


@pytest.mark.parametrize(
    "code", ["xyz", "", "FRA", "../fra", "uzb-script_runes", "fra-x", "französisch"]
)
def test_codes_of_no_language(code: str) -> None:
    with pytest.raises(AdapterRefused):
        language_tag(code)


def test_a_full_disk(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    with no_file_above(1000), pytest.raises(StoreUnavailable, match="cannot be written"):
        import_adapter(published, "fra", tmp_path)
    assert not list(tmp_path.iterdir())
    assert import_adapter(published, "fra", tmp_path)


def test_a_card_that_does_not_fit_on_the_disk(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_card(card: object, directory: Path) -> None:
        (directory / ".card.json.new").write_text("{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(speech.wav2vec2.importing, "write_card", write_card)
    with pytest.raises(StoreUnavailable, match="No space left"):
        import_adapter(published, "fra", tmp_path)
    assert not list(tmp_path.iterdir())


def test_not_mms(mms: Path, tmp_path: Path) -> None:
    whisper = tmp_path / "whisper"
    tiny_whisper().save_pretrained(whisper)
    tiny_tokenizer().save(str(whisper / "tokenizer.json"))
    with pytest.raises(ModelNotFound, match="is no wav2vec2 model"):
        open_published(str(whisper), None)
    copy = Path(shutil.copytree(mms, tmp_path / "copy"))
    (copy / "vocab.json").write_text('{"<pad>": 0, "a": 1}')
    with pytest.raises(ModelNotFound, match="not nested by language"):
        open_published(str(copy), None)
    for content in ("[", "[]", "\udcff"):
        (copy / "vocab.json").write_text(content, errors="surrogateescape")
        with pytest.raises(ModelNotFound, match=r"vocab\.json"):
            open_published(str(copy), None)
    for path in copy.glob("adapter.*"):
        path.unlink()
    (copy / "vocab.json").write_text("{}")
    with pytest.raises(ModelNotFound, match="has no adapter"):
        open_published(str(copy), None)
