"""KITTI in its three layouts: raw drives, odometry sequences and the object benchmark.

The ego frame has the axes of the inertial unit (x forward, y left, z up) and lies on the road below it. Where no file
relates the unit to the LiDAR (odometry), the ego frame lies below the LiDAR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.geometry import Camera, make_pose, rotation_from_euler
from perception.geometry.geodesy import east_north_up
from perception.geometry.transforms import invert_pose
from perception.registry import SOURCES
from perception.sources.cloud_files import KITTI_FIELDS, read_bin
from perception.sources.dataset import DatasetSource, Layout, Track, cloud_track, frames_apart, image_size, image_track
from perception.sources.pixels import picture_size
from perception.sources.times import read_time_list
from perception.sources.transforms import PoseTrack
from perception.structures import Boxes2D, Boxes3D, Calibration, Fault, PointCloud, Result

__all__ = ["KittiObjectSource", "KittiOdometrySource", "KittiRawSource", "read_calibration"]

UNIT_HEIGHT_M = 0.93
LIDAR_HEIGHT_M = 1.73
_CAMERAS = (0, 1, 2, 3)
_NAMES = {2: "front", 3: "front_right", 0: "front_gray", 1: "front_gray_right"}
"""Number of a camera -> sensor name: the left colour camera is the one models are fed with."""

Matrices = Mapping[str, np.ndarray]


class _Kitti(DatasetSource):
    def _layout(self, images: Mapping[int, Track], cloud: Track | None) -> Layout:
        tracks = {track.name: track for track in images.values()} | ({cloud.name: cloud} if cloud else {})
        sensors = {_NAMES[number]: images[number].name for number in (2, 3, 0, 1) if number in images}
        return Layout(tracks, sensors | ({"lidar": cloud.name} if cloud else {}))


@SOURCES.register_module()
class KittiRawSource(_Kitti):
    """``<date>_drive_<number>_sync`` or ``_extract``; the calibration files lie in the folder above it.

    Images of ``_sync`` drives are rectified and have no lens model; those of ``_extract`` are as recorded. Poses are
    those of the inertial unit, in metres east, north and up of the first one. Tracklets are not read.
    """

    KIND = "KITTI raw"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        folders = ("image_02", "image_00", "velodyne_points", "oxts")
        timed = [(path / name / "data").is_dir() and (path / name / "timestamps.txt").is_file() for name in folders]
        return 0.95 if any(timed) else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        images = {}
        for number in _CAMERAS:
            folder = self.path / f"image_0{number}"
            files, times = _timed_files(folder, (".png", ".jpg"))
            if files:
                images[number] = image_track(folder.name, files, times)
        files, times = _timed_files(self.path / "velodyne_points", (".bin",))
        cloud = cloud_track("velodyne_points", files, times, _read_velodyne) if files else None
        layout = self._layout(images, cloud)
        try:
            rig = self._rig(images)
            layout.calibration = lambda _: rig
        except InputError as error:
            if any((self.path.parent / f"calib_{name}.txt").is_file() for name in ("cam_to_cam", "velo_to_cam")):
                raise
            layout.faults.append(Fault("calibration", "missing", str(error)))
        poses = self._poses()
        if poses is not None:
            layout.poses, layout.pose_source = poses, "oxts (GNSS and inertial unit)"
            layout.origin = self._origin
        return layout

    def _rig(self, images: Mapping[int, Track]) -> Calibration:
        above = self.path.parent
        camera = read_calibration(above / "calib_cam_to_cam.txt")
        velo = read_calibration(above / "calib_velo_to_cam.txt")
        cam0_from_velo = make_pose(_matrix(velo, "R", (3, 3), above), _matrix(velo, "T", (3,), above))
        unit = read_calibration(above / "calib_imu_to_velo.txt")
        velo_from_unit = make_pose(_matrix(unit, "R", (3, 3), above), _matrix(unit, "T", (3,), above))
        ego_from_velo = _on_the_road(UNIT_HEIGHT_M) @ invert_pose(velo_from_unit)
        ego_from_cam0 = ego_from_velo @ invert_pose(cam0_from_velo)
        rectified = not self.path.name.endswith("_extract")
        cameras = {}
        for number, track in images.items():
            if rectified:
                turn = np.eye(4)
                turn[:3, :3] = _matrix(camera, "R_rect_00", (3, 3), above)
                projection = _matrix(camera, f"P_rect_0{number}", (3, 4), above)
                size = tuple(int(value) for value in _matrix(camera, f"S_rect_0{number}", (2,), above))
                cameras[track.name] = _rectified_camera(track.name, size, projection, ego_from_cam0 @ invert_pose(turn))
            else:
                pose = make_pose(
                    *(_matrix(camera, f"{k}_0{number}", s, above) for k, s in (("R", (3, 3)), ("T", (3,))))
                )
                k, d, s = (camera[f"{key}_0{number}"] for key in "KDS")
                cameras[track.name] = Camera(
                    track.name, int(s[0]), int(s[1]), k.reshape(3, 3), "plumb_bob", d, ego_from_cam0 @ invert_pose(pose)
                )
        return Calibration(cameras, {"velodyne_points": ego_from_velo})

    def _poses(self) -> PoseTrack | None:
        files, times = _timed_files(self.path / "oxts", (".txt",))
        if not files:
            return None
        try:
            rows = np.array([np.array(file.read_text().split()[:6], np.float64) for file in files])
            if rows.shape[1:] != (6,) or not np.isfinite(rows).all():
                raise ValueError(f"an array of shape {rows.shape}")
        except (ValueError, OSError) as error:
            raise InputError(self.path / "oxts", "", "lat lon alt roll pitch yaw in every file", str(error)) from error
        places = east_north_up(*rows[:, :3].T)
        latitude, longitude, height = rows[0, :3].tolist()
        self._origin = latitude, longitude, height
        road = invert_pose(_on_the_road(UNIT_HEIGHT_M))
        return PoseTrack.of(
            list(times), [make_pose(rotation_from_euler(*row[3:6]), place) @ road for row, place in zip(rows, places)]
        )


@SOURCES.register_module()
class KittiOdometrySource(_Kitti):
    """``sequences/<number>`` with ``calib.txt``, ``times.txt``, ``image_*`` and ``velodyne``, poses in ``poses/``.

    The world frame is the ego frame of the first frame.
    """

    KIND = "KITTI odometry"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.95 if (path / "calib.txt").is_file() and (path / "times.txt").is_file() else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        times = read_time_list(self.path / "times.txt")
        images = {}
        for number in _CAMERAS:
            files = _files(self.path / f"image_{number}", (".png", ".jpg"))
            if files:
                images[number] = image_track(f"image_{number}", files, _numbered(files, times))
        files = _files(self.path / "velodyne", (".bin",))
        cloud = cloud_track("velodyne", files, _numbered(files, times), _read_velodyne) if files else None
        layout = self._layout(images, cloud)
        matrices = read_calibration(self.path / "calib.txt")
        ego_from_cam0 = _below_lidar() @ invert_pose(_affine(_matrix(matrices, "Tr", (3, 4), self.path)))
        rig = _benchmark_rig(self.path, images, matrices, ego_from_cam0, "velodyne")
        layout.calibration = lambda _: rig
        file = self.path.parent.parent / "poses" / f"{self.path.name}.txt"
        if file.is_file():
            rows = _table(file, 12)
            ego = [ego_from_cam0 @ _affine(row.reshape(3, 4)) @ invert_pose(ego_from_cam0) for row in rows]
            layout.poses = PoseTrack.of(times[: len(ego)].tolist(), ego[: len(times)])
            layout.pose_source = f"poses/{file.name}"
        return layout


@SOURCES.register_module()
class KittiObjectSource(_Kitti):
    """``training`` or ``testing`` of the object benchmark: single frames, each with its own calibration and labels.

    The frames have no times and no relation to each other; they are taken to be 0.1 s apart. Boxes are truth in the
    ego frame (3-D) and in the left colour camera (2-D); ``DontCare`` regions are left out.
    """

    KIND = "KITTI object"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.95 if (path / "calib").is_dir() and any((path / f"image_{n}").is_dir() for n in (2, 3)) else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        folders = [(n, _files(self.path / f"image_{n}", (".png", ".jpg"))) for n in (2, 3)]
        clouds = _files(self.path / "velodyne", (".bin",))
        stems = sorted({file.stem for _, files in folders for file in files} | {file.stem for file in clouds})
        times = dict(zip(stems, frames_apart(len(stems)).tolist()))
        images = {
            n: image_track(f"image_{n}", files, [times[file.stem] for file in files]) for n, files in folders if files
        }
        cloud = None
        if clouds:
            cloud = cloud_track("velodyne", clouds, [times[file.stem] for file in clouds], _read_velodyne)
        layout = self._layout(images, cloud)
        known: dict[int, Calibration] = {}

        def calibration(index: int) -> Calibration:
            if index not in known:
                known.clear()
                known[index] = self._rig(stems[index], images)
            return known[index]

        layout.calibration = calibration
        if (self.path / "label_2").is_dir():
            layout.truth = lambda _, index: self._truth(stems[index])
        return layout

    def _transforms(self, stem: str) -> tuple[Matrices, np.ndarray]:
        """Calibration of a frame, and ``ego_from_cam0`` (rectified)."""
        matrices = read_calibration(self.path / "calib" / f"{stem}.txt")
        turn = np.eye(4)
        turn[:3, :3] = _matrix(matrices, "R0_rect", (3, 3), self.path)
        rect_from_velo = turn @ _affine(_matrix(matrices, "Tr_velo_to_cam", (3, 4), self.path))
        ego_from_velo = _below_lidar()
        if "Tr_imu_to_velo" in matrices:
            unit = _affine(_matrix(matrices, "Tr_imu_to_velo", (3, 4), self.path))
            ego_from_velo = _on_the_road(UNIT_HEIGHT_M) @ invert_pose(unit)
        return {**matrices, "Tr": rect_from_velo[:3]}, ego_from_velo @ invert_pose(rect_from_velo)

    def _rig(self, stem: str, images: Mapping[int, Track]) -> Calibration:
        matrices, ego_from_cam0 = self._transforms(stem)
        files = {n: next((self.path / f"image_{n}").glob(f"{stem}.*"), None) for n in images}
        sizes = {n: picture_size(file) for n, file in files.items() if file is not None}
        return _benchmark_rig(self.path, images, matrices, ego_from_cam0, "velodyne", sizes)

    def _truth(self, stem: str) -> list[Result]:
        file = self.path / "label_2" / f"{stem}.txt"
        if not file.is_file():
            return []
        _, ego_from_cam0 = self._transforms(stem)
        rows = [line.split() for line in file.read_text().splitlines() if line.strip()]
        short = next((number for number, row in enumerate(rows, 1) if len(row) < 15), None)
        if short is not None:
            raise InputError(file, f"line {short}", "15 columns", str(len(rows[short - 1])))
        rows = [row for row in rows if row[0] != "DontCare"]
        size = picture_size(next((self.path / "image_2").glob(f"{stem}.*")))
        return _labels(rows, ego_from_cam0, size)


def read_calibration(path: Path) -> dict[str, np.ndarray]:
    """Read lines ``name: numbers`` -> name -> (N,) float64; lines with other content are left out.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "", "a calibration file", str(error)) from error
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":" if ":" in line else " ")
        try:
            found[name.strip()] = np.array(numbers.split(), dtype=np.float64)
        except ValueError:
            continue
    return found


