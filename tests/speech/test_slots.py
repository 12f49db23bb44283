"""Steps 7 and 8: a batch of mixed languages equals each language alone.

Over both families of encoders and both kinds of adapters, in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.errors import AdapterRefused
from speech.adapters.kinds import ATTENTION, BOTTLENECK, AdapterShape
from speech.adapters.module import Adapter
from speech.adapters.slots import NO_ADAPTER, AdapterSlots, SlotLimits
from speech.encoder import Encoded, SharedEncoder
from speech.precision import Placement, place
from speech.wav2vec2.encoder import Wav2Vec2SharedEncoder
from speech.whisper.encoder import WhisperSharedEncoder
from tests.speech import tiny_mms
from tests.speech.tiny import N_LAYERS, noise, random_adapter, tiny_model
from tests.speech.tiny_mms import difference

LIMITS = SlotLimits(n_slot=4, max_rank=9, max_vocab=11)
CPU = place("cpu", "float32")
# bfloat16 keeps 8 bits. The slots fold the norm's scale into the projection and the module
# does not, and matrix products of different shapes sum in different orders: a few roundings each.
BF16_BOUND = 0.03


def whisper() -> SharedEncoder:
    return WhisperSharedEncoder(tiny_model().whisper.model.encoder)


def wav2vec2(*, stable: bool) -> SharedEncoder:
    """MMS's way of norms, or that of the first wav2vec 2.0."""
    norm = "layer" if stable else "group"
    config = tiny_mms.tiny_config(do_stable_layer_norm=stable, feat_extract_norm=norm)
    return Wav2Vec2SharedEncoder(tiny_mms.tiny_ctc(config).wav2vec2, normalise=True).eval()


FAMILIES = {
    "whisper": whisper(),
    "wav2vec2, stable": wav2vec2(stable=True),
    "wav2vec2": wav2vec2(stable=False),
}
assert all(encoder.n_layers == N_LAYERS for encoder in FAMILIES.values())


@dataclass(frozen=True)
class Size:
    """What an adapter has that does not depend on the encoder."""

    kind: str
    rank: int
    layers: tuple[int, ...]
    n_vocab: int

    def shape(self, encoder: SharedEncoder) -> AdapterShape:
        kind = {"bottleneck": BOTTLENECK, "attention": ATTENTION}[self.kind]
        return AdapterShape(kind, encoder.d_model, self.rank, self.layers, self.n_vocab)


sizes = st.builds(
    Size,
    st.sampled_from(["bottleneck", "attention"]),
    st.integers(1, LIMITS.max_rank),
    st.sampled_from([(), (0,), (1,), (0, 1)]),
    st.integers(2, LIMITS.max_vocab),
)
LARGE = Size("bottleneck", 9, (0, 1), 11)
MIXED = (Size("attention", 3, (0, 1), 5), LARGE, Size("bottleneck", 9, (1,), 3))


def adapters_of(encoder: SharedEncoder, chosen: Sequence[Size]) -> list[Adapter]:
    return [random_adapter(size.shape(encoder), seed) for seed, size in enumerate(chosen)]


def slots_with(
    encoder: SharedEncoder, adapters: Sequence[Adapter], placement: Placement = CPU
) -> AdapterSlots:
    """Slots that hold `adapters` from slot 1 on."""
    slots = AdapterSlots(LIMITS, encoder, placement)
    for slot, adapter in enumerate(adapters, start=1):
        write(slots, slot, adapter)
    return slots


def write(slots: AdapterSlots, slot: int, adapter: Adapter) -> None:
    packed = slots.pack(adapter.shape, adapter.state_dict())
    slots.write(slot, adapter.shape, packed)


def run(
    encoder: SharedEncoder, slots: AdapterSlots, audio: Sequence[Tensor], slot_index: Sequence[int]
) -> tuple[Encoded, Tensor]:
    """Encoder output and log-probabilities of a batch."""
    batch = slots.batch(slot_index)
    encoded = encoder(*encoder.features(audio), batch)
    return encoded, batch.log_probs(encoded)


