"""Training maps of lane keypoints: heatmaps, offsets and their weights (spec ganet section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from perception.ops.forms import form_for
from perception.ops.lane_maps import cpu, reference
from perception.ops.lane_maps.maps import LaneMaps, empty_maps

__all__ = ["LaneMaps", "lane_maps"]


def lane_maps(
    vertices: Tensor,
    splits: Tensor,
    images: Tensor,
    shape: tuple[int, int, int],
    radius: int = 2,
    start_radius: int = 4,
) -> LaneMaps:
    """Draw the vertices of lanes into the maps that a keypoint network is trained on; not differentiable.

    Args:
        vertices: (V, 2) xy in cells, concatenated over lanes, the start (lowest point) of each lane first. Of several
            vertices in a cell the last one of the last lane wins.
        splits: (L + 1,) int64, where each lane begins.
        images: (L,) int64 image of each lane.
        shape: (B, h, w) images and cells.
        radius: Half width of the keypoint Gaussians in cells, 0 or more.
        start_radius: Half width of the start-point Gaussians in cells.

    Returns:
        The maps, on the device of ``vertices``.

    Raises:
        ValueError: Shapes, splits or images do not fit, or a vertex is not inside the grid (checked on the CPU).
    """
    _check(vertices, splits, images, shape)
    points = vertices.detach().double().contiguous()
    return LaneMaps(*_lane_maps(points, splits.contiguous(), images.contiguous(), list(shape), radius, start_radius))


def _check(vertices: Tensor, splits: Tensor, images: Tensor, shape: tuple[int, int, int]) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 2 or splits.ndim != 1 or images.shape != (len(splits) - 1,):
        found = f"{tuple(vertices.shape)}, {tuple(splits.shape)}, {tuple(images.shape)}"
        raise ValueError(f"lane_maps: expected vertices (V, 2), splits (L + 1,), images (L,), found {found}")
    if vertices.device.type != "cpu" or torch.compiler.is_compiling():
        return
    bounds = splits.tolist()
    if bounds[0] != 0 or bounds[-1] != len(vertices) or bounds != sorted(bounds):
        raise ValueError(f"lane_maps: expected splits that rise from 0 to {len(vertices)}, found {bounds}")
    limits = vertices.new_tensor([shape[2], shape[1]])
    if not ((vertices >= 0) & (vertices < limits)).all():
        raise ValueError(f"lane_maps: expected vertices within a grid of {shape[2]} x {shape[1]} cells")
    if len(images) and not (int(images.min()) >= 0 and int(images.max()) < shape[0]):
        raise ValueError(f"lane_maps: expected images below {shape[0]}, found {images.tolist()}")


@torch.library.custom_op("perception::lane_maps", mutates_args=())
def _lane_maps(
    vertices: Tensor, splits: Tensor, images: Tensor, shape: list[int], radius: int, start_radius: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    size = (shape[0], shape[1], shape[2])
    form = form_for(vertices.device)
    if form == "reference":
        return tuple(reference.lane_maps(vertices, splits, images, size, radius, start_radius))  # type: ignore[return-value]
    out = empty_maps(size, vertices.device)
    patches = cpu.patch(radius), cpu.patch(start_radius)
    if form == "cpu":
        arrays = [tensor.numpy() for tensor in (vertices, splits, images)] + [*patches]
        cpu.write_maps(*(arrays + [tensor.numpy() for tensor in out]))
    elif len(vertices):
        from perception.ops.cuda_support import launching_on
        from perception.ops.lane_maps import cuda

        point, start = (torch.from_numpy(patch).to(vertices.device) for patch in patches)
        with launching_on(vertices) as stream:
            cuda.write_maps(vertices, splits, images, point, start, tuple(out), stream)
    return tuple(out)  # type: ignore[return-value]


@_lane_maps.register_fake
def _(
    vertices: Tensor, splits: Tensor, images: Tensor, shape: list[int], radius: int, start_radius: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return tuple(empty_maps((shape[0], shape[1], shape[2]), vertices.device))  # type: ignore[return-value]
