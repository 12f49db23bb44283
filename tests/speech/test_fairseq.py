"""fairseq's checkpoints: converted they give the same outputs, and nothing in them is run."""

from __future__ import annotations

import argparse
import enum
import importlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2ForCTC, Wav2Vec2Model

from common.errors import InvalidRequest, ModelNotFound
from speech.wav2vec2.checkpoint import Inert, fields, read_checkpoint
from speech.wav2vec2.conversion import Converted, convert
from speech.wav2vec2.encoder import load_wav2vec2
from speech.wav2vec2.fairseq import read_dictionary
from tests.speech.tiny import noise
from tests.speech.tiny_mms import (
    D_MODEL,
    LETTERS,
    RANK,
    SPECIAL,
    difference,
    random_adapter_tensors,
    reference_log_probs,
    tiny_config,
    tiny_ctc,
)

Tensors = dict[str, Tensor]
LETTER_COUNTS = "| 94802\ne 51860\nt 38431\n' 3 #fairseq:overwrite\n"
CONVOLUTIONS = "[(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16,2,2)] + [(16,2,2)]"


class Extractor(enum.Enum):
    """An enumeration among the settings, as newer files have."""

    LAYER_NORM = "layer_norm"


class Dictionary:
    """fairseq's, as far as its attributes go."""

    def __init__(self, symbols: list[str]) -> None:
        """Keep `symbols`, the special ones first, as fairseq orders them."""
        self.symbols = ["<s>", "<pad>", "</s>", "<unk>", *symbols]
        self.count = [1] * len(self.symbols)


class Node:
    """A node of omegaconf's: content below `_content`, values below `_val`, and a parent."""

    def __init__(self, content: Any, parent: Node | None = None) -> None:
        """Wrap dicts as dicts of nodes, all else as values."""
        self.__dict__["_parent"] = parent
        if isinstance(content, dict):
            self.__dict__["_content"] = {name: Node(x, self) for name, x in content.items()}
        else:
            self.__dict__["_val"] = content


def to_fairseq(state: Tensors, prefix: str = "") -> Tensors:
    """The inverse of the conversion's names, for `Wav2Vec2ForCTC`'s tensors."""
    group = not any("conv_layers.1.layer_norm" in name for name in state)
    rules = [
        (r"^wav2vec2\.", ""),
        (r"(conv_layers\.\d+)\.conv\.", r"\1.0."),
        (r"(conv_layers\.\d+)\.layer_norm\.", r"\1.2." if group else r"\1.2.1."),
        (r"^feature_projection\.layer_norm", "layer_norm"),
        (r"^feature_projection\.projection", "post_extract_proj"),
        (r"^masked_spec_embed", "mask_emb"),
        (r"pos_conv_embed\.conv\.parametrizations\.weight\.original0", "pos_conv.0.weight_g"),
        (r"pos_conv_embed\.conv\.parametrizations\.weight\.original1", "pos_conv.0.weight_v"),
        (r"pos_conv_embed\.conv\.bias", "pos_conv.0.bias"),
        (r"(encoder\.layers\.\d+)\.layer_norm", r"\1.self_attn_layer_norm"),
        (r"\.attention\.", ".self_attn."),
        (r"feed_forward\.intermediate_dense", "fc1"),
        (r"feed_forward\.output_dense", "fc2"),
    ]
    adapters = {
        "norm.weight": "ln_W",
        "norm.bias": "ln_b",
        "linear_1.weight": "W_a",
        "linear_1.bias": "b_a",
        "linear_2.weight": "W_b",
        "linear_2.bias": "b_b",
    }
    named = {}
    for name, tensor in state.items():
        if name.startswith("lm_head."):
            named[name.replace("lm_head", "w2v_encoder.proj")] = tensor
            continue
        if ".adapter_layer." in name:
            stack, _, parameter = name.removeprefix("wav2vec2.").partition(".adapter_layer.")
            named[f"{prefix}{stack}.adapter_layer.{adapters[parameter]}"] = tensor[None]
            continue
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901
        named[prefix + name] = tensor
    return named


