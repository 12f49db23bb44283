"""What was trained is what is served: MMS's format, and models that were fine-tuned as a whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

from common.adapter_files import AdapterFiles
from speech.adapters.kinds import (
    ATTENTION,
    BOTTLENECK,
    AdapterKind,
    AdapterShape,
    from_file,
    to_file,
)
from speech.adapters.module import Adapter
from speech.adapters.store import AdapterStore
from speech.base_model import BaseModel, load_base_model
from speech.ctc.paths import greedy, text_of
from speech.wav2vec2.finetuned import import_finetuned
from tests.speech.tiny import noise, random_adapter
from tests.speech.tiny_mms import (
    D_MODEL,
    N_LAYERS,
    RANK,
    difference,
    reference_log_probs,
    vocabulary,
    write_tiny_mms,
)
from tests.transfer.learning import BY_HEART, spoken, write_wav2vec2
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip
from transfer.training.run import RunRecord
from transfer.training.train import train

FINE_TUNE = replace(
    BY_HEART, kind="attention", rank=1, layers=(), unfrozen=(0, 1), encoder_learning_rate=3e-3
)


@torch.inference_mode()
def log_probs_of(base: BaseModel, adapter: Adapter, audio: Tensor) -> Tensor:
    features, lengths = base.encoder.features([audio])
    return adapter.log_probs(base.encoder(features, lengths, adapter))[0]


@pytest.mark.parametrize("kind", [ATTENTION, BOTTLENECK], ids=lambda kind: kind.name)
def test_names_of_tensors_there_and_back(kind: AdapterKind) -> None:
    shape = AdapterShape(kind, D_MODEL, RANK, (0, 1), 5)
    state = random_adapter(shape).state_dict()
    back = from_file(shape.kind, to_file(shape.kind, state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_transformers_loads_an_attention_adapter_as_one_of_mms(tmp_path: Path) -> None:
    mms = write_tiny_mms(tmp_path / "mms", seed=3)
    n_vocab = len(vocabulary("eng"))
    shape = AdapterShape(ATTENTION, D_MODEL, RANK, tuple(range(N_LAYERS)), n_vocab)
    adapter = random_adapter(shape, seed=4)
    published = to_file(ATTENTION, adapter.state_dict())
    there = load_file(mms / "adapter.eng.safetensors")
    assert {name: value.shape for name, value in published.items()} == {
        name: value.shape for name, value in there.items()
    }
    save_file(published, mms / "adapter.xyz.safetensors", {"format": "pt"})
    known = json.loads((mms / "vocab.json").read_text(encoding="utf-8"))
    known["xyz"] = vocabulary("eng")
    (mms / "vocab.json").write_text(json.dumps(known), encoding="utf-8")
    audio = noise(20_000)
    found = log_probs_of(load_base_model(str(mms)), adapter, audio)
    assert difference(found, reference_log_probs(mms, "xyz", audio)) < 1e-4


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path, list[Clip]]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fine-tuned")
    base = load_base_model(str(write_wav2vec2(folder / "base")))
    before = {name: value.clone() for name, value in base.encoder.state_dict().items()}
    clips = spoken(folder)
    record = train(base, clips, "en", FINE_TUNE, folder / "run", level="high")
    for name, value in base.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    return record, folder / "run", clips


def test_a_fine_tuned_encoder_learns_by_heart(
    fine_tuned: tuple[RunRecord, Path, list[Clip]],
) -> None:
    record, run, _ = fine_tuned
    assert (record.development_wer, record.development_cer) == (0.0, 0.0)
    assert record.base_model(run) == str(run / "model")
    assert record.strategy().startswith("high: layers 1-2 of the encoder and a head, fine-tuned")


def test_a_fine_tuned_model_is_served_as_transformers_hears_it(
    fine_tuned: tuple[RunRecord, Path, list[Clip]], tmp_path: Path
) -> None:
    record, run, clips = fine_tuned
    name = record.base_model(run)
    card = import_finetuned(name, "en", tmp_path).card
    base = load_base_model(name)
    loaded = AdapterStore(AdapterFiles(str(tmp_path)), base.fingerprint, D_MODEL).load(card.key)
    adapter = Adapter(loaded.shape)
    adapter.load_state_dict(loaded.tensors)
    own = record.adapter(run, D_MODEL)
    model = Wav2Vec2ForCTC.from_pretrained(name, dtype=torch.float32).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(name)
    for clip in clips[:4]:
        audio = torch.from_numpy(read_audio(clip.audio))
        found = log_probs_of(base, adapter.eval(), audio)
        assert text_of(greedy(found.numpy()).symbols, loaded.card.vocabulary) == clip.text
        assert torch.equal(found, log_probs_of(base, own, audio))
        values = extractor(audio.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        with torch.inference_mode():
            expected = model(values).logits[0].log_softmax(-1)
        assert difference(found, expected) < 1e-4


def test_lower_layers_may_stay_as_they_were(tmp_path: Path) -> None:
    base = load_base_model(str(write_wav2vec2(tmp_path / "base")))
    settings = replace(FINE_TUNE, unfrozen=(1,), epochs=2)
    record = train(base, spoken(tmp_path), "en", settings, tmp_path / "run")
    made = load_base_model(record.base_model(tmp_path / "run")).encoder.state_dict()
    for name, value in base.encoder.state_dict().items():
        upper = ".layers.1." in name or name == "wav2vec2.encoder.layer_norm.weight"
        upper = upper or name == "wav2vec2.encoder.layer_norm.bias"
        # A key's bias changes no attention, so nothing pulls at it but rounding.
        if not name.endswith("k_proj.bias"):
            assert torch.equal(made[name], value) != upper, name
