"""One frame of OpenLane-V2: cameras, pose and annotation, from the raw json or from a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from perception.datasets.openlanev2.annotation import Annotation, read_block, to_result
from perception.datasets.openlanev2.names import FRONT, IMAGE_SIZES, subset_of
from perception.errors import InputError, PerceptionError
from perception.geometry import make_pose
from perception.metrics.openlanev2.records import Place
from perception.structures import Calibration, Camera, Frame, Provenance

__all__ = ["RoadFrame", "read_frame"]

SD_MAP = "sd_map"


@dataclass(frozen=True, eq=False)
class RoadFrame:
    """A frame.

    Attributes:
        split: ``train``, ``val``, ``test``, or whatever the file or collection calls it.
        segment: Id of the segment.
        timestamp: As in the file names; nanoseconds in subset A, microseconds in subset B.
        cameras: Name -> camera without lens: published models and drawings ignore the three distortion numbers.
        distortions: Name -> (3,) float64 k1, k2, k3.
        images: Name -> path of the picture, relative to the root of the dataset.
        world_from_ego: (4, 4) float64.
        track: Of the annotation, ``"centerline"`` or ``"lane_segment"``.
        annotation: None for test frames.
        sd_map: Category -> lines (P, 2) float32, ego metres; empty unless a collection brought it.
        source: Data set and log that the frame was made from.
    """

    split: str
    segment: str
    timestamp: int
    cameras: Mapping[str, Camera]
    distortions: Mapping[str, np.ndarray]
    images: Mapping[str, str]
    world_from_ego: np.ndarray
    track: str
    annotation: Annotation | None
    sd_map: Mapping[str, tuple[np.ndarray, ...]]
    source: str = ""

    @property
    def name(self) -> str:
        """``<split>/<segment>/<timestamp>``, the identifier in result files."""
        return f"{self.split}/{self.segment}/{self.timestamp}"

    @property
    def subset(self) -> str | None:
        """``"A"``, ``"B"``, or None when the cameras are of neither."""
        return subset_of(self.cameras)

    @property
    def front(self) -> Camera | None:
        """The camera that boxes of traffic elements are in."""
        return self.cameras.get(FRONT[self.subset]) if self.subset else None

    @property
    def timestamp_ns(self) -> int:
        """Time in nanoseconds."""
        return self.timestamp * (1000 if self.subset == "B" else 1)

    def to_frame(self, root: Path | None = None, index: int = 0) -> Frame:
        """The frame as drives deliver it.

        Args:
            root: Root of the dataset to read the pictures from; None leaves them out.
            index: Number of the frame in its segment.

        Raises:
            InputError: A picture is missing, not readable, or of another size than its camera's.
        """
        images = {} if root is None else {name: read_picture(root, path) for name, path in self.images.items()}
        for name, image in images.items():
            if image.shape[1::-1] != self.cameras[name].size:
                found = f"{image.shape[1]}x{image.shape[0]}"
                size = "x".join(map(str, self.cameras[name].size))
                raise InputError(f"{root}/{self.images[name]}", f"frame {self.name}", f"a picture of {size}", found)
        truth = {}
        if self.annotation is not None:
            front = self.front or next(iter(self.cameras.values()))
            result = to_result(self.annotation, front.name, front.size)
            truth[f"ego/{result.KIND}"] = result
        return Frame(
            self.timestamp_ns,
            index,
            images,
            calibration=Calibration(self.cameras),
            ego_pose=self.world_from_ego,
            truth=truth,
            provenance=Provenance(f"{self.split}/{self.segment}", "openlanev2", str(self.timestamp)),
        )


def read_frame(record: Mapping[str, Any], path: Path, track: str, split: str = "") -> RoadFrame:
    """Read the object of a frame.

    Args:
        record: Content of ``<timestamp>[-ls].json``, or a value of a collection.
        path: Where it comes from, for errors.
        track: Which annotation it holds.
        split: ``train``, ``val``, ``test``.

    Raises:
        InputError: A key is missing, a matrix of the wrong shape, not a rotation or not finite, an object malformed.
    """
    segment, stamp = record.get("segment_id"), record.get("timestamp")
    place = Place(path, f"{split}/{segment}/{stamp}")
    if isinstance(stamp, bool) or not str(stamp).isdecimal() or not isinstance(segment, str) or not segment:
        raise place.error("segment_id and timestamp", "a text and a whole number", f"{segment!r} and {stamp!r}")
    sensors = _mapping(place, record, "sensor")
    cameras, distortions, images = {}, {}, {}
    for name, sensor in sensors.items():
        if name == SD_MAP:  # the official collections put the map between the cameras
            continue
        if not isinstance(sensor, Mapping):
            raise place.error(f"sensor {name}", "an object", type(sensor).__name__)
        cameras[name], distortions[name] = _camera(place, name, sensor)
        images[name] = _image_path(place, name, sensor)
    block = record.get("annotation")
    pose = _pose(place, "pose", _mapping(place, record, "pose"))
    meta = record.get("meta_data") or {}
    return RoadFrame(
        split,
        segment,
        int(str(stamp)),
        cameras,
        distortions,
        images,
        pose,
        track,
        None if block is None else read_block(place, _mapping(place, record, "annotation"), track, predicted=False),
        {
            kind: tuple(np.asarray(line, np.float32) for line in lines)
            for kind, lines in sensors.get(SD_MAP, {}).items()
        },
        f"{meta.get('source', '')} {meta.get('source_id', '')}".strip(),
    )


def read_picture(root: Path, relative: str) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB.

    Raises:
        InputError: It is missing or cannot be decoded.
    """
    import cv2

    path = root / relative
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(path, "", "a picture", str(error)) from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise InputError(path, "", "a picture", f"{len(data)} bytes that cannot be decoded")
    return image[..., ::-1]


