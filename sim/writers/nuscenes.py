"""Towns in the layout of nuScenes: tables, LiDAR sweeps with point labels, boxes, and optionally cameras."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from perception.errors import PerceptionError
from perception.geometry import Camera
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, matrix_to_quaternion
from perception.jobs import run_jobs
from perception.ops.points_in_boxes import points_in_boxes
from perception.sim import presets
from perception.sim.city.drive import TownDrive
from perception.sim.city.model import Category
from perception.sim.city.sensors.rigs import DEFAULT_SIZES
from perception.sim.writers import Request, check_request
from perception.sinks.storage import write_file
from perception.structures import Boxes3D, Frame, PointCloud

VERSION = "v1.0-sim"
LABELS = {
    "noise": 0, "human.pedestrian.adult": 2, "vehicle.bicycle": 14, "vehicle.bus.rigid": 16, "vehicle.car": 17,
    "vehicle.motorcycle": 21, "vehicle.truck": 23, "flat.driveable_surface": 24, "flat.other": 25,
    "flat.sidewalk": 26, "flat.terrain": 27, "static.manmade": 28, "static.other": 29, "static.vegetation": 30,
}  # fmt: skip
"""Category -> its number in nuScenes-lidarseg."""
_OF_SURFACE = {
    Category.ROAD: "flat.driveable_surface", Category.LANE_MARK: "flat.driveable_surface",
    Category.CROSSING: "flat.driveable_surface", Category.SIDEWALK: "flat.sidewalk", Category.TERRAIN: "flat.terrain",
    Category.VEGETATION: "static.vegetation", Category.VEHICLE: "vehicle.car",
    Category.PERSON: "human.pedestrian.adult", Category.OTHER: "static.other", Category.SKY: "noise",
}  # fmt: skip
_OF_KIND = {
    "car": "vehicle.car", "van": "vehicle.car", "truck": "vehicle.truck", "bus": "vehicle.bus.rigid",
    "motorcycle": "vehicle.motorcycle", "bicycle": "vehicle.bicycle", "pedestrian": "human.pedestrian.adult",
}  # fmt: skip
_TABLES = (
    "attribute", "calibrated_sensor", "category", "ego_pose", "instance", "lidarseg", "log", "map", "sample",
    "sample_annotation", "sample_data", "scene", "sensor", "visibility",
)  # fmt: skip
Row = dict[str, Any]
Rows = dict[str, list[Row]]


class Style(NamedTuple):
    """What differs between data sets in this layout.

    Attributes:
        prefix: Begin of scene names.
        lidar: Channel of the LiDAR.
        key_every: Every so many sweeps one is a sample.
        truth: Write boxes and point labels.
        stamp: Time in nanoseconds -> how file names say it.
        in_ego: Clouds are in the car's frame.
    """

    prefix: str = "scene"
    lidar: str = "LIDAR_TOP"
    key_every: int = 5
    truth: bool = True
    stamp: Callable[[int], str] = lambda ns: str(ns // 1000)
    in_ego: bool = False


class _Job(NamedTuple):
    root: str
    seed: int
    frames: int
    rate_hz: float
    preset: str
    lidar: int
    rig: str
    size: tuple[int, int]
    style: str
    key_every: int


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format nuscenes``.

    Options: ``key_every``: every so many sweeps one is a sample with boxes and labels (5 as in nuScenes at 10 Hz; 1
    labels all). ``--rig`` adds cameras.
    """
    key_every = int(request.option({"key_every": "5"})["key_every"])
    yield from write_layout(request, "nuscenes", key_every)


def write_layout(request: Request, style: str, key_every: int) -> Iterator[str]:
    """Write scenes in parallel, then the tables; scenes that are complete are kept.

    Raises:
        PerceptionError: Numbers out of range, unknown preset or rig, or the disk cannot be written.
    """
    frames = 60 if request.frames is None else request.frames
    check_request(request.scenes, frames, request.seed)
    presets.get(request.preset)
    if key_every < 1 or request.world == "road":
        raise PerceptionError(f"simulate: --format {style} shows towns and needs key_every >= 1, found {key_every}")
    size = request.size or DEFAULT_SIZES.get(request.rig or "", (0, 0))
    common = (frames, request.rate_hz, request.preset, request.lidar or 32, request.rig or "", size, style, key_every)
    jobs = [_Job(str(request.out), request.seed + i, *common) for i in range(request.scenes)]
    scenes: list[Rows] = []
    for job, part in zip(jobs, run_jobs(_write_scene, jobs, request.workers)):
        scenes.append(part)
        yield f"{request.out}/{_scene_name(job)}"
    write_tables(request.out, scenes, _style(style))
    counts = [sum(len(part[name]) for part in scenes) for name in ("sample", "sample_data")]
    yield f"{request.out}/{VERSION}: {counts[0]} samples, {counts[1]} records"


