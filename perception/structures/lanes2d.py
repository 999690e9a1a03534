"""Lanes in an image, their two public text formats, and their lift onto the road."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.structures.checks import array_field, polylines_field
from perception.structures.result import Result

__all__ = ["GroundLane", "Lanes2D"]


@dataclass(frozen=True, eq=False)
class GroundLane:
    """A lane on the road plane, described near the vehicle.

    Attributes:
        points: (N, 3) float64 ego metres, by increasing x.
        lateral_offset: y of the lane beside the ego origin (x = 0), metres, left positive.
        heading: Direction of the lane at x = 0, radians, counter-clockwise from the ego x axis.
        curvature: Signed curvature at x = 0 in 1/m, positive when the lane bends to the left.
    """

    points: np.ndarray
    lateral_offset: float
    heading: float
    curvature: float


@dataclass(frozen=True, eq=False)
class Lanes2D(Result):
    """Painted lane lines in one image.

    Attributes:
        frame_id: Camera name.
        image_size: (width, height) in pixels of the image the points are in.
        lanes: Polylines, each (N >= 2, 2) float32 (x, y) pixels, from the bottom of the image upwards.
        scores: (L,) float32 in [0, 1].
    """

    KIND: ClassVar[str] = "lanes_2d"

    frame_id: str
    image_size: tuple[int, int]
    lanes: tuple[np.ndarray, ...] = ()
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        width, height = (int(size) for size in self.image_size)
        object.__setattr__(self, "image_size", (width, height))
        object.__setattr__(self, "lanes", polylines_field("Lanes2D", "lanes", self.lanes, 2))
        scores = np.ones(len(self.lanes)) if self.scores is None else self.scores
        object.__setattr__(self, "scores", array_field("Lanes2D", "scores", scores, (len(self.lanes),), np.float32))

    def __len__(self) -> int:
        return len(self.lanes)

    def scaled(self, width: int, height: int) -> Lanes2D:
        """The same lanes in an image resized to ``width`` x ``height`` (x' = x * width / old width)."""
        factor = np.array([width / self.image_size[0], height / self.image_size[1]], dtype=np.float32)
        return Lanes2D(self.frame_id, (width, height), tuple(lane * factor for lane in self.lanes), self.scores)

    def to_culane_text(self) -> str:
        """CULane ``.lines.txt``: one lane a line, ``x y x y ...`` with two decimals.

        One point per distinct y and no repeated point: repeats break the official evaluator (spec ganet section 7.1).
        """
        rows = []
        for lane in self.lanes:
            _, first = np.unique(np.round(lane[:, 1], 2), return_index=True)
            rows.append(" ".join(f"{x:.2f} {y:.2f}" for x, y in lane[np.sort(first)]))
        return "".join(f"{row}\n" for row in rows)

    @classmethod
    def from_culane_text(cls, text: str, image_size: tuple[int, int], frame_id: str = "front") -> Lanes2D:
        """Read CULane text; lanes with fewer than two points are dropped (spec ganet section 3).

        Raises:
            PerceptionError: A line holds something else than pairs of finite numbers.
        """
        lanes = []
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                values = np.array(line.split(), dtype=np.float32)
            except ValueError as error:
                raise PerceptionError(f"line {number}: expected numbers 'x y x y ...', found {line[:60]!r}") from error
            if len(values) % 2 or not np.isfinite(values).all():
                raise PerceptionError(f"line {number}: expected pairs of finite x y, found {len(values)} values")
            if len(values) >= 4:
                lanes.append(values.reshape(-1, 2))
        return cls(frame_id, image_size, tuple(lanes))

    def to_tusimple(self, h_samples: Sequence[int], raw_file: str, run_time_ms: float = 20.0) -> dict[str, Any]:
        """One TuSimple record: x at each y of ``h_samples``, -2 where a lane has none (spec ganet section 6)."""
        lanes = [_sample_rows(lane, h_samples) for lane in self.lanes]
        return {"raw_file": raw_file, "lanes": lanes, "h_samples": list(h_samples), "run_time": run_time_ms}

    @classmethod
    def from_tusimple(
        cls, record: Mapping[str, Any], image_size: tuple[int, int] = (1280, 720), frame_id: str = "front"
    ) -> Lanes2D:
        """Read one TuSimple record; points with x < 0 are absent, lanes with fewer than two points are dropped."""
        rows = np.asarray(record["h_samples"], dtype=np.float32)
        lanes = []
        for i, xs in enumerate(record["lanes"]):
            if len(xs) != len(rows):
                raise PerceptionError(f"lane {i}: expected {len(rows)} values as h_samples, found {len(xs)}")
            lane = np.stack([np.asarray(xs, dtype=np.float32), rows], axis=1)
            lane = lane[lane[:, 0] >= 0]
            if len(lane) >= 2:
                lanes.append(lane[np.argsort(-lane[:, 1])])
        return cls(frame_id, image_size, tuple(lanes))

    def to_ground(self, camera: Camera, max_range: float = 60.0) -> list[GroundLane | None]:
        """Lift each lane onto the flat road z = 0 and describe it at the ego origin.

        The lane is fitted by y(x) of degree at most 2 over the points within ``max_range`` metres.

        Args:
            camera: Calibrated camera with a known pose in the ego frame; its size must equal ``image_size``.
            max_range: Points further away are left out of the fit: a pixel covers metres there.

        Returns:
            One entry per lane; None where fewer than two points lie on the road within range.
        """
        if camera.size != self.image_size:
            raise PerceptionError(f"camera {camera.name!r} has size {camera.size}, the lanes are in {self.image_size}")
        return [_describe(camera.ground_points(lane), max_range) for lane in self.lanes]


def _sample_rows(lane: np.ndarray, h_samples: Sequence[int]) -> list[int]:
    start, end = lane[:-1].astype(np.float64), lane[1:].astype(np.float64)
    out = []
    for y in h_samples:
        low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        hit = np.flatnonzero((low <= y) & (y <= high) & (start[:, 1] != end[:, 1]))
        if not len(hit):
            out.append(-2)
            continue
        a, b = start[hit[0]], end[hit[0]]
        out.append(int(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) + 0.49999))
    return out


def _describe(points: np.ndarray, max_range: float) -> GroundLane | None:
    points = points[np.isfinite(points).all(axis=1)]
    points = points[(points[:, 0] <= max_range)]
    if len(points) < 2 or np.ptp(points[:, 0]) < 1e-6:
        return None
    points = points[np.argsort(points[:, 0])]
    degree = 2 if len(points) > 3 and np.ptp(points[:, 0]) > 5.0 else 1
    c = np.zeros(3)
    c[: degree + 1] = np.polynomial.polynomial.polyfit(points[:, 0], points[:, 1], degree)
    curvature = 2 * c[2] / (1 + c[1] ** 2) ** 1.5
    return GroundLane(points, float(c[0]), float(np.arctan(c[1])), float(curvature))
