"""Cards and the store: nothing half right is served, and the message says what is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from fsspec.implementations.local import LocalFileSystem
from safetensors.torch import save

from common.adapter_files import AdapterFiles
from common.errors import AdapterNotFound, AdapterRefused, SettingsError, StoreUnavailable
from speech.adapters.card import (
    Accuracy,
    AdapterCard,
    ErrorRate,
    Evaluation,
    LexiconSettings,
    read_card,
    write_card,
)
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.store import AdapterStore
from tests.speech.tiny import D_MODEL, make_card, publish, random_adapter

BASE = "sha256:" + "b" * 64
ADAPTER = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), 6))


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    """One that holds `it@1`."""
    publish(tmp_path, ADAPTER, "it", BASE)
    return AdapterStore(AdapterFiles(str(tmp_path)), BASE, D_MODEL)


def rewrite(directory: Path, **fields: Any) -> None:
    """Change fields of the card; None of a nested name is written `training__hours`."""
    path = directory / "card.json"
    document = json.loads(path.read_text())
    for name, value in fields.items():
        *outer, last = name.split("__")
        place = document
        for step in outer:
            place = place[step]
        place[last] = value
    path.write_text(json.dumps(document))


def republish(directory: Path, content: bytes) -> None:
    """Other weights, and a card that vouches for them."""
    import hashlib  # noqa: PLC0415

    (directory / "adapter.safetensors").write_bytes(content)
    rewrite(directory, sha256=hashlib.sha256(content).hexdigest())


def refused(store: AdapterStore, key: str = "it@1") -> str:
    """What loading `key` says."""
    with pytest.raises(AdapterRefused) as caught:
        store.load(key)
    return str(caught.value)


def test_what_was_published_is_loaded(store: AdapterStore) -> None:
    loaded = store.load("it@1")
    assert loaded.card.key == "it@1"
    assert loaded.lexicon is None
    assert loaded.shape == ADAPTER.shape
    for name, value in ADAPTER.state_dict().items():
        assert torch.equal(loaded.tensors[name], value)


def test_an_object_store_is_read_as_a_directory_is(tmp_path: Path) -> None:
    publish(tmp_path, ADAPTER, "it", BASE)
    bucket = fsspec.filesystem("memory")
    bucket.put(f"{tmp_path}/", "/bucket/adapters/", recursive=True)
    files = AdapterFiles("memory://bucket/adapters")
    assert files.names() == ["it"]
    loaded = AdapterStore(files, BASE, D_MODEL).load("it@1")
    assert torch.equal(loaded.tensors["head.norm.bias"], ADAPTER.state_dict()["head.norm.bias"])
    with pytest.raises(AdapterNotFound):
        AdapterStore(files, BASE, D_MODEL).load("fr@1")


def test_versions_stand_side_by_side(store: AdapterStore, tmp_path: Path) -> None:
    """Also one that was published after the store was opened."""
    with pytest.raises(AdapterNotFound):
        store.load("it@2")
    (tmp_path / "it@2").mkdir()
    for path in (tmp_path / "it").iterdir():
        (tmp_path / "it@2" / path.name).write_bytes(path.read_bytes())
    rewrite(tmp_path / "it@2", version=2)
    assert [store.load(key).card.key for key in ("it@1", "it@2")] == ["it@1", "it@2"]
    with pytest.raises(AdapterNotFound, match="it@3 was asked for, the store holds it@1"):
        store.load("it@3")


def test_a_store_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, ADAPTER, "it", BASE)
    files = AdapterFiles(str(tmp_path))

    def away(*_: object, **__: object) -> bytes:
        raise ConnectionError(f"no route to {tmp_path}")

    monkeypatch.setattr(LocalFileSystem, "cat_file", away)
    with pytest.raises(StoreUnavailable, match="cannot be read: ConnectionError") as caught:
        AdapterStore(files, BASE, D_MODEL).load("it@1")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense://bucket", "s3://bucket/adapters"])
def test_a_protocol_that_is_not_installed(url: str) -> None:
    with pytest.raises(SettingsError, match=r"PANGLOT_MODELS: .*s3fs"):
        AdapterFiles(url)


def test_a_file_too_large_for_an_adapter(
    tmp_path: Path, store: AdapterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.adapter_files.MAX_BYTES", 2000)
    (tmp_path / "it" / "adapter.safetensors").write_bytes(b"x" * 2001)
    with pytest.raises(StoreUnavailable, match="has 2001 bytes; the limit is 2000"):
        store.load("it@1")


@pytest.mark.parametrize(
    "key",
    ["fr@1", "it@2", "it", "it@", "it@1@1", "@1", "", "../it@1", ".", "..@1", "\0@1", "x" * 5000],
)
def test_unknown(store: AdapterStore, key: str) -> None:
    with pytest.raises(AdapterNotFound):
        store.load(key)


def test_a_key_cannot_leave_the_store(store: AdapterStore, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    outside = AdapterStore(AdapterFiles(str(tmp_path / "inner")), BASE, D_MODEL)
    for name in ("../it", str(tmp_path / "it")):
        rewrite(tmp_path / "it", id=name)
        with pytest.raises(AdapterNotFound):
            outside.load(f"{name}@1")


def test_missing_weights(store: AdapterStore, tmp_path: Path) -> None:
    (tmp_path / "it" / "adapter.safetensors").unlink()
    with pytest.raises(AdapterNotFound, match=r"it@1 has no adapter\.safetensors"):
        store.load("it@1")


def test_wrong_checksum(store: AdapterStore, tmp_path: Path) -> None:
    path = tmp_path / "it" / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "adapter it@1: sha256 of adapter.safetensors is" in refused(store)


def test_wrong_base(tmp_path: Path, store: AdapterStore) -> None:
    rewrite(tmp_path / "it", base_fingerprint="sha256:" + "c" * 64)
    said = refused(store)
    assert "trained on base sha256:cccccccccccc…" in said
    assert "runs sha256:bbbbbbbbbbbb…" in said


def test_not_safetensors(tmp_path: Path, store: AdapterStore) -> None:
    republish(tmp_path / "it", b"PK\x03\x04 a pickle")
    assert "adapter it@1: adapter.safetensors is not safetensors" in refused(store)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_not_finite(tmp_path: Path, store: AdapterStore, value: float) -> None:
    state = {name: tensor.clone() for name, tensor in ADAPTER.state_dict().items()}
    state["head.projection.bias"][2] = value
    republish(tmp_path / "it", save(state))
    assert "tensor head.projection.bias holds NaN or infinity" in refused(store)


def test_missing_tensor(tmp_path: Path, store: AdapterStore) -> None:
    state = dict(ADAPTER.state_dict())
    del state["blocks.1.attention.up.bias"]
    republish(tmp_path / "it", save(state))
    assert "tensor blocks.1.attention.up.bias is missing" in refused(store)


def test_a_tensor_too_many(tmp_path: Path, store: AdapterStore) -> None:
    republish(tmp_path / "it", save({**ADAPTER.state_dict(), "extra": torch.zeros(1)}))
    assert "tensor extra is (1,), its card asks for none of that name" in refused(store)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rank": 5}, "tensor blocks.0.attention.down.bias is (4,), its card asks for (5,)"),
        ({"layers": [0]}, "tensor blocks.1.attention.down.bias is (4,)"),
        ({"layers": [0, 1, 2]}, "tensor blocks.2.attention.down.bias is missing"),
        ({"vocabulary": ["", "a"]}, "tensor head.projection.bias is (6,), its card asks for (2,)"),
        ({"rank": 0}, "rank 0"),
        ({"rank": -4}, "rank -4"),
        ({"rank": 10**12}, "rank 1000000000000"),
        ({"vocabulary": []}, "0 symbols"),
    ],
)
def test_wrong_shapes(
    tmp_path: Path, store: AdapterStore, fields: dict[str, Any], says: str
) -> None:
    rewrite(tmp_path / "it", **fields)
    assert says in refused(store)


@pytest.mark.parametrize(
    "field", [x.name for x in dataclasses.fields(AdapterCard) if x.default is dataclasses.MISSING]
)
def test_missing_field(tmp_path: Path, store: AdapterStore, field: str) -> None:
    path = tmp_path / "it" / "card.json"
    document = json.loads(path.read_text())
    del document[field]
    path.write_text(json.dumps(document))
    assert f"card of it: field '{field}' is missing" in refused(store)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"version": "1"}, "it.version: '1'"),
        ({"version": True}, "it.version: True"),
        ({"id": 3}, "it.id: 3"),
        ({"kind": "lora"}, "it.kind: 'lora'"),
        ({"served_by": ["adapter"]}, "it.served_by"),
        ({"layers": [0, "1"]}, "it.layers"),
        ({"layers": 3}, "it.layers: 3"),
        ({"vocabulary": "abc"}, "it.vocabulary: 'abc'"),
        ({"training": None}, "it.training"),
        ({"training__hours": "many"}, "it.training.hours: 'many'"),
        ({"evaluation": []}, "it.evaluation"),
        ({"evaluation": {}}, "it.evaluation: field 'n_clip' is missing"),
        ({"lexicon": {"sha256": "x"}}, "it.lexicon: field 'lm_weight' is missing"),
    ],
)
def test_wrong_type(tmp_path: Path, store: AdapterStore, fields: dict[str, Any], says: str) -> None:
    rewrite(tmp_path / "it", **fields)
    assert f"card of {says}" in refused(store)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_card_that_is_none(tmp_path: Path, store: AdapterStore, content: bytes) -> None:
    (tmp_path / "it" / "card.json").write_bytes(content)
    assert "it" in refused(store)


def test_no_message_shows_a_path(tmp_path: Path, store: AdapterStore) -> None:
    said = []
    (tmp_path / "it" / "card.json").write_text("{")
    said.append(refused(store))
    with pytest.raises(AdapterNotFound) as caught:
        store.load("fr@1")
    assert not any(str(tmp_path) in text for text in [*said, str(caught.value)])


def test_a_card_makes_the_round_trip(tmp_path: Path) -> None:
    rate = ErrorRate(0.25, 0.2, 0.3125)
    accuracy = Accuracy(rate, ErrorRate(0.0, 0.0, 0.125))
    card = dataclasses.replace(
        make_card(ADAPTER, "ру", BASE, "a" * 64),
        vocabulary=("", " ", "ё", "'", "\u0301"),
        evaluation=Evaluation(40, 0.125, accuracy, accuracy, accuracy),
        lexicon=LexiconSettings("c" * 64, 2.0, -0.5, 50),
        served_by="universal",
    )
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


def test_no_card(tmp_path: Path) -> None:
    with pytest.raises(AdapterNotFound, match=r"has no card\.json"):
        read_card(tmp_path)
