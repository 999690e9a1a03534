"""Deformable convolution v1 with a 1 x P kernel on every device (Dai et al., ICCV 2017).

Bilinear sampling; corners outside the map count as 0. Sampling and the kernel are both linear, so the kernel is applied
first, as a 1x1 convolution to P groups of output channels, and each group is then sampled at its point: the same result
with fewer channels to sample than the usual order. On the CPU the sampling is a numba kernel, several times faster than
torchvision's operator; CUDA uses torchvision; plain torch gathers serve everything else, export included.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

try:
    from torchvision.ops import deform_conv2d as _torchvision_op
except ImportError:  # a torch build without torchvision's operators
    _torchvision_op = None

BACKENDS = ("auto", "numba", "torchvision", "torch")


def deform_conv_1xp(x: Tensor, offset: Tensor, weight: Tensor, backend: str = "auto") -> Tensor:
    """Deformable convolution with a 1 x P kernel, stride 1, padding (0, (P - 1) / 2), no bias.

    Args:
        x: (B, C, H, W) input map.
        offset: (B, 2P, H, W) displacement (y0, x0, y1, x1, ...) from the regular kernel positions, in cells.
        weight: (O, C, 1, P) kernel, P odd.
        backend: ``auto``, ``numba`` (CPU), ``torchvision`` or ``torch``.

    Returns:
        (B, O, H, W) output map.
    """
    if backend == "auto":
        backend = _choose(x)
    if backend == "torchvision":
        return _torchvision_op(x, offset, weight, padding=(0, (weight.shape[-1] - 1) // 2))
    planes = F.conv2d(x, weight.permute(3, 0, 1, 2).flatten(0, 1)[..., None])  # (B, P * O, H, W)
    exact = torch.float64 if planes.dtype == torch.float64 else torch.float32  # half precision cannot hold positions
    sample = _SampleSum.apply if backend == "numba" and exact == torch.float32 else _sample_sum_torch
    return sample(planes.to(exact), offset.to(exact)).to(planes.dtype)


def _choose(x: Tensor) -> str:
    if torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return "torch"
    if x.is_cuda and _torchvision_op is not None:
        return "torchvision"
    return "numba" if x.device.type == "cpu" else "torch"


def _sample_sum_torch(planes: Tensor, offset: Tensor) -> Tensor:
    """Sample each group of channels of (B, P * O, H, W) at its own point and add the groups up."""
    batch, _, height, width = planes.shape
    points = offset.shape[1] // 2
    rows = torch.arange(height, device=offset.device, dtype=offset.dtype).view(1, height, 1)
    columns = torch.arange(width, device=offset.device, dtype=offset.dtype).view(1, 1, width)
    groups = F.pad(planes, (1, 1, 1, 1)).unflatten(1, (points, -1))  # a ring of zeros makes outside corners 0
    out = planes.new_zeros(batch, groups.shape[2], height, width)
    for k in range(points):
        y = rows + offset[:, 2 * k]
        x = columns + offset[:, 2 * k + 1] + (k - (points - 1) // 2)
        grid = torch.stack([(x + 1) * 2 / (width + 1) - 1, (y + 1) * 2 / (height + 1) - 1], dim=-1)
        sampled = F.grid_sample(groups[:, k], grid, padding_mode="zeros", align_corners=True)
        out = out + sampled
    return out


class _SampleSum(torch.autograd.Function):
    """`_sample_sum_torch` by numba kernels on channels-last memory."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor, offset: Tensor) -> Tensor:
        points = offset.shape[1] // 2
        table, moves = _grouped(planes, points), _grouped(offset, points)
        batch, height, width, _, channels = table.shape
        out = np.zeros((batch, height, width, channels), np.float32)
        _sample(table, moves, out)
        ctx.save_for_backward(planes, offset)
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        planes, offset = ctx.saved_tensors
        points = offset.shape[1] // 2
        table, moves = _grouped(planes, points), _grouped(offset, points)
        gradient = gradients[0].detach().permute(0, 2, 3, 1).contiguous().numpy()
        table_gradient, move_gradient = np.zeros_like(table), np.zeros_like(moves)
        _sample_backward(table, moves, gradient, table_gradient, move_gradient)
        shapes = [array.reshape(*array.shape[:3], -1) for array in (table_gradient, move_gradient)]
        back = [torch.from_numpy(array).permute(0, 3, 1, 2) for array in shapes]
        return back[0], back[1]


def _grouped(x: Tensor, points: int) -> np.ndarray:
    """(B, P * K, H, W) as a contiguous array (B, H, W, P, K)."""
    last = x.detach().permute(0, 2, 3, 1).contiguous().numpy()
    return last.reshape(*last.shape[:3], points, -1)


@numba.njit(inline="always")
def _corner(y: float, x: float) -> tuple[int, int, np.float32, np.float32]:
    y0, x0 = np.floor(y), np.floor(x)
    return int(y0), int(x0), np.float32(y - y0), np.float32(x - x0)


@numba.njit(cache=True, fastmath={"contract", "reassoc", "nsz"}, nogil=True, error_model="numpy")
def _sample(table: np.ndarray, moves: np.ndarray, out: np.ndarray) -> None:
    batch, height, width, points, channels = table.shape
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                for k in range(points):
                    y = i + moves[b, i, j, k, 0]
                    x = j + moves[b, i, j, k, 1] + (k - (points - 1) // 2)
                    if not (-1 < y < height and -1 < x < width):
                        continue
                    y0, x0, fy, fx = _corner(y, x)
                    for dy in range(2):
                        for dx in range(2):
                            if 0 <= y0 + dy < height and 0 <= x0 + dx < width:
                                w = (fy if dy else 1 - fy) * (fx if dx else 1 - fx)
                                source = table[b, y0 + dy, x0 + dx, k]
                                target = out[b, i, j]
                                for c in range(channels):
                                    target[c] += w * source[c]


@numba.njit(cache=True, fastmath={"contract", "reassoc", "nsz"}, nogil=True, error_model="numpy")
def _sample_backward(
    table: np.ndarray, moves: np.ndarray, gradient: np.ndarray, to_table: np.ndarray, to_moves: np.ndarray
) -> None:
    batch, height, width, points, channels = table.shape
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                incoming = gradient[b, i, j]
                for k in range(points):
                    y = i + moves[b, i, j, k, 0]
                    x = j + moves[b, i, j, k, 1] + (k - (points - 1) // 2)
                    if not (-1 < y < height and -1 < x < width):
                        continue
                    y0, x0, fy, fx = _corner(y, x)
                    for dy in range(2):
                        for dx in range(2):
                            if 0 <= y0 + dy < height and 0 <= x0 + dx < width:
                                wy, wx = fy if dy else 1 - fy, fx if dx else 1 - fx
                                source = table[b, y0 + dy, x0 + dx, k]
                                target = to_table[b, y0 + dy, x0 + dx, k]
                                w, dot = wy * wx, np.float32(0)
                                for c in range(channels):
                                    target[c] += w * incoming[c]
                                    dot += source[c] * incoming[c]
                                to_moves[b, i, j, k, 0] += dot * (wx if dy else -wx)
                                to_moves[b, i, j, k, 1] += dot * (wy if dx else -wy)
