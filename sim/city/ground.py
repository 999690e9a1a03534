"""The ground of a town as pictures: what is where, and how it is painted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from perception.sim.city.layout import Plan, RoadPlan
from perception.sim.city.model import Area, Category, GroundMap, Lane, LineType
from perception.sim.city.network import offset_line
from perception.sim.city.terrain import sample_height

RESOLUTION = 0.06
_SHIFT = 4
_WHITE, _YELLOW = (0.72, 0.72, 0.70), (0.70, 0.46, 0.08)


class Canvas:
    """Fills polygons given in world metres into albedo and category.

    Args:
        size: Half width of the square that is covered, metres.
        resolution: Metres a cell.
    """

    def __init__(self, size: float, resolution: float = RESOLUTION) -> None:
        cells = int(np.ceil(2 * size / resolution))
        self.origin, self.resolution = np.array([-size, -size]), resolution
        self.albedo = np.zeros((cells, cells, 3), np.uint8)
        self.category = np.full((cells, cells), Category.TERRAIN, np.uint8)

    def pixels(self, polygon: np.ndarray) -> np.ndarray:
        """(N, 1, 2) int32 fixed-point cells of (N, 2) world points, pixel centres at whole numbers."""
        cells = (np.asarray(polygon)[:, :2] - self.origin) / self.resolution - 0.5
        return np.round(cells * (1 << _SHIFT)).astype(np.int32)[:, None]

    def fill(
        self, polygons: Iterable[np.ndarray], color: Sequence[float] | None = None, kind: Category | None = None
    ) -> None:
        """Paint polygons; the colour is linear reflectance."""
        outlines = [self.pixels(polygon) for polygon in polygons if len(polygon) > 2]
        for outline in outlines:
            if color is not None:
                cv2.fillPoly(self.albedo, [outline], encode(color), cv2.LINE_AA, _SHIFT)
            if kind is not None:
                cv2.fillPoly(self.category, [outline], int(kind), cv2.LINE_8, _SHIFT)

    def stripe(self, line: np.ndarray, width: float, color: Sequence[float], kind: Category | None = None) -> None:
        """Paint a band of ``width`` metres along a line."""
        if len(line) > 1:
            flat = np.asarray(line)[:, :2]
            self.fill(
                [np.concatenate([offset_line(flat, width / 2), offset_line(flat, -width / 2)[::-1]])], color, kind
            )

    def mask(self, kind: Category) -> np.ndarray:
        """(H, W) uint8, 1 where the category is ``kind``."""
        return (self.category == int(kind)).astype(np.uint8)


def encode(color: Sequence[float]) -> tuple[float, ...]:
    """Albedo values of a linear reflectance, see ``GroundMap.albedo``."""
    return tuple(float(np.round(255 * np.sqrt(np.clip(value, 0, 1)))) for value in color)


def paint_ground(
    rng: np.random.Generator, plan: Plan, lanes: Sequence[Lane], areas: Sequence[Area], relief: float
) -> GroundMap:
    """Ground of a town: meadow, pavements, asphalt with patches, lines, zebras, stop lines and arrows."""
    canvas = Canvas(plan.size)
    grass = np.array([0.07, 0.11, 0.035]) * rng.uniform(0.8, 1.4)
    if rng.random() < 0.2:
        grass = np.array([0.16, 0.13, 0.09])
    _pave(rng, canvas, plan, lanes, grass)
    _patch(rng, canvas)
    yellow = rng.random() < 0.5
    for lane in lanes:
        if lane.intersection < 0:
            _mark_lane(rng, canvas, lane, yellow)
    for area in areas:
        if area.kind == "crossing":
            _zebra(canvas, area.polygon)
    _stop_lines(canvas, lanes)
    _arrows(canvas, lanes)
    return with_height(rng, canvas, relief, plan)


def with_height(rng: np.random.Generator, canvas: Canvas, relief: float, plan: Plan) -> GroundMap:
    """Lay a canvas on gentle hills of ``relief`` metres, with banked roads."""
    size, step = -float(canvas.origin[0]), 1.0
    nodes = np.arange(-size, size + 2 * step, step)
    x, y = np.meshgrid(nodes, nodes)
    height = np.zeros_like(x)
    for _ in range(4):
        angle, wave, phase = rng.uniform(0, 2 * np.pi), rng.uniform(130, 320), rng.uniform(0, 2 * np.pi)
        height += np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / wave + phase) * relief / 2
    for road in plan.roads:
        if road.bank:
            height += _banking(road, nodes)
    return GroundMap(canvas.origin, canvas.resolution, canvas.albedo, canvas.category, step, height.astype(np.float32))


def _banking(road: RoadPlan, nodes: np.ndarray, run_out: float = 9.0) -> np.ndarray:
    """(K, K) metres that a banked road adds at the crossings of ``nodes``; it fades out beside and before the bend."""
    right, left = road.reach
    reach = max(right, left)
    out = np.zeros((len(nodes), len(nodes)))
    low, high = road.line.min(0) - reach - run_out, road.line.max(0) + reach + run_out
    columns = np.flatnonzero((nodes >= low[0]) & (nodes <= high[0]))
    rows = np.flatnonzero((nodes >= low[1]) & (nodes <= high[1]))
    x, y = np.meshgrid(nodes[columns], nodes[rows])
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(road.line).query(np.stack([x.ravel(), y.ravel()], -1))
    step = np.gradient(road.line, axis=0)
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    if np.allclose(road.line[0], road.line[-1]):  # a ring: as much as it bends
        share = np.clip(np.abs(np.gradient(heading)) / max(np.abs(np.gradient(heading)).max(), 1e-9), 0, 1)
        kernel = np.hanning(61) / np.hanning(61).sum()
        share = np.convolve(np.concatenate([share[-30:], share, share[:30]]), kernel, "valid")
    else:
        share = np.sin(np.linspace(0, np.pi, len(road.line))) ** 2
    away = np.stack([x.ravel(), y.ravel()], -1) - road.line[nearest]
    side = step[nearest, 0] * away[:, 1] - step[nearest, 1] * away[:, 0]
    offset = -np.sign(side) * np.minimum(distance, reach)  # to the right
    fade = np.clip(1 - (distance - reach) / run_out, 0, 1)
    rise = offset * np.tan(road.bank) * share[nearest] * fade * fade * (3 - 2 * fade)
    out[np.ix_(rows, columns)] = rise.reshape(x.shape)
    return out


def lifted(ground: GroundMap, points: np.ndarray) -> np.ndarray:
    """(N, 3) points with z on the ground."""
    flat = np.asarray(points, np.float64)[:, :2]
    return np.c_[flat, sample_height(ground, flat)]


def _pave(rng: np.random.Generator, canvas: Canvas, plan: Plan, lanes: Sequence[Lane], grass: np.ndarray) -> None:
    """Roads, kerb stones and pavements around them, meadow elsewhere."""
    asphalt: list[np.ndarray] = []
    for road in plan.roads:
        right, left = road.reach
        asphalt.append(np.concatenate([offset_line(road.line, left), offset_line(road.line, -right)[::-1]]))
    for lane in lanes:
        if lane.intersection >= 0:
            flat = lane.centerline[:, :2]
            half = np.linalg.norm(lane.left - lane.right, axis=1) / 2 + 0.6
            asphalt.append(np.concatenate([offset_line(flat, half), offset_line(flat, -half)[::-1]]))
    canvas.fill(asphalt, None, Category.ROAD)
    road = canvas.mask(Category.ROAD)
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))  # corners of some 2 m radius
    closed = cv2.morphologyEx(np.ascontiguousarray(road[::3, ::3]) * 255, cv2.MORPH_CLOSE, round_)
    closed = cv2.GaussianBlur(closed, (0, 0), 1.5)
    gaps = np.maximum(road, (cv2.resize(closed, road.shape[::-1], interpolation=cv2.INTER_LINEAR) > 127).view(np.uint8))
    kerb = cv2.dilate(gaps, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    coarse = cv2.distanceTransform(1 - np.ascontiguousarray(kerb[::3, ::3]), cv2.DIST_L2, 3) * (3 * canvas.resolution)
    far = cv2.resize(coarse, kerb.shape[::-1], interpolation=cv2.INTER_LINEAR)
    pavement = (far < rng.uniform(2.0, 3.6)).astype(np.uint8)
    layers = np.array([Category.TERRAIN, Category.SIDEWALK, Category.SIDEWALK, Category.ROAD], np.uint8)
    index = np.maximum(pavement, np.maximum(2 * kerb, 3 * gaps))  # 2 is the kerb stone
    canvas.category = layers[index]
    tone, slab = rng.uniform(0.035, 0.11), rng.uniform(0.16, 0.34)
    palette: list[Sequence[float]] = [
        tuple(grass),
        (slab, slab * 0.97, slab * 0.92),
        (slab * 1.25,) * 3,
        (tone, tone, tone * 1.03),
    ]
    colours = np.array([encode(color) for color in palette], np.uint8)
    canvas.albedo[:] = cv2.blur(colours[index], (3, 3))


def _patch(rng: np.random.Generator, canvas: Canvas) -> None:
    """Rectangular patches of other asphalt."""
    road = np.argwhere(canvas.category[::40, ::40] == int(Category.ROAD)) * 40
    for row, column in road[rng.permutation(len(road))[: len(road) // 90]]:
        angle, length, width = rng.uniform(0, np.pi), rng.uniform(10, 90), rng.uniform(8, 40)
        box = cv2.boxPoints(((float(column), float(row)), (length, width), np.degrees(angle))).astype(np.int32)
        tone = np.array(canvas.albedo[row, column], float) * rng.uniform(0.75, 1.15)
        cv2.fillPoly(canvas.albedo, [box], tuple(np.clip(tone, 0, 255)), cv2.LINE_AA)


def _mark_lane(rng: np.random.Generator, canvas: Canvas, lane: Lane, yellow: bool) -> None:
    for line, kind, inner in ((lane.left, lane.left_type, True), (lane.right, lane.right_type, False)):
        if kind == LineType.NONE:
            continue
        flat = line[:, :2]
        if inner and lane.joins:
            flat = flat[:-18] if lane.joins > 0 else flat[18:]
        color = _YELLOW if inner and kind == LineType.SOLID and yellow else _WHITE
        for piece in _pieces(flat, kind):
            canvas.stripe(piece, 0.13, color, Category.LANE_MARK)


def _pieces(line: np.ndarray, kind: LineType, dash: float = 3.0, gap: float = 4.5) -> list[np.ndarray]:
    """A solid line as it is; a dashed one as the pieces that are painted, counted along the line."""
    if kind == LineType.SOLID or len(line) < 3:
        return [line]
    distance = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    pieces = []
    for begin in np.arange(0.5 * gap, distance[-1] - dash / 2, dash + gap):
        at = np.linspace(begin, min(begin + dash, distance[-1]), 5)
        pieces.append(np.stack([np.interp(at, distance, line[:, axis]) for axis in range(2)], -1))
    return pieces


def _zebra(canvas: Canvas, polygon: np.ndarray) -> None:
    """Stripes along the driving direction between the two long edges (corners 0-1 and 3-2)."""
    a, b, c, d = polygon[:, :2]
    count = max(int(np.linalg.norm(b - a)), 1)
    canvas.fill([polygon[:, :2]], None, Category.CROSSING)
    for i in range(count):
        t0, t1 = (i + 0.25) / count, (i + 0.75) / count
        canvas.fill([np.array([a + (b - a) * t0, a + (b - a) * t1, d + (c - d) * t1, d + (c - d) * t0])], _WHITE)


def _stop_lines(canvas: Canvas, lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        if lane.intersection < 0 and any(lanes[k].intersection >= 0 for k in lane.successors) and len(lane.left) > 8:
            canvas.stripe(np.stack([lane.left[-6], lane.right[-6]]), 0.4, _WHITE, Category.LANE_MARK)


_ARROW = np.array([(0, 0.08), (1.4, 0.08), (1.4, 0.28), (2.4, 0), (1.4, -0.28), (1.4, -0.08), (0, -0.08)])
_HOOK = np.array([(0.2, 0.08), (1.0, 0.08), (1.0, 0.35), (0.75, 0.35), (1.15, 0.85), (1.55, 0.35), (1.25, 0.35),
                  (1.25, -0.08), (0.2, -0.08)])  # fmt: skip


def _arrows(canvas: Canvas, lanes: Sequence[Lane]) -> None:
    """What one may do, 12 m before the intersection."""
    for lane in lanes:
        turns = {lanes[k].turn for k in lane.successors if lanes[k].intersection >= 0}
        if lane.intersection >= 0 or not turns or len(lane.centerline) < 24:
            continue
        origin = lane.centerline[-16, :2]
        along = lane.centerline[-15, :2] - origin
        along /= np.linalg.norm(along)
        frame = np.stack([along, [-along[1], along[0]]])
        for turn in sorted(turns):
            shape = _ARROW if turn == "straight" else _HOOK * ((1, 1) if turn == "left" else (1, -1))
            canvas.fill([origin + (shape * 1.2) @ frame], _WHITE, Category.LANE_MARK)
