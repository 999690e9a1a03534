"""Definition of the op in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from perception.ops.lane_maps.maps import LaneMaps, empty_maps


def gaussian_patch(radius: int) -> Tensor:
    """(2 radius + 1, 2 radius + 1) float64 Gaussian of sigma (2 radius + 1) / 6 and peak 1."""
    reach = torch.arange(-radius, radius + 1, dtype=torch.float64)
    sigma = (2 * radius + 1) / 6
    return torch.exp(-(reach[:, None] ** 2 + reach[None] ** 2) / (2 * sigma * sigma))


def lane_maps(
    vertices: Tensor, splits: Tensor, images: Tensor, shape: tuple[int, int, int], radius: int, start_radius: int
) -> LaneMaps:
    """Training maps of lanes, see :func:`perception.ops.lane_maps.lane_maps`."""
    out = empty_maps(shape, vertices.device)
    point, start = gaussian_patch(radius), gaussian_patch(start_radius)
    bounds = splits.tolist()
    for image, begin, end in zip(images.tolist(), bounds[:-1], bounds[1:]):
        line = vertices[begin:end].double()
        if not len(line):
            continue
        cells = line.long()
        for x, y in cells.tolist():
            _merge(out.keypoint_hm[image, 0], x, y, point)
        _merge(out.start_hm[image, 0], int(cells[0, 0]), int(cells[0, 1]), start)
        rise = line[0, 1] - line[:, 1]
        length = 2 * (line[0, 1] - line[-1, 1]).abs().floor()
        for i, (x, y) in enumerate(cells.tolist()):
            weight = 0.2 if rise[i] < 0 else 1.0 if rise[i] < length else 0.4
            out.cell_offset[image, :, y, x] = (line[i] - cells[i]).float()
            out.start_offset[image, :, y, x] = (line[0] - line[i]).float()
            out.start_weight[image, :, y, x] = weight
            out.offset_mask[image, 0, y, x] = 1
    return out


def _merge(heatmap: Tensor, x: int, y: int, patch: Tensor) -> None:
    """Merge a patch centred on a cell by maximum, in place."""
    height, width = heatmap.shape
    radius = len(patch) // 2
    x0, x1, y0, y1 = max(x - radius, 0), min(x + radius + 1, width), max(y - radius, 0), min(y + radius + 1, height)
    part = patch[y0 - y + radius : y1 - y + radius, x0 - x + radius : x1 - x + radius]
    heatmap[y0:y1, x0:x1] = torch.maximum(heatmap[y0:y1, x0:x1], part.to(heatmap))
