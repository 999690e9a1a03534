"""Point cloud files: ``.bin`` (rows of float32) and ``.pcd`` (ascii, binary, compressed)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.sources.clouds import TIME_FIELDS, field_name, relative_seconds
from perception.structures import PointCloud

__all__ = ["KITTI_FIELDS", "NUSCENES_FIELDS", "guess_columns", "read_bin", "read_pcd"]

KITTI_FIELDS = ("x", "y", "z", "intensity")
NUSCENES_FIELDS = ("x", "y", "z", "intensity", "ring")
_LARGEST = 1 << 31
_NUMPY_KINDS = {"F": "f", "I": "i", "U": "u"}


def read_bin(path: Path, fields: Sequence[str], time_ns: int = 0, sensor: str = "lidar") -> PointCloud:
    """Read rows of little-endian float32, one column a field.

    Raises:
        InputError: The size is no whole number of rows.
    """
    data = path.read_bytes()
    if len(data) % (4 * len(fields)):
        raise InputError(path, "", f"rows of {len(fields)} float32 ({', '.join(fields)})", f"{len(data)} bytes")
    table = np.frombuffer(data, "<f4").reshape(-1, len(fields))
    columns = dict(zip(fields, table.T))
    return _cloud(columns, time_ns, sensor, path)


def guess_columns(path: Path) -> tuple[str, ...]:
    """4 or 5 columns for a ``.bin`` file that does not say: the number by which it divides and looks like points.

    Raises:
        InputError: Neither fits.
    """
    size = path.stat().st_size
    fitting = [fields for fields in (KITTI_FIELDS, NUSCENES_FIELDS) if size and size % (4 * len(fields)) == 0]
    if len(fitting) > 1:
        fitting.sort(key=lambda fields: _unlikely(path, len(fields)))
    if not fitting:
        raise InputError(path, "", "rows of 4 or 5 float32", f"{size} bytes")
    return fitting[0]


def read_pcd(path: Path, time_ns: int = 0, sensor: str = "lidar") -> PointCloud:
    """Read a PCD file of version 0.5 to 0.7; columns beside x, y, z become fields, the time of a point as for bags.

    Raises:
        InputError: The header is incomplete or contradicts the data.
    """
    raw = path.read_bytes()
    header, start = _pcd_header(path, raw)
    dtype, points = _pcd_layout(path, header)
    body, kind = raw[start:], header["DATA"][0].lower()
    if kind == "ascii":
        table = _pcd_ascii(path, body, dtype, points)
    elif kind in ("binary", "binary_compressed"):
        packed = kind == "binary_compressed"
        table = _pcd_columns(path, body, dtype, points) if packed else _pcd_rows(path, body, dtype, points)
    else:
        raise InputError(path, "DATA", "ascii, binary or binary_compressed", kind)
    names = [name for name in table.dtype.names or () if table[name].ndim == 1 and name != "_"]
    return _cloud({name: table[name] for name in names}, time_ns, sensor, path)


def _cloud(columns: dict[str, np.ndarray], time_ns: int, sensor: str, path: Path) -> PointCloud:
    missing = [axis for axis in "xyz" if axis not in columns]
    if missing:
        raise InputError(path, "", "the fields x, y and z", ", ".join(columns) or "none")
    points = np.stack([columns[axis].astype(np.float32) for axis in "xyz"], axis=1)
    fields: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        if name in "xyz":
            continue
        if name in TIME_FIELDS and "time" not in fields:
            fields["time"] = relative_seconds(column, time_ns)
        else:
            fields.setdefault(field_name(name), np.ascontiguousarray(column))
    return PointCloud(points, fields, time_ns, sensor)


def _unlikely(path: Path, columns: int) -> float:
    """How little the first rows look like points: share of coordinates beyond 500 m or not finite."""
    with path.open("rb") as stream:
        data = np.frombuffer(stream.read(4 * columns * 256), "<f4").reshape(-1, columns)[:, :3]
    jumps = float(np.abs(np.diff(np.where(np.isfinite(data), data, 1e6), axis=0)).mean()) if len(data) > 1 else 0.0
    return float((~(np.abs(data) < 500)).mean()) * 1e6 + jumps


def _pcd_header(path: Path, raw: bytes) -> tuple[dict[str, list[str]], int]:
    header: dict[str, list[str]] = {}
    position = 0
    while "DATA" not in header:
        end = raw.find(b"\n", position, position + 4096)
        if end < 0 or position > 65536:
            raise InputError(path, "header", "a PCD header that ends with DATA", f"{', '.join(header) or 'no entries'}")
        words = raw[position:end].decode("latin1").split()
        if words and not words[0].startswith("#"):
            header[words[0].upper()] = words[1:]
        position = end + 1
    missing = [key for key in ("FIELDS", "SIZE", "TYPE", "DATA") if not header.get(key)]
    if missing:
        raise InputError(path, "header", "FIELDS, SIZE, TYPE and DATA", f"no {', '.join(missing)}")
    return header, position


def _pcd_layout(path: Path, header: dict[str, list[str]]) -> tuple[np.dtype, int]:
    names = header["FIELDS"]
    counts = header.get("COUNT") or ["1"] * len(names)
    columns = [names, header["SIZE"], header["TYPE"], counts]
    if len({len(column) for column in columns}) != 1:
        raise InputError(path, "header", "as many SIZE, TYPE and COUNT as FIELDS", str([len(c) for c in columns]))
    try:
        parts = []
        for number, (name, size, kind, count) in enumerate(zip(*columns)):
            base = np.dtype(f"<{_NUMPY_KINDS[kind]}{int(size)}")
            unique = name if name != "_" and name not in names[:number] else f"_{number}"
            parts.append((unique, base) if int(count) == 1 else (unique, base, (int(count),)))
        dtype = np.dtype(parts)
        area = int(header.get("WIDTH", ["0"])[0]) * int(header.get("HEIGHT", ["1"])[0])
        points = int(header["POINTS"][0]) if header.get("POINTS") else area
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(path, "header", "whole numbers and the types F, I, U", str(error)) from error
    if points < 0 or points * dtype.itemsize > _LARGEST:
        raise InputError(path, "header", f"at most {_LARGEST} bytes of points", f"{points} of {dtype.itemsize} bytes")
    return dtype, points


def _pcd_rows(path: Path, body: bytes, dtype: np.dtype, points: int) -> np.ndarray:
    if len(body) < points * dtype.itemsize:
        raise InputError(path, "data", f"{points * dtype.itemsize} bytes for {points} points", f"{len(body)}")
    return np.frombuffer(body, dtype, points)


def _pcd_ascii(path: Path, body: bytes, dtype: np.dtype, points: int) -> np.ndarray:
    try:
        numbers = np.array(body.split(), dtype=np.float64)
        width = sum(int(np.prod(dtype[name].shape)) for name in dtype.names or ())
        rows = numbers.reshape(-1, width)
        if len(rows) != points:
            raise InputError(path, "data", f"{points} points", str(len(rows)))
        table = np.zeros(points, dtype)
        column = 0
        for name in dtype.names or ():
            span = int(np.prod(dtype[name].shape))
            with np.errstate(invalid="ignore", over="ignore"):
                table[name] = rows[:, column] if span == 1 else rows[:, column : column + span]
            column += span
        return table
    except (ValueError, OverflowError) as error:
        raise InputError(path, "data", "a row of numbers for each point", str(error)) from error


def _pcd_columns(path: Path, body: bytes, dtype: np.dtype, points: int) -> np.ndarray:
    """``binary_compressed``: LZF over the columns one after the other."""
    if len(body) < 8:
        raise InputError(path, "data", "the sizes of the compressed data", f"{len(body)} bytes")
    packed, plain = struct.unpack_from("<II", body)
    if plain != points * dtype.itemsize or packed > len(body) - 8:
        found = f"{packed} packed bytes of {len(body) - 8}, {plain} plain ones"
        raise InputError(path, "data", f"{points * dtype.itemsize} bytes for {points} points", found)
    data = _unpack_lzf(path, body[8 : 8 + packed], plain)
    table, offset = np.zeros(points, dtype), 0
    for name in dtype.names or ():
        size = dtype[name].itemsize * points
        table[name] = np.frombuffer(data, dtype[name].base, size // dtype[name].base.itemsize, offset).reshape(
            (points, *dtype[name].shape)
        )
        offset += size
    return table


def _unpack_lzf(path: Path, packed: bytes, size: int) -> bytes:
    """LZF: a control byte below 32 is followed by that many + 1 literal bytes, else it begins a reference back."""
    out = bytearray()
    place = 0
    try:
        while place < len(packed) and len(out) <= size:
            control = packed[place]
            place += 1
            if control < 32:
                out += packed[place : place + control + 1]
                place += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[place]
                place += 1
            start = len(out) - ((control & 31) << 8) - packed[place] - 1
            place += 1
            if start < 0:
                raise InputError(path, "data", "compressed data that refers to what came before", "a place before it")
            length += 2
            chunk = bytes(out[start : start + length])
            out += (chunk * (length // max(len(chunk), 1) + 1))[:length]
    except IndexError:
        pass
    if len(out) != size:
        raise InputError(path, "data", f"{size} bytes after decompression", str(len(out)))
    return bytes(out)
