"""REAP's annotation tables: keypoints and measured light of each sign, in every column form (spec section 1.2)."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perception.errors import InputError, PerceptionError

from .lighting import METHODS, Lighting, identity_lighting
from .signs import BACKGROUND, SIGN_CLASSES, sign_class
from .surfaces import Surface

__all__ = ["SignRow", "read_labels", "read_table", "write_table"]

_SUFFIX = "_coeffs"


@dataclass(frozen=True, eq=False)
class SignRow:
    """One sign.

    Attributes:
        filename: Image.
        object_id: Its id in that image.
        label: Class name; ``other`` for background.
        keypoints: (3 or 4, 2) float32 xy in original pixels.
        lights: Method -> light; empty for background.
    """

    filename: str
    object_id: str
    label: str
    keypoints: np.ndarray
    lights: dict[str, Lighting]

    def surface(self, method: str = "percentile", instance: int | None = None, scale: float = 1.0) -> Surface:
        """The sign as a surface, with keypoints scaled to a resized image.

        Raises:
            PerceptionError: A background sign, or no light of that method.
        """
        found = sign_class(self.label)
        light = identity_lighting() if method == "none" else self.lights.get(method)
        if light is None:
            known = ", ".join(self.lights) or "none"
            raise InputError(self.filename, f"sign {self.object_id}", f"light of method {method}", known)
        size = (found.height_mm / 1000, found.width_mm / 1000)
        quad = torch.from_numpy(self.keypoints * scale)
        return Surface(quad, found.shape, size, light, 0, f"{self.filename}/{self.object_id}", instance, found.name)


def read_table(path: str | Path) -> list[SignRow]:
    """Read a table with ``<method>_coeffs`` columns, or the older ``alpha`` and ``beta``.

    Three-point signs that are stored with their mean as fourth point lose it again.

    Raises:
        InputError: Names the line that is not what it should be.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            missing = [
                name
                for name in ("filename", "object_id", "final_shape", "tgt_points")
                if name not in (table.fieldnames or ())
            ]
            if missing:
                raise InputError(
                    path, "header", f"columns {', '.join(missing)}", ", ".join(table.fieldnames or ("none",))
                )
            return [_row(path, number, entry) for number, entry in enumerate(table, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, "", "a CSV table", str(error)) from error


def _row(path: str | Path, number: int, entry: dict[str, Any]) -> SignRow:
    label = str(entry["final_shape"])
    where = f"line {number}"
    points = _numbers(path, where, "tgt_points", entry["tgt_points"])
    if label != BACKGROUND and label not in {found.name for found in SIGN_CLASSES}:
        raise InputError(path, where, "a sign class", repr(label))
    if points.ndim != 2 or points.shape[0] < 3 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise InputError(path, where, "tgt_points [[x, y], ...], three or four", str(entry["tgt_points"])[:60])
    if label != BACKGROUND and sign_class(label).shape.startswith("triangle"):
        points = points[:3]
    return SignRow(str(entry["filename"]), str(entry["object_id"]), label, points[:4], _lights(path, where, entry))


def _lights(path: str | Path, where: str, entry: dict[str, Any]) -> dict[str, Lighting]:
    lights = {}
    for name, text in entry.items():
        if not name or not name.endswith(_SUFFIX) or not text or text in ("[]", "nan"):
            continue
        method = name.removesuffix(_SUFFIX)
        if method in METHODS:
            values = torch.as_tensor(_numbers(path, where, name, text))
            lights[method] = _light(path, where, method, values.reshape(1, -1) if values.ndim == 1 else values)
    if "percentile" not in lights and entry.get("alpha") and entry.get("beta"):
        both = [_numbers(path, where, name, entry[name]).reshape(-1)[:1] for name in ("alpha", "beta")]
        lights["percentile"] = _light(path, where, "percentile", torch.as_tensor(np.concatenate(both)[None]))
    return lights


def _light(path: str | Path, where: str, method: str, values: torch.Tensor) -> Lighting:
    try:
        return Lighting(method, values)
    except PerceptionError as error:
        raise InputError(path, where, f"coefficients of {method}", str(error)) from error


def _numbers(path: str | Path, where: str, column: str, text: str) -> np.ndarray:
    """The float32 array that a cell spells out."""
    try:
        return np.asarray(_literal(path, where, column, text), np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(path, where, f"numbers in {column}", repr(text)[:60]) from error


def _literal(path: str | Path, where: str, column: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(path, where, f"numbers in {column}", repr(text)[:60]) from error


def write_table(path: str | Path, rows: Iterable[SignRow]) -> None:
    """Write a table in the current form."""
    rows = list(rows)
    methods = sorted({method for row in rows for method in row.lights})
    names = ["filename", "object_id", "final_shape", "tgt_points", *(method + _SUFFIX for method in methods)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        for row in rows:
            lights = [str(row.lights[m].coefficients.tolist()) if m in row.lights else "" for m in methods]
            table.writerow([row.filename, row.object_id, row.label, str(row.keypoints.tolist()), *lights])


def read_labels(path: str | Path) -> list[tuple[int, tuple[float, float, float, float], tuple[int, int], str]]:
    """Read a label file: class id, box x0 y0 x1 y1, (width, height) of the image and object id of every line.

    Raises:
        InputError: Names the line.
    """
    found = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "", "a label file", str(error)) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.split(",")
        try:
            label, width, height = int(parts[0]), int(float(parts[5])), int(float(parts[6]))
            x0, y0, x1, y1 = (float(value) for value in parts[1:5])
            found.append((label, (x0, y0, x1, y1), (width, height), parts[7].strip()))
        except (IndexError, ValueError, OverflowError) as error:
            raise InputError(path, f"line {number}", "class,x0,y0,x1,y1,width,height,object", line[:80]) from error
    return found
