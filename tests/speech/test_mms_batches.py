"""MMS's own adapters in a mixed batch: each row is what `transformers` makes of it alone.

The whole way: published files, the import, the store, the slots, one padded batch. The reference is
`load_adapter` on `Wav2Vec2ForCTC`, one language and one utterance at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.adapter_files import AdapterFiles
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.module import Adapter
from speech.adapters.slots import NO_ADAPTER, AdapterSlots, SlotLimits
from speech.adapters.store import AdapterStore, LoadedAdapter
from speech.base_model import load_base_model
from speech.encoder import SharedEncoder
from speech.precision import Placement, place
from speech.wav2vec2.mms import import_adapter, open_published
from tests.speech.tiny import noise, random_adapter
from tests.speech.tiny_mms import D_MODEL, LETTERS, RANK, difference, write_tiny_mms
from tests.speech.tiny_mms import reference_log_probs as reference

OURS = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 5, (0, 1), 9))
"""An adapter of the kind that is trained here, on the same encoder."""
NONE = "none"
MAX_VOCAB = 32
CPU = place("cpu", "float32")
FP32_BOUND = 1e-4
# Two layers of bfloat16, 8 bits each, against float32; weights are far larger than in a real model.
BF16_BOUND = 0.05


@dataclass(frozen=True)
class Imported:
    """A published model, and all of its languages in a store of ours."""

    directory: Path
    encoder: SharedEncoder
    adapters: dict[str, LoadedAdapter]

    def slots(self, n_slot: int, placement: Placement = CPU) -> AdapterSlots:
        return AdapterSlots(SlotLimits(n_slot, RANK, MAX_VOCAB), self.encoder, placement)

    def write(self, slots: AdapterSlots, slot: int, who: str) -> None:
        """Put a language, or our own adapter, into a slot."""
        if who == "ours":
            slots.write(slot, OURS.shape, slots.pack(OURS.shape, OURS.state_dict()))
        else:
            loaded = self.adapters[who]
            slots.write(slot, loaded.shape, slots.pack(loaded.shape, loaded.tensors))

    def expected(self, who: str, audio: Tensor) -> Tensor:
        """`[n_frames, n_vocab]` of one utterance alone, by the plain reference."""
        if who != "ours":
            return reference(self.directory, who, audio)
        adapter: Adapter = OURS
        return adapter.log_probs(self.encoder(*self.encoder.features([audio]), adapter))[0]


# As MMS is published, and with the norm that XLSR's elder models have in their convolutions. Where
# the norms come after the sub-layers, `transformers` has no adapters.
NORMS: dict[str, dict[str, Any]] = {
    "published": {"feat_extract_norm": "layer", "conv_bias": True},
    "group norm": {"feat_extract_norm": "group", "conv_bias": False},
}


@pytest.fixture(scope="module", params=list(NORMS.values()), ids=list(NORMS))
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    directory = write_tiny_mms(tmp_path_factory.mktemp("hub") / "mms", **request.param)
    published = open_published(str(directory), None)
    store = tmp_path_factory.mktemp("store")
    for code in published.codes:
        import_adapter(published, code, store)
    base = load_base_model(str(directory))
    read = AdapterStore(AdapterFiles(str(store)), base.fingerprint, base.encoder.d_model)
    adapters = {code: read.load(f"mms-{code}@1") for code in published.codes}
    return Imported(directory, base.encoder, adapters)


def heard(
    imported: Imported, slots: AdapterSlots, rows: Sequence[tuple[int, Tensor]]
) -> tuple[Tensor, list[int]]:
    """Log-probabilities of a batch of (slot, audio), and the frames of each row."""
    batch = slots.batch([slot for slot, _ in rows])
    features = imported.encoder.features([audio for _, audio in rows])
    encoded = imported.encoder(*features, batch)
    return batch.log_probs(encoded), encoded.lengths.tolist()


Batch = list[tuple[str, int]]
languages = st.sampled_from([*LETTERS, "ours", NONE])
batches = st.lists(st.tuples(languages, st.integers(400, 9_000)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=25)
@given(n_slot=st.sampled_from([2, 3, 40]), chosen=st.lists(batches, min_size=1, max_size=3))
@torch.inference_mode()
def test_each_row_equals_transformers_alone(
    imported: Imported, n_slot: int, chosen: list[Batch]
) -> None:
    # Slot by slot the oldest leaves: languages come back to other slots than they had.
    slots = imported.slots(n_slot)
    resident: dict[str, int] = {}
    for number, batch in enumerate(chosen):
        wanted = list(dict.fromkeys(who for who, _ in batch if who != NONE))[:n_slot]
        for who in wanted:
            if who not in resident:
                slot = len(resident) + 1
                if len(resident) == n_slot:
                    slot = resident.pop(next(x for x in resident if x not in wanted))
                imported.write(slots, slot, who)
                resident[who] = slot
        rows = [
            (who, noise(length, number * 10 + row))
            for row, (who, length) in enumerate(batch)
            if who == NONE or who in wanted
        ]
        found, lengths = heard(
            imported, slots, [(resident.get(who, NO_ADAPTER), audio) for who, audio in rows]
        )
        for row, (who, audio) in enumerate(rows):
            if who == NONE:
                assert (found[row] == -torch.inf).all()
                continue
            expected = imported.expected(who, audio)
            n_frames, n_vocab = expected.shape
            assert lengths[row] == n_frames
            assert difference(found[row, :n_frames, :n_vocab], expected) <= FP32_BOUND
            assert (found[row, :, n_vocab:] == -torch.inf).all()


@torch.inference_mode()
def test_a_row_without_an_adapter_is_the_plain_encoder(imported: Imported) -> None:
    slots = imported.slots(2)
    imported.write(slots, 1, "fra")
    audio = [noise(5000, 1), noise(3000, 2), noise(7000, 3)]
    features = imported.encoder.features(audio)
    batch = slots.batch([1, NO_ADAPTER, 1])
    encoded = imported.encoder(*features, batch)
    alone = imported.encoder(*imported.encoder.features([audio[1]]))
    n_frames = int(alone.lengths[0])
    assert difference(encoded.states[1, :n_frames], alone.states[0]) <= FP32_BOUND


@torch.inference_mode()
def test_what_leaves_a_slot_comes_back_unchanged(imported: Imported) -> None:
    # The widest head and the narrowest in turn in one slot, beside a row that stays.
    slots = imported.slots(2)
    audio = [noise(6000, 1), noise(4000, 2)]
    imported.write(slots, 1, "eng")
    results: dict[str, list[Tensor]] = {}
    for who in ("fra", "cmn-script_simplified", "ours", "fra", "ours", "cmn-script_simplified"):
        imported.write(slots, 2, who)
        found, _ = heard(imported, slots, [(1, audio[0]), (2, audio[1])])
        results.setdefault(who, []).append(found)
        stays = imported.expected("eng", audio[0])
        assert difference(found[0, :, : stays.shape[1]], stays) <= FP32_BOUND
    assert all(torch.equal(first, second) for first, second in results.values())


@torch.inference_mode()
def test_in_bfloat16(imported: Imported) -> None:
    codes = [*LETTERS, "ours"]
    audio = [noise(length, length) for length in (3000, 8000, 5000, 4000)]
    expected = [imported.expected(who, x) for who, x in zip(codes, audio, strict=True)]
    slots = imported.slots(4, place("cpu", "bfloat16"))
    imported.encoder.bfloat16()
    try:
        for slot, who in enumerate(codes, start=1):
            imported.write(slots, slot, who)
        found, _ = heard(imported, slots, list(enumerate(audio, start=1)))
    finally:
        imported.encoder.float()
    for row, whole in enumerate(expected):
        n_frames, n_vocab = whole.shape
        # A special token may be 50 below all others: what matters is what can be said.
        likely = whole > -20
        off = (found[row, :n_frames, :n_vocab] - whole)[likely].abs().max()
        assert off / whole[likely].abs().max() < BF16_BOUND