def write_tables(root: Path, scenes: Sequence[Mapping[str, list[Row]]], style: Style) -> None:
    """Write the tables of scenes, each as :meth:`SceneWriter.finish` gives them."""
    fixed = _fixed_tables(style)
    for name in _TABLES:
        rows = {row["token"]: row for row in fixed.get(name, [])}
        rows |= {row["token"]: row for part in scenes for row in part.get(name, [])}
        write_file(root / VERSION / f"{name}.json", json.dumps(list(rows.values()), indent=0).encode())


def _style(name: str) -> Style:
    if name == "nuscenes":
        return Style()
    from perception.sim.writers.racecar import STYLE

    return STYLE


def _scene_name(job: _Job) -> str:
    return f"{_style(job.style).prefix}-{job.seed:07d}"


def _token(*parts: Any) -> str:
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def _fixed_tables(style: Style) -> Rows:
    categories = [
        {"token": _token("category", name), "name": name, "description": "", "index": index}
        for name, index in LABELS.items()
    ]
    visibility = [{"token": str(i), "level": f"v{20 * i - 20}-{20 * i}", "description": ""} for i in range(1, 5)]
    return {"category": categories if style.truth else [], "visibility": visibility}


def _write_scene(job: _Job) -> Rows:
    """Write the files of one scene unless it is complete; returns its rows."""
    root, name = Path(job.root), _scene_name(job)
    kept = root / VERSION / "scenes" / f"{name}.json"
    settings = [job.seed, job.frames, job.rate_hz, job.preset, job.lidar, job.rig, list(job.size), job.key_every]
    if kept.is_file():
        stored = json.loads(kept.read_text(encoding="utf-8"))
        if stored["settings"] != settings:
            raise PerceptionError(
                f"{kept}: expected a scene of {settings}, found {stored['settings']}; use a new folder"
            )
        return stored["tables"]
    drive = TownDrive(
        job.seed, job.preset, job.frames, job.rate_hz, job.rig or None, job.lidar, job.size if job.rig else None,
        truth=("boxes_3d",),
    )  # fmt: skip
    scene = SceneWriter(root, name, _style(job.style), job.key_every)
    for frame in drive:
        scene.add(frame)
    tables = scene.finish()
    write_file(kept, json.dumps({"settings": settings, "tables": tables}).encode())
    return tables


