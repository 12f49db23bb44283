"""A full fine-tune as a model of its own: a directory in the hub's layout, with its head.

The encoder is then another one, that no other adapter fits: it is served as a base model, by
workers of its own. `panglot models import --language` brings such directories into a store.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from speech.base_model import BaseModel
from speech.features import SAMPLE_RATE_HZ
from speech.wav2vec2.encoder import load_wav2vec2
from speech.wav2vec2.hub_directory import HubModel, check, write
from speech.wav2vec2.importing import model_directory
from transfer.training.run import ENCODER
from transfer.training.vocabulary import BLANK_SYMBOL, SEPARATOR

_TOKENS = {BLANK_SYMBOL: "<pad>", SEPARATOR: "|"}


def write_model(
    out: Path, base: BaseModel, weights: Mapping[str, Tensor], vocabulary: Sequence[str]
) -> None:
    """Write `base` with the weights that were learned to the directory `out`, in place of another.

    Args:
        out: written whole or not at all.
        base: of the wav2vec2 family; what was not learned is read from where it came from.
        weights: of `Learner.weights`: a head without a norm, and layers of the encoder.
        vocabulary: symbol of each CTC class.

    Raises:
        ModelNotFound: it cannot be written, or the base cannot be read any more.
    """
    directory = model_directory(base.name, ["*.json", "model*.safetensors"])
    encoder = load_wav2vec2(directory, base.name)
    learned = {
        name.removeprefix(ENCODER): tensor
        for name, tensor in weights.items()
        if name.startswith(ENCODER)
    }
    config = encoder.wav2vec2.config
    config.pad_token_id = 0
    preprocessor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": SAMPLE_RATE_HZ,
        "do_normalize": encoder.normalise,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": config.feat_extract_norm == "layer",
    }
    symbols = {_TOKENS.get(symbol, symbol): number for number, symbol in enumerate(vocabulary)}
    model = HubModel(
        config=config,
        encoder=encoder.wav2vec2.state_dict() | learned,
        head={f"lm_head.{part}": weights[f"head.projection.{part}"] for part in ("weight", "bias")},
        documents={"preprocessor_config.json": preprocessor, "vocab.json": symbols},
    )
    check(model)
    shutil.rmtree(out, ignore_errors=True)
    write(model, out)
