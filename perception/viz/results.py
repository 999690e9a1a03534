"""Drawing of every result type on an image; what ``Result.draw`` calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from perception.errors import UnknownNameError
from perception.structures import (
    BevGrid,
    Boxes2D,
    Boxes3D,
    Camera,
    DensityMap,
    LaneGraph,
    Lanes2D,
    LaneSegments,
    Result,
)
from perception.structures.boxes3d import EDGES
from perception.viz import draw
from perception.viz.bev import bev_picture, inset
from perception.viz.colors import AREA, color_of

__all__ = ["draw_result", "project_line", "summary"]

_STEP_M = 0.5
"""Spacing at which 3-D lines are sampled before projection, metres."""


def draw_result(image: np.ndarray, result: Result, camera: Camera | None = None) -> np.ndarray:
    """Draw a result.

    Results in pixels are scaled from their ``image_size`` to the image. Lines in the ego frame are projected where
    ``camera`` knows its pose; otherwise they, and grids always, become a bird's-eye-view inset.

    Args:
        image: (H, W, 3) uint8 RGB; for results in pixels, of the camera they belong to.
        result: Any result, possibly empty.
        camera: Calibration of the image, of any image size with the same field of view.

    Returns:
        A new image.

    Raises:
        UnknownNameError: The kind of result is not known here.
    """
    if result.KIND not in _DRAWERS:
        raise UnknownNameError("result kind", result.KIND, _DRAWERS)
    if camera is not None and camera.size != (image.shape[1], image.shape[0]):
        camera = camera.resized(image.shape[1], image.shape[0])
    return _DRAWERS[result.KIND](image, result, camera)


def summary(result: Result) -> str:
    """A few words on what was found, such as ``4 lanes``."""
    if isinstance(result, DensityMap):
        return f"{result.count:.1f} people"
    nouns = {"lanes_2d": "lane", "lane_segments": "segment", "lane_graph": "centerline"}
    nouns |= {"boxes_2d": "box", "boxes_3d": "box"}
    if result.KIND not in nouns:
        return result.KIND
    count, noun = len(result), nouns[result.KIND]  # type: ignore[arg-type]
    return f"{count} {noun}" + ("" if count == 1 else "es" if noun.endswith("x") else "s")


def project_line(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Project a polyline of the ego frame.

    Args:
        points: (N, 3) ego metres.
        camera: Camera with a pose.

    Returns:
        (M, 2) pixels of the line sampled every 0.5 m; NaN where it is out of sight, so that drawing interrupts it.
    """
    points = np.asarray(points, dtype=np.float64)
    points = points[np.isfinite(points).all(1)]
    if len(points) < 2:
        return np.zeros((0, 2))
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.union1d(along, np.linspace(0, along[-1], min(2000, int(along[-1] / _STEP_M) + 2)))
    dense = np.stack([np.interp(at, along, points[:, i]) for i in range(3)], axis=1)
    uv, valid = camera.project_ego(dense)
    near = valid.copy()
    near[1:] |= valid[:-1]
    near[:-1] |= valid[1:]
    uv[~near] = np.nan
    return uv


def _width(image: np.ndarray) -> int:
    return max(1, round(image.shape[1] / 420))


