"""Steps 7 and 8: a batch of mixed languages equals each language alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.errors import AdapterRefused
from speech.adapters.bottleneck import BottleneckAdapter, BottleneckShape
from speech.adapters.slots import NO_ADAPTER, BottleneckSlots, SlotLimits
from speech.encoder import Encoded, WhisperSharedEncoder
from tests.speech.test_encoder import ENCODER, difference
from tests.speech.tiny import D_MODEL, N_LAYERS, noise, random_adapter, tiny_model

LIMITS = SlotLimits(n_slot=3, max_rank=9, max_vocab=11)
# bfloat16 keeps 8 bits. The slots round after the norm's scale where the module does not, and
# matrix products of different shapes sum in different orders: a few roundings of 1/256 each.
BF16_BOUND = 0.03

shapes = st.builds(
    BottleneckShape,
    st.just(D_MODEL),
    st.integers(1, LIMITS.max_rank),
    st.sampled_from(
        [
            layers
            for count in range(N_LAYERS + 1)
            for layers in itertools.combinations(range(N_LAYERS), count)
        ]
    ),
    st.integers(2, LIMITS.max_vocab),
)


def slots_with(
    adapters: Sequence[BottleneckAdapter], dtype: torch.dtype = torch.float32
) -> BottleneckSlots:
    """Slots that hold `adapters` from slot 1 on."""
    slots = BottleneckSlots(LIMITS, D_MODEL, N_LAYERS, dtype)
    for slot, adapter in enumerate(adapters, start=1):
        slots.write(slot, adapter)
    return slots


def run(
    slots: BottleneckSlots, audio: list[Tensor], slot_index: list[int], n_vocab: list[int]
) -> tuple[Encoded, Tensor]:
    """Encoder output and log-probabilities of a batch."""
    batch = slots.batch(torch.tensor(slot_index))
    encoded = ENCODER(*ENCODER.features(audio), batch)
    return encoded, batch.log_probs(encoded, torch.tensor(n_vocab))


def test_a_new_adapter_is_the_identity() -> None:
    adapter = BottleneckAdapter(BottleneckShape(D_MODEL, 4, (1,), 5))
    hidden = torch.randn(2, 3, D_MODEL)
    assert torch.equal(adapter(hidden, 1, "attention"), hidden)
    assert torch.equal(adapter(hidden, 0, "attention"), hidden)
    features = ENCODER.features([noise(4000)])
    assert torch.equal(ENCODER(*features, adapter).states, ENCODER(*features).states)


def test_a_trained_adapter_is_not() -> None:
    adapter = random_adapter(BottleneckShape(D_MODEL, 4, (1,), 5))
    features = ENCODER.features([noise(4000)])
    changed = difference(ENCODER(*features, adapter).states, ENCODER(*features).states)
    assert changed > 0.1


@settings(deadline=None, max_examples=60)
@given(
    written=st.lists(shapes, min_size=1, max_size=3),
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(201, 9_000)), min_size=1, max_size=5),
)
@torch.inference_mode()
def test_each_row_of_a_mixed_batch_equals_its_adapter_alone(
    written: list[BottleneckShape], rows: list[tuple[int, int]]
) -> None:
    adapters = [random_adapter(shape, seed) for seed, shape in enumerate(written)]
    slot_index = [slot % (len(adapters) + 1) for slot, _ in rows]
    audio = [noise(length, seed) for seed, (_, length) in enumerate(rows)]
    n_vocab = [adapters[slot - 1].shape.n_vocab if slot else 1 for slot in slot_index]
    encoded, log_probs = run(slots_with(adapters), audio, slot_index, n_vocab)
    for row, slot in enumerate(slot_index):
        adapter = None if slot == NO_ADAPTER else adapters[slot - 1]
        alone = ENCODER(*ENCODER.features([audio[row]]), adapter)
        n_frames = int(alone.lengths[0])
        assert difference(encoded.states[row, :n_frames], alone.states[0]) < 1e-4
        assert (log_probs[row, :, n_vocab[row] :] == -torch.inf).all()
        if adapter is not None:
            found = log_probs[row, :n_frames, : n_vocab[row]]
            assert torch.allclose(found, adapter.log_probs(alone)[0], atol=1e-4)
            assert torch.allclose(found.exp().sum(dim=-1), torch.ones(n_frames), atol=1e-5)


@torch.inference_mode()
def test_in_bfloat16() -> None:
    shapes = [BottleneckShape(D_MODEL, 3, (0,), 5), BottleneckShape(D_MODEL, 9, (0, 1), 11)]
    adapters = [random_adapter(shape, seed).bfloat16() for seed, shape in enumerate(shapes)]
    encoder = WhisperSharedEncoder(tiny_model().whisper.model.encoder.bfloat16())
    audio = [noise(length, length) for length in (3000, 8000, 5000)]
    slot_index = [2, 1, 0]
    batch = slots_with(adapters, torch.bfloat16).batch(torch.tensor(slot_index))
    features, lengths = encoder.features(audio)
    encoded = encoder(features.bfloat16(), lengths, batch)
    assert encoded.states.dtype == torch.bfloat16
    log_probs = batch.log_probs(encoded, torch.tensor([11, 5, 1]))
    assert log_probs.dtype == torch.float32
    for row, slot in enumerate(slot_index):
        adapter = adapters[slot - 1] if slot else None
        features, lengths = encoder.features([audio[row]])
        alone = encoder(features.bfloat16(), lengths, adapter)
        n_frames = int(alone.lengths[0])
        assert difference(encoded.states[row, :n_frames], alone.states[0]) < BF16_BOUND
        if adapter is not None:
            found = log_probs[row, :n_frames, : adapter.shape.n_vocab]
            assert difference(found, adapter.log_probs(alone)[0]) < BF16_BOUND


@torch.inference_mode()
def test_writing_a_slot_changes_nothing_in_the_others() -> None:
    shape = BottleneckShape(D_MODEL, 9, (0, 1), 11)
    adapters = [random_adapter(shape, seed) for seed in range(3)]
    slots = slots_with(adapters)
    batch = slots.batch(torch.tensor([1, 3, 0]))  # taken before the write, as in a batch under way
    audio = [noise(4000, seed) for seed in range(3)]
    features = ENCODER.features(audio)
    before = ENCODER(*features, batch)
    before_probs = batch.log_probs(before, torch.tensor([11, 11, 1]))
    slots.write(2, random_adapter(shape, 9))
    after = ENCODER(*features, batch)
    assert torch.equal(before.states, after.states)
    assert torch.equal(before_probs, batch.log_probs(after, torch.tensor([11, 11, 1])))


@settings(deadline=None, max_examples=30)
@given(former=shapes, shape=shapes)
@torch.inference_mode()
def test_a_smaller_adapter_leaves_no_trace_of_a_larger(
    former: BottleneckShape, shape: BottleneckShape
) -> None:
    adapter = random_adapter(shape, 1)
    used = slots_with([random_adapter(former)])
    used.write(1, adapter)
    audio = [noise(3000), noise(5000)]
    n_vocab = [shape.n_vocab] * 2
    found, found_probs = run(used, audio, [1, 1], n_vocab)
    expected, expected_probs = run(slots_with([adapter]), audio, [1, 1], n_vocab)
    assert torch.equal(found.states, expected.states)
    assert torch.equal(found_probs, expected_probs)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (BottleneckShape(D_MODEL, 10, (0,), 5), "rank 10 .* take rank 9"),
        (BottleneckShape(D_MODEL, 4, (0,), 12), "12 symbols: .* 11 symbols at most"),
        (BottleneckShape(D_MODEL, 4, (0, N_LAYERS), 5), "layers"),
        (BottleneckShape(D_MODEL - 1, 4, (0,), 5), "width"),
    ],
)
@torch.inference_mode()
def test_what_does_not_fit_is_refused_and_changes_nothing(
    shape: BottleneckShape, says: str
) -> None:
    slots = slots_with([random_adapter(BottleneckShape(D_MODEL, 9, (0, 1), 11))])
    before = run(slots, [noise(3000)], [1], [11])[1]
    with pytest.raises(AdapterRefused, match=says):
        slots.write(1, random_adapter(shape, 1))
    assert torch.equal(run(slots, [noise(3000)], [1], [11])[1], before)