def settings_of(model: Wav2Vec2ForCTC, **changes: Any) -> dict[str, Any]:
    """fairseq's settings of the model a test made."""
    stable = bool(model.config.do_stable_layer_norm)
    return {
        "encoder_layers": model.config.num_hidden_layers,
        "encoder_embed_dim": model.config.hidden_size,
        "encoder_ffn_embed_dim": model.config.intermediate_size,
        "encoder_attention_heads": model.config.num_attention_heads,
        "layer_norm_first": stable,
        "activation_fn": "gelu",
        "conv_feature_layers": CONVOLUTIONS,
        "conv_pos": 16,
        "conv_pos_groups": 4,
        **changes,
    }


def pretrained(model: Wav2Vec2ForCTC, **changes: Any) -> dict[str, Any]:
    """As XLSR-53 is published: settings in a namespace, and what only pretraining needs."""
    tensors = to_fairseq(model.wav2vec2.state_dict())
    tensors["quantizer.vars"] = torch.zeros(1, 4, 2)
    tensors["final_proj.weight"] = torch.zeros(2, 2)
    args = argparse.Namespace(
        **settings_of(model, normalize=True, extractor_mode=Extractor.LAYER_NORM, **changes)
    )
    return {"args": args, "model": tensors, "optimizer_history": [{"num_updates": 7}]}


def finetuned(model: Wav2Vec2ForCTC, **changes: Any) -> dict[str, Any]:
    """As newer files are: omegaconf's nodes, the pretrained model's settings within."""
    inner = {"model": settings_of(model, **changes), "task": {"normalize": False}}
    cfg = {"model": {"_name": "wav2vec_ctc", "w2v_args": inner}, "task": {"data": "/tmp/elsewhere"}}
    return {
        "args": None,
        "cfg": Node(cfg),
        "model": to_fairseq(model.state_dict(), "w2v_encoder.w2v_model."),
    }


def tiny(stable: bool = True, norm: str = "layer", n_vocab: int = 8, **more: Any) -> Wav2Vec2ForCTC:
    """A model to be written as fairseq does."""
    config = tiny_config(
        do_stable_layer_norm=stable,
        feat_extract_norm=norm,
        conv_bias=norm == "layer",
        vocab_size=n_vocab,
        **more,
    )
    return tiny_ctc(config)


def converted(checkpoint: object, folder: Path, zipped: bool = True, **options: Any) -> Converted:
    """Save as fairseq does, and convert into `folder / "out"`."""
    path = folder / "checkpoint.pt"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    return convert(path, folder / "out", **options)


def refused(checkpoint: object, folder: Path, **options: Any) -> str:
    """What converting says, in one line; and that nothing is left behind."""
    with pytest.raises(ModelNotFound) as caught:
        converted(checkpoint, folder, **options)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.pt"]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@torch.inference_mode()
def same_outputs(expected: Wav2Vec2Model, directory: Path, normalise: bool) -> None:
    """`transformers` and our encoder give what the model did that was written."""
    audio = noise(7000)
    read = Wav2Vec2Model.from_pretrained(directory).eval()
    values = audio[None]
    truth = expected(values).last_hidden_state
    assert difference(read(values).last_hidden_state, truth) < 1e-5
    encoder = load_wav2vec2(directory, "converted")
    assert encoder.normalise is normalise
    encoder.normalise = False
    assert difference(encoder(*encoder.features([audio])).states, truth) < 1e-4


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("stable", "norm"), [(True, "layer"), (False, "group"), (True, "group"), (False, "layer")]
)
def test_pretrained(tmp_path: Path, stable: bool, norm: str, zipped: bool) -> None:
    model = tiny(stable, norm)
    done = converted(pretrained(model), tmp_path, zipped)
    same_outputs(model.wav2vec2, tmp_path / "out", normalise=True)
    assert done.assumed == done.adapters == done.missing == ()
    assert done.n_vocab is None
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["config.json", "model.safetensors", "preprocessor_config.json"]
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
    assert modes == {0o644}  # whoever serves it need not be who converted it
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("zipped", [True, False])
@torch.inference_mode()
def test_finetuned(tmp_path: Path, zipped: bool) -> None:
    model = tiny()
    (tmp_path / "dict.ltr.txt").write_text(LETTER_COUNTS)
    done = converted(finetuned(model), tmp_path, zipped, dictionary=tmp_path / "dict.ltr.txt")
    same_outputs(model.wav2vec2, tmp_path / "out", normalise=False)
    assert done.n_vocab == 8
    read = Wav2Vec2ForCTC.from_pretrained(tmp_path / "out").eval()
    assert difference(read(noise(7000)[None]).logits, model(noise(7000)[None]).logits) < 1e-5
    vocabulary = json.loads((tmp_path / "out" / "vocab.json").read_text())
    assert list(vocabulary) == [*SPECIAL, "e", "t", "'"]
    assert list(vocabulary.values()) == list(range(8))


