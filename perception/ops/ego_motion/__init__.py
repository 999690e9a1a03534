"""Points of moving sensors brought into one frame: sweeps of the past, or the points within one sweep."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from perception.ops.ego_motion import cpu, reference
from perception.ops.forms import form_for

__all__ = ["compensate", "deskew"]


def compensate(points: Tensor, transforms: Tensor, which: Tensor) -> Tensor:
    """Apply to every point the transform it names; not differentiable.

    Args:
        points: (N, C) columns x, y, z and any others; what is not finite stays so.
        transforms: (K, 4, 4) rigid, for example ``now_from_then`` of K sweeps.
        which: (N,) int64 transform of each point.

    Returns:
        (N, C) float32; computed in float64, other columns unchanged.

    Raises:
        ValueError: Shapes do not fit, or a point names no transform (checked on the CPU).
    """
    if points.ndim != 2 or points.shape[1] < 3 or transforms.shape[1:] != (4, 4) or which.shape != points.shape[:1]:
        found = f"{tuple(points.shape)}, {tuple(transforms.shape)}, {tuple(which.shape)}"
        raise ValueError(f"compensate: expected points (N, 3 or more), transforms (K, 4, 4), which (N,), found {found}")
    if which.device.type == "cpu" and len(which) and not (int(which.min()) >= 0 and int(which.max()) < len(transforms)):
        raise ValueError(f"compensate: expected transforms below {len(transforms)}, found {int(which.max())}")
    rows = transforms.detach()[:, :3].to(points.device, torch.float64).contiguous()
    points = points.detach().float().contiguous()
    moved = _compensate(points, rows, which.to(points.device).contiguous())
    return torch.cat([moved, points[:, 3:]], dim=1) if points.shape[1] > 3 else moved


def deskew(points: Tensor, times: Tensor, start: Tensor, end: Tensor, bins: int = 64) -> Tensor:
    """Bring the points of one sweep to the moment of its end.

    The sensor is taken to move evenly; its motion is applied in steps of 1 / ``bins`` of the sweep.

    Args:
        points: (N, C) in the sensor's frame at the moment of each point.
        times: (N,) moment of each point, 0 at the start of the sweep, 1 at its end; others are cut to that.
        start: (4, 4) ``world_from_sensor`` at time 0.
        end: (4, 4) ``world_from_sensor`` at time 1.
        bins: Steps.

    Returns:
        (N, C) float32 in the sensor's frame at time 1.
    """
    from perception.geometry import interpolate_pose

    ends = torch.stack([start, end]).double().cpu()
    between = np.array([0.0, 1.0])
    poses = [interpolate_pose(between, ends.numpy(), (i + 0.5) / bins) for i in range(bins)]
    last_from_world = torch.linalg.inv(ends[1])
    transforms = torch.stack([last_from_world @ torch.from_numpy(pose) for pose in poses])
    which = torch.nan_to_num(times.double() * bins).long().clamp(0, bins - 1)
    return compensate(points, transforms, which)


@torch.library.custom_op("perception::compensate", mutates_args=())
def _compensate(points: Tensor, rows: Tensor, which: Tensor) -> Tensor:
    form = form_for(points.device)
    if form == "reference":
        return reference.compensate(points, rows, which)
    out = torch.empty((len(points), 3), dtype=torch.float32, device=points.device)
    if form == "cpu":
        cpu.compensate(points.numpy(), rows.numpy(), which.numpy(), out.numpy())
    elif len(points):
        from perception.ops.cuda_support import launching_on
        from perception.ops.ego_motion import cuda

        with launching_on(points) as stream:
            cuda.move_points(points, rows, which, out, stream)
    return out


@_compensate.register_fake
def _(points: Tensor, rows: Tensor, which: Tensor) -> Tensor:
    return points.new_empty((len(points), 3), dtype=torch.float32)
