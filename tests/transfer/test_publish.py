"""From a run to a directory of the store, and back."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from common.adapter_files import AdapterFiles
from speech.adapters.card import LexiconSettings, read_card
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.module import Adapter
from speech.adapters.store import AdapterStore
from speech.base_model import WhisperBase
from speech.whisper.encoder import WhisperSharedEncoder
from transfer.evaluate import Verdict, rounded_to_half, summary
from transfer.lexicon import build_lexicon
from transfer.manifest import Clip
from transfer.publish import publish
from transfer.run import RunRecord
from transfer.scoring import accuracy, judged
from transfer.settings import TrainSettings
from transfer.vocabulary import vocabulary_of

CLIP = Clip("a.flac", "press one now", "en", 2.0, "asterisk", "someone")


def verdict(heard: str, universal: str) -> Verdict:
    return Verdict(CLIP, *(judged(CLIP.text, text, "en") for text in (heard, heard, universal)))


def test_error_rates_count_over_all_words() -> None:
    clips = [judged("press one now", text, "en") for text in ("Press 1 now.", "press won", "")]
    found = accuracy(clips)
    assert found.wer.value == round(5 / 9, 4)
    assert found.wer.low <= found.wer.value <= found.wer.high


def test_what_is_published_is_what_the_store_loads(tmp_path: Path) -> None:
    settings = TrainSettings(rank=4, layers=(1,))
    vocabulary = vocabulary_of([CLIP.text])
    record = RunRecord("en", vocabulary, settings, "it@1", 10, 0.5, 0.2)
    whisper = _whisper()
    encoder = WhisperSharedEncoder(whisper.model.encoder)
    base = WhisperBase("tiny", "sha256:0", encoder, whisper, Tokenizer(BPE()), GenerationConfig())
    adapter = Adapter(AdapterShape(BOTTLENECK, 16, 4, (1,), len(vocabulary)))
    torch.nn.init.normal_(adapter.head["projection"].weight)  # type: ignore[arg-type]
    rounded_to_half(adapter)
    lexicon = build_lexicon([CLIP.text], "qu", vocabulary)
    tuned = LexiconSettings(hashlib.sha256(lexicon).hexdigest(), 1.5, 0.0, 50)
    evaluation = summary([verdict("press one now", "press wan now")])
    card = publish(tmp_path, base, record, adapter, lexicon, tuned, evaluation, [CLIP])

    assert card.served_by == "adapter"
    assert card.training.licences == ("CC-BY-SA-3.0",)
    assert "started from it@1" in card.training.strategy
    assert read_card(tmp_path / "en") == card
    loaded = AdapterStore(AdapterFiles(str(tmp_path)), "sha256:0", 16).load("en@1")
    assert loaded.lexicon is not None
    for name, value in adapter.state_dict().items():
        assert torch.equal(loaded.tensors[name], value)


def test_the_universal_path_serves_where_it_is_better(tmp_path: Path) -> None:
    evaluation = summary([verdict("press wan now", "Press 1 now.")])
    assert evaluation.universal.wer.value == 0.0 < evaluation.adapter.wer.value


def _whisper() -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=8,
            d_model=16,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
        )
    )
