"""Frames drawn without a display: truth, or prediction against truth, from above and in every camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.datasets.openlanev2.annotation import Annotation
from perception.datasets.openlanev2.frame import RoadFrame, read_picture
from perception.datasets.openlanev2.names import REGION
from perception.errors import InputError
from perception.metrics.openlanev2.distances import box_distances, lane_distances
from perception.metrics.openlanev2.matching import match
from perception.metrics.openlanev2.records import prepare
from perception.metrics.openlanev2.scene import ATTRIBUTES, LANE_SEGMENT, Scene
from perception.metrics.openlanev2.scoring import BOX_THRESHOLD
from perception.structures import Camera
from perception.viz import draw
from perception.viz.bev import BevView
from perception.viz.results import project_line

__all__ = ["draw_frame"]

HIT, WRONG, MISSED, TRUTH = (60, 220, 90), (240, 70, 70), (255, 170, 40), (120, 190, 255)
EDGE, AREA, BOUNDARY, PLAIN = (255, 255, 255), (190, 120, 255), (225, 205, 120), (170, 175, 185)
VIEW = BevView(*REGION, scale=9.0)
TILE = (460, 320)
BLANK = 52
MATCH_DISTANCE = 3.0


@dataclass(frozen=True, eq=False)
class _Line:
    """A line to draw: (P, 3) ego metres, its colour, pixels of thickness, dashed or not, with an arrow head or not."""

    points: np.ndarray
    color: tuple[int, int, int]
    thickness: int = 1
    dashed: bool = False
    arrow: bool = False


def draw_frame(
    frame: RoadFrame,
    predicted: Annotation | None = None,
    root: Path | None = None,
    least: float = 0.3,
    columns: int = 3,
) -> np.ndarray:
    """Draw a frame: a bird's-eye view at the left, a tile for each camera beside it.

    Truth alone is blue. Against a prediction, matched predictions are green, wrong ones red and missed truth orange.
    A lane counts as matched within 3 m, a traffic element within the official distance.

    Args:
        frame: Cameras and truth.
        predicted: What was predicted for it, of the same track.
        root: Root of the pictures; where one is missing, and without `root`, lines are drawn on a blank canvas.
        least: Predictions of less confidence are not drawn.
        columns: Camera tiles side by side.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    truth = frame.annotation
    lines: list[_Line] = []
    boxes: list[tuple[np.ndarray, str, tuple[int, int, int]]] = []
    if truth is not None and predicted is None:
        lines, boxes = _lines(truth, np.full(len(truth.scene), True), TRUTH), _boxes(truth.scene, TRUTH)
    elif predicted is not None:
        lines, boxes = _compared(truth, predicted, least)
    tiles = [
        _tile(camera, frame.images.get(camera.name), root, lines, boxes, frame) for camera in frame.cameras.values()
    ]
    legend = [(frame.name, PLAIN)]
    if predicted is None:
        legend.append((f"{0 if truth is None else len(truth.scene)} lanes", TRUTH))
    else:
        legend += [("matched", HIT), ("wrong", WRONG), ("missed", MISSED)]
    bev = draw.banner(_bev(lines), legend)
    if not tiles:
        return bev
    board = draw.grid(tiles, columns, columns * TILE[0])
    height = max(bev.shape[0], board.shape[0])
    parts = [np.pad(part, ((0, height - part.shape[0]), (0, 0), (0, 0))) for part in (bev, board)]
    return np.concatenate(parts, axis=1)


def _compared(
    truth: Annotation | None, predicted: Annotation, least: float
) -> tuple[list[_Line], list[tuple[np.ndarray, str, tuple[int, int, int]]]]:
    """Lines and boxes of a prediction against truth; without truth every prediction counts as wrong."""
    scene = predicted.scene
    shown = scene.lane_scores >= least
    if truth is None:
        return _lines(predicted, shown, WRONG), _boxes(scene, WRONG)
    ready = prepare(truth.scene)  # distances are between vertices, so both sides need about as many
    matched = match(lane_distances(ready, scene), scene.lane_scores, (MATCH_DISTANCE,)).matched[0]
    found = match(
        box_distances(truth.scene.boxes, scene.boxes),
        scene.box_scores,
        (BOX_THRESHOLD,),
        truth.scene.box_labels,
        scene.box_labels,
    ).matched[0]
    hit = (matched >= 0) & shown
    missed = ~np.isin(np.arange(len(truth.scene)), matched[hit])
    lines = _lines(truth, missed, MISSED) + _lines(predicted, shown & ~hit, WRONG, plain=True)
    lines += _lines(predicted, hit, HIT, plain=True) + _edges(predicted, hit | shown)
    visible = scene.box_scores >= least
    lost = ~np.isin(np.arange(len(truth.scene.boxes)), found[visible & (found >= 0)])
    boxes = [box for box, keep in zip(_boxes(truth.scene, MISSED), lost) if keep]
    boxes += [
        box
        for good, wrong, keep, index in zip(_boxes(scene, HIT), _boxes(scene, WRONG), visible, found)
        for box in [good if index >= 0 else wrong]
        if keep
    ]
    return lines, boxes