@pytest.mark.parametrize("encoder", FAMILIES.values(), ids=FAMILIES.keys())
@pytest.mark.parametrize("kind", ["bottleneck", "attention"])
@torch.inference_mode()
def test_a_new_adapter_is_the_identity_and_a_trained_one_is_not(
    encoder: SharedEncoder, kind: str
) -> None:
    shape = Size(kind, 4, (1,), 5).shape(encoder)
    new, trained = Adapter(shape), random_adapter(shape)
    hidden = torch.randn(2, 3, encoder.d_model)
    assert torch.equal(new(hidden, 1, "feed_forward"), hidden)
    assert torch.equal(trained(hidden, 0, "feed_forward"), hidden)
    features = encoder.features([noise(4000)])
    plain = encoder(*features).states
    assert torch.equal(encoder(*features, new).states, plain)
    assert difference(encoder(*features, trained).states, plain) > 0.01


@pytest.mark.parametrize("encoder", FAMILIES.values(), ids=FAMILIES.keys())
@settings(deadline=None, max_examples=40)
@given(
    written=st.lists(sizes, min_size=1, max_size=4),
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(401, 9_000)), min_size=1, max_size=5),
)
@torch.inference_mode()
def test_each_row_of_a_mixed_batch_equals_its_adapter_alone(
    encoder: SharedEncoder, written: list[Size], rows: list[tuple[int, int]]
) -> None:
    adapters = adapters_of(encoder, written)
    slot_index = [slot % (len(adapters) + 1) for slot, _ in rows]
    audio = [noise(length, seed) for seed, (_, length) in enumerate(rows)]
    encoded, log_probs = run(encoder, slots_with(encoder, adapters), audio, slot_index)
    for row, slot in enumerate(slot_index):
        adapter = None if slot == NO_ADAPTER else adapters[slot - 1]
        alone = encoder(*encoder.features([audio[row]]), adapter)
        n_frames = int(alone.lengths[0])
        assert difference(encoded.states[row, :n_frames], alone.states[0]) < 1e-4
        n_vocab = adapter.shape.n_vocab if adapter else 0
        assert (log_probs[row, :, n_vocab:] == -torch.inf).all()
        if adapter is not None:
            found = log_probs[row, :n_frames, :n_vocab]
            assert difference(found, adapter.log_probs(alone)[0]) < 1e-4
            assert torch.allclose(found.exp().sum(dim=-1), torch.ones(n_frames), atol=1e-5)