def test_the_dictionary_within_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = finetuned(tiny())
    checkpoint["task_state"] = {"target_dictionary": Dictionary(["|", "e", "t", "'"])}
    converted(checkpoint, tmp_path)
    vocabulary = json.loads((tmp_path / "out" / "vocab.json").read_text())
    assert list(vocabulary) == [*SPECIAL, "e", "t", "'"]


def test_older_finetuned_settings(tmp_path: Path) -> None:
    """A namespace within a namespace."""
    model = tiny(stable=False)
    checkpoint = finetuned(model)
    inner = argparse.Namespace(**settings_of(model, normalize=True))
    checkpoint |= {"cfg": None, "args": argparse.Namespace(w2v_args=inner, encoder_layers=99)}
    done = converted(checkpoint, tmp_path)
    same_outputs(model.wav2vec2, tmp_path / "out", normalise=True)
    assert done.missing == ("vocab.json: the checkpoint does not hold its symbols (give --vocab)",)


def test_without_settings_what_is_assumed_is_told(tmp_path: Path) -> None:
    model = tiny()
    done = converted({"model": pretrained(model)["model"]}, tmp_path, heads=4)
    same_outputs(model.wav2vec2, tmp_path / "out", normalise=True)
    assert done.assumed == (
        "norms stand before the sub-layers",
        "the strides of the convolutions are 5, then 2",
        "the audio is normalised",
    )


def test_heads_must_be_said_where_nothing_tells(tmp_path: Path) -> None:
    tensors = pretrained(tiny())["model"]
    assert "say it with --heads" in refused({"model": tensors}, tmp_path)
    assert "5 attention heads cannot share 32" in refused({"model": tensors}, tmp_path, heads=5)
    assert "settings say 4" in refused(pretrained(tiny()), tmp_path, heads=2)


def test_mms(tmp_path: Path) -> None:
    """The base with adapters per language becomes what MMS publishes."""
    model = tiny(n_vocab=13, adapter_attn_dim=RANK)
    checkpoint = finetuned(model, layer_type="trf_adp", adp_num=1, adp_dim=RANK)
    checkpoint["adapter"] = {}
    expected = {}
    for seed, code in enumerate(("fra", "cmn-script_simplified")):
        symbols = ["|", *LETTERS[code]]
        tensors = random_adapter_tensors(model, 4 + len(symbols), seed)
        checkpoint["adapter"][code] = {
            "model": to_fairseq(tensors, "w2v_encoder.w2v_model."),
            "task_state": {"target_dictionary": Dictionary(symbols)},
        }
        model.load_state_dict(
            {name: value for name, value in tensors.items() if "lm_head" not in name}, strict=False
        )
        with torch.inference_mode():
            hidden = model.wav2vec2(noise(9000)[None]).last_hidden_state[0]
        logits = hidden @ tensors["lm_head.weight"].T + tensors["lm_head.bias"]
        expected[code] = logits.log_softmax(-1)
    done = converted(checkpoint, tmp_path)
    assert done.adapters == ("cmn-script_simplified", "fra")
    for code, log_probs in expected.items():
        found = reference_log_probs(tmp_path / "out", code, noise(9000))
        assert difference(found, log_probs) < 1e-5
    vocabularies = json.loads((tmp_path / "out" / "vocab.json").read_text())
    assert list(vocabularies["fra"]) == [*SPECIAL, *LETTERS["fra"]]


def test_an_adapter_that_cannot_be_served(tmp_path: Path) -> None:
    model = tiny(n_vocab=13, adapter_attn_dim=RANK)
    checkpoint = finetuned(model)
    tensors = random_adapter_tensors(model, 13, 0)
    overriding = tensors | {"wav2vec2.encoder.layer_norm.bias": torch.zeros(D_MODEL)}
    checkpoint["adapter"] = {"fra": {"model": to_fairseq(overriding, "w2v_encoder.w2v_model.")}}
    assert "adapter fra is not made of adapter layers" in refused(checkpoint, tmp_path)
    short = {name: value for name, value in tensors.items() if "layers.1.ada" not in name}
    checkpoint["adapter"] = {"fra": {"model": to_fairseq(short, "w2v_encoder.w2v_model.")}}
    assert "adapter fra: tensor blocks.1" in refused(checkpoint, tmp_path)
    checkpoint["adapter"] = {"../fra": {"model": to_fairseq(tensors, "w2v_encoder.w2v_model.")}}
    assert "'../fra' is no language code" in refused(checkpoint, tmp_path)
    stacked = to_fairseq(model.state_dict(), "w2v_encoder.w2v_model.")
    name = next(name for name in stacked if name.endswith("W_a"))
    stacked[name] = stacked[name].repeat(3, 1, 1)
    assert "holds 3 adapters in one tensor" in refused({"model": stacked}, tmp_path)


