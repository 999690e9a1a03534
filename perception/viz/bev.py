"""Bird's-eye-view pictures: ego x points up, ego y to the left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from perception.structures import BevGrid, Boxes3D, LaneGraph, LaneSegments, Result
from perception.viz import draw
from perception.viz.colors import AREA, Color, color_of, heat_colors

__all__ = ["BevView", "bev_picture", "inset"]

_BACKGROUND: Color = (24, 26, 30)
_GRID_LINE: Color = (54, 58, 66)
_EGO: Color = (235, 235, 235)


@dataclass(frozen=True)
class BevView:
    """A window onto the ground plane.

    Attributes:
        x_range: (min, max) metres along ego x.
        y_range: (min, max) metres along ego y.
        scale: Pixels per metre.
    """

    x_range: tuple[float, float] = (-10.0, 60.0)
    y_range: tuple[float, float] = (-20.0, 20.0)
    scale: float = 8.0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture in pixels."""
        spans = (self.y_range[1] - self.y_range[0], self.x_range[1] - self.x_range[0])
        return max(1, round(spans[0] * self.scale)), max(1, round(spans[1] * self.scale))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2 or 3) ego metres -> (N, 2) float64 pixels."""
        points = np.asarray(points, dtype=np.float64)
        columns = (self.y_range[1] - points[:, 1]) * self.scale - 0.5
        return np.stack([columns, (self.x_range[1] - points[:, 0]) * self.scale - 0.5], axis=1)

    def canvas(self) -> np.ndarray:
        """Dark (H, W, 3) picture with a line every 10 m."""
        width, height = self.size
        out = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
        for x in np.arange(np.ceil(self.x_range[0] / 10) * 10, self.x_range[1], 10):
            row = int(np.clip(round((self.x_range[1] - x) * self.scale), 0, height - 1))
            out[row] = _GRID_LINE
            out = draw.text(out, f"{x:.0f} m", (3, row - 3), (150, 155, 165), 0.33)
        for y in np.arange(np.ceil(self.y_range[0] / 10) * 10, self.y_range[1], 10):
            out[:, int(np.clip(round((self.y_range[1] - y) * self.scale), 0, width - 1))] = _GRID_LINE
        return out

    def with_ego(self, image: np.ndarray) -> np.ndarray:
        """Add the vehicle, a 4.6 m x 1.9 m outline whose rear axle is the origin."""
        corners = np.array([[3.6, 0.95], [3.6, -0.95], [-1.0, -0.95], [-1.0, 0.95], [3.6, 0.95]])
        nose = np.array([[2.4, 0.95], [3.2, 0.0], [2.4, -0.95]])
        return draw.polylines(image, [self.pixels(corners), self.pixels(nose)], [_EGO], 1)


def bev_picture(result: Result | None, view: BevView | None = None) -> np.ndarray:
    """Picture of a result in the ego frame.

    Args:
        result: ``BevGrid``, ``Boxes3D``, ``LaneSegments`` or ``LaneGraph``; any other kind, or None, an empty plane.
        view: Window; None takes the extent of a grid, else 10 m behind to 60 m ahead.

    Returns:
        (H, W, 3) uint8 RGB of ``view.size``.
    """
    if view is None and isinstance(result, BevGrid):
        longest = max(result.x_range[1] - result.x_range[0], result.y_range[1] - result.y_range[0])
        view = BevView(result.x_range, result.y_range, max(1.0 / result.resolution, 480.0 / longest))
    view = view or BevView()
    image = view.canvas()
    if isinstance(result, BevGrid):
        image = _lay_grid(image, result, view)
    elif isinstance(result, LaneSegments):
        image = _lane_segments(image, result, view)
    elif isinstance(result, LaneGraph):
        image = _lane_graph(image, result, view)
    elif isinstance(result, Boxes3D):
        image = _boxes(image, result, view)
    return view.with_ego(image)


def inset(image: np.ndarray, picture: np.ndarray, share: float = 0.45) -> np.ndarray:
    """Put a picture into the lower right corner at ``share`` of the image's height, framed."""
    height = max(1, round(image.shape[0] * share))
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    limit = max(1, image.shape[1] // 2)
    if width > limit:
        width, height = limit, max(1, round(height * limit / width))
    out = image.copy()
    out[-height:, -width:] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    cv2.rectangle(out, (image.shape[1] - width, image.shape[0] - height), (image.shape[1], image.shape[0]), _EGO, 1)
    return out


def _lay_grid(image: np.ndarray, grid: BevGrid, view: BevView) -> np.ndarray:
    if not grid.layers:
        return image
    name = "semantics" if "semantics" in grid.layers else next(iter(grid.layers))
    layer = np.asarray(grid.layers[name])
    if name == "semantics":
        palette = np.array([color_of(i) for i in range(256)], dtype=np.uint8)
        colors, shown = palette[np.clip(layer, 0, 255).astype(np.int64)], layer >= 0
    else:
        values = layer.astype(np.float32)
        colors, shown = heat_colors(values, 1.0 if np.nanmax(values, initial=0) <= 1 else None), values > 0.05
    low, high = view.pixels(np.array([[grid.x_range[1], grid.y_range[1]], [grid.x_range[0], grid.y_range[0]]]))
    steps = (high - low) / np.array(layer.shape[::-1])
    matrix = np.array([[steps[0], 0, low[0] + steps[0] / 2], [0, steps[1], low[1] + steps[1] / 2]])
    flipped = [np.ascontiguousarray(part[::-1, ::-1]) for part in (colors, shown.astype(np.uint8))]
    placed, mask = (cv2.warpAffine(part, matrix, view.size, flags=cv2.INTER_NEAREST) for part in flipped)
    return np.where(mask[:, :, None] > 0, placed, image)


def _lane_segments(image: np.ndarray, lanes: LaneSegments, view: BevView) -> np.ndarray:
    closed = [area for area, label in zip(lanes.areas, lanes.area_labels) if label == 1]
    image = draw.polygons(image, _all(view, closed), AREA)
    image = draw.polylines(image, _all(view, lanes.areas), [AREA], 1)
    for side, lines in enumerate((lanes.left, lanes.right)):
        for style in (1, 2):
            chosen = [line for line, kind in zip(lines, lanes.line_types[:, side]) if kind == style]
            image = draw.polylines(image, _all(view, chosen), [(220, 220, 220)], 1, dashed=style == 2)
    return _arrows(image, lanes.centerlines, view)


def _lane_graph(image: np.ndarray, graph: LaneGraph, view: BevView) -> np.ndarray:
    image = _arrows(image, graph.centerlines, view)
    joins = [
        view.pixels(np.stack([graph.centerlines[i][-1], graph.centerlines[j][0]]))
        for i, j in np.argwhere(graph.lane_lane > 0.5)
    ]
    image = draw.polylines(image, joins, [(255, 255, 255)], 1)
    ends = [line[[0, -1]] for line in graph.centerlines]
    return draw.dots(image, view.pixels(np.concatenate(ends)), _EGO, 2) if ends else image


def _boxes(image: np.ndarray, result: Boxes3D, view: BevView) -> np.ndarray:
    """Outlines with a line from the middle to the front, and the way of one second."""
    for corners, box, speed, label in zip(result.corners(), result.boxes, result.velocities, result.labels.tolist()):
        front = corners[:2].mean(0)
        lines = [corners[[0, 1, 2, 3, 0]], np.stack([box[:3], front])]
        image = draw.polylines(image, _all(view, lines), [color_of(label)], 1)
        way = np.stack([front[:2], front[:2] + speed])
        image = draw.polylines(image, [view.pixels(way)], [(255, 255, 255)], 1, 0.7)
    return image


def _arrows(image: np.ndarray, lines: Iterable[np.ndarray], view: BevView) -> np.ndarray:
    """Lines with an arrow head at their end."""
    out = image
    for index, line in enumerate(_all(view, lines)):
        heads = []
        step = line[-1] - line[-2]
        length = float(np.hypot(*step))
        if np.isfinite(length) and length > 0:
            along = step / length * 6
            across = np.array([-along[1], along[0]]) * 0.6
            heads = [np.stack([line[-1] - along + across, line[-1], line[-1] - along - across])]
        out = draw.polylines(out, [line, *heads], [color_of(index)], 2)
    return out


def _all(view: BevView, lines: Iterable[np.ndarray]) -> list[np.ndarray]:
    return [view.pixels(line) for line in lines]
