"""Reading Whisper from CTranslate2's binary format, against a writer of a few lines."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from common.errors import ModelNotFound
from speech.whisper.ctranslate2 import VERSION, read_variables, whisper_state_dict
from tests.speech.tiny import tiny_whisper

_CODES = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.int32: 3, torch.float16: 4}


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def _file(
    variables: dict[str, Tensor], aliases: dict[str, str] | None = None, version: int = VERSION
) -> bytes:
    parts = [struct.pack("<I", version), _string("WhisperSpec"), struct.pack("<I", 3)]
    parts.append(struct.pack("<I", len(variables)))
    for name, value in variables.items():
        data = value.contiguous().numpy().tobytes()
        parts += [_string(name), struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)]
        parts += [struct.pack("<BI", _CODES[value.dtype], len(data)), data]
    parts.append(struct.pack("<I", len(aliases or {})))
    parts += [_string(alias) + _string(name) for alias, name in (aliases or {}).items()]
    return b"".join(parts)


VARIABLES = {
    "a/weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
    "byte": torch.tensor([[[-3]]], dtype=torch.int8),
    "short": torch.tensor([300], dtype=torch.int16),
    "scalar": torch.tensor(7, dtype=torch.int32),
}


def test_every_dtype_and_alias_comes_back() -> None:
    read = read_variables(io.BytesIO(_file(VARIABLES, {"again": "half"})))
    assert read.keys() == {*VARIABLES, "again"}
    for name, value in (VARIABLES | {"again": VARIABLES["half"]}).items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value)


@given(st.data())
def test_a_file_that_ends_too_soon_is_refused(data: st.DataObject) -> None:
    whole = _file(VARIABLES, {"again": "half"})
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ModelNotFound, match="damaged"):
        read_variables(io.BytesIO(whole[:length]))


@pytest.mark.parametrize("version", [0, VERSION - 1, VERSION + 1, 2**32 - 1])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(ModelNotFound, match=f"version {version}: only {VERSION}"):
        read_variables(io.BytesIO(_file(VARIABLES, version=version)))


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (struct.pack("<B2I", 2, 2, 3), struct.pack("<B2I", 2, 2, 4)),  # shape beyond the data
        (struct.pack("<BI", 4, 4), struct.pack("<BI", 9, 4)),  # no such dtype
        (b"half\0", b"h\xffll\0"),  # not UTF-8
        (struct.pack("<BI", 4, 4), struct.pack("<BI", 0, 2**32 - 1)),  # more data than there is
    ],
)
def test_a_damaged_file_is_refused(was: bytes, now: bytes) -> None:
    whole = _file(VARIABLES)
    assert was in whole
    with pytest.raises(ModelNotFound, match="damaged"):
        read_variables(io.BytesIO(whole.replace(was, now, 1)))


def test_an_alias_of_nothing_is_refused() -> None:
    with pytest.raises(ModelNotFound, match="damaged"):
        read_variables(io.BytesIO(_file(VARIABLES, {"again": "nothing"})))


def test_a_whisper_model_makes_the_round_trip() -> None:
    state = tiny_whisper().state_dict()
    read = read_variables(io.BytesIO(_file(_as_ctranslate2(state))))
    renamed = whisper_state_dict(read)
    assert renamed.keys() == state.keys()
    for name, value in renamed.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[name]), name


def _as_ctranslate2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The exporter's names, written out from its documentation rather than from our reader."""
    variables: dict[str, Tensor] = {"decoder/projection/weight": state["proj_out.weight"]}
    variables["decoder/scale_embeddings"] = torch.tensor(0, dtype=torch.int8)

    def norm(source: str, target: str) -> None:
        variables[f"{target}/gamma"] = state[f"{source}.weight"]
        variables[f"{target}/beta"] = state[f"{source}.bias"]

    def linear(sources: list[str], target: str) -> None:
        weights = [state[f"{source}.weight"] for source in sources]
        biases = [
            state.get(f"{source}.bias", torch.zeros(len(weight)))
            for source, weight in zip(sources, weights, strict=True)
        ]
        variables[f"{target}/weight"] = torch.cat(weights)
        variables[f"{target}/bias"] = torch.cat(biases)

    for side in ("encoder", "decoder"):
        model = f"model.{side}"
        positions = state[f"{model}.embed_positions.weight"]
        variables[f"{side}/position_encodings/encodings"] = positions
        norm(f"{model}.layer_norm", f"{side}/layer_norm")
        for index in range(2):
            layer, target = f"{model}.layers.{index}", f"{side}/layer_{index}"
            own = f"{layer}.self_attn"
            linear([f"{own}.{x}_proj" for x in "qkv"], f"{target}/self_attention/linear_0")
            linear([f"{own}.out_proj"], f"{target}/self_attention/linear_1")
            norm(f"{layer}.self_attn_layer_norm", f"{target}/self_attention/layer_norm")
            linear([f"{layer}.fc1"], f"{target}/ffn/linear_0")
            linear([f"{layer}.fc2"], f"{target}/ffn/linear_1")
            norm(f"{layer}.final_layer_norm", f"{target}/ffn/layer_norm")
            if side == "decoder":
                cross = f"{layer}.encoder_attn"
                linear([f"{cross}.q_proj"], f"{target}/attention/linear_0")
                linear([f"{cross}.{x}_proj" for x in "kv"], f"{target}/attention/linear_1")
                linear([f"{cross}.out_proj"], f"{target}/attention/linear_2")
                norm(f"{layer}.encoder_attn_layer_norm", f"{target}/attention/layer_norm")
    variables["decoder/embeddings/weight"] = state["model.decoder.embed_tokens.weight"]
    for number in (1, 2):
        for kind in ("weight", "bias"):
            name = f"encoder.conv{number}.{kind}"
            variables[name.replace(".", "/")] = state[f"model.{name}"]
    return variables


def test_what_is_read_can_be_written_to() -> None:
    read = read_variables(io.BytesIO(_file(VARIABLES)))
    read["half"] += 1
    assert np.array_equal(read["half"].numpy(), [1.5, -1.0])