def _scale(image: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    return np.array([image.shape[1] / max(image_size[0], 1), image.shape[0] / max(image_size[1], 1)])


def _lanes_2d(image: np.ndarray, result: Lanes2D, camera: Camera | None) -> np.ndarray:
    scale = _scale(image, result.image_size)
    colors = [color_of(index) for index in range(len(result))]
    return draw.polylines(image, [lane * scale for lane in result.lanes], colors or [color_of(0)], _width(image), 0.85)


def _boxes_2d(image: np.ndarray, result: Boxes2D, camera: Camera | None) -> np.ndarray:
    labels = [f"{result.class_names[label]} {score:.2f}" for label, score in zip(result.labels.tolist(), result.scores)]
    colors = [color_of(label) for label in result.labels.tolist()]
    corners = result.boxes * np.tile(_scale(image, result.image_size), 2)
    return draw.boxes(image, corners, labels, colors or [color_of(0)], _width(image))


def _boxes_3d(image: np.ndarray, result: Boxes3D, camera: Camera | None) -> np.ndarray:
    """Edges of the boxes, thicker at the front; boxes in the world frame need their pose and are shown from above."""
    if camera is None or camera.ego_from_camera is None or result.frame_id != "ego":
        return inset(image, bev_picture(result))
    out = image
    corners = result.corners()
    for label in np.unique(result.labels).tolist():
        chosen = corners[result.labels == label]
        for thick, edges in ((2, EDGES[:1] + EDGES[4:5]), (1, EDGES)):
            lines = [project_line(box[list(edge)], camera) for box in chosen for edge in edges]
            out = draw.polylines(out, lines, [color_of(label)], max(1, _width(image) - 1) * thick, 0.9)
    return out if len(result) else image.copy()


def _density_map(image: np.ndarray, result: DensityMap, camera: Camera | None) -> np.ndarray:
    scale = _scale(image, result.image_size)
    cell = (result.stride * float(scale[0]), result.stride * float(scale[1]))
    out = draw.heatmap(image, result.density, cell)
    out = draw.dots(out, np.asarray(result.points) * scale, (255, 255, 255), _width(image))
    size = max(0.5, image.shape[1] / 1000)
    return draw.text(out, f"{result.count:.1f} people", (8, image.shape[0] - 10), scale=size)


def _bev_grid(image: np.ndarray, result: BevGrid, camera: Camera | None) -> np.ndarray:
    return inset(image, bev_picture(result))


def _lane_segments(image: np.ndarray, result: LaneSegments, camera: Camera | None) -> np.ndarray:
    if camera is None or camera.ego_from_camera is None:
        return inset(image, bev_picture(result))
    thin, thick = max(1, _width(image) - 1), _width(image)
    out = draw.polylines(image, _projected(result.areas, camera), [AREA], thick, 0.9)
    for side, lines in enumerate((result.left, result.right)):
        for style in (1, 2):
            chosen = [line for line, kind in zip(lines, result.line_types[:, side]) if kind == style]
            out = draw.polylines(out, _projected(chosen, camera), [(240, 240, 240)], thin, 0.8, dashed=style == 2)
    return _centerlines(out, result.centerlines, camera)


def _lane_graph(image: np.ndarray, result: LaneGraph, camera: Camera | None) -> np.ndarray:
    elements = result.elements
    seen = elements is not None and (camera is None or camera.name == elements.frame_id)
    out = _boxes_2d(image, elements, camera) if seen and elements is not None else image.copy()
    if camera is None or camera.ego_from_camera is None:
        return inset(out, bev_picture(result))
    out = _centerlines(out, result.centerlines, camera)
    if not seen or elements is None:
        return out
    links = []
    scale = _scale(image, elements.image_size)
    for lane, element in np.argwhere(result.lane_element > 0.5):
        line = project_line(result.centerlines[lane], camera)
        line = line[np.isfinite(line).all(1)]
        if len(line):
            x0, _, x1, y1 = elements.boxes[element].tolist()
            links.append(np.stack([np.array([(x0 + x1) / 2, y1]) * scale, line[len(line) // 2]]))
    return draw.polylines(out, links, [(255, 255, 255)], 1, 0.7)


def _centerlines(image: np.ndarray, lines: Iterable[np.ndarray], camera: Camera) -> np.ndarray:
    projected = _projected(lines, camera)
    colors = [color_of(index) for index in range(len(projected))] or [color_of(0)]
    return draw.polylines(image, projected, colors, _width(image), 0.85)


def _projected(lines: Iterable[np.ndarray], camera: Camera) -> list[np.ndarray]:
    return [project_line(line, camera) for line in lines]


_DRAWERS: dict[str, Callable[[np.ndarray, Any, Camera | None], np.ndarray]] = {
    "lanes_2d": _lanes_2d,
    "boxes_2d": _boxes_2d,
    "boxes_3d": _boxes_3d,
    "density_map": _density_map,
    "bev_grid": _bev_grid,
    "lane_segments": _lane_segments,
    "lane_graph": _lane_graph,
}
