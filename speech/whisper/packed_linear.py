"""A linear layer for a handful of rows: weights laid out once as oneDNN reads them.

`F.linear` lays them out again in every call, which for a decoder's few rows costs more than the
product itself. On two cores of an AMD EPYC with AVX512-BF16, 512 by 51865 in bf16: 2.1 ms in place
of 5.1 for one row, 6.2 in place of 8.4 for forty; in fp32 3.3 in place of 8.8. Weights in int8
(`_weight_int8pack_mm`, `_int_mm`) are faster for one row alone, and slower from five on.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class PackedLinear:
    """`x W^T + b`, then GELU if asked for. Holds a copy of the weights where it packs them."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, gelu: bool = False) -> None:
        """Take `weight` `[n_out, n_in]` and `bias` `[n_out]` as they are now."""
        self._packed = _can_pack(weight)
        if self._packed:  # without oneDNN there is no such operator to name
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self._weight = weight
        self._bias = bias
        self._gelu = gelu

    def __call__(self, x: Tensor) -> Tensor:
        """`[n_row, n_in]` to `[n_row, n_out]`, in the weights' dtype."""
        if self._packed:
            then, approximation = ("gelu", "none") if self._gelu else ("none", "")
            packed: Any = torch.ops.mkldnn._linear_pointwise
            found: Tensor = packed(x, self._weight, self._bias, then, [], approximation)
            return found
        plain = F.linear(x, self._weight, self._bias)
        return F.gelu(plain) if self._gelu else plain


def _can_pack(weight: Tensor) -> bool:
    mkldnn: Any = torch.backends.mkldnn
    if weight.device.type != "cpu" or not mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
