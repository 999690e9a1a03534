"""Argoverse 2 sensor logs: feather tables, ``sensors/cameras/<camera>/<ns>.jpg`` and ``sensors/lidar/<ns>.feather``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perception.errors import InputError, PerceptionError
from perception.geometry import Camera, make_pose, quaternion_to_matrix
from perception.geometry.transforms import invert_pose
from perception.registry import SOURCES
from perception.sources.clouds import relative_seconds
from perception.sources.dataset import DatasetSource, Layout, cloud_track, image_track
from perception.sources.transforms import PoseTrack
from perception.structures import Boxes3D, Calibration, PointCloud, Result

__all__ = ["Argoverse2Source"]

_POSES = "city_SE3_egovehicle.feather"
_QUATERNION, _PLACE = ("qx", "qy", "qz", "qw"), ("tx_m", "ty_m", "tz_m")
_TRUTH_GAP_NS = 60_000_000
Table = dict[str, np.ndarray]


@SOURCES.register_module()
class Argoverse2Source(DatasetSource):
    """One log of the Argoverse 2 sensor data set.

    Sweeps are delivered as stored: motion compensated and in the ego frame, whose origin is the middle of the rear axle
    (about 0.3 m above the road). Cameras keep their names (``ring_front_center``, ...). Boxes are truth in the ego
    frame, carried from the time they were annotated at (at most 60 ms away) to that of the frame.

    Raises:
        InputError: A table is damaged.
        PerceptionError: ``pyarrow`` is not installed.
    """

    KIND = "Argoverse 2 log"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.95 if (path / _POSES).is_file() else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        sensors = self.path / "sensors"
        tracks = {}
        for folder in sorted((sensors / "cameras").glob("*")):
            files = _numbered(folder, ".jpg") or _numbered(folder, ".png")
            if files:
                tracks[folder.name] = image_track(folder.name, files, [int(file.stem) for file in files])
        sweeps = _numbered(sensors / "lidar", ".feather")
        if sweeps:
            tracks["lidar"] = cloud_track("lidar", sweeps, [int(file.stem) for file in sweeps], _read_sweep)
        self._poses = self._read_poses()
        self._boxes: Table | None = None
        rig = self._rig("lidar" in tracks)
        return Layout(
            tracks,
            {name: name for name in tracks},
            lambda _: rig,
            self._poses,
            _POSES,
            self._truth if (self.path / "annotations.feather").is_file() else None,
            reference="ring_front_center",
        )

    def _read_poses(self) -> PoseTrack:
        table = _feather(self.path / _POSES, ("timestamp_ns", *_QUATERNION, *_PLACE))
        return PoseTrack.of(list(map(int, table["timestamp_ns"])), _poses(table))

    def _rig(self, lidar: bool) -> Calibration:
        mounts_file = self.path / "calibration" / "egovehicle_SE3_sensor.feather"
        sensors = {"lidar": np.eye(4)} if lidar else {}
        if not mounts_file.is_file():
            return Calibration({}, sensors)
        table = _feather(mounts_file, ("sensor_name", *_QUATERNION, *_PLACE))
        mounts = dict(zip(table["sensor_name"].tolist(), _poses(table)))
        wanted = ("sensor_name", "fx_px", "fy_px", "cx_px", "cy_px", "k1", "k2", "k3", "height_px", "width_px")
        lens = _feather(self.path / "calibration" / "intrinsics.feather", wanted)
        cameras = {}
        for row in range(len(lens["sensor_name"])):
            name = str(lens["sensor_name"][row])
            fx, fy, cx, cy, k1, k2, k3 = (float(lens[key][row]) for key in wanted[1:8])
            size = int(lens["width_px"][row]), int(lens["height_px"][row])
            matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
            bent = ("plumb_bob", np.array([k1, k2, 0, 0, k3]))
            cameras[name] = Camera(name, *size, matrix, *bent, ego_from_camera=mounts.get(name))
        return Calibration(cameras, sensors)

    def _truth(self, track: str, number: int) -> list[Result]:
        if self._boxes is None:
            shape = ("length_m", "width_m", "height_m")
            columns = ("timestamp_ns", "track_uuid", "category", *shape, *_QUATERNION, *_PLACE)
            self._boxes = _feather(self.path / "annotations.feather", columns)
            self._objects = {uuid: n for n, uuid in enumerate(dict.fromkeys(self._boxes["track_uuid"].tolist()))}
        time_ns = int(self.layout.tracks[track].times_ns[number])
        stamps = self._boxes["timestamp_ns"].astype(np.int64)
        if not len(stamps):
            return []
        annotated = int(stamps[np.abs(stamps - time_ns).argmin()])
        if abs(annotated - time_ns) > _TRUTH_GAP_NS:
            return []
        boxes = _boxes({name: column[stamps == annotated] for name, column in self._boxes.items()}, self._objects)
        then, now = self._poses.at(annotated), self._poses.at(time_ns)
        if annotated != time_ns and then is not None and now is not None:
            boxes = boxes.moved(invert_pose(now) @ then, "ego")
        return [boxes]


def _boxes(rows: Table, objects: dict[str, int]) -> Boxes3D:
    names, labels = np.unique(rows["category"].astype(str), return_inverse=True)
    poses = np.array(_poses(rows)).reshape(-1, 4, 4)
    yaw = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    boxes = np.column_stack([poses[:, :3, 3], rows["length_m"], rows["width_m"], rows["height_m"], yaw])
    ids = np.array([objects[uuid] for uuid in rows["track_uuid"].tolist()], np.int64)
    classes = tuple(name.lower() for name in names.tolist())
    return Boxes3D("ego", boxes.astype(np.float32), np.ones(len(boxes)), labels, classes, track_ids=ids)


def _read_sweep(file: Path, time_ns: int) -> PointCloud:
    table = _feather(file, ("x", "y", "z"), finite=False)
    points = np.stack([table[axis].astype(np.float32) for axis in "xyz"], axis=1)
    fields = {}
    for column, name in (("intensity", "intensity"), ("laser_number", "ring")):
        if column in table:
            fields[name] = table[column]
    if "offset_ns" in table:
        fields["time"] = relative_seconds(table["offset_ns"], time_ns)
    return PointCloud(points, fields, time_ns, "lidar")


def _feather(file: Path, needed: tuple[str, ...], finite: bool = True) -> Table:
    """Columns of a file; with ``finite`` the needed ones hold a value in every row."""
    try:
        import pyarrow
        from pyarrow import feather
    except ImportError as error:
        raise PerceptionError(f"{file}: feather files need pyarrow: pip install 'perception-stack[drives]'") from error
    try:
        table = feather.read_table(file, memory_map=False)
        table.validate(full=True)  # offsets of damaged texts lead anywhere
        columns = {name: table[name].to_numpy() for name in table.column_names}
    except (OSError, ValueError, KeyError, NotImplementedError, MemoryError, pyarrow.ArrowException) as error:
        raise InputError(file, "", "a feather table", str(error) or type(error).__name__) from error
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(file, "", f"the columns {', '.join(needed)}", f"no {', '.join(missing)}")
    for name in needed if finite else ():
        column = columns[name]
        kind = column.dtype.kind
        if (kind == "f" and not np.isfinite(column).all()) or (kind == "O" and None in column.tolist()):
            raise InputError(file, f"column {name}", "a finite value in every row", "NaN, infinite or missing ones")
    return columns


def _poses(table: Table) -> list[np.ndarray]:
    turns = np.stack([table[name] for name in _QUATERNION], axis=1).astype(np.float64)
    places = np.stack([table[name] for name in _PLACE], axis=1).astype(np.float64)
    if not np.isfinite(turns).all() or not np.isfinite(places).all() or (np.linalg.norm(turns, axis=1) < 1e-6).any():
        raise PerceptionError("expected finite poses with unit quaternions")
    return [make_pose(quaternion_to_matrix(turn), place) for turn, place in zip(turns, places)]


def _numbered(folder: Path, suffix: str) -> list[Path]:
    return [file for file in folder.glob(f"*{suffix}") if file.stem.isdecimal()] if folder.is_dir() else []
