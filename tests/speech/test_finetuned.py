"""Models fine-tuned as a whole, in a store of ours: the texts of `transformers`, and refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

from common.adapter_files import AdapterFiles
from common.errors import AdapterRefused, InvalidRequest, ModelNotFound
from speech.adapters.card import read_card
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.adapters.store import AdapterStore
from speech.base_model import load_base_model
from speech.ctc.paths import greedy_batch, text_of
from speech.precision import place
from speech.wav2vec2.finetuned import import_finetuned
from tests.speech.tiny import noise, tiny_tokenizer, tiny_whisper
from tests.speech.tiny_mms import difference, tiny_config, tiny_ctc, write_tiny_mms

# As most fine-tunings of XLSR-53 on the hub have it: the blank last, and no <pad>.
BLANK_LAST = {"|": 0, **{x: n for n, x in enumerate("abcdeè'", 1)}, "[UNK]": 8, "[PAD]": 9}
NAMED_BLANK = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
# As fairseq's have it.
BLANK_FIRST = {x: n for n, x in enumerate(("<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDE"))}


def write_finetuned(
    directory: Path, vocabulary: Any = BLANK_LAST, n_vocab: int = 10, seed: int = 0, **special: str
) -> Path:
    """A small model with a head, saved as the hub has it; unknown words are never the best."""
    norm = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    model = tiny_ctc(tiny_config(vocab_size=n_vocab, **norm), seed)
    for token in ("[UNK]", "<unk>", "<s>", "</s>"):
        if isinstance(vocabulary, dict) and token in vocabulary:
            model.lm_head.bias.data[vocabulary[token]] = -50.0
    model.save_pretrained(directory)
    (directory / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    special = special or (NAMED_BLANK if vocabulary is BLANK_LAST else {})
    (directory / "special_tokens_map.json").write_text(json.dumps(special))
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    return directory


@torch.inference_mode()
def transcribed(directory: Path, audio: Tensor) -> tuple[Tensor, str]:
    """Log-probabilities `[n_frames, n_vocab]` and the text, by `transformers` alone."""
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(directory)
    values = extractor(audio.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    model = Wav2Vec2ForCTC.from_pretrained(directory, dtype=torch.float32).eval()
    log_probs = model(values).logits[0].log_softmax(-1)
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(directory)
    return log_probs, str(tokenizer.decode(log_probs.argmax(-1)))


@pytest.mark.parametrize("vocabulary", [BLANK_LAST, BLANK_FIRST], ids=["blank last", "first"])
@torch.inference_mode()
def test_its_head_in_a_slot_hears_what_the_model_does(
    tmp_path: Path, vocabulary: dict[str, int]
) -> None:
    model = write_finetuned(tmp_path / "xlsr", vocabulary, seed=5)
    card = import_finetuned(str(model), "it", tmp_path / "store").card
    base = load_base_model(str(model))
    store = AdapterStore(AdapterFiles(str(tmp_path / "store")), base.fingerprint, 32)
    loaded = store.load("xlsr-it@1")
    placement = place("cpu", "float32")
    slots = AdapterSlots(SlotLimits(1, max_rank=1, max_vocab=10), base.encoder, placement)
    slots.write(1, loaded.shape, slots.pack(loaded.shape, loaded.tensors))
    audio = [noise(30_000, 1), noise(12_000, 2)]
    batch = slots.batch([1, 1])
    encoded = base.encoder(*base.encoder.features(audio), batch)
    found = batch.log_probs(encoded)
    paths = greedy_batch(found, encoded.lengths)
    blank = vocabulary.get("[PAD]", 0)
    order = [blank, *(number for number in range(10) if number != blank)]
    for row, path in enumerate(paths):
        expected, text = transcribed(model, audio[row])
        assert difference(found[row, : len(expected)], expected[:, order]) < 1e-4
        assert text_of(path.symbols, card.vocabulary) == " ".join(text.split())
        assert len(set(text)) > 1


def test_the_card(tmp_path: Path) -> None:
    model = write_finetuned(tmp_path / "XLSR 53 (Italian)")
    done = import_finetuned(str(model), "ita", tmp_path / "store")
    assert done.fresh
    assert not import_finetuned(str(model), "it", tmp_path / "store").fresh
    card = read_card(tmp_path / "store" / "XLSR-53-Italian-it")
    assert card == done.card
    assert (card.language, card.kind, card.rank, card.layers) == ("it", "attention", 1, ())
    assert card.vocabulary == ("", " ", *"abcdeè'", "")
    assert card.base_model == str(model)
    assert (card.training.hours, card.evaluation) == (None, None)


def test_each_model_is_a_base_of_its_own(tmp_path: Path) -> None:
    cards = [
        import_finetuned(
            str(write_finetuned(tmp_path / f"m{seed}", seed=seed)), "it", tmp_path / "store"
        ).card
        for seed in (1, 2)
    ]
    assert cards[0].base_fingerprint != cards[1].base_fingerprint
    store = AdapterStore(AdapterFiles(str(tmp_path / "store")), cards[0].base_fingerprint, 32)
    assert store.load("m1-it@1").card == cards[0]
    with pytest.raises(AdapterRefused, match="m2-it@1 was trained on base"):
        store.load("m2-it@1")


def test_tokens_added_later_and_lower_case(tmp_path: Path) -> None:
    model = write_finetuned(tmp_path / "added", BLANK_LAST, n_vocab=12)
    (model / "added_tokens.json").write_text('{"<s>": 10, "</s>": 11}')
    card = import_finetuned(str(model), "it", tmp_path / "store").card
    assert card.vocabulary == ("", " ", *"abcdeè'", "", "", "")
    model = write_finetuned(tmp_path / "upper", BLANK_FIRST)
    (model / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    card = import_finetuned(str(model), "it", tmp_path / "store").card
    assert card.vocabulary == ("", "", "", "", " ", *"abcde")


def rewrite(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    """Other tensors in the model's file."""

    def apply(directory: Path) -> None:
        tensors = load_file(directory / "model.safetensors")
        change(tensors)
        save_file(tensors, directory / "model.safetensors", {"format": "pt"})

    return apply


