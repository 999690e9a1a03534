"""nuScenes: json tables in ``v1.0-*`` beside ``samples/`` and ``sweeps/``."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, PerceptionError
from perception.geometry import Camera, make_pose, quaternion_to_matrix
from perception.geometry.transforms import invert_pose
from perception.registry import SOURCES
from perception.sources.cloud_files import NUSCENES_FIELDS, read_bin, read_pcd
from perception.sources.dataset import DatasetSource, Layout, Track, cloud_track, file_inside, image_track
from perception.sources.transforms import PoseTrack
from perception.structures import Boxes3D, Calibration, PointCloud, Result

__all__ = ["NuScenesSource"]

_TABLES = ("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor")
_TRUTH_TABLES = ("sample_annotation", "instance", "category")
_SPEED_SPAN_US = 1_500_000
Row = Mapping[str, Any]


@SOURCES.register_module()
class NuScenesSource(DatasetSource):
    """One scene of a nuScenes folder, key frames and sweeps alike, with boxes on key frames.

    Cameras are named without ``CAM_`` in lower case, LiDARs likewise (``CAM_FRONT_LEFT`` is ``front_left``,
    ``LIDAR_TOP`` is ``lidar_top``). The ego frame is that of the tables. Names of tables' other sensors (radar) are
    left out. Files are read as they are needed. Labels of nuScenes-lidarseg become the field ``lidarseg``.

    Raises:
        InputError: A table is missing or damaged, or a record refers to one that does not exist.
    """

    KIND = "nuScenes"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.95 if path.is_dir() and _tables(path) is not None else 0

    @classmethod
    def parts(cls, path: Path) -> list[str]:
        """Names of the scenes."""
        folder = _tables(path)
        return [str(row.get("name", row.get("token"))) for row in _read(folder, "scene")] if folder else []

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        folder = _tables(self.path)
        if folder is None:
            raise InputError(self.path, "", "a folder v1.0-* with scene.json", "none")
        try:
            return _Scene(self.path, folder, self.options.part).layout()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(folder, "", "nuScenes tables that fit together", repr(error)) from error


class _Scene:
    """The rows of one scene, and what a layout needs of them."""

    def __init__(self, root: Path, folder: Path, part: str) -> None:
        self.root, self.folder = root, folder
        scenes = _read(folder, "scene")
        scene = next((row for row in scenes if not part or part in (row.get("name"), row["token"])), None)
        if scene is None:
            raise InputError(folder / "scene.json", "", f"a scene {part!r}", f"{len(scenes)} others")
        self.samples = {row["token"]: row for row in _read(folder, "sample") if row["scene_token"] == scene["token"]}
        self.data = [row for row in _read(folder, "sample_data") if row["sample_token"] in self.samples]
        sensors = {row["token"]: row for row in _read(folder, "sensor")}
        wanted = {row["calibrated_sensor_token"] for row in self.data}
        self.mounts = {row["token"]: row for row in _read(folder, "calibrated_sensor") if row["token"] in wanted}
        self.channels = {token: sensors[row["sensor_token"]] for token, row in self.mounts.items()}
        poses = {row["ego_pose_token"] for row in self.data}
        self.ego = {row["token"]: row for row in _read(folder, "ego_pose") if row["token"] in poses}
        self.by_channel: dict[str, list[Row]] = defaultdict(list)
        for row in self.data:
            sensor = self.channels[row["calibrated_sensor_token"]]
            if sensor["modality"] in ("camera", "lidar"):
                self.by_channel[str(sensor["channel"])].append(row)
        for channel, rows in self.by_channel.items():
            unique = {int(row["timestamp"]): row for row in reversed(rows)}
            self.by_channel[channel] = [unique[time] for time in sorted(unique)]
        self._boxes: dict[str, list[Row]] | None = None

    def layout(self) -> Layout:
        tracks, sensors = {}, {}
        for channel, rows in self.by_channel.items():
            tracks[channel] = self._track(channel, rows)
            sensors[re.sub("^cam_", "", channel.lower())] = channel
        rig = self._rig()
        has_truth = (self.folder / "sample_annotation.json").is_file()
        return Layout(
            tracks,
            dict(sorted(sensors.items(), key=lambda item: item[1])),
            lambda _: rig,
            self._poses(),
            "ego_pose table",
            self._truth if has_truth else None,
        )

    def _track(self, channel: str, rows: Sequence[Row]) -> Track:
        files = [file_inside(self.root, str(row["filename"]), "sample_data.json") for row in rows]
        times = [int(row["timestamp"]) * 1000 for row in rows]
        if self.channels[rows[0]["calibrated_sensor_token"]]["modality"] == "camera":
            return image_track(channel, files, times)
        labels = self._labels()
        labelled = {file: labels[row["token"]] for file, row in zip(files, rows) if row["token"] in labels}
        return cloud_track(channel, files, times, lambda file, time: _read_cloud(file, time, labelled.get(file)))

    def _labels(self) -> dict[str, Path]:
        """Token of a sweep -> its file of nuScenes-lidarseg, empty without that extension."""
        if not (self.folder / "lidarseg.json").is_file():
            return {}
        rows = _read(self.folder, "lidarseg")
        return {row["sample_data_token"]: file_inside(self.root, row["filename"], "lidarseg.json") for row in rows}

    def _rig(self) -> Calibration:
        cameras, sensors = {}, {}
        for channel, rows in self.by_channel.items():
            mount = self.mounts[rows[0]["calibrated_sensor_token"]]
            pose = pose_of_row(mount)
            if self.channels[mount["token"]]["modality"] == "lidar":
                sensors[channel] = pose
            elif mount.get("camera_intrinsic"):
                size = int(rows[0].get("width") or 1600), int(rows[0].get("height") or 900)
                cameras[channel] = Camera(channel, *size, mount["camera_intrinsic"], ego_from_camera=pose)
        return Calibration(cameras, sensors)

    def _poses(self) -> PoseTrack:
        rows = sorted(self.data, key=lambda row: int(row["timestamp"]))
        times = [int(row["timestamp"]) * 1000 for row in rows]
        return PoseTrack.of(times, [pose_of_row(self.ego[row["ego_pose_token"]]) for row in rows])

    def _truth(self, track: str, number: int) -> list[Result]:
        row = self.by_channel[track][number]
        if not row["is_key_frame"]:
            return []
        if self._boxes is None:
            self._boxes = self._read_boxes()
        boxes = self._boxes.get(row["sample_token"], [])
        pose = pose_of_row(self.ego[row["ego_pose_token"]])
        return [_boxes(boxes).moved(invert_pose(pose), "ego")]

    def _read_boxes(self) -> dict[str, list[Row]]:
        """Sample -> its annotations, each with the name of its class, a number for its object, and its velocity."""
        annotation, instance, category = (_read(self.folder, name) for name in _TRUTH_TABLES)
        names = {row["token"]: str(row["name"]) for row in category}
        objects = {row["token"]: (index, names[row["category_token"]]) for index, row in enumerate(instance)}
        rows = {row["token"]: row for row in annotation if row["sample_token"] in self.samples}
        found: dict[str, list[Row]] = defaultdict(list)
        for row in rows.values():
            index, name = objects[row["instance_token"]]
            velocity = self._velocity(row, rows)
            found[row["sample_token"]].append({**row, "object": index, "class": name, "velocity": velocity})
        return found

    def _velocity(self, row: Row, rows: Mapping[str, Row]) -> list[float]:
        """Metres a second between the neighbours in time, zero where they are missing or more than 1.5 s apart."""
        first, last = (rows.get(row.get(key) or "", row) for key in ("prev", "next"))
        span = int(self.samples[last["sample_token"]]["timestamp"]) - int(
            self.samples[first["sample_token"]]["timestamp"]
        )
        if not 0 < span <= _SPEED_SPAN_US * (2 if first is not row and last is not row else 1):
            return [0.0, 0.0]
        return [(last["translation"][axis] - first["translation"][axis]) / (span * 1e-6) for axis in (0, 1)]


def pose_of_row(row: Row) -> np.ndarray:
    """(4, 4) pose of a row with ``rotation`` (w, x, y, z) and ``translation`` in metres."""
    w, x, y, z = (float(value) for value in row["rotation"])
    pose = make_pose(quaternion_to_matrix(np.array([x, y, z, w])), np.array(row["translation"], np.float64))
    if not np.isfinite(pose).all():
        raise PerceptionError(f"pose {row.get('token', '')}: expected finite numbers, found {row['translation']}")
    return pose


def _boxes(rows: Sequence[Row]) -> Boxes3D:
    names = sorted({row["class"] for row in rows})
    yaws = [_yaw(row["rotation"]) for row in rows]
    boxes = [
        [*row["translation"], row["size"][1], row["size"][0], row["size"][2], yaw]  # the table says width first
        for row, yaw in zip(rows, yaws)
    ]
    labels = [names.index(row["class"]) for row in rows]
    velocities, objects = [row["velocity"] for row in rows], [row["object"] for row in rows]
    array = np.array(boxes, np.float32).reshape(-1, 7)
    return Boxes3D(
        "world", array, np.ones(len(rows)), np.array(labels), tuple(names), np.array(velocities), np.array(objects)
    )


def _yaw(rotation: Sequence[float]) -> float:
    w, x, y, z = (float(value) for value in rotation)
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def _read_cloud(file: Path, time_ns: int, labels: Path | None = None) -> PointCloud:
    if file.suffix != ".bin":
        return read_pcd(file, time_ns)
    cloud = read_bin(file, NUSCENES_FIELDS, time_ns, "lidar")
    if labels is None:
        return cloud
    numbers = np.frombuffer(labels.read_bytes(), np.uint8)
    if len(numbers) != len(cloud):
        raise InputError(labels, "", f"{len(cloud)} labels, one a point", str(len(numbers)))
    return PointCloud(cloud.points, {**cloud.fields, "lidarseg": numbers}, time_ns, cloud.sensor)


def _tables(path: Path) -> Path | None:
    folders = [folder for folder in sorted(path.glob("v1.0-*")) if (folder / "scene.json").is_file()]
    return folders[0] if folders else None


def _read(folder: Path, name: str) -> list[Row]:
    file = folder / f"{name}.json"
    try:
        rows = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(file, "", "a nuScenes table", str(error)) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(file, "", "a list of records", type(rows).__name__)
    return rows
