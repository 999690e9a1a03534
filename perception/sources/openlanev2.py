"""A segment of an OpenLane-V2 tree: ``<split>/<segment>/info/*.json`` and ``image/<camera>/*.jpg``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.geometry import Camera, make_pose
from perception.registry import SOURCES
from perception.sources.dataset import DatasetSource, Layout, file_inside, image_track
from perception.sources.pixels import picture_size
from perception.sources.transforms import PoseTrack
from perception.sources.wire import MessageError
from perception.structures import Boxes2D, Calibration, Fault, LaneGraph, Result

__all__ = ["OpenLaneV2Source"]

_FRONT = ("ring_front_center", "CAM_FRONT")
_ELEMENT_CLASSES = 13


@SOURCES.register_module()
class OpenLaneV2Source(DatasetSource):
    """Key frames of one segment in the order of their times; centre lines, traffic elements and topology are truth.

    Cameras keep their names. Each frame has its own calibration, as the files say; a lens with three numbers is radial
    (k1, k2, k3). The frame flavour ``<time>.json`` is read, ``<time>-ls.json`` only where there is no other.

    Raises:
        InputError: A frame file is damaged or names pictures outside the data set.
    """

    KIND = "OpenLane-V2 segment"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.95 if (path / "info").is_dir() and any((path / "info").glob("*.json")) else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        files: dict[int, Path] = {}
        for file in sorted((self.path / "info").glob("*.json"), key=lambda file: file.stem.endswith("-ls")):
            stem = file.stem.removesuffix("-ls")
            if stem.isdecimal():
                files.setdefault(int(stem), file)
        self._files = [files[time] for time in sorted(files)]
        if not self._files:
            raise InputError(self.path / "info", "", "frames named <time>.json", "none")
        self._root = self.path.parent.parent
        self._last: tuple[int, Mapping[str, Any]] | None = None
        self._rigs: dict[int, Calibration] = {}
        times = sorted(files)
        pictures: dict[str, dict[int, Path]] = {}
        poses = []
        for number, time_ns in enumerate(times):
            frame = self._frame_file(number)
            poses.append(_pose(frame, self._files[number]))
            for name, sensor in frame["sensor"].items():
                path = file_inside(self._root, str(sensor.get("image_path", "")), self._files[number].name)
                pictures.setdefault(str(name), {})[time_ns] = path
        tracks = {name: image_track(name, list(found.values()), list(found)) for name, found in pictures.items()}
        layout = Layout(
            tracks, {name: name for name in tracks}, self._rig_of, PoseTrack.of(times, poses), "frame files"
        )
        layout.reference = next((name for name in _FRONT if name in tracks), "")
        layout.truth = self._truth
        missing = sum(not path.is_file() for found in pictures.values() for path in found.values())
        if missing:
            total = sum(map(len, pictures.values()))
            layout.faults.append(Fault("images", "missing", f"expected {total} pictures, found {total - missing}"))
        return layout

    def _frame_file(self, number: int) -> Mapping[str, Any]:
        if self._last is None or self._last[0] != number:
            file = self._files[number]
            try:
                data = json.loads(file.read_bytes())
                if not isinstance(data["sensor"], dict) or not all(
                    isinstance(s, dict) for s in data["sensor"].values()
                ):
                    raise ValueError("sensor is no mapping of cameras")
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise InputError(file, "", "an OpenLane-V2 frame with sensor and pose", repr(error)) from error
            self._last = number, data
        return self._last[1]

    def _rig_of(self, number: int) -> Calibration:
        if number not in self._rigs:
            self._rigs.clear()
            frame, file = self._frame_file(number), self._files[number]
            cameras = {str(name): self._camera(str(name), sensor, file) for name, sensor in frame["sensor"].items()}
            self._rigs[number] = Calibration(cameras)
        return self._rigs[number]

    def _camera(self, name: str, sensor: Mapping[str, Any], file: Path) -> Camera:
        try:
            matrix = np.array(sensor["intrinsic"]["K"], np.float64)
            bent = np.ravel(np.array(sensor["intrinsic"].get("distortion") or [], np.float64))
            if bent.size == 3:
                bent = np.array([bent[0], bent[1], 0, 0, bent[2]])
            mount = sensor["extrinsic"]
            pose = make_pose(np.array(mount["rotation"], np.float64), np.array(mount["translation"], np.float64))
            size = self._size_of(str(sensor["image_path"]), matrix)
            return Camera(
                name, *size, matrix, "plumb_bob" if bent.any() else "none", bent if bent.any() else np.zeros(0), pose
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(file, f"camera {name}", "K, distortion, rotation and translation", repr(error)) from error

    def _size_of(self, image_path: str, matrix: np.ndarray) -> tuple[int, int]:
        """Of the picture; where it is missing, that of an image whose middle is the principal point."""
        try:
            return picture_size(file_inside(self._root, image_path))
        except (OSError, MessageError):
            return max(round(2 * matrix[0, 2]), 1), max(round(2 * matrix[1, 2]), 1)

    def _truth(self, track: str, number: int) -> list[Result]:
        frame = self._frame_file(number)
        annotation = frame.get("annotation")
        if not annotation or "lane_centerline" not in annotation:
            return []
        lanes = tuple(np.array(lane["points"], np.float32) for lane in annotation["lane_centerline"])
        elements = annotation.get("traffic_element") or []
        boxes = np.array([np.ravel(item["points"]) for item in elements], np.float32).reshape(-1, 4)
        labels = np.array([int(item["attribute"]) for item in elements], np.int64)
        front = next((name for name in _FRONT if name in frame["sensor"]), "")
        size = self._rig_of(number).cameras[front].size if front else (1, 1)
        classes = tuple(map(str, range(_ELEMENT_CLASSES)))
        signs = Boxes2D(front or "front", size, boxes, np.ones(len(boxes)), labels, classes)
        between = np.array(annotation.get("topology_lclc") or [], np.float32).reshape(len(lanes), len(lanes))
        to_sign = np.array(annotation.get("topology_lcte") or [], np.float32).reshape(len(lanes), len(elements))
        return [LaneGraph("ego", lanes, np.ones(len(lanes), np.float32), signs, between, to_sign)]


def _pose(frame: Mapping[str, Any], file: Path) -> np.ndarray:
    try:
        turn = np.array(frame["pose"]["rotation"], np.float64).reshape(3, 3)
        place = np.array(frame["pose"]["translation"], np.float64).reshape(3)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(file, "pose", "a rotation of 3x3 and a translation of 3", repr(error)) from error
    return make_pose(turn, place)
