"""Step 8: the encoder equals Whisper's, and a row of a batch equals itself alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.base_model import WhisperBase
from speech.encoder import Adapt, Encoded, Site, within
from speech.features import SAMPLE_RATE_HZ
from speech.whisper.encoder import WhisperSharedEncoder
from tests.speech.tiny import D_MODEL, N_LAYERS, noise, random_adapter, tiny_model

ENCODER = WhisperSharedEncoder(tiny_model().whisper.model.encoder)
ADAPTER = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 5, (0, 1), 7))


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value expected."""
    return float((found - expected).abs().max() / expected.abs().max())


@torch.inference_mode()
def test_thirty_seconds_equal_the_reference(
    base: WhisperBase, clip: Callable[[str], Tensor]
) -> None:
    encoder = WhisperSharedEncoder(base.whisper.model.encoder)
    audio = clip("en-1.flac")
    features, lengths = encoder.features([F.pad(audio, (0, encoder.max_samples - len(audio)))])
    encoded = encoder(features, lengths)
    assert encoder.max_samples == 30 * SAMPLE_RATE_HZ
    assert encoded.lengths.tolist() == [1500]
    expected = base.whisper.model.encoder(features).last_hidden_state
    assert difference(encoded.states, expected) < 1e-4


@pytest.mark.parametrize("adapt", [None, ADAPTER])
@settings(deadline=None, max_examples=40)
@given(lengths=st.lists(st.integers(201, 20_000), min_size=1, max_size=5), data=st.data())
@torch.inference_mode()
def test_a_row_of_a_batch_equals_the_utterance_alone(
    adapt: Adapt | None, lengths: list[int], data: st.DataObject
) -> None:
    audio = [noise(length, seed) for seed, length in enumerate(lengths)]
    batch = ENCODER(*ENCODER.features(audio), adapt)
    row = data.draw(st.integers(0, len(audio) - 1))
    alone = ENCODER(*ENCODER.features([audio[row]]), adapt)
    n_frames = int(batch.lengths[row])
    assert n_frames == int(alone.lengths[0]) == alone.states.shape[1]
    assert difference(batch.states[row, :n_frames], alone.states[0]) < 1e-4


@torch.inference_mode()
def test_what_stands_beyond_a_row_is_not_heard() -> None:
    features, lengths = ENCODER.features([noise(3000), noise(9000)])
    clean = ENCODER(features, lengths)
    features[0, :, int(lengths[0]) :] = 7.0
    found = ENCODER(features, lengths)
    assert torch.equal(found.states[clean.mask], clean.states[clean.mask])


@torch.inference_mode()
def test_rows_of_a_batch_on_the_real_model(
    base: WhisperBase, clip: Callable[[str], Tensor]
) -> None:
    encoder = WhisperSharedEncoder(base.whisper.model.encoder)
    audio = [clip("fr-2.flac"), clip("en-3.flac")[:9_999], clip("ru-2.flac")]
    batch = encoder(*encoder.features(audio))
    for row, samples in enumerate(audio):
        alone = encoder(*encoder.features([samples]))
        found = batch.states[row, : int(batch.lengths[row])]
        assert difference(found, alone.states[0]) < 1e-4


def test_the_adapter_stands_after_each_sub_layer() -> None:
    calls: list[tuple[int, Site]] = []

    def adapt(hidden: Tensor, layer: int, site: Site) -> Tensor:
        calls.append((layer, site))
        return hidden

    ENCODER(*ENCODER.features([noise(3000)]), adapt)
    expected = [
        (layer, site) for layer in range(N_LAYERS) for site in ("attention", "feed_forward")
    ]
    assert calls == expected


@torch.inference_mode()
def test_layers_can_be_run_in_two_parts() -> None:
    hidden, lengths = ENCODER.subsample(*ENCODER.features([noise(5000), noise(3000)]))
    whole = ENCODER.run_layers(hidden, lengths)
    parts = ENCODER.run_layers(hidden, lengths, layers=range(1))
    assert torch.equal(ENCODER.run_layers(parts, lengths, layers=range(1, N_LAYERS)), whole)


def test_masks() -> None:
    assert within(torch.tensor([0, 2]), 3).tolist() == [[False] * 3, [True, True, False]]
    encoded = Encoded(torch.zeros(1, 2, 4), torch.tensor([1]))
    assert encoded.mask.tolist() == [[True, False]]
