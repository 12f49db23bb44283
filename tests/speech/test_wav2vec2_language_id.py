"""MMS-LID beside `transformers`' own forward, and what is no such model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from common.errors import ModelNotFound
from speech.language_id.identifier import LanguageIdentifier
from speech.language_id.load import load_identifier
from speech.precision import place
from tests.speech.tiny import noise
from tests.speech.tiny_mms import difference, tiny_config, write_tiny_mms

LABELS = ("eng", "cmn-script_simplified", "azj-script_latin", "nob", "aze", "zlm", "fra")
TAGS = ("en", "zh", "az", "no", "ms", "fr")
CPU = place("cpu", "float32")
GROUP_NORMS = {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False}
WINDOWS = (noise(1600, 1), noise(16_000, 2), noise(8_123, 3), noise(40_000, 4))


def write_tiny_lid(
    directory: Path, labels: tuple[str, ...] = LABELS, *, normalise: bool = True, **changes: Any
) -> Path:
    """A model as `facebook/mms-lid-126` is published, of random numbers."""
    torch.manual_seed(0)
    names = dict(enumerate(labels))
    config = tiny_config(
        id2label=names,
        label2id={label: number for number, label in names.items()},
        classifier_proj_size=16,
        **changes,
    )
    model = Wav2Vec2ForSequenceClassification(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(directory)
    Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(directory)
    return directory


@torch.inference_mode()
def reference(directory: Path, window: Tensor) -> Tensor:
    """Probability of each class, one window alone: float32 `[n_class]`."""
    model = Wav2Vec2ForSequenceClassification.from_pretrained(directory).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(directory)
    values = extractor(window.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    return model(values).logits[0].softmax(-1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("changes", [{}, GROUP_NORMS], ids=["layer norms", "group norms"])
@pytest.mark.parametrize("normalise", [True, False])
def test_each_window_of_a_batch_equals_transformers_alone(
    tmp_path: Path, changes: dict[str, Any], normalise: bool
) -> None:
    directory = write_tiny_lid(tmp_path, normalise=normalise, **changes)
    identifier = load_identifier(str(directory), CPU)
    found = identifier.posteriors(WINDOWS)
    assert identifier.name == str(directory)
    assert identifier.languages == TAGS
    assert found.dtype == torch.float32
    assert torch.allclose(found.sum(dim=1), torch.ones(4), atol=1e-5)
    assert not found[:, -1].any()
    for window, row in zip(WINDOWS, found, strict=True):
        classes = dict(zip(LABELS, reference(directory, window), strict=True))
        # Two labels are one language.
        merged = [classes[label] for label in ("eng", "cmn-script_simplified")]
        merged += [classes["azj-script_latin"] + classes["aze"]]
        merged += [classes[label] for label in ("nob", "zlm", "fra")]
        assert difference(row[:-1], torch.stack(merged)) < 1e-4
    assert difference(found[1], found[2]) > 1e-2


def test_of_more_than_30_s_the_end_is_heard(tmp_path: Path) -> None:
    identifier = load_identifier(str(write_tiny_lid(tmp_path)), CPU)
    long = noise(30 * 16_000 + 7_000)
    whole, end = identifier.posteriors([long]), identifier.posteriors([long[7_000:]])
    assert torch.equal(whole, end)


def test_temperature(tmp_path: Path) -> None:
    directory = str(write_tiny_lid(tmp_path, ("eng", "fra", "ita")))
    plain, flat = (
        load_identifier(directory, CPU, temperature).posteriors(WINDOWS[:1])[:, :-1]
        for temperature in (1.0, 3.0)
    )
    assert torch.allclose(flat, (plain.log() / 3).softmax(dim=-1), atol=1e-5)


def test_in_bfloat16(tmp_path: Path) -> None:
    directory = str(write_tiny_lid(tmp_path))
    exact = load_identifier(directory, CPU).posteriors(WINDOWS)
    rounded = load_identifier(directory, place("cpu", "bfloat16")).posteriors(WINDOWS)
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded, exact, atol=0.05)


def test_the_seam_holds(tmp_path: Path) -> None:
    identifier: LanguageIdentifier = load_identifier(str(write_tiny_lid(tmp_path)), CPU)
    for n_samples in (1600, 1601, 5 * 16_000):
        (row,) = identifier.posteriors([torch.zeros(n_samples)])
        assert row.shape == (len(identifier.languages) + 1,)
        assert torch.isfinite(row).all()
        assert row.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("angry", "happy"), "its labels (id2label) are no languages.*angry"),
        (("LABEL_0", "LABEL_1"), "LABEL_0"),
        (("eng", "cmn-script_imaginary"), "imaginary"),
    ],
)
def test_labels_that_are_no_languages(tmp_path: Path, labels: tuple[str, ...], says: str) -> None:
    directory = write_tiny_lid(tmp_path, labels)
    with pytest.raises(ModelNotFound) as caught:
        load_identifier(str(directory), CPU)
    for part in says.split(".*"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use_weighted_layer_sum": True}, "a sum of its layers"),
        ({"adapter_attn_dim": 4}, "adapter layers"),
    ],
)
def test_shapes_that_are_not_served(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    directory = write_tiny_lid(tmp_path, **changes)
    with pytest.raises(ModelNotFound, match=says):
        load_identifier(str(directory), CPU)


def test_a_model_that_identifies_nothing(tmp_path: Path) -> None:
    directory = write_tiny_mms(tmp_path / "mms")
    with pytest.raises(ModelNotFound, match="a Wav2Vec2ForCTC, which identifies no languages"):
        load_identifier(str(directory), CPU)


def test_weights_that_are_missing(tmp_path: Path) -> None:
    directory = write_tiny_lid(tmp_path)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] += 1
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelNotFound, match="holds no readable wav2vec2 model"):
        load_identifier(str(directory), CPU)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="has no safetensors"):
        load_identifier(str(directory), CPU)
    (directory / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelNotFound, match=r"has no readable config\.json"):
        load_identifier(str(directory), CPU)
