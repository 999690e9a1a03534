"""Boxes in COCO annotation files (json with ``images``, ``annotations`` and ``categories``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.datasets.files import path_below
from perception.errors import InputError

__all__ = ["read_coco"]

_ROW = tuple[tuple[float, ...], int, float, bool, str]


def read_coco(path: str | Path, class_names: Sequence[str] = ()) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Read a COCO annotation file.

    Args:
        path: The file.
        class_names: Classes to keep, in the order of the labels; empty keeps all by rising ``category_id``. Categories
            of one name are one class.

    Returns:
        One dict per image by rising id: ``file_name`` (relative, never out of its folder), ``image_id``, ``size``
        (width, height), ``boxes`` (N, 4) float32 x0, y0, x1, y1 in pixels, ``labels`` (N,) int64, ``areas`` (N,)
        float64, ``crowd`` (N,) bool, ``ids`` (the ``id`` of each annotation as text, its place in the file where it
        has none); and the class names.

    Raises:
        InputError: Names the file and the record that is not what COCO asks for.
    """
    content = _content(path)
    categories = _categories(path, _records(path, content, "categories"))
    names = tuple(class_names) or tuple(dict.fromkeys(categories[key] for key in sorted(categories)))
    unknown = sorted(set(names) - set(categories.values()))
    if unknown:
        raise InputError(path, "categories", f"the classes {', '.join(unknown)}", ", ".join(categories.values()))
    label_of = {key: names.index(name) if name in names else None for key, name in categories.items()}
    images = _images(path, _records(path, content, "images"))
    rows: dict[int, list[_ROW]] = {key: [] for key in images}
    for index, entry in enumerate(_records(path, content, "annotations", ())):
        image, row = _annotation(path, index, entry, label_of)
        if image not in rows:
            raise InputError(path, f"annotation {index}: image_id", "the id of an image", str(image))
        if row is not None:
            rows[image].append(row)
    return [_sample(images[key], rows[key]) for key in sorted(images)], names


def _content(path: str | Path) -> Mapping[str, Any]:
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        text = f"{type(error).__name__}: {error}"
        raise InputError(path, "", "a COCO file with images and categories", text) from error
    if not isinstance(content, dict):
        raise InputError(path, "", "a COCO file with images and categories", type(content).__name__)
    return content


def _records(path: str | Path, content: Mapping[str, Any], key: str, default: Any = None) -> Sequence[Any]:
    found = content.get(key, default)
    if not isinstance(found, (list, tuple)):
        raise InputError(path, key, "a list of records", "nothing" if found is None else type(found).__name__)
    for index, entry in enumerate(found):
        if not isinstance(entry, dict):
            raise InputError(path, f"{key} {index}", "a record", repr(entry)[:60])
    return found


def _categories(path: str | Path, entries: Sequence[Any]) -> dict[int, str]:
    out: dict[int, str] = {}
    for index, entry in enumerate(entries):
        where = f"category {index}"
        out[_integer(path, where, entry, "id", out)] = _text(path, where, entry, "name")
    return out


def _images(path: str | Path, entries: Sequence[Any]) -> dict[int, dict[str, Any]]:
    out: dict[int, dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        key = _integer(path, f"image number {index}", entry, "id", out)
        where = f"image {key}"
        name = _text(path, where, entry, "file_name")
        path_below(Path(), name, path, f"{where}: file_name")
        width, height = (_integer(path, where, entry, side) for side in ("width", "height"))
        if min(width, height) < 1:
            raise InputError(path, f"{where}: width, height", "at least 1 pixel", f"{width} x {height}")
        out[key] = {"file_name": name, "image_id": key, "size": (width, height)}
    return out


def _annotation(
    path: str | Path, index: int, entry: Mapping[str, Any], label_of: Mapping[int, int | None]
) -> tuple[int, _ROW | None]:
    """Image and row of an annotation; no row when its class is not wanted."""
    where = f"annotation {index}"
    image, category = (_integer(path, where, entry, name) for name in ("image_id", "category_id"))
    if category not in label_of:
        raise InputError(path, f"{where}: category_id", "the id of a category", str(category))
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_finite(v) for v in box) or min(box[2:]) < 0:
        raise InputError(path, f"{where}: bbox", "finite x, y, width, height", repr(box)[:80])
    x, y, w, h = map(float, box)
    area, crowd, key = entry.get("area", w * h), entry.get("iscrowd", 0), entry.get("id", index)
    if not _finite(area):
        raise InputError(path, f"{where}: area", "a finite number", repr(area)[:60])
    if crowd not in (0, 1):
        raise InputError(path, f"{where}: iscrowd", "0 or 1", repr(crowd)[:60])
    if not isinstance(key, (int, str)):
        raise InputError(path, f"{where}: id", "a number or text", repr(key)[:60])
    label = label_of[category]
    return image, None if label is None else ((x, y, x + w, y + h), label, float(area), bool(crowd), str(key))


def _sample(image: Mapping[str, Any], rows: Sequence[_ROW]) -> dict[str, Any]:
    boxes, labels, areas, crowd, ids = zip(*rows) if rows else ((),) * 5
    return {
        **image,
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "labels": np.array(labels, np.int64),
        "areas": np.array(areas, np.float64),
        "crowd": np.array(crowd, bool),
        "ids": tuple(ids),
    }


def _finite(value: Any) -> bool:
    """Whether a value is a number that single precision holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _integer(
    path: str | Path, where: str, entry: Mapping[str, Any], name: str, taken: Mapping[int, Any] | None = None
) -> int:
    """A whole number of a record, also as text or as ``3.0``, that is not ``taken`` yet."""
    value = entry.get(name)
    try:
        number = None if isinstance(value, bool) else int(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or (isinstance(value, float) and number != value) or abs(number) >= 2**63:
        raise InputError(path, f"{where}: {name}", "a whole number", "nothing" if value is None else repr(value)[:60])
    if taken is not None and number in taken:
        raise InputError(path, f"{where}: {name}", "another id for each record", f"{number} again")
    return number


def _text(path: str | Path, where: str, entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(path, f"{where}: {name}", "text", "nothing" if value is None else repr(value)[:60])
    return value