def _lines(annotation: Annotation, chosen: np.ndarray, color: tuple[int, int, int], plain: bool = False) -> list[_Line]:
    """Lanes, their boundaries, areas (unless `plain`) and edges as lines."""
    scene = annotation.scene
    found = []
    if annotation.track == LANE_SEGMENT:
        for i in np.flatnonzero(chosen):
            for side in (0, 1):
                kind = annotation.line_types[i, side]
                shade = tuple(value // (1 if kind else 3) for value in color)
                found.append(_Line(scene.lanes[side + 1][i], shade, 1, dashed=kind == 2))  # type: ignore[arg-type]
        if not plain:
            found += [
                _Line(line, AREA if label == 1 else BOUNDARY, 2) for line, label in zip(scene.areas, scene.area_labels)
            ]
    found += [_Line(scene.lanes[0][i], color, 2, arrow=True) for i in np.flatnonzero(chosen)]
    return found if plain else found + _edges(annotation, chosen)


def _edges(annotation: Annotation, chosen: np.ndarray) -> list[_Line]:
    lanes, edges = annotation.scene.lanes[0], annotation.scene.lane_lane
    pairs = [(i, j) for i, j in np.argwhere(edges > 0.5) if chosen[i] and chosen[j]]
    return [_Line(np.stack([lanes[i][-1], lanes[j][0]]), EDGE) for i, j in pairs]


def _boxes(scene: Scene, color: tuple[int, int, int]) -> list[tuple[np.ndarray, str, tuple[int, int, int]]]:
    return [(box, ATTRIBUTES[label], color) for box, label in zip(scene.boxes, scene.box_labels)]


def _bev(lines: Sequence[_Line]) -> np.ndarray:
    image = _stroke(VIEW.canvas(), lines, VIEW.pixels)
    arrows = [(VIEW.pixels(line.points), line) for line in lines if line.arrow]
    heads = [(head, line.color) for points, line in arrows if (head := _arrow(points)) is not None]
    if heads:
        image = draw.polylines(image, [head for head, _ in heads], [color for _, color in heads], 2)
        image = draw.dots(image, np.stack([points[0] for points, _ in arrows]), EDGE, 2)
    return VIEW.with_ego(image)


def _stroke(image: np.ndarray, lines: Sequence[_Line], pixels: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Draw lines in order, those of one style that follow each other at once."""
    for (thickness, dashed), group in itertools.groupby(lines, key=lambda line: (line.thickness, line.dashed)):
        chosen = list(group)
        colors = [line.color for line in chosen]
        image = draw.polylines(image, [pixels(line.points) for line in chosen], colors, thickness, dashed=dashed)
    return image


def _arrow(points: np.ndarray, size: float = 7.0) -> np.ndarray | None:
    """Three points of an arrow head at the end of a line of pixels."""
    step = points[-1] - points[-2] if len(points) > 1 else np.zeros(2)
    length = float(np.hypot(*step))
    if not length > 0:
        return None
    along = step / length * size
    across = np.array([-along[1], along[0]]) * 0.6
    return np.stack([points[-1] - along + across, points[-1], points[-1] - along - across])


def _tile(
    camera: Camera,
    relative: str | None,
    root: Path | None,
    lines: list[_Line],
    boxes: list[tuple[np.ndarray, str, tuple[int, int, int]]],
    frame: RoadFrame,
) -> np.ndarray:
    """One camera's picture, or a blank canvas of its shape, with everything that lies in it."""
    scale = min(TILE[0] / camera.width, TILE[1] / camera.height)
    small = camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
    image = np.full((small.height, small.width, 3), BLANK, np.uint8)
    if root is not None and relative is not None and (root / relative).is_file():
        try:
            image = draw.fit(np.ascontiguousarray(read_picture(root, relative)), small.width, small.height)
        except InputError:
            image = draw.text(image, "picture cannot be read", (10, 40), WRONG)
    image = _stroke(image, lines, lambda points: project_line(points, small))
    if boxes and frame.front is not None and camera.name == frame.front.name:
        corners = np.stack([box for box, _, _ in boxes]) * scale
        image = draw.boxes(image, corners, [words for _, words, _ in boxes], [color for *_, color in boxes], 1)
    return draw.fit(draw.banner(image, [(camera.name, PLAIN)]), *TILE)