@pytest.mark.parametrize("encoder", FAMILIES.values(), ids=FAMILIES.keys())
@torch.inference_mode()
def test_in_bfloat16(encoder: SharedEncoder) -> None:
    check_in_bfloat16(encoder, torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("encoder", FAMILIES.values(), ids=FAMILIES.keys())
@torch.inference_mode()
def test_in_bfloat16_on_a_gpu(encoder: SharedEncoder) -> None:
    check_in_bfloat16(encoder, torch.device("cuda"))


def check_in_bfloat16(encoder: SharedEncoder, device: torch.device) -> None:
    """The mixed batch in bfloat16 against each utterance alone in the same precision."""
    adapters = [adapter.bfloat16() for adapter in adapters_of(encoder, MIXED)]
    placement = Placement(device, torch.bfloat16)
    slots = slots_with(encoder, adapters, placement)
    audio = [noise(length, length) for length in (3000, 8000, 5000, 4000)]
    slot_index = [2, 1, 0, 3]
    encoder.to(device, torch.bfloat16)
    try:
        encoded, log_probs = run(encoder, slots, audio, slot_index)
        assert (encoded.states.dtype, log_probs.dtype) == (torch.bfloat16, torch.float32)
        for row, slot in enumerate(slot_index):
            adapter = adapters[slot - 1].to(device) if slot else None
            alone = encoder(*encoder.features([audio[row]]), adapter)
            n_frames = int(alone.lengths[0])
            assert difference(encoded.states[row, :n_frames], alone.states[0]) < BF16_BOUND
            if adapter is not None:
                found = log_probs[row, :n_frames, : adapter.shape.n_vocab]
                assert difference(found, adapter.log_probs(alone)[0]) < BF16_BOUND
    finally:
        encoder.to("cpu", torch.float32)


@pytest.mark.gpu
@torch.inference_mode()
def test_a_gpu_equals_the_cpu() -> None:
    encoder = whisper()
    adapters = adapters_of(encoder, MIXED)
    audio = [noise(length, length) for length in (3000, 8000, 5000, 4000)]
    _, expected = run(encoder, slots_with(encoder, adapters), audio, [2, 1, 0, 3])
    encoder.to("cuda")
    slots = slots_with(encoder, adapters, place("cuda", "float32"))
    _, found = run(encoder, slots, audio, [2, 1, 0, 3])
    assert torch.allclose(found.cpu(), expected, atol=1e-3)


@torch.inference_mode()
def test_slots_written_while_a_batch_runs_do_not_change_it() -> None:
    encoder = FAMILIES["whisper"]
    adapters = adapters_of(encoder, [LARGE, LARGE, LARGE, LARGE])
    slots = slots_with(encoder, adapters)
    audio = [noise(4000, seed) for seed in range(3)]
    features = encoder.features(audio)
    # In use are 1 and 3; 2 and 4 come and go all the while, as the loader's thread has it.
    before = encoder(*features, slots.batch([1, 3, 0]))
    stop = False

    def storm() -> int:
        n_write = 0
        others = adapters_of(encoder, [LARGE, replace(LARGE, kind="attention"), MIXED[2]])
        while not stop:
            write(slots, 2 + 2 * (n_write % 2), others[n_write % 3])
            n_write += 1
        return n_write

    with ThreadPoolExecutor(1) as loader:
        writes = loader.submit(storm)
        batch = slots.batch([1, 3, 0])
        found = [encoder(*features, batch).states for _ in range(20)]
        stop = True
        assert writes.result() > 20
    assert all(torch.equal(states, before.states) for states in found)


@settings(deadline=None, max_examples=30)
@given(former=sizes, size=sizes)
@torch.inference_mode()
def test_an_adapter_leaves_no_trace_of_the_one_before(former: Size, size: Size) -> None:
    encoder = FAMILIES["whisper"]
    adapter = random_adapter(size.shape(encoder), 1)
    used = slots_with(encoder, [random_adapter(former.shape(encoder))])
    write(used, 1, adapter)
    audio = [noise(3000), noise(5000)]
    found, found_probs = run(encoder, used, audio, [1, 1])
    expected, expected_probs = run(encoder, slots_with(encoder, [adapter]), audio, [1, 1])
    assert torch.equal(found.states, expected.states)
    assert torch.equal(found_probs, expected_probs)


@torch.inference_mode()
def test_as_many_slots_as_there_are_languages() -> None:
    # All 1,162 adapters of MMS at once: each still where it was put.
    encoder = FAMILIES["wav2vec2, stable"]
    size = Size("attention", 2, (0, 1), 4)
    slots = AdapterSlots(SlotLimits(1162, max_rank=2, max_vocab=4), encoder, CPU)
    chosen = {1: 11, 2: 12, 600: 13, 1161: 14, 1162: 15}
    for slot in range(1, 1163):
        write(slots, slot, random_adapter(size.shape(encoder), chosen.get(slot, 0)))
    audio = [noise(3000)] * len(chosen)
    _, log_probs = run(encoder, slots, audio, list(chosen))
    for row, seed in enumerate(chosen.values()):
        adapter = random_adapter(size.shape(encoder), seed)
        alone = encoder(*encoder.features(audio[:1]), adapter)
        assert difference(log_probs[row], adapter.log_probs(alone)[0]) < 1e-4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rank": 10}, "rank 10 .* take rank 9"),
        ({"n_vocab": 12}, "12 symbols: .* 11 symbols"),
        ({"layers": (0, N_LAYERS)}, "layers"),
        ({"d_model": 15}, "width"),
    ],
)
@torch.inference_mode()
def test_what_does_not_fit_is_refused_and_changes_nothing(
    changes: dict[str, int | tuple[int, ...]], says: str
) -> None:
    encoder = FAMILIES["whisper"]
    fits = random_adapter(LARGE.shape(encoder))
    slots = slots_with(encoder, [fits])
    _, before = run(encoder, slots, [noise(3000)], [1])
    with pytest.raises(AdapterRefused, match=says):
        write(slots, 1, random_adapter(replace(fits.shape, **changes), 1))  # type: ignore[arg-type]
    assert torch.equal(run(encoder, slots, [noise(3000)], [1])[1], before)


@torch.inference_mode()
def test_no_memory_for_the_slots_is_told() -> None:
    encoder = FAMILIES["whisper"]
    slots = AdapterSlots(SlotLimits(2**40, max_rank=9, max_vocab=11), encoder, CPU)
    with pytest.raises(AdapterRefused, match=r"no memory for .* GiB.*PANGLOT_WORKER_SLOTS"):
        write(slots, 1, random_adapter(LARGE.shape(encoder)))