def test_a_pickle_of_the_hub(tmp_path: Path) -> None:
    """As `facebook/wav2vec2-large-xlsr-53` lies there: no safetensors."""
    model = tiny()
    hub = tmp_path / "hub"
    model.config.save_pretrained(hub)
    (hub / "preprocessor_config.json").write_text('{"do_normalize": false}')
    state = {
        re.sub(r"parametrizations\.weight\.original", "weight_", name): value
        for name, value in model.state_dict().items()
    }
    state = {
        name.replace("weight_0", "weight_g").replace("weight_1", "weight_v"): value
        for name, value in state.items()
    }
    state["quantizer.codevectors"] = torch.zeros(2)
    torch.save(state, hub / "pytorch_model.bin")
    done = convert(hub, tmp_path / "out")
    assert done.n_vocab == 8
    same_outputs(model.wav2vec2, tmp_path / "out", normalise=False)
    assert convert(hub / "pytorch_model.bin", tmp_path / "again") == done
    with pytest.raises(InvalidRequest, match="--heads are for fairseq"):
        convert(hub, tmp_path / "third", heads=4)
    (hub / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        convert(hub, tmp_path / "third")


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: object) -> None:
        """Keep what unpickling would call."""
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        """Ask whoever unpickles this to call it."""
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("function", [os.system, subprocess.check_call, eval, exec])
def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, function: Any, zipped: bool) -> None:
    marker = tmp_path / "it ran"
    shell = f"touch '{marker}'"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    if function is subprocess.check_call:
        call = Call(function, shell, -1, None, None, None, None, None, True, True)
    else:
        call = Call(function, shell if function is os.system else code)
    checkpoint = pretrained(tiny(), user_dir=call)
    try:
        converted(checkpoint, tmp_path, zipped)
    except ModelNotFound as error:
        assert "it asks for posix.system" in str(error)  # noqa: PT017 others are ignored
        assert function is os.system
        assert not (tmp_path / "out").exists()
    else:
        assert function is not os.system
        assert (tmp_path / "out" / "model.safetensors").is_file()
    assert not marker.exists()
    torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    assert marker.exists()  # the file does what this test is about


def test_no_module_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "side_effect.py").write_text(
        f"open({str(tmp_path / 'imported')!r}, 'w').close()\nclass Settings: pass\n"
    )
    monkeypatch.syspath_prepend(modules)
    settings = importlib.import_module("side_effect").Settings()
    settings.encoder_layers = 2
    folder = tmp_path / "folder"
    folder.mkdir()
    checkpoint = pretrained(tiny())
    checkpoint["extra"] = settings
    torch.save(checkpoint, folder / "checkpoint.pt")
    del sys.modules["side_effect"]
    (tmp_path / "imported").unlink()
    read = read_checkpoint(folder / "checkpoint.pt")
    assert isinstance(read, dict)
    assert isinstance(read["extra"], Inert)
    assert fields(read["extra"]) == {"encoder_layers": 2}
    assert not (tmp_path / "imported").exists()
    assert "side_effect" not in sys.modules