def _labels(rows: Sequence[Sequence[str]], ego_from_cam0: np.ndarray, size: tuple[int, int]) -> list[Result]:
    names = sorted({row[0] for row in rows})
    labels = np.array([names.index(row[0]) for row in rows], np.int64)
    values = np.array([row[1:15] for row in rows], np.float64).reshape(-1, 14)
    height, width, length = values[:, 7:10].T
    middle = values[:, 10:13] - np.stack([0 * height, height / 2, 0 * height], axis=1)  # the file gives the bottom
    middle = middle @ ego_from_cam0[:3, :3].T + ego_from_cam0[:3, 3]
    turn = values[:, 13]
    along = np.stack([np.cos(turn), 0 * turn, -np.sin(turn)], axis=1) @ ego_from_cam0[:3, :3].T
    yaw = np.arctan2(along[:, 1], along[:, 0])
    boxes = np.column_stack([middle, length, width, height, yaw]).astype(np.float32)
    scores = np.ones(len(rows), np.float32)
    return [
        Boxes3D("ego", boxes, scores, labels, tuple(names)),
        Boxes2D("image_2", size, values[:, 3:7].astype(np.float32), scores, labels, tuple(names)),
    ]


def _benchmark_rig(
    path: Path,
    images: Mapping[int, Track],
    matrices: Matrices,
    ego_from_cam0: np.ndarray,
    lidar: str,
    sizes: Mapping[int, tuple[int, int]] | None = None,
) -> Calibration:
    cameras = {}
    for number, track in images.items():
        size = sizes.get(number) if sizes is not None else image_size(track)
        if size:
            projection = _matrix(matrices, f"P{number}", (3, 4), path)
            if abs(np.linalg.det(projection[:, :3])) < 1e-9:
                raise InputError(
                    path, f"calibration P{number}", "a projection of focal lengths above 0", str(projection)
                )
            cameras[track.name] = _rectified_camera(track.name, size, projection, ego_from_cam0)
    return Calibration(cameras, {lidar: ego_from_cam0 @ _affine(_matrix(matrices, "Tr", (3, 4), path))})


