"""Which floating point type the encoder runs in, and on how many threads."""

from __future__ import annotations

import torch

from common.errors import SettingsError


def dtype_of(precision: str) -> torch.dtype:
    """The dtype that `PANGLOT_PRECISION` asks for.

    `auto` is bfloat16 where the CPU multiplies it natively (AVX512-BF16, AMX), which is about
    three times as fast there, and float32 elsewhere, where bfloat16 would be emulated.
    """
    if precision == "auto":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    if precision not in ("float32", "bfloat16"):
        raise SettingsError(f"PANGLOT_PRECISION is {precision!r}: give auto, float32 or bfloat16")
    return torch.float32 if precision == "float32" else torch.bfloat16


def limit_threads(threads: int) -> None:
    """Let torch use `threads` threads in this process; 0 leaves its default, one per core."""
    if threads:
        torch.set_num_threads(threads)
