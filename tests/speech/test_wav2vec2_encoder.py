"""Step 8, wav2vec 2.0: each row of a padded batch equals `transformers` on the utterance alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from common.errors import ModelNotFound
from speech.base_model import fingerprint
from speech.encoder import Site
from speech.wav2vec2.encoder import Wav2Vec2SharedEncoder, load_wav2vec2
from tests.speech.tiny import noise
from tests.speech.tiny_mms import (
    MIN_SAMPLES,
    N_LAYERS,
    difference,
    tiny_config,
    tiny_ctc,
    write_tiny_mms,
)

FAMILIES = [
    pytest.param(stable, norm, id=f"{'stable' if stable else 'post-norm'}-{norm}")
    for stable, norm in product((True, False), ("layer", "group"))
]
LENGTHS = st.lists(st.integers(MIN_SAMPLES, 12_000), min_size=1, max_size=5)
BF16_BOUND = 0.05
"""Root mean square of the difference, as a share of that of the states: twice what was seen."""


def tiny_wav2vec2(stable: bool, norm: str) -> Wav2Vec2Model:
    """A model without a head."""
    config = tiny_config(
        do_stable_layer_norm=stable, feat_extract_norm=norm, conv_bias=norm == "layer"
    )
    return tiny_ctc(config).wav2vec2


@torch.inference_mode()
def alone(wav2vec2: Wav2Vec2Model, audio: Tensor, normalise: bool = True) -> Tensor:
    """`transformers` on one utterance: `[n_frames, d_model]`."""
    extractor = Wav2Vec2FeatureExtractor(do_normalize=normalise)
    values = extractor(audio.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    return wav2vec2(values).last_hidden_state[0]  # type: ignore[no-any-return]


def speech(lengths: Sequence[int]) -> list[Tensor]:
    """Noise with an offset, which normalising takes away."""
    return [noise(length, seed) + 0.05 for seed, length in enumerate(lengths)]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("stable", "norm"), FAMILIES)
@settings(deadline=None, max_examples=15)
@given(lengths=LENGTHS)
@torch.inference_mode()
def test_rows_of_a_batch_equal_transformers(
    stable: bool, norm: str, normalise: bool, lengths: list[int]
) -> None:
    wav2vec2 = tiny_wav2vec2(stable, norm)
    encoder = Wav2Vec2SharedEncoder(wav2vec2, normalise)
    audio = speech(lengths)
    encoded = encoder(*encoder.features(audio))
    for row, samples in enumerate(audio):
        expected = alone(wav2vec2, samples, normalise)
        assert int(encoded.lengths[row]) == len(expected)
        assert difference(encoded.states[row, : len(expected)], expected) < 1e-4


@pytest.mark.parametrize(("stable", "norm"), FAMILIES)
@settings(deadline=None, max_examples=5)
@given(lengths=LENGTHS)
@torch.inference_mode()
def test_half_the_bits_move_it_little(stable: bool, norm: str, lengths: list[int]) -> None:
    reference = tiny_wav2vec2(stable, norm)
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(stable, norm), normalise=True)
    encoder.fold_weight_norm()
    encoder.to(torch.bfloat16)
    audio = speech(lengths)
    encoded = encoder(*encoder.features(audio))
    assert encoded.states.dtype == torch.bfloat16
    for row, samples in enumerate(audio):
        expected = alone(reference, samples)
        error = encoded.states[row, : len(expected)].float() - expected
        assert error.square().mean().sqrt() < BF16_BOUND * expected.square().mean().sqrt()


@pytest.mark.gpu
@pytest.mark.parametrize(("stable", "norm"), FAMILIES)
@torch.inference_mode()
def test_cuda_equals_cpu(stable: bool, norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    audio = speech([16_000, 5_000, 400])
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(stable, norm), normalise=True)
    expected = encoder(*encoder.features(audio))
    encoder.to("cuda")
    found = encoder(*encoder.features(audio))
    assert found.lengths.is_cuda
    mask = expected.mask
    assert difference(found.states.cpu()[mask], expected.states[mask]) < 1e-4


@pytest.mark.parametrize("norm", ["layer", "group"])
@torch.inference_mode()
def test_what_stands_beyond_a_row_is_not_heard(norm: str) -> None:
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(True, norm), normalise=True)
    features, lengths = encoder.features([noise(3000), noise(9000)])
    clean = encoder(features, lengths)
    features[0, 3000:] = 7.0
    found = encoder(features, lengths)
    assert torch.equal(found.states[clean.mask], clean.states[clean.mask])


@pytest.mark.parametrize(("stable", "norm"), FAMILIES)
@torch.inference_mode()
def test_the_adapter_stands_where_that_of_transformers_does(stable: bool, norm: str) -> None:
    """After the feed-forward; transformers itself has adapters in the stable variant only."""
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(stable, norm), normalise=True)
    hooked: list[nn.Module] = []

    def adapt(hidden: Tensor, layer: int, site: Site) -> Tensor:
        return hidden + torch.tanh(hidden) * (layer + 1) if site == "feed_forward" else hidden

    def hook(number: int) -> Any:
        return lambda module, given, output: adapt(output, number, "feed_forward")

    audio = speech([9000, 4000])
    encoded = encoder(*encoder.features(audio), adapt)
    for number, layer in enumerate(encoder.wav2vec2.encoder.layers):
        layer.register_forward_hook(hook(number))
        hooked.append(layer)
    assert len(hooked) == N_LAYERS
    for row, samples in enumerate(audio):
        expected = alone(encoder.wav2vec2, samples)
        assert difference(encoded.states[row, : len(expected)], expected) < 1e-4


def test_the_adapter_is_called_after_each_sub_layer() -> None:
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(True, "layer"), normalise=True)
    calls: list[tuple[int, Site]] = []

    def adapt(hidden: Tensor, layer: int, site: Site) -> Tensor:
        calls.append((layer, site))
        return hidden

    encoder(*encoder.features([noise(3000)]), adapt)
    assert calls == list(product(range(N_LAYERS), ("attention", "feed_forward")))


@torch.inference_mode()
def test_layers_can_be_run_in_two_parts() -> None:
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(False, "group"), normalise=True)
    hidden, lengths = encoder.subsample(*encoder.features([noise(5000), noise(3000)]))
    whole = encoder.run_layers(hidden, lengths)
    parts = encoder.run_layers(hidden, lengths, layers=range(1))
    assert torch.equal(encoder.run_layers(parts, lengths, layers=range(1, N_LAYERS)), whole)


@torch.inference_mode()
def test_shortest_and_longest() -> None:
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(True, "layer"), normalise=True)
    assert encoder.min_samples == MIN_SAMPLES
    assert encoder.max_samples == 480_000
    assert encoder(*encoder.features([noise(MIN_SAMPLES)])).lengths.tolist() == [1]
    with pytest.raises(RuntimeError):
        encoder(*encoder.features([noise(MIN_SAMPLES - 1)]))
    # 20 ms per frame, but for what the first window hears beyond them.
    assert encoder(*encoder.features([noise(16_000)])).lengths.tolist() == [49]


@torch.inference_mode()
def test_silence_is_finite() -> None:
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(True, "group"), normalise=True)
    encoded = encoder(*encoder.features([torch.zeros(4000), noise(5000)]))
    assert torch.isfinite(encoded.states).all()


@torch.inference_mode()
def test_folding_the_weight_norm_changes_nothing_but_its_cost() -> None:
    encoder = Wav2Vec2SharedEncoder(tiny_wav2vec2(True, "layer"), normalise=True)
    features = encoder.features([noise(5000)])
    before = encoder(*features).states
    encoder.fold_weight_norm()
    encoder.fold_weight_norm()  # a second time does no harm
    assert difference(encoder(*features).states, before) < 1e-6
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not any("parametrizations" in name for name in encoder.state_dict())


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MMS as it is published, small."""
    return write_tiny_mms(tmp_path_factory.mktemp("hub") / "mms")


