from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from beam_recap.models.slots import float8
from beam_recap.models.slots.float8 import Float8Linear, UnsupportedFloat8, check_float8, to_float8

# Three bits of mantissa: a number is off by at most 1/16 of itself, on both sides of a product.
ROUNDING = 1 / 16


@pytest.mark.parametrize(
    ("dtype", "bias"),
    [(torch.float32, True), (torch.float32, False), (torch.bfloat16, False)],
    ids=["bias", "float32", "bfloat16"],
)
@torch.inference_mode()
def test_is_near_the_layer_at_every_scale(dtype: torch.dtype, bias: bool) -> None:
    """Tokens of very different size, in one batch: each is as exact as the others."""
    torch.manual_seed(3)
    linear = nn.Linear(128, 64, bias=bias).to(dtype)
    sizes = torch.logspace(-4, 4, 9)[None, :, None]
    x = (torch.randn(3, 9, 128) * sizes).to(dtype)
    got, expected = Float8Linear(linear)(x), linear(x)
    assert got.shape == expected.shape
    assert got.dtype == dtype
    without_bias = linear.bias if bias else 0
    error = (got - expected).float().norm(dim=-1) / (expected - without_bias).float().norm(dim=-1)
    # Errors of 128 products are independent: they grow as a root, the sum itself does too.
    assert 0.001 < float(error.max()) < 2 * ROUNDING


@torch.inference_mode()
def test_a_token_does_not_depend_on_the_others() -> None:
    torch.manual_seed(4)
    layer = Float8Linear(nn.Linear(32, 16))
    x = torch.randn(5, 32)
    expected = layer(x)
    for bad in (torch.nan, torch.inf, 1e30):
        with_neighbour = torch.cat([torch.full((1, 32), bad), x])
        torch.testing.assert_close(layer(with_neighbour)[1:], expected, rtol=0, atol=0)
        assert layer(with_neighbour)[0].isfinite().all() == (bad == 1e30)
    torch.testing.assert_close(layer(x[2:3]), expected[2:3], rtol=0, atol=0)


def test_scales() -> None:
    rows = torch.tensor([[448.0, -1.0, 2**-6], [0.0, 0.0, 0.0], [-4.48e30, 0.0, 1e30], [1e-9, 0, -1e-9]])
    small, scale = to_float8(rows)
    assert small.dtype == torch.float8_e4m3fn
    assert scale.dtype == torch.float32
    assert scale.shape == (4, 1)
    assert scale[0] == 1
    assert small[0].float().tolist() == [448, -1, 2**-6]
    assert small[1].float().tolist() == [0, 0, 0]
    torch.testing.assert_close(small.float() * scale, rows, rtol=ROUNDING, atol=0)


def test_sizes_that_tensor_cores_refuse() -> None:
    with pytest.raises(UnsupportedFloat8, match="24 x 32 are no multiples of 16"):
        Float8Linear(nn.Linear(32, 24))


@pytest.mark.parametrize(("capability", "is_fit"), [((8, 0), False), ((8, 6), False), ((8, 9), True), ((9, 0), True)])
def test_which_gpus(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], is_fit: bool) -> None:
    cuda = SimpleNamespace(
        get_device_capability=lambda device: capability, get_device_name=lambda device: "NVIDIA Example"
    )
    monkeypatch.setattr(float8.torch, "cuda", cuda)
    check_float8(torch.device("cpu"))
    if is_fit:
        check_float8(torch.device("cuda"))
    else:
        with pytest.raises(UnsupportedFloat8, match=r"NVIDIA Example, compute capability 8\.\d.* 8\.9 or more"):
            check_float8(torch.device("cuda"))