class SceneWriter:
    """Collects the rows of one scene while its frames are written."""

    def __init__(self, root: Path, name: str, style: Style, key_every: int) -> None:
        self.root, self.name, self.style, self.key_every = root, name, style, key_every
        self.rows: Rows = defaultdict(list)
        self.token, log = _token(name), _token(name, "log")
        self.rows["log"] = [{"token": log, "logfile": name, "vehicle": "sim", "date_captured": "", "location": "sim"}]
        self.rows["map"] = [{"token": _token(name, "map"), "log_tokens": [log], "category": "", "filename": ""}]
        self.rows["scene"] = [{"token": self.token, "name": name, "log_token": log, "description": "simulated town"}]
        self._tracks: dict[str, list[Row]] = defaultdict(list)
        self._seen: dict[int, list[Row]] = defaultdict(list)

    def add(self, frame: Frame) -> None:
        """Write one frame: sweep, pictures, labels."""
        key = frame.index % self.key_every == 0
        if key:
            self.rows["sample"].append(
                {"token": _token(self.name, "sample", frame.index), "timestamp": frame.timestamp_ns // 1000,
                 "scene_token": self.token, "prev": "", "next": ""}
            )  # fmt: skip
        pose = _token(self.name, "pose", frame.index)
        assert frame.ego_pose is not None
        stamp = frame.timestamp_ns // 1000
        self.rows["ego_pose"].append({"token": pose, "timestamp": stamp, **_rigid(frame.ego_pose)})
        cloud = frame.clouds["lidar"]
        mount = frame.calibration.sensors["lidar"]
        self._lidar(frame, cloud, mount, key, pose)
        for camera, image in frame.images.items():
            lens = frame.calibration.cameras[camera]
            _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            size = {"height": lens.height, "width": lens.width, "fileformat": "jpg"}
            self._record(frame, camera, _camera_mount(lens), key, pose, ".jpg", code.tobytes(), size)
        if key and self.style.truth:
            boxes = frame.truth["ego/boxes_3d"]
            assert isinstance(boxes, Boxes3D)
            self._annotate(boxes, frame, cloud, mount)

    def _lidar(self, frame: Frame, cloud: PointCloud, mount: np.ndarray, key: bool, pose: str) -> None:
        points = cloud.points
        if self.style.in_ego:
            points, mount = (points @ mount[:3, :3].T + mount[:3, 3]).astype(np.float32), np.eye(4)
        ring = np.zeros(len(points)) if self.style.in_ego else cloud.fields["ring"]
        table = np.column_stack([points, 255 * cloud.fields["intensity"], ring]).astype("<f4")
        extra = {"height": 0, "width": 0, "fileformat": "pcd"}
        placed = {**_rigid(mount), "camera_intrinsic": []}
        token = self._record(frame, self.style.lidar, placed, key, pose, ".pcd.bin", table.tobytes(), extra)
        if key and self.style.truth:
            name = f"lidarseg/{VERSION}/{token}_lidarseg.bin"
            write_file(self.root / name, _point_labels(cloud.fields["category"]).tobytes())
            self.rows["lidarseg"].append({"token": token, "sample_data_token": token, "filename": name})

    def _record(
        self, frame: Frame, channel: str, mount: Row, key: bool, pose: str, suffix: str, data: bytes, extra: Row
    ) -> str:
        """Write a file and its row of ``sample_data``; returns the row's token."""
        sensor, mounted = _token("sensor", channel), _token(self.name, "mount", channel)
        if not self._tracks[channel]:
            kind = "lidar" if suffix == ".pcd.bin" else "camera"
            self.rows["sensor"].append({"token": sensor, "channel": channel, "modality": kind})
            self.rows["calibrated_sensor"].append({"token": mounted, "sensor_token": sensor, **mount})
        stem = f"{self.name}__{channel}__{self.style.stamp(frame.timestamp_ns)}{suffix}"
        name = f"{'samples' if key else 'sweeps'}/{channel}/{stem}"
        write_file(self.root / name, data)
        row = {
            "token": _token(self.name, channel, frame.index), "sample_token": self.rows["sample"][-1]["token"],
            "ego_pose_token": pose, "calibrated_sensor_token": mounted, "timestamp": frame.timestamp_ns // 1000,
            "is_key_frame": key, "filename": name, **extra,
        }  # fmt: skip
        self._tracks[channel].append(row)
        return str(row["token"])

    def _annotate(self, boxes: Boxes3D, frame: Frame, cloud: PointCloud, mount: np.ndarray) -> None:
        """Boxes of a sample, in the world, with their numbers of points."""
        ego = torch.from_numpy(cloud.points @ mount[:3, :3].T + mount[:3, 3])
        grown = torch.from_numpy(boxes.boxes + np.array([0, 0, 0, 0.1, 0.1, 0.1, 0], np.float32))
        held = points_in_boxes(ego, grown).numpy()
        points = np.bincount(held[held >= 0], minlength=len(boxes))
        assert frame.ego_pose is not None
        world, sample = boxes.moved(frame.ego_pose, "world"), self.rows["sample"][-1]["token"]
        for i, (x, y, z, length, width, height, yaw) in enumerate(world.boxes.tolist()):
            track = int(boxes.track_ids[i])
            self._seen[track].append(
                {"token": _token(sample, track), "sample_token": sample, "instance_token": _token(self.name, track),
                 "visibility_token": "4" if points[i] else "1", "attribute_tokens": [], "translation": [x, y, z],
                 "size": [width, length, height], "rotation": [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)],
                 "num_lidar_pts": int(points[i]), "num_radar_pts": 0,
                 "kind": _OF_KIND[boxes.class_names[boxes.labels[i]]]}
            )  # fmt: skip

    def finish(self) -> Rows:
        """Link all rows and return them."""
        for rows in self._tracks.values():
            self.rows["sample_data"] += _linked(rows)
        samples = _linked(self.rows["sample"])
        ends = {"nbr_samples": len(samples), "first_sample_token": samples[0]["token"]}
        self.rows["scene"][0] |= {**ends, "last_sample_token": samples[-1]["token"]}
        for rows in self._seen.values():
            kinds = {row.pop("kind") for row in rows}
            ends = {"first_annotation_token": rows[0]["token"], "last_annotation_token": rows[-1]["token"]}
            self.rows["instance"].append(
                {"token": rows[0]["instance_token"], "category_token": _token("category", kinds.pop()),
                 "nbr_annotations": len(rows), **ends}
            )  # fmt: skip
            self.rows["sample_annotation"] += _linked(rows)
        return dict(self.rows)


def _linked(rows: list[Row]) -> list[Row]:
    for before, after in pairwise(rows):
        before["next"], after["prev"] = after["token"], before["token"]
    if rows:
        rows[0]["prev"], rows[-1]["next"] = "", ""
    return rows


def _point_labels(categories: np.ndarray) -> np.ndarray:
    table = [LABELS[_OF_SURFACE.get(Category(value), "static.manmade")] for value in range(len(Category))]
    return np.array(table, np.uint8)[categories]


def _rigid(pose: np.ndarray) -> Row:
    """``translation`` and ``rotation`` (w, x, y, z) of a pose."""
    x, y, z, w = matrix_to_quaternion(pose[:3, :3]).tolist()
    return {"translation": pose[:3, 3].tolist(), "rotation": [w, x, y, z]}


def _camera_mount(camera: Camera) -> Row:
    pose = camera.ego_from_camera
    if pose is None:
        pose = np.eye(4)
        pose[:3, :3] = CAMERA_AXES_IN_EGO
    return {**_rigid(pose), "camera_intrinsic": camera.intrinsics.tolist()}
