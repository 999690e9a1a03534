"""Info pickles of mmdetection3d (nuScenes and KITTI) beside the files they describe; read only with ``--trust``."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, PerceptionError
from perception.geometry import Camera, make_pose
from perception.geometry.transforms import invert_pose
from perception.registry import SOURCES
from perception.sources.cloud_files import KITTI_FIELDS, NUSCENES_FIELDS, read_bin
from perception.sources.dataset import (
    DatasetSource,
    Layout,
    cloud_track,
    file_inside,
    frames_apart,
    image_size,
    image_track,
)
from perception.sources.kitti import LIDAR_HEIGHT_M
from perception.sources.transforms import PoseTrack
from perception.structures import Boxes3D, Calibration, Result

__all__ = ["Mmdet3dInfosSource"]

_BUILTINS = {"set", "frozenset", "bytearray", "complex", "slice", "range", "list", "dict", "tuple"}
_NUMPY = {"_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"}
_OTHER = {("collections", "OrderedDict"), ("collections", "defaultdict"), ("_codecs", "encode")}
_PLACES = (
    "",
    "samples/{channel}",
    "sweeps/{channel}",
    "training/image_2",
    "training/velodyne_reduced",
    "training/velodyne",
)


@SOURCES.register_module()
class Mmdet3dInfosSource(DatasetSource):
    """Samples of an info pickle of version 1.1 (``metainfo`` and ``data_list``).

    Unpickling is refused without ``trust``; with it, only numbers, texts, containers and numpy arrays are made, and
    nothing in the file can run code. Pictures and sweeps are looked for beside the pickle and where the data sets keep
    them. KITTI infos have no ego frame: it lies on the road below the LiDAR, and calibration is that of camera 2.
    """

    KIND = "mmdetection3d infos"
    NEEDS_TRUST = True

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        if path.is_file():
            return 0.9 if path.suffix == ".pkl" else 0
        pickles = sorted(path.glob("*.pkl"))
        return 0.98 if len(pickles) == 1 and (any(path.glob("*.bin")) or "info" in pickles[0].name) else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        file = self.path if self.path.is_file() else next(self.path.glob("*.pkl"))
        if not self.options.trust:
            raise PerceptionError(
                f"{file}: reading a pickle needs --trust: give it only for files whose origin you trust"
            )
        data = _load(file)
        try:
            samples = sorted(data["data_list"], key=lambda item: float(item.get("timestamp", 0)))
            return self._layout(file.parent, samples, data.get("metainfo") or {})
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise InputError(file, "", "metainfo and data_list of version 1.1", repr(error)) from error

    def _layout(self, root: Path, samples: list[Mapping[str, Any]], about: Mapping[str, Any]) -> Layout:
        timed = all("timestamp" in sample for sample in samples)
        times = [round(float(sample["timestamp"]) * 1e6) * 1000 for sample in samples] if timed else []
        times = times or frames_apart(len(samples)).tolist()
        tracks, sensors = {}, {}
        for channel in [name for name, item in samples[0]["images"].items() if "img_path" in item]:
            files = [_find(root, sample["images"][channel]["img_path"], channel) for sample in samples]
            tracks[channel] = image_track(channel, files, times)  # one time for all: exposure differs by some ms
            sensors["front" if channel == "CAM2" else re.sub("^cam_", "", channel.lower())] = channel
        columns = NUSCENES_FIELDS if int(samples[0]["lidar_points"]["num_pts_feats"]) == 5 else KITTI_FIELDS
        sweeps = [_find(root, sample["lidar_points"]["lidar_path"], "LIDAR_TOP") for sample in samples]
        tracks["lidar"] = cloud_track("lidar", sweeps, times, lambda f, t: read_bin(f, columns, t))
        rigs: dict[int, Calibration] = {}

        def calibration(number: int) -> Calibration:
            if number not in rigs:
                rigs.clear()
                try:
                    rigs[number] = _rig(samples[number], tracks)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise InputError(root, f"sample {number}", "matrices of its cameras", repr(error)) from error
            return rigs[number]

        layout = Layout(tracks, sensors | {"lidar": "lidar"}, calibration, truth=lambda _, n: _truth(samples[n], about))
        if all("ego2global" in sample for sample in samples):
            poses = [_numbers(sample["ego2global"]).reshape(4, 4) for sample in samples]
            layout.poses, layout.pose_source = PoseTrack.of(times, poses), "ego2global"
        return layout


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        plain = module == "builtins" and name in _BUILTINS
        array = module.split(".")[0] == "numpy" and name in _NUMPY
        if plain or array or (module, name) in _OTHER:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is neither a plain value nor an array")


def _load(file: Path) -> Any:
    try:
        data = _Unpickler(io.BytesIO(file.read_bytes())).load()
    except Exception as error:  # damaged pickles raise whatever the values they name raise
        raise InputError(file, "", "a pickle of plain values and arrays", repr(error)) from error
    if not isinstance(data, dict) or not isinstance(data.get("data_list"), list) or not data["data_list"]:
        raise InputError(file, "", "a dict with a list of samples in data_list", type(data).__name__)
    return data


def _numbers(value: Any) -> np.ndarray:
    """Float64 of what a pickle holds; a damaged dtype may claim that its numbers are objects, and must not be used."""
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise ValueError("an array of objects in place of numbers")
    return array.astype(np.float64)


def _find(root: Path, name: str, channel: str) -> Path:
    places = [file_inside(root, f"{place.format(channel=channel)}/{name}".lstrip("/")) for place in _PLACES]
    return next((path for path in places if path.is_file()), places[0])


def _ego_from_lidar(sample: Mapping[str, Any]) -> np.ndarray:
    given = sample["lidar_points"].get("lidar2ego")
    if given is not None:
        return _numbers(given).reshape(4, 4)
    return make_pose(np.eye(3), np.array([0, 0, LIDAR_HEIGHT_M]))


def _rig(sample: Mapping[str, Any], tracks: Mapping[str, Any]) -> Calibration:
    ego_from_lidar = _ego_from_lidar(sample)
    cameras = {}
    for channel in tracks:
        item = sample["images"].get(channel)
        if item is None or "lidar2cam" not in item:
            continue
        matrix = _numbers(item["cam2img"])[:3, :3]
        own = item.get("cam2ego")
        camera_from_lidar: np.ndarray = _numbers(item["lidar2cam"]).reshape(4, 4)
        if np.shape(item["cam2img"]) != (3, 3):  # a projection: its last column places the camera beside camera 0
            shift = np.linalg.solve(matrix, _numbers(item["cam2img"])[:3, 3])
            camera_from_lidar = make_pose(np.eye(3), shift) @ camera_from_lidar
        pose = ego_from_lidar @ invert_pose(camera_from_lidar)
        if own is not None:
            pose = _numbers(own).reshape(4, 4)
        size = int(item.get("width") or 0), int(item.get("height") or 0)
        if not all(size):
            size = image_size(tracks[channel])
        cameras[channel] = Camera(channel, *size, matrix, ego_from_camera=pose)
    return Calibration(cameras, {"lidar": ego_from_lidar})


def _truth(sample: Mapping[str, Any], about: Mapping[str, Any]) -> list[Result]:
    if "ego2global" not in sample or "instances" not in sample:
        return []  # KITTI infos state boxes in the camera's frame: read the object layout for them
    names = about.get("categories") or {}
    classes = tuple(sorted(names, key=lambda name: int(names[name]))) or tuple(map(str, range(100)))
    rows = [row for row in sample["instances"] if 0 <= int(row["bbox_label_3d"]) < len(classes)]
    boxes = _numbers([row["bbox_3d"] for row in rows]).reshape(-1, 7)
    speeds = _numbers([row.get("velocity") or (0, 0) for row in rows]).reshape(-1, 2)
    labels = np.array([row["bbox_label_3d"] for row in rows], np.int64)
    lidar = Boxes3D("world", boxes.astype(np.float32), np.ones(len(rows)), labels, classes, np.nan_to_num(speeds))
    return [lidar.moved(_ego_from_lidar(sample), "ego")]
