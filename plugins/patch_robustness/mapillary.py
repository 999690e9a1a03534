"""Annotations of Mapillary's street photos: MTSD (traffic signs, boxes) and Vistas (polygons), as boxes and as COCO.

Layouts, from their public descriptions: MTSD has ``splits/<split>.txt`` with an image key a line,
``annotations/<key>.json`` and ``images/<key>.jpg``; Vistas 2.0 has ``<split>/v2.0/polygons/<key>.json`` and
``<split>/images/<key>.jpg``, 1.2 ``<split>/polygons/<key>.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.sinks.storage import write_file

__all__ = ["SIGN_PREFIX", "PhotoSigns", "read_mtsd", "read_vistas", "write_coco"]

SIGN_PREFIX = "object--traffic-sign"
"""Start of the names of Vistas' classes of signs."""


@dataclass(frozen=True, eq=False)
class PhotoSigns:
    """Signs of one photo.

    Attributes:
        filename: Image, relative to the root.
        size: (width, height) in pixels.
        boxes: (N, 4) float32 x0, y0, x1, y1 in pixels, inside the image.
        labels: Class name of each.
        object_ids: Id of each in its photo.
    """

    filename: str
    size: tuple[int, int]
    boxes: np.ndarray
    labels: tuple[str, ...]
    object_ids: tuple[str, ...]


def read_mtsd(root: str | Path, split: str = "train", panoramas: bool = False) -> Iterator[PhotoSigns]:
    """Signs of every photo of a split of MTSD.

    Args:
        root: Folder with ``splits``, ``annotations`` and ``images``.
        split: ``train``, ``val``, ...; photos without an annotation (the test split) are an error.
        panoramas: Also those; boxes across their seam are left out.

    Raises:
        InputError: A file is missing or is not what it should be.
    """
    folder = Path(root)
    names = folder / "splits" / f"{split}.txt"
    try:
        keys = [line.strip() for line in names.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(names, "", "a list of image keys", f"{type(error).__name__}") from error
    for number, key in enumerate(keys, start=1):
        if PurePosixPath(key).name != key:
            raise InputError(names, f"line {number}", "the key of an image", repr(key))
        path = folder / "annotations" / f"{key}.json"
        content = _content(path)
        if content.get("ispano", False) and not panoramas:
            continue
        size = _size(path, content)
        rows = []
        for index, entry in enumerate(_objects(path, content)):
            box = entry.get("bbox")
            if not isinstance(box, dict):
                raise InputError(path, f"object {index}", "bbox", type(box).__name__)
            if "cross_boundary" in box:
                continue
            corners = [
                _number(path, f"object {index}: bbox.{name}", box.get(name))
                for name in ("xmin", "ymin", "xmax", "ymax")
            ]
            rows.append((corners, _text(path, index, entry, "label"), str(entry.get("key", index))))
        yield _photo(path, f"images/{key}.jpg", size, rows)


def read_vistas(root: str | Path, split: str = "training", prefix: str = SIGN_PREFIX) -> Iterator[PhotoSigns]:
    """Boxes around the polygons of signs of every photo of a split of Vistas.

    Args:
        root: Folder with ``training``, ``validation``.
        split: One of them.
        prefix: Start of the class names that are taken.

    Raises:
        InputError: There is no polygon file, or one is not what it should be.
    """
    folder = Path(root) / split
    for place in (folder / "v2.0" / "polygons", folder / "polygons"):
        paths = sorted(place.glob("*.json"))
        if paths:
            break
    else:
        raise InputError(folder, "", "v2.0/polygons/<key>.json or polygons/<key>.json", "no such file")
    for path in paths:
        content = _content(path)
        size = _size(path, content)
        rows = []
        for index, entry in enumerate(_objects(path, content)):
            label = _text(path, index, entry, "label")
            if not label.startswith(prefix):
                continue
            polygon = entry.get("polygon")
            if (
                not isinstance(polygon, list)
                or len(polygon) < 3
                or not all(isinstance(p, list) and len(p) == 2 for p in polygon)
            ):
                raise InputError(path, f"object {index}", "a polygon of 3 points or more", repr(polygon)[:60])
            points = np.array([[_number(path, f"object {index}: polygon", v) for v in p] for p in polygon])
            rows.append(([*points.min(0).tolist(), *points.max(0).tolist()], label, str(entry.get("id", index))))
        yield _photo(path, f"{split}/images/{path.stem}.jpg", size, rows)


def write_coco(path: str | Path, photos: Iterable[PhotoSigns], classes: Sequence[str] | None = None) -> tuple[str, ...]:
    """Write photos as a COCO file, which ``object_detection`` trains on; returns the class names.

    Args:
        path: The file.
        photos: What a reader yields.
        classes: Class names in order; others become the last of them. None takes all that occur, sorted.
    """
    found = list(photos)
    names = tuple(sorted({label for photo in found for label in photo.labels}) if classes is None else classes)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, photo in enumerate(found, start=1):
        images.append({"id": image, "file_name": photo.filename, "width": photo.size[0], "height": photo.size[1]})
        for box, label in zip(photo.boxes.astype(float).tolist(), photo.labels):
            category = names.index(label) if label in names else len(names) - 1
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": category + 1, "bbox": sides}
            annotations.append({**entry, "area": sides[2] * sides[3], "iscrowd": 0})
    categories = [{"id": index, "name": name} for index, name in enumerate(names, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_file(Path(path), json.dumps(content).encode())
    return names


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "", "a JSON annotation", f"{type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(path, "", "a JSON object", type(content).__name__)
    return content


def _objects(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    objects = content.get("objects")
    if not isinstance(objects, list) or not all(isinstance(entry, dict) for entry in objects):
        raise InputError(path, "objects", "a list of objects", type(objects).__name__)
    return objects


def _number(path: Path, where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e30:
        raise InputError(path, where, "a finite number", repr(value)[:40])
    return float(value)


def _text(path: Path, index: int, entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise InputError(path, f"object {index}: {name}", "text", repr(value)[:40])
    return value


def _size(path: Path, content: dict[str, Any]) -> tuple[int, int]:
    width, height = (_number(path, name, content.get(name)) for name in ("width", "height"))
    if width < 1 or height < 1:
        raise InputError(path, "width, height", "at least 1 pixel", f"{width:g} x {height:g}")
    return int(width), int(height)


def _photo(path: Path, filename: str, size: tuple[int, int], rows: list[tuple[list[float], str, str]]) -> PhotoSigns:
    """Boxes are cut at the border of the image; what has no area then is left out."""
    boxes: np.ndarray = np.array([row[0] for row in rows], np.float64).reshape(-1, 4)
    bad = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(1))
    if len(bad):
        raise InputError(path, f"object {rows[bad[0]][2]}", "a box with its corners in order", str(rows[bad[0]][0]))
    boxes = np.clip(boxes, 0, [*size, *size])
    kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
    chosen = [rows[k] for k in kept]
    labels, ids = tuple(row[1] for row in chosen), tuple(row[2] for row in chosen)
    return PhotoSigns(filename, size, boxes[kept].astype(np.float32), labels, ids)
