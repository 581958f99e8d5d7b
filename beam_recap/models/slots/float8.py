"""Matrix products in 8-bit floating point, with scales that follow the numbers: one per token, one per output."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

# Weights and activations alike: four bits of exponent, three of mantissa, as "FP8 Formats for Deep Learning"
# (arXiv 2209.05433) recommends for a forward pass.
FLOAT8 = torch.float8_e4m3fn
_LARGEST = torch.finfo(FLOAT8).max  # 448

_SMALLEST_SCALE = 1e-12  # a row of zeros has no largest number to be scaled by
_ALIGNMENT = 16  # numbers: both sizes of a weight, as the products on tensor cores want them
_CAPABILITY = (8, 9)  # of NVIDIA's GPUs: Ada and Hopper are the first with such products


class UnsupportedFloat8(ValueError):
    """Neither this device nor this model can do it."""


class Float8Linear(nn.Module):
    """A linear layer whose weight is kept, and multiplied, in 8 bits.

    Each output's weights are scaled by their largest number, and so is each token's input, anew every time ("dynamic"):
    nothing has to be calibrated, and one token's numbers do not depend on another's.

    Args:
      linear: the layer, ``[out, in]``. It is not changed.

    Raises:
      UnsupportedFloat8: a size is no multiple of 16.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        outputs, inputs = linear.weight.shape
        if outputs % _ALIGNMENT or inputs % _ALIGNMENT:
            raise UnsupportedFloat8(f"a layer's sizes {outputs} x {inputs} are no multiples of {_ALIGNMENT}")
        weight, scale = to_float8(linear.weight.detach())
        # Columns lie one after the other in memory, as the products on tensor cores want their right side.
        self._weight, self._scale = weight.t(), scale.t()
        self._bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., in]`` to ``[..., out]``, in the dtype of `x`."""
        rows, scale = to_float8(x.reshape(-1, x.shape[-1]))
        product = multiply_float8(rows, scale, self._weight, self._scale)
        product = product.to(x.dtype).unflatten(0, x.shape[:-1])
        return product if self._bias is None else product + self._bias


def to_float8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers ``[N, K]`` in 8 bits, and the scales ``[N, 1]`` (float32) that give them back.

    What is not a number stays so; where a row holds an infinity, its other numbers are lost.
    """
    low, high = x.aminmax(dim=-1, keepdim=True)
    scale = (torch.maximum(high, -low).float() / _LARGEST).clamp(min=_SMALLEST_SCALE)
    return (x * scale.reciprocal()).to(FLOAT8), scale


def multiply_float8(
    left: torch.Tensor, left_scale: torch.Tensor, right: torch.Tensor, right_scale: torch.Tensor
) -> torch.Tensor:
    """``[N, K]`` times ``[K, M]``, in bfloat16, of what `to_float8` gives: right side and its scales transposed."""
    return functional.scaled_mm(
        left,
        right,
        left_scale,
        functional.ScalingType.RowWise,
        right_scale,
        functional.ScalingType.RowWise,
        output_dtype=torch.bfloat16,
        use_fast_accum=left.is_cuda,
    )


def check_float8(device: torch.device) -> None:
    """Raises UnsupportedFloat8 where there are no such products, or only slow ones. A CPU computes them for tests."""
    if device.type == "cuda" and (capability := torch.cuda.get_device_capability(device)) < _CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise UnsupportedFloat8(
            f"the GPU ({name}, compute capability {'.'.join(map(str, capability))}) has no 8-bit floating-point "
            f"products; that takes {'.'.join(map(str, _CAPABILITY))} or more"
        )
