"""Definition of the op in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def visible_cells(ends: Tensor, start: Tensor, shape: Sequence[int]) -> Tensor:
    """Seen cells, see :func:`perception.ops.ray_visibility.visible_cells`.

    Args:
        ends: (N, 2) int64 cells of the points.
        start: (2,) int64 cell of the sensor.
        shape: Rows and columns.
    """
    out = torch.zeros(tuple(shape), dtype=torch.uint8, device=ends.device)
    limits = torch.tensor(list(shape), device=ends.device)
    step = ends - start
    length = step.abs().amax(1, keepdim=True)
    for i in range(int(length.max()) if len(ends) else 0):
        going = length[:, 0] > i
        n = length[going]
        cells = start + torch.div(2 * i * step[going] + n, 2 * n, rounding_mode="floor")
        cells = cells[((cells >= 0) & (cells < limits)).all(1)]
        out[cells[:, 0], cells[:, 1]] = 1
    hit = ends[((ends >= 0) & (ends < limits)).all(1)]
    out[hit[:, 0], hit[:, 1]] = 2
    return out
