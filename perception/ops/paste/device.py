"""The op on a CUDA device: windows and neighbours on the host, pixels on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.ops.paste import cpu
from perception.ops.paste.windows import MODES, windows

__all__ = ["PasteOnDevice", "tables"]


def tables(places: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """What the kernels need beside the windows.

    Args:
        places: (N, 4) int64 windows.
        owners: (N,) int64 image of each.

    Returns:
        Splits (N + 1,) and neighbours as of ``cpu.arrange`` (at least one entry, which may belong to nobody), the
        first pixel of each window (N,), all int64, and the number of pixels of all windows.
    """
    splits, neighbours = cpu.arrange(torch.from_numpy(places), torch.from_numpy(owners))
    areas = (places[:, 2] - places[:, 0]) * (places[:, 3] - places[:, 1])
    ends = np.cumsum(areas)
    total = int(ends[-1]) if len(ends) else 0
    return splits, neighbours if len(neighbours) else np.zeros(1, np.int64), ends - areas, total


class PasteOnDevice(torch.autograd.Function):
    """As the form for the CPU; what lay below the pictures is kept on the device."""

    @staticmethod
    def forward(ctx: Any, images, canvases, matrices, owners, mode, premultiplied, out):  # type: ignore[override]
        """See ``perception.ops.paste.paste``."""
        result = images.clone(memory_format=torch.contiguous_format) if out is None else out
        if out is not None and out.data_ptr() != images.data_ptr():
            out.copy_(images)
        packed = canvases.detach().permute(0, 2, 3, 1).contiguous()
        maps = matrices.detach().double().cpu()
        places = windows(packed.cpu(), maps, tuple(images.shape[2:]), mode).numpy()
        *lists, total = tables(places, owners.cpu().numpy())
        inverse = np.linalg.inv(maps.numpy())
        put = [torch.from_numpy(np.ascontiguousarray(a)).to(images.device) for a in (inverse, places, *lists)]
        state = (packed, put[0], put[1], owners.to(images.device).contiguous(), *put[2:], MODES[mode], premultiplied)
        kept = result.new_empty(max(total, 1), 3)
        if total:
            _launch("composite", result, result, state, places, kept)
        ctx.state, ctx.places, ctx.kept, ctx.total = state, places, kept, total
        ctx.needs_images = ctx.needs_input_grad[0]
        if out is not None:
            ctx.mark_dirty(out)
        return result

    @staticmethod
    def backward(ctx: Any, grad):  # type: ignore[override]
        """Gradients of the canvases, and of the images where they are needed."""
        grad = grad.contiguous()
        for_images = grad.clone() if ctx.needs_images else None
        for_canvases = torch.zeros_like(ctx.state[0])
        if ctx.total:
            _launch("gradient", grad, grad, ctx.kept, ctx.state, ctx.places, for_canvases, for_images)
        return for_images, for_canvases.permute(0, 3, 1, 2), None, None, None, None, None


def _launch(name: str, where: Tensor, *arguments: Any) -> None:
    from numba import cuda as numba_cuda

    from perception.ops.cuda_support import launching_on
    from perception.ops.paste import cuda as kernels

    def view(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(view(part) for part in value)
        return numba_cuda.as_cuda_array(value.detach()) if isinstance(value, Tensor) else value

    with launching_on(where) as stream:
        getattr(kernels, name)(*[view(value) for value in arguments], stream=stream)
