"""The last sweeps of a LiDAR as a stack of occupancy maps, at the price of one sweep where that is possible."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.errors import PerceptionError
from perception.geometry.grid import GridSpec
from perception.ops.bev_rasterize import bev_occupancy

__all__ = ["SweepBuffer"]


@dataclass(frozen=True)
class _Sweep:
    time_ns: int
    points: Tensor
    pose: Tensor | None


class SweepBuffer:
    """Keeps the points of the last ``frames`` sweeps.

    Without ego-motion compensation a new sweep is rasterised once and its map kept. With it every sweep is rasterised
    again from memory into the frame of the newest one; nothing is read twice.

    Args:
        frames: Sweeps of a stack.
        grid: Where the cells are.
        z_range: Heights that count, see :func:`~perception.ops.bev_rasterize.bev_occupancy`.
        compensate: Bring past sweeps into the newest one's frame; every sweep then needs a pose.
        max_gap_s: A longer gap between two sweeps, or a step back in time, empties the buffer.

    Attributes:
        resets: How often a gap emptied it.
    """

    def __init__(
        self,
        frames: int,
        grid: GridSpec,
        z_range: tuple[float, float] = (0.0, float("inf")),
        compensate: bool = True,
        max_gap_s: float = 0.5,
    ) -> None:
        if frames < 1:
            raise PerceptionError(f"SweepBuffer: expected at least one frame, found {frames}")
        self.frames, self.grid, self.z_range, self.compensate = frames, grid, z_range, compensate
        self.max_gap_s, self.resets = max_gap_s, 0
        self._sweeps: deque[_Sweep] = deque(maxlen=frames)
        self._maps: Tensor | None = None
        self._next = 0

    def __len__(self) -> int:
        return len(self._sweeps)

    def clear(self) -> None:
        """Forget all sweeps."""
        self._sweeps.clear()
        self._next = 0

    def push(self, points: Tensor, time_ns: int, pose: Any = None) -> None:
        """Add a sweep; one with the time of the newest replaces it.

        Args:
            points: (N, C) float32 in the car's frame, x, y, z first; may be empty or hold NaN.
            time_ns: Its time.
            pose: (4, 4) ``world_from_ego``.

        Raises:
            PerceptionError: The pose is missing or not finite although it is needed.
        """
        matrix = None if pose is None else torch.tensor(np.asarray(pose), dtype=torch.float64)
        if self.compensate and (matrix is None or matrix.shape != (4, 4) or not torch.isfinite(matrix).all()):
            found = (
                "none" if matrix is None else f"{tuple(matrix.shape)} with {int((~matrix.isfinite()).sum())} not finite"
            )
            raise PerceptionError(f"sweep at {time_ns} ns: expected a pose (4, 4) for the compensation, found {found}")
        if self._sweeps:
            passed = (time_ns - self._sweeps[-1].time_ns) * 1e-9
            if passed == 0:
                self._sweeps.pop()
                self._next -= 1
            elif passed < 0 or passed > self.max_gap_s:
                self.clear()
                self.resets += 1
        self._sweeps.append(_Sweep(time_ns, points, matrix))
        if not self.compensate:
            kept = self._storage(points.device)
            bev_occupancy(points, self.grid, self.z_range, out=kept[self._next % self.frames][None])
        self._next += 1

    def transforms(self, level: Tensor | None = None) -> list[Tensor]:
        """(4, 4) float64 ``newest_from_sweep`` of every sweep, oldest first; ``level`` is applied after them."""
        turn = torch.eye(4, dtype=torch.float64) if level is None else level.double().cpu()
        if not self.compensate:
            return [turn] * len(self._sweeps)
        newest = self._sweeps[-1].pose
        assert newest is not None
        return [turn @ torch.linalg.solve(newest, sweep.pose) for sweep in self._sweeps if sweep.pose is not None]

    def stack(self, level: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        """Occupancy maps, oldest first; while fewer sweeps are there than wanted the oldest stands in for those before.

        Args:
            level: (4, 4) applied to all points after the compensation, for example one that puts the road at z = 0.
            out: (frames, H, W) uint8, written and returned in place of a new tensor.

        Returns:
            (frames, H, W) uint8, a copy.

        Raises:
            PerceptionError: No sweep yet.
        """
        if not self._sweeps:
            raise PerceptionError("SweepBuffer: expected a sweep before the first stack, found none")
        missing = self.frames - len(self._sweeps)
        if not self.compensate and level is None:
            kept, first = self._storage(self._sweeps[-1].points.device), self._next - len(self._sweeps)
            order = [(first + max(i - missing, 0)) % self.frames for i in range(self.frames)]
            return torch.index_select(kept, 0, torch.tensor(order, device=kept.device), out=out)
        if out is None:
            device = self._sweeps[-1].points.device
            out = torch.empty((self.frames, *self.grid.shape), dtype=torch.uint8, device=device)
        for i, (sweep, turn) in enumerate(zip(self._sweeps, self.transforms(level)), start=missing):
            bev_occupancy(sweep.points, self.grid, self.z_range, transforms=turn[None], out=out[i : i + 1])
        out[:missing] = out[missing]
        return out

    def _storage(self, device: torch.device) -> Tensor:
        if self._maps is None or self._maps.device != device:
            self._maps = torch.zeros((self.frames, *self.grid.shape), dtype=torch.uint8, device=device)
        return self._maps
