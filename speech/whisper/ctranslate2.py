"""Reads a Whisper model in CTranslate2's binary format into `transformers`' names.

The file is little-endian: a uint32 version (6); the spec's name, its uint32 revision and a uint32
count; then per variable its name, uint8 rank, uint32 dimensions, uint8 dtype, uint32 byte count and
data; then aliases (name, target). A string is a uint16 length that counts the final NUL, then the
bytes. Source: CTranslate2, `src/models/model.cc`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from common.errors import ModelNotFound

VERSION = 6
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_variables(file: BinaryIO) -> dict[str, Tensor]:
    """Every variable by its CTranslate2 name, in the dtype of the file, aliases resolved.

    Raises:
        ModelNotFound: the bytes are not such a file, or of another version.
    """
    try:
        (version,) = _unpack(file, "<I")
        if version != VERSION:
            raise ModelNotFound(f"CTranslate2 file version {version}: only {VERSION} can be read")
        _string(file)
        _, count = _unpack(file, "<II")
        variables = dict(_variable(file) for _ in range(count))
        (n_alias,) = _unpack(file, "<I")
        for _ in range(n_alias):
            alias = _string(file)
            variables[alias] = variables[_string(file)]
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise ModelNotFound(
            "the base model's file is damaged: install its packages again"
        ) from error
    return variables


def whisper_state_dict(variables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names and shapes of `WhisperForConditionalGeneration`, float32.

    Stacked projections are split: q, k, v of self-attention; k, v of cross-attention. Whisper's
    keys have no bias; what the file holds for them is zero and is dropped.
    """
    return {
        name: tensor.to(torch.float32).contiguous()
        for source, value in variables.items()
        for name, tensor in _renamed(source, value)
    }


def _renamed(source: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    if source == "decoder/projection/weight":
        yield "proj_out.weight", value
        return
    for pattern, target in _FIXED:
        if re.fullmatch(pattern, source):
            yield re.sub(pattern, target, source), value
            return
    match = re.fullmatch(r"(encoder|decoder)/layer_(\d+)/(\w+)/(\w+)/(\w+)", source)
    if match is None:
        return  # scales and flags of the format, no weights
    side, layer, block, part, kind = match.groups()
    prefix = f"model.{side}.layers.{layer}"
    if part == "layer_norm":
        yield f"{prefix}.{_NORMS[block]}.{_KINDS[kind]}", value
    elif block == "ffn":
        yield f"{prefix}.{_FEED_FORWARD[part]}.{kind}", value
    elif block in _ATTENTION:
        projections = _PROJECTIONS[block][part]
        for name, piece in zip(projections, value.chunk(len(projections)), strict=True):
            if (name, kind) != ("k_proj", "bias"):
                yield f"{prefix}.{_ATTENTION[block]}.{name}.{kind}", piece


_KINDS = {"gamma": "weight", "beta": "bias"}
_FIXED = [
    (r"(encoder)/(conv[12])/(weight|bias)", r"model.\1.\2.\3"),
    (r"(encoder|decoder)/position_encodings/encodings", r"model.\1.embed_positions.weight"),
    (r"(encoder|decoder)/layer_norm/gamma", r"model.\1.layer_norm.weight"),
    (r"(encoder|decoder)/layer_norm/beta", r"model.\1.layer_norm.bias"),
    (r"(decoder)/embeddings/weight", r"model.\1.embed_tokens.weight"),
]
_NORMS = {
    "self_attention": "self_attn_layer_norm",
    "attention": "encoder_attn_layer_norm",
    "ffn": "final_layer_norm",
}
_FEED_FORWARD = {"linear_0": "fc1", "linear_1": "fc2"}
_ATTENTION = {"self_attention": "self_attn", "attention": "encoder_attn"}
_PROJECTIONS = {
    "self_attention": {"linear_0": ["q_proj", "k_proj", "v_proj"], "linear_1": ["out_proj"]},
    "attention": {
        "linear_0": ["q_proj"],
        "linear_1": ["k_proj", "v_proj"],
        "linear_2": ["out_proj"],
    },
}


def _variable(file: BinaryIO) -> tuple[str, Tensor]:
    name = _string(file)
    (rank,) = _unpack(file, "<B")
    shape = _unpack(file, f"<{rank}I")
    dtype, n_bytes = _unpack(file, "<BI")
    data = file.read(n_bytes)
    array = np.frombuffer(data, dtype=_DTYPES[dtype]).reshape(shape)
    return name, torch.from_numpy(array.copy())


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "<H")
    data = file.read(length)
    if len(data) < length:
        raise ValueError("the file ends within a string")
    return data.rstrip(b"\0").decode()


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
