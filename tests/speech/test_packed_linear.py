"""Packed weights give what `F.linear` gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from speech.whisper.packed_linear import PackedLinear


@pytest.mark.parametrize("n_row", [1, 5, 40])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_equals_the_plain_layer(
    n_row: int, with_bias: bool, gelu: bool, dtype: torch.dtype, bound: float
) -> None:
    generator = torch.Generator().manual_seed(n_row)
    weight = torch.randn(70, 32, generator=generator).to(dtype) / 6
    bias = torch.randn(70, generator=generator).to(dtype) if with_bias else None
    x = torch.randn(n_row, 32, generator=generator).to(dtype)
    expected = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    found = PackedLinear(weight, bias, gelu)(x)
    assert found.dtype == dtype
    expected = F.gelu(expected) if gelu else expected
    assert torch.allclose(found.double(), expected, atol=bound, rtol=bound)