def _rectified_camera(name: str, size: Sequence[int], projection: np.ndarray, ego_from_cam0: np.ndarray) -> Camera:
    """A camera of a rectified rig; the last column of its projection holds its place beside camera 0."""
    intrinsics = projection[:, :3]
    camera_from_cam0 = make_pose(np.eye(3), np.linalg.solve(intrinsics, projection[:, 3]))
    return Camera(
        name, int(size[0]), int(size[1]), intrinsics, ego_from_camera=ego_from_cam0 @ invert_pose(camera_from_cam0)
    )


def _matrix(matrices: Matrices, name: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    value = matrices.get(name)
    if value is None or value.size != int(np.prod(shape)) or not np.isfinite(value).all():
        found = "none" if value is None else f"{value.size} numbers"
        raise InputError(path, f"calibration {name}", f"{int(np.prod(shape))} numbers", found)
    return value.reshape(shape)


def _affine(rows: np.ndarray) -> np.ndarray:
    return np.vstack([rows, [0, 0, 0, 1]])


def _on_the_road(height: float) -> np.ndarray:
    """``ego_from_sensor`` of a level sensor above the ego origin."""
    return make_pose(np.eye(3), np.array([0, 0, height]))


def _below_lidar() -> np.ndarray:
    return _on_the_road(LIDAR_HEIGHT_M)


def _read_velodyne(file: Path, time_ns: int) -> PointCloud:
    return read_bin(file, KITTI_FIELDS, time_ns)


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((f for f in folder.iterdir() if f.suffix.lower() in suffixes), key=lambda f: (len(f.stem), f.stem))


def _timed_files(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """Files of ``data/`` and their times; the number of a file is its line in ``timestamps.txt``; some may miss."""
    files = _files(folder / "data", suffixes)
    if not files:
        return [], np.zeros(0, np.int64)
    return files, _numbered(files, read_time_list(folder / "timestamps.txt"))


def _numbered(files: Sequence[Path], times: np.ndarray) -> np.ndarray:
    numbers = [int(file.stem) if file.stem.isdecimal() else -1 for file in files]
    wrong = next((file for file, number in zip(files, numbers) if not 0 <= number < len(times)), None)
    if wrong is not None:
        raise InputError(wrong, "", f"a number below {len(times)}, the number of times", wrong.stem)
    return times[numbers]


def _table(path: Path, columns: int) -> np.ndarray:
    try:
        rows = np.array(path.read_text().split(), np.float64)
        return rows.reshape(-1, columns)
    except (OSError, ValueError) as error:
        raise InputError(path, "", f"rows of {columns} numbers", str(error)) from error