def _camera(place: Place, name: str, sensor: Mapping[str, Any]) -> tuple[Camera, np.ndarray]:
    label = f"sensor {name}"
    intrinsic = _mapping(place, sensor, "intrinsic", label)
    matrix = _array(place, f"{label}, intrinsic K", intrinsic.get("K"), (3, 3))
    distortion = _array(place, f"{label}, intrinsic distortion", intrinsic.get("distortion", [0, 0, 0]), (3,))
    width, height = _image_size(place, name, sensor, matrix)
    pose = _pose(place, f"{label}, extrinsic", _mapping(place, sensor, "extrinsic", label))
    try:
        return Camera(name, width, height, matrix, ego_from_camera=pose), distortion
    except PerceptionError as error:
        raise place.error(label, "a camera", str(error)) from error


def _image_size(place: Place, name: str, sensor: Mapping[str, Any], matrix: np.ndarray) -> tuple[int, int]:
    """(width, height): stated (official files do not), that of the subset's camera, or twice the principal point."""
    if "image_size" in sensor:
        stated = _array(place, f"sensor {name}, image_size", sensor["image_size"], (2,))
        return int(stated[0]), int(stated[1])
    known = IMAGE_SIZES.get(name)
    if known and all(abs(matrix[axis, 2] / size - 0.5) < 0.2 for axis, size in enumerate(known)):
        return known
    return max(1, round(2 * matrix[0, 2] + 1)), max(1, round(2 * matrix[1, 2] + 1))


def _image_path(place: Place, name: str, sensor: Mapping[str, Any]) -> str:
    value = sensor.get("image_path")
    path = PurePosixPath(str(value))
    if not isinstance(value, str) or not value or path.is_absolute() or ".." in path.parts:
        raise place.error(f"sensor {name}, image_path", "a path below the root of the dataset", repr(value))
    return value


def _pose(place: Place, label: str, value: Mapping[str, Any]) -> np.ndarray:
    rotation = _array(place, f"{label} rotation", value.get("rotation"), (3, 3))
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise place.error(f"{label} rotation", "a rotation matrix", f"{rotation.round(3).tolist()}")
    return make_pose(rotation, _array(place, f"{label} translation", value.get("translation"), (3,)))


def _mapping(place: Place, record: Mapping[str, Any], key: str, label: str = "") -> Mapping[str, Any]:
    value = record.get(key)
    if not isinstance(value, Mapping):
        where = f"{label}, {key}" if label else key
        raise place.error(where, "an object", type(value).__name__ if key in record else "nothing")
    return value


def _array(place: Place, label: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise place.error(label, f"numbers of shape {shape}", repr(value)) from None
    if array.shape != shape or not np.isfinite(array).all():
        raise place.error(label, f"finite numbers of shape {shape}", f"shape {array.shape}: {value!r}")
    return array
