"""Drawing on uint8 RGB images without a display. Every function returns a new image and leaves its input alone.

Coordinates are (x, y) pixels with integer pixel centres and keep their fractions (anti-aliased). Anything may lie
outside the image; non-finite points, and those beyond 1e9 pixels, interrupt a line instead of bending it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np

from perception.viz.colors import TEXT, Color, heat_colors, text_on

__all__ = ["banner", "boxes", "dots", "fit", "grid", "heatmap", "polygons", "polylines", "text"]

_SHIFT = 4
_FAR, _NOWHERE = 1e5, 1e9
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def polylines(
    image: np.ndarray,
    lines: Iterable[np.ndarray],
    colors: Sequence[Color],
    thickness: int = 2,
    alpha: float = 1.0,
    dashed: bool = False,
) -> np.ndarray:
    """Draw lines.

    Args:
        image: (H, W, 3) uint8 RGB.
        lines: Each (N, 2) pixels; lines with fewer than two finite neighbours show nothing.
        colors: One for each line, repeated if there are fewer.
        thickness: Pixels.
        alpha: 1 opaque .. 0 invisible.
        dashed: Leave every second piece of the line out.
    """
    out = image.copy()
    for index, line in enumerate(lines):
        for run in _finite_runs(np.asarray(line, dtype=np.float64).reshape(-1, 2)):
            pieces = _dashes(run, 6.0 * thickness) if dashed else [run]
            fixed = [_fixed(piece) for piece in pieces]
            cv2.polylines(out, fixed, False, colors[index % len(colors)], thickness, cv2.LINE_AA, _SHIFT)
    return _blend(image, out, alpha)


def polygons(image: np.ndarray, outlines: Iterable[np.ndarray], color: Color, alpha: float = 0.35) -> np.ndarray:
    """Fill closed outlines, each (N, 2) pixels; outlines with non-finite points are left out."""
    out = image.copy()
    for outline in outlines:
        points = np.asarray(outline, dtype=np.float64).reshape(-1, 2)
        if len(points) >= 3 and np.isfinite(points).all():
            cv2.fillPoly(out, [_fixed(np.clip(points, -_FAR, _FAR))], color, cv2.LINE_AA, _SHIFT)
    return _blend(image, out, alpha)


def dots(image: np.ndarray, points: np.ndarray, color: Color, radius: int = 3) -> np.ndarray:
    """Draw a filled circle of ``radius`` pixels at each of (N, 2) points."""
    out = image.copy()
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    points = points[(np.abs(points) < _FAR).all(1)]
    for x, y in _fixed(points).tolist():
        cv2.circle(out, (x, y), radius << _SHIFT, color, -1, cv2.LINE_AA, _SHIFT)
    return out


def boxes(
    image: np.ndarray, corners: np.ndarray, labels: Sequence[str], colors: Sequence[Color], thickness: int = 2
) -> np.ndarray:
    """Draw rectangles with captions.

    Args:
        image: (H, W, 3) uint8 RGB.
        corners: (N, 4) x0, y0, x1, y1 pixels; boxes with non-finite corners are left out.
        labels: N captions, empty for none.
        colors: One for each box, repeated if there are fewer.
        thickness: Pixels.
    """
    out = image.copy()
    corners = np.asarray(corners, dtype=np.float64).reshape(-1, 4)
    scale = max(0.35, image.shape[1] / 2200)
    for index, corner in enumerate(corners):
        if not np.isfinite(corner).all():
            continue
        color = colors[index % len(colors)]
        low, high = _fixed(np.clip(corner.reshape(2, 2), -_FAR, _FAR)).tolist()
        cv2.rectangle(out, low, high, color, thickness, cv2.LINE_AA, _SHIFT)
        if labels[index] and (corner[2:] > 0).all() and (corner[:2] < image.shape[1::-1]).all():
            _caption(out, labels[index], corner, color, scale)
    return out


def heatmap(
    image: np.ndarray, values: np.ndarray, cell: tuple[float, float], alpha: float = 0.65, maximum: float | None = None
) -> np.ndarray:
    """Lay a map over the image: hot where ``values`` are high, clear where they are 0.

    Args:
        image: (H, W, 3) uint8 RGB.
        values: (h, w) numbers >= 0; cell (0, 0) starts at the image's top-left corner.
        cell: (width, height) of a cell in pixels; what reaches beyond the image is cut off.
        alpha: Opacity of the hottest cells.
        maximum: Value of the hottest colour; None takes the largest value.
    """
    height, width = image.shape[:2]
    values = np.nan_to_num(np.asarray(values, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0)) if maximum is None else float(maximum)
    if values.size == 0 or top <= 0:
        return image.copy()
    matrix = np.array([[cell[0], 0, cell[0] / 2 - 0.5], [0, cell[1], cell[1] / 2 - 0.5]])
    spread = cv2.warpAffine(np.clip(values / top, 0, 1), matrix, (width, height), flags=cv2.INTER_LINEAR)
    weight = (alpha * np.sqrt(spread))[:, :, None]
    mixed = image * (1 - weight) + heat_colors(spread, 1.0) * weight
    return np.rint(mixed).astype(np.uint8)


def text(
    image: np.ndarray, words: str, position: tuple[float, float], color: Color = TEXT, scale: float = 0.5
) -> np.ndarray:
    """Write ``words`` with a dark rim; ``position`` is the left end of the base line in pixels."""
    out = image.copy()
    _write(out, words, position, color, scale)
    return out


def banner(image: np.ndarray, entries: Sequence[tuple[str, Color]]) -> np.ndarray:
    """Write entries side by side on a dark strip along the top edge, wrapped to further rows where needed."""
    if not entries:
        return image.copy()
    scale = float(np.clip(image.shape[1] / 1400, 0.35, 1.2))
    row, gap = round(34 * scale), round(22 * scale)
    placed, x, y = [], gap // 2, round(24 * scale)
    for words, color in entries:
        words = _ascii(words)
        length = cv2.getTextSize(words, _FONT, scale, _stroke(scale))[0][0]
        if x > gap and x + length > image.shape[1]:
            x, y = gap // 2, y + row
        placed.append((words, color, x, y))
        x += length + gap
    out = image.copy()
    strip = out[: y + round(10 * scale)]
    strip[:] = (strip * 0.22).astype(np.uint8)
    for words, color, left, base in placed:
        cv2.putText(out, words, (left, base), _FONT, scale, color, _stroke(scale), cv2.LINE_AA)
    return out


def fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale into ``width`` x ``height`` keeping the aspect ratio, centred on black."""
    if image.shape[:2] == (height, width):
        return image
    factor = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    out = np.zeros((height, width, 3), dtype=np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    out[top : top + size[1], left : left + size[0]] = scaled
    return out


def grid(images: Sequence[np.ndarray], columns: int, width: int) -> np.ndarray:
    """Contact sheet of pictures, row by row.

    Args:
        images: (H, W, 3) uint8 RGB of any sizes; the first one fixes the shape of the tiles.
        columns: Tiles in a row.
        width: Width of the sheet in pixels.

    Returns:
        The sheet; (1, ``width``, 3) black without images.
    """
    if not images:
        return np.zeros((1, width, 3), dtype=np.uint8)
    columns = max(1, min(columns, len(images)))
    tile_width = max(1, width // columns)
    tile_height = max(1, round(tile_width * images[0].shape[0] / images[0].shape[1]))
    rows = -(-len(images) // columns)
    sheet = np.zeros((rows * tile_height, width, 3), dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * tile_height, index % columns * tile_width
        sheet[top : top + tile_height, left : left + tile_width] = fit(image, tile_width, tile_height)
    return sheet


def _blend(image: np.ndarray, drawn: np.ndarray, alpha: float) -> np.ndarray:
    return drawn if alpha >= 1 else cv2.addWeighted(drawn, alpha, image, 1 - alpha, 0)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


def _finite_runs(points: np.ndarray) -> Iterator[np.ndarray]:
    """Stretches of at least two finite points; stretches that leave the range of fixed-point numbers are clipped."""
    usable = (np.abs(points) <= _NOWHERE).all(1)
    for part in np.split(np.arange(len(points)), np.flatnonzero(~usable)):
        run = points[part[usable[part]]]
        if len(run) < 2:
            continue
        if np.abs(run).max() <= _FAR:
            yield run
        else:
            pieces = (_clipped(start, end) for start, end in pairwise(run))
            yield from (piece for piece in pieces if piece is not None)


def _clipped(start: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """The part of a straight piece within +-1e5 pixels (Liang and Barsky's parametric clipping), or None."""
    step = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        bounds = np.stack([(-_FAR - start) / step, (_FAR - start) / step])
    if (np.abs(start[step == 0]) > _FAR).any():
        return None
    bounds = bounds[:, step != 0]
    enter = float(max(bounds.min(0).max(initial=0.0), 0.0))
    leave = float(min(bounds.max(0).min(initial=1.0), 1.0))
    return np.stack([start + enter * step, start + leave * step]) if enter < leave else None


def _dashes(run: np.ndarray, length: float) -> list[np.ndarray]:
    """Every second stretch of ``length`` pixels along a line."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(run, axis=0).T))])
    if along[-1] <= 0:
        return []
    starts = np.arange(0.0, along[-1], max(2 * length, along[-1] / 2000))
    pieces = []
    for low in starts:
        high = min(low + length, along[-1])
        at = np.concatenate([[low], along[(along > low) & (along < high)], [high]])
        pieces.append(np.stack([np.interp(at, along, run[:, i]) for i in range(2)], axis=1))
    return pieces


def _stroke(scale: float) -> int:
    return 2 if scale >= 0.7 else 1


def _ascii(words: str) -> str:
    return words.encode("ascii", "replace").decode()


def _write(out: np.ndarray, words: str, position: tuple[float, float], color: Color, scale: float) -> None:
    at = round(min(max(position[0], -_FAR), _FAR)), round(min(max(position[1], -_FAR), _FAR))
    cv2.putText(out, _ascii(words), at, _FONT, scale, (0, 0, 0), _stroke(scale) + 2, cv2.LINE_AA)
    cv2.putText(out, _ascii(words), at, _FONT, scale, color, _stroke(scale), cv2.LINE_AA)


def _caption(out: np.ndarray, words: str, corner: np.ndarray, color: Color, scale: float) -> None:
    """Caption on a filled tab above the box, or inside it at the image's top edge."""
    (width, height), base = cv2.getTextSize(_ascii(words), _FONT, scale, _stroke(scale))
    tall = height + base + 2
    left = int(np.clip(corner[0], 0, max(0, out.shape[1] - width - 4)))
    top = int(corner[1]) - tall if corner[1] >= tall else int(max(corner[1], 0))
    cv2.rectangle(out, (left, top), (left + width + 4, top + tall), color, -1)
    cv2.putText(
        out, _ascii(words), (left + 2, top + height + 2), _FONT, scale, text_on(color), _stroke(scale), cv2.LINE_AA
    )