def test_a_state_cannot_change_what_an_inert_object_is(tmp_path: Path) -> None:
    made = argparse.Namespace()
    made.__dict__.update({"__class__": "x", "state": "y", "__reduce__": "z"})
    torch.save({"args": made}, tmp_path / "checkpoint.pt")
    read = read_checkpoint(tmp_path / "checkpoint.pt")
    assert isinstance(read, dict)
    assert type(read["args"]) is Inert
    assert fields(read["args"]) == {"__class__": "x", "state": "y", "__reduce__": "z"}


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    out = tmp_path / "out"
    torch.save(pretrained(tiny()), path)
    zipped = path.read_bytes()
    torch.save(pretrained(tiny()), path, _use_new_zipfile_serialization=False)
    legacy = path.read_bytes()
    for content in (
        b"",
        b"RIFF, not a checkpoint",
        zipped[: len(zipped) // 2],
        zipped[:-10],
        legacy[:100],
        legacy[: len(legacy) // 2],
        legacy[:-10],
        b"PK\x03\x04" + zipped[100:],
    ):
        path.write_bytes(content)
        with pytest.raises(ModelNotFound) as caught:
            convert(path, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()
    with pytest.raises(ModelNotFound, match=r"nowhere\.pt cannot be read: No such file"):
        convert(tmp_path / "nowhere.pt", out)


@pytest.mark.parametrize("content", [[1, 2], {"model": {}}, {"model": [1]}, {"weights": 3}, {}])
def test_not_a_model(tmp_path: Path, content: object) -> None:
    refused(content, tmp_path)


def test_wrong_tensors(tmp_path: Path) -> None:
    def damaged(name: str, value: object) -> dict[str, Any]:
        checkpoint = pretrained(tiny())
        if value is None:
            del checkpoint["model"][name]
        else:
            checkpoint["model"][name] = value
        return checkpoint

    fc1 = "encoder.layers.1.fc1.weight"
    assert "lacks the tensor encoder.layers.1.feed" in refused(damaged(fc1, None), tmp_path)
    assert f"has the shape ({D_MODEL},)" in refused(damaged(fc1, torch.zeros(D_MODEL)), tmp_path)
    assert "tensor encoder.layers.1.feed_forward.intermediate_dense.weight is (3, 32)" in refused(
        damaged(fc1, torch.zeros(3, D_MODEL)), tmp_path
    )
    bias = "encoder.layers.0.self_attn.k_proj.bias"
    assert "encoder.layers.0.attention.k_proj.bias is missing" in refused(
        damaged(bias, None), tmp_path
    )
    assert "'decoder.embed' is no tensor" in refused(damaged("decoder.embed", 3), tmp_path)
    assert "which wav2vec 2.0 has not" in refused(damaged("decoder.w", torch.zeros(1)), tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoder_layers": 3}, "settings say encoder_layers 3, its tensors 2"),
        ({"conv_pos_groups": 16}, "settings say conv_pos_groups 16, its tensors 4"),
        ({"activation_fn": "swish"}, "activations are 'swish'"),
        ({"conv_feature_layers": "[(16, 10, 5)] * 7"}, "their strides are not known"),
        ({"conv_feature_layers": "__import__('os')"}, "their strides are not known"),
        ({"encoder_attention_heads": 7}, "7 attention heads cannot share 32 channels"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    assert says in refused(pretrained(tiny(), **changes), tmp_path)


def test_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "dict.ltr.txt"
    path.write_text(LETTER_COUNTS)
    assert read_dictionary(path) == (*SPECIAL, "e", "t", "'")
    path.write_text("| 1\ne\n")
    with pytest.raises(ModelNotFound, match="'e' is not a symbol and its count"):
        read_dictionary(path)
    path.write_bytes(b"\xff 1\n")
    with pytest.raises(ModelNotFound, match="cannot be read as text"):
        read_dictionary(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    path.write_text("| 1\ne 1\n")
    assert "8 classes, its dictionary 6" in refused(finetuned(tiny()), folder, dictionary=path)
    path.write_text("| 1\ne 1\ne 1\nt 1\n")
    assert "8 classes, its dictionary 7" in refused(finetuned(tiny()), folder, dictionary=path)
    assert "only pretrained" in refused(pretrained(tiny()), folder, dictionary=path)


def test_what_stands_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(InvalidRequest, match="exists: name a folder"):
        converted(pretrained(tiny()), tmp_path)
    (tmp_path / "out" / "mine").unlink()
    converted(pretrained(tiny()), tmp_path)


@contextmanager
def no_file_above(n_bytes: int) -> Iterator[None]:
    """A disk on which no larger file fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(pretrained(tiny()), path)
    with no_file_above(20_000), pytest.raises(ModelNotFound, match="cannot be written to"):
        convert(path, tmp_path / "out")
    assert [found.name for found in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(pretrained(tiny()), path)
    with pytest.raises(ModelNotFound, match="cannot be written to"):
        convert(path, path / "out")
