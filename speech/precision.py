"""Where the encoder runs, in which floating point type, and on how many threads."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from common.errors import SettingsError

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Placement:
    """A device and the dtype of all weights on it."""

    device: torch.device
    dtype: torch.dtype


def place(device: str = "auto", precision: str = "auto") -> Placement:
    """What `PANGLOT_DEVICE` and `PANGLOT_PRECISION` ask for.

    A device of `auto` is the first GPU, else the CPU. A precision of `auto` is bfloat16 where it is
    multiplied natively (a GPU, AVX512-BF16, AMX), which is about three times as fast there, and
    float32 elsewhere, where bfloat16 would be emulated.

    Raises:
        SettingsError: a value that is none of these, or a GPU where there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(
            f"PANGLOT_DEVICE is {device!r:.40}: give auto, cpu, cuda or cuda:<number>"
        ) from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"PANGLOT_DEVICE is {device!r:.40}, and {torch.cuda.device_count()} GPUs can be used: "
            "give cpu, or install the gpu extra on a machine that has one"
        )
    if found.type not in ("cpu", "cuda"):
        raise SettingsError(
            f"PANGLOT_DEVICE is {device!r:.40}: give auto, cpu, cuda or cuda:<number>"
        )
    if precision == "auto":
        native = found.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        precision = "bfloat16" if native else "float32"
    if precision not in _PRECISIONS:
        raise SettingsError(f"PANGLOT_PRECISION is {precision!r}: give auto, float32 or bfloat16")
    return Placement(found, _PRECISIONS[precision])


def limit_threads(threads: int) -> None:
    """Let torch use `threads` threads in this process; 0 leaves its default, one per core."""
    if threads:
        torch.set_num_threads(threads)