def tokens(vocabulary: Any) -> Callable[[Path], object]:
    """Another vocab.json."""
    return lambda directory: (directory / "vocab.json").write_text(json.dumps(vocabulary))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (rewrite(lambda t: t.pop("lm_head.weight")), r"has no head \(lm_head\.weight"),
        (rewrite(lambda t: t.pop("lm_head.bias")), "has no head"),
        (
            rewrite(lambda t: t.update({"lm_head.weight": torch.zeros(10, 31)})),
            r"head is \(10, 31\) with a bias \(10,\), where its encoder is 32 wide",
        ),
        (rewrite(lambda t: t["lm_head.bias"].fill_(torch.inf)), "NaN or infinity"),
        (lambda d: (d / "vocab.json").unlink(), "no readable vocab.json"),
        (tokens([]), "does not number tokens"),
        (tokens({"a": "x"}), "does not number tokens"),
        (tokens({"ita": BLANK_LAST}), "of many languages"),
        (tokens({**BLANK_LAST, "z": 10}), "numbers 11 tokens, the head has 10 classes"),
        (tokens({**BLANK_LAST, "z": 3}), "each must have one token"),
        (tokens({**BLANK_LAST, "z": -1}), "each must have one token"),
        (tokens({}), "numbers 0 tokens"),
        (tokens({x: n for n, x in enumerate("abcdefghij")}), "no class for .PAD."),
    ],
)
def test_a_bad_model(tmp_path: Path, damage: Callable[[Path], object], says: str) -> None:
    model = write_finetuned(tmp_path / "xlsr")
    damage(model)
    with pytest.raises(AdapterRefused, match=says) as caught:
        import_finetuned(str(model), "it", tmp_path / "store")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("tag", ["", "italian!", "../it", "it-"])
def test_no_tag(tmp_path: Path, tag: str) -> None:
    with pytest.raises(InvalidRequest, match="--language is"):
        import_finetuned(str(tmp_path), tag, tmp_path / "store")


def test_models_of_another_kind(tmp_path: Path) -> None:
    mms = write_tiny_mms(tmp_path / "mms")
    with pytest.raises(ModelNotFound, match="adapter layers, as MMS: give --languages"):
        import_finetuned(str(mms), "it", tmp_path / "store")
    shutil.rmtree(mms)
    tiny_whisper().save_pretrained(mms)
    tiny_tokenizer().save(str(mms / "tokenizer.json"))
    with pytest.raises(ModelNotFound, match="no wav2vec2 model"):
        import_finetuned(str(mms), "it", tmp_path / "store")
