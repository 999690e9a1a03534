"""Results as a Parquet dataset that DuckDB, pandas and Polars query."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from perception.registry import SINKS
from perception.sinks.base import Sink
from perception.sinks.items import Item, count_of, finite, items_of
from perception.sinks.storage import dump_json, storage_errors
from perception.sinks.table import missing_package
from perception.structures import Fault, Frame, Result

__all__ = ["ParquetSink"]

_PART_BYTES = 32 << 20
"""Size of the stored json from which a part is written before it has all its frames, so that memory stays bounded."""


@SINKS.register_module()
class ParquetSink(Sink):
    """``parquet/results`` (a row a frame and result) and ``parquet/frames`` (a row a frame), partitioned by drive.

    Files are ``<table>/drive=<name>/part-<first frame, 8 digits>.parquet``; the name is that of the run's folder. A
    part appears whole, and its frames count once it appeared in ``frames``.

    ``results``: ``position`` (of the frame in the run, from 0), ``index``, ``timestamp_ns``, ``stage``, ``kind``,
    ``frame_id``, ``count``, ``latency_ms``, ``items`` (a list of structs, see
    :class:`perception.sinks.items.Item`) and ``data`` (``Result.to_dict()`` as json, from which the result can be read
    back without loss). ``frames``: ``position``, ``index``, ``timestamp_ns``, ``time_s`` (since the first frame),
    ``record``, ``ego_x``, ``ego_y``, ``ego_z``, ``world_from_ego`` (16 numbers by rows) and ``faults``.

    Args:
        out: Folder of the run.
        dataset: Folder of the dataset, which several drives may share; None makes ``parquet`` in the run's folder.
        part_frames: Frames in a file (fewer where they are large), and what a killed run computes again at most.
        data: Also store ``data``; without it files are smaller.
        compression: Of pyarrow: ``zstd``, ``snappy``, ``gzip``, ``none``.
    """

    def __init__(
        self,
        out: str | Path,
        dataset: str | Path | None = None,
        part_frames: int = 100,
        data: bool = True,
        compression: str = "zstd",
    ) -> None:
        super().__init__(out)
        root = self.out / "parquet" if dataset is None else Path(dataset)
        drive = f"drive={quote(self.out.resolve().name or 'drive', safe='')}"
        self.folders = {name: root / name / drive for name in ("results", "frames")}
        self.part_frames, self.data, self.compression = max(1, part_frames), data, compression
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._bytes = self._position = 0
        self._start_ns: int | None = None

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Remember the rows of one frame, and write a part when it is time."""
        key = {"position": self._position, "index": frame.index, "timestamp_ns": frame.timestamp_ns}
        for stage, result in results.items():
            text = dump_json(result.to_dict()) if self.data else None
            self._bytes += len(text or "")
            self._rows["results"].append(
                {
                    **key,
                    "stage": stage,
                    "kind": result.KIND,
                    "frame_id": result.frame_id,
                    "count": finite(count_of(result)),
                    "latency_ms": finite(timings_ms.get(stage)),
                    "items": [_struct(item) for item in items_of(result)],
                    "data": text,
                }
            )
        self._start_ns = frame.timestamp_ns if self._start_ns is None else self._start_ns
        self._rows["frames"].append({**key, **_frame_row(frame, faults, self._start_ns)})
        self._position += 1
        if self._position % self.part_frames == 0 or self._bytes >= _PART_BYTES:
            self._write_part()

    def close(self) -> None:
        """Write the last part."""
        if self._rows.get("frames"):
            self._write_part()

    def abort(self) -> None:
        """Forget the frames of the part in work; they will be computed again."""
        self._rows = {}

    def _keep(self, limit: int | None) -> int:
        self._rows, self._position, self._start_ns = {}, 0, None
        if limit != 0:
            for path in self._paths("frames"):
                rows = _rows_in(path) if _first(path) == self._position else 0
                if not rows:
                    break
                self._position += rows
            self._position = self._position if limit is None else min(self._position, limit)
        with storage_errors(self.folders["frames"]):
            for table in ("frames", "results"):
                for path in [*self.folders[table].glob("*.tmp"), *self._paths(table)]:
                    if path.suffix == ".tmp" or _first(path) >= self._position:
                        path.unlink()
                last = self._paths(table)[-1:]
                if last:
                    self._cut(table, last[0])
        if self._position:
            self._start_ns = self._first_timestamp()
        return self._position

    def _start(self) -> None:
        _pyarrow()
        self._rows, self._bytes = {"results": [], "frames": []}, 0
        for folder in self.folders.values():
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def _write_part(self) -> None:
        rows, self._rows, self._bytes = self._rows, {"results": [], "frames": []}, 0
        first = rows["frames"][0]["position"]
        for table in ("results", "frames"):  # frames last: they say that the part is whole
            self._save(self.folders[table] / f"part-{first:08d}.parquet", _table(table, rows[table]))

    def _save(self, path: Path, table: Any) -> None:
        import pyarrow.parquet as pq

        temporary = path.with_name(path.name + ".tmp")
        with storage_errors(path):
            try:
                pq.write_table(table, temporary, compression=self.compression)
                os.replace(temporary, path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise

    def _cut(self, table: str, path: Path) -> None:
        """Drop rows of frames that are not kept."""
        import pyarrow.compute as pc

        stored = _pyarrow().parquet.ParquetFile(path).read()
        kept = stored.filter(pc.less(stored["position"], self._position))
        if kept.num_rows < stored.num_rows:
            self._save(path, kept)

    def _first_timestamp(self) -> int:
        stored = _pyarrow().parquet.ParquetFile(self._paths("frames")[0]).read(columns=["timestamp_ns"])
        return int(stored["timestamp_ns"][0].as_py())

    def _paths(self, table: str) -> list[Path]:
        paths = self.folders[table].glob("part-*.parquet")
        return sorted(path for path in paths if path.stem.removeprefix("part-").isdecimal())


def _first(path: Path) -> int:
    return int(path.stem.removeprefix("part-"))


def _rows_in(path: Path) -> int:
    """Rows of a file, 0 if it is broken."""
    pyarrow = _pyarrow()
    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (pyarrow.ArrowInvalid, OSError):
        return 0


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise missing_package("the parquet sink", "pyarrow", "arrow") from error
    return pyarrow


def _frame_row(frame: Frame, faults: Sequence[Fault], start_ns: int) -> dict[str, Any]:
    pose = None if frame.ego_pose is None else [finite(value) for value in frame.ego_pose.ravel().tolist()]
    return {
        "time_s": (frame.timestamp_ns - start_ns) * 1e-9,
        "record": frame.provenance.record,
        **{f"ego_{axis}": None if pose is None else pose[4 * i + 3] for i, axis in enumerate("xyz")},
        "world_from_ego": pose,
        "faults": [fault.to_dict() for fault in faults],
    }


def _struct(item: Item) -> dict[str, Any]:
    place = dict(zip("xyz", map(finite, item.position)))
    size = dict(zip(("length", "width", "height"), map(finite, item.size)))
    speed = dict(zip(("vx", "vy"), map(finite, item.velocity)))
    return {
        "label": item.label,
        "frame_id": item.frame_id,
        "score": finite(item.score),
        **place,
        **size,
        "yaw": finite(item.yaw),
        **speed,
        "track_id": item.track_id,
        "value": finite(item.value),
        "points": [dict(zip("xyz", map(finite, point))) for point in item.points.tolist()],
        "links": list(item.links),
    }


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    return _pyarrow().Table.from_pylist(rows, schema=_schema(name))


def _schema(name: str) -> Any:
    import pyarrow as pa

    number = pa.float64()
    key = [("position", pa.int64()), ("index", pa.int64()), ("timestamp_ns", pa.int64())]
    if name == "frames":
        fault = pa.struct([(field, pa.string()) for field in ("where", "kind", "message")])
        columns = [("time_s", number), ("record", pa.string()), *((f"ego_{axis}", number) for axis in "xyz")]
        return pa.schema([*key, *columns, ("world_from_ego", pa.list_(number)), ("faults", pa.list_(fault))])
    point = pa.struct([(axis, pa.float32()) for axis in "xyz"])
    numbers = ("x", "y", "z", "length", "width", "height", "yaw", "vx", "vy")
    item = pa.struct(
        [
            *(("label", pa.string()), ("frame_id", pa.string()), ("score", pa.float32())),
            *((field, pa.float32()) for field in numbers),
            *(("track_id", pa.int64()), ("value", number)),
            *(("points", pa.list_(point)), ("links", pa.list_(pa.int32()))),
        ]
    )
    texts = [(field, pa.string()) for field in ("stage", "kind", "frame_id")]
    counts = [("count", number), ("latency_ms", number)]
    return pa.schema([*key, *texts, *counts, ("items", pa.list_(item)), ("data", pa.string())])