@pytest.fixture
def copy(mms: Path, tmp_path: Path) -> Path:
    """One that a test may damage."""
    return Path(shutil.copytree(mms, tmp_path / "copy"))


def change_config(directory: Path, **changes: Any) -> None:
    """Other values in `config.json`."""
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_adapter_of_the_default_language_is_left_out(mms: Path) -> None:
    encoder = load_wav2vec2(mms, "mms")
    assert not any("adapter" in name for name in encoder.state_dict())
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    config = Wav2Vec2Config.from_pretrained(mms)
    config.adapter_attn_dim = None
    plain = Wav2Vec2Model.from_pretrained(mms, config=config).eval()
    encoded = encoder(*encoder.features([noise(8000)]))
    assert difference(encoded.states[0], alone(plain, noise(8000))) < 1e-4


def test_a_fingerprint_is_of_the_encoder_alone(mms: Path, copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    name = "wav2vec2.encoder.pos_conv_embed.conv"
    published = {  # as MMS has it: saved before torch named weight norms otherwise
        f"{name}.weight_g": tensors.pop(f"{name}.parametrizations.weight.original0"),
        f"{name}.weight_v": tensors.pop(f"{name}.parametrizations.weight.original1"),
    }
    tensors["lm_head.bias"] += 1
    tensors["wav2vec2.encoder.layers.0.adapter_layer.linear_1.bias"] += 1
    save_file(tensors | published, copy / "model.safetensors", {"format": "pt"})
    encoder: Any = load_wav2vec2(copy, "copy").wav2vec2
    assert fingerprint(encoder) == fingerprint(load_wav2vec2(mms, "mms").wav2vec2)
    encoder.encoder.layers[1].feed_forward.output_dense.bias[3] += 0.01
    assert fingerprint(encoder) != fingerprint(load_wav2vec2(mms, "mms").wav2vec2)


@pytest.mark.parametrize("stated", [True, False, None])
def test_normalising_is_what_the_directory_says(copy: Path, stated: bool | None) -> None:
    path = copy / "preprocessor_config.json"
    if stated is None:
        path.unlink()
    else:
        path.write_text(json.dumps({"do_normalize": stated}))
    encoder = load_wav2vec2(copy, "copy")
    features, lengths = encoder.features([noise(4000) + 0.1, noise(3000)])
    assert lengths.tolist() == [4000, 3000]
    assert lengths.dtype == torch.int64
    assert not features[1, 3000:].any()
    if stated is False:
        np.testing.assert_array_equal(features[0], noise(4000) + 0.1)
    else:
        assert abs(float(features[0].mean())) < 1e-5
        assert abs(float(features[0].var()) - 1) < 1e-3


def test_only_a_pickle(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    for path in copy.glob("adapter.*"):
        path.unlink()
    with pytest.raises(ModelNotFound, match=r"has no safetensors.*panglot models convert"):
        load_wav2vec2(copy, "copy")


def test_weights_that_are_missing(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors["wav2vec2.encoder.layers.1.final_layer_norm.bias"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelNotFound, match="holds no readable wav2vec2 model"):
        load_wav2vec2(copy, "copy")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_damaged_directory(copy: Path, file: str) -> None:
    (copy / file).write_text("{")
    with pytest.raises(ModelNotFound, match="base model 'copy'"):
        load_wav2vec2(copy, "copy")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"add_adapter": True}, "add_adapter"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "a frame per 160 samples, where 320 is served"),
    ],
)
def test_shapes_that_are_not_served(copy: Path, changes: dict[str, Any], says: str) -> None:
    change_config(copy, **changes)
    with pytest.raises(ModelNotFound, match=says):
        load_wav2vec2(copy, "copy")
