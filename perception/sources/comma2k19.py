"""Segments of comma2k19: a minute of ``video.hevc`` with poses and logs as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perception.arrays import load_npy
from perception.errors import InputError
from perception.geometry import Camera, make_pose, quaternion_to_matrix, rotation_from_euler
from perception.geometry.geodesy import enu_from_ecef, geodetic_from_ecef
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, invert_pose
from perception.registry import SOURCES
from perception.sources.dataset import DatasetSource, Layout, Track
from perception.sources.transforms import PoseTrack
from perception.sources.video_frames import VideoFrames
from perception.structures import Calibration, Fault

__all__ = ["Comma2k19Source"]

_VIDEOS = ("video.hevc", "video.mp4", "video.mkv")
_FOCAL, _SIZE, _HEIGHT_M = 910.0, (1164, 874), 1.22
"""Camera of the devices that recorded the data set: focal length and size in pixels, usual height above the road."""
_MOVING_MPS = 5.0
_FORWARD_LEFT_UP = np.diag([1.0, -1.0, -1.0])
"""Device axes (forward, right, down) from ego axes (forward, left, up)."""


@SOURCES.register_module()
class Comma2k19Source(DatasetSource):
    """One segment. Frame times and poses come from ``global_pose``; the world is east, north, up of the first frame.

    The camera is the one the data set describes, 1.22 m above the road; ``--calib`` replaces it. How it is turned in
    the car follows from the velocities, which point forward in the mean.

    Raises:
        InputError: The video or the arrays of ``global_pose`` are missing or damaged.
    """

    KIND = "comma2k19 segment"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.95 if (path / "global_pose" / "frame_times").is_file() else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        folder = self.path / "global_pose"
        times = np.round(_array(folder / "frame_times", ()) * 1e9).astype(np.int64)
        poses = self._poses(times)
        video = next((self.path / name for name in _VIDEOS if (self.path / name).is_file()), None)
        if video is None:
            raise InputError(self.path, "", f"a video ({', '.join(_VIDEOS)})", "poses and logs alone")
        self._video = VideoFrames(video)
        count = min(len(self._video), len(times))
        if not count or (np.diff(times) <= 0).any():
            raise InputError(folder / "frame_times", "", "ascending times, one a frame of the video", f"{len(times)}")
        faults = []
        if len(self._video) != len(times):
            message = f"expected {len(times)} frames as there are times, found {len(self._video)}"
            faults.append(Fault("front", "time", message))
        track = Track(
            "video", "image", times[:count], self._video.read, lambda n: f"frame {n}", f"video ({video.name})"
        )
        rig = Calibration({"video": self._camera})
        layout = Layout({"video": track}, {"front": "video"}, lambda _: rig, poses, "global_pose (GNSS)", faults=faults)
        layout.origin = self._origin
        return layout

    def close(self) -> None:
        """Let the video go."""
        super().close()
        self._video.close()

    def _poses(self, times: np.ndarray) -> PoseTrack:
        """Ego poses: the device's, turned to forward, left, up and lowered to the road."""
        places = _array(self.path / "global_pose" / "frame_positions", (3,))
        turns = _array(self.path / "global_pose" / "frame_orientations", (4,))
        if not len(times) == len(places) == len(turns) or not len(times):
            found = f"{len(times)}, {len(places)} and {len(turns)}"
            raise InputError(self.path / "global_pose", "", "as many times as positions and orientations", found)
        turned = quaternion_to_matrix(turns[:, [1, 2, 3, 0]]) @ _FORWARD_LEFT_UP
        ego_from_device = make_pose(self._mounting(turned), np.array([0, 0, _HEIGHT_M]))
        self._camera = _camera(ego_from_device)
        enu, device_from_ego = enu_from_ecef(places[0]), invert_pose(ego_from_device)
        latitude, longitude, height = geodetic_from_ecef(places[:1])[0].tolist()
        self._origin = latitude, longitude, height
        return PoseTrack.of(
            times.tolist(), [enu @ make_pose(turn, place) @ device_from_ego for turn, place in zip(turned, places)]
        )

    def _mounting(self, turned: np.ndarray) -> np.ndarray:
        """(3, 3) rotation ``ego_from_device``: pitch and yaw under which the mean velocity points forward."""
        file = self.path / "global_pose" / "frame_velocities"
        if not file.is_file():
            return np.eye(3)
        speeds = _array(file, (3,))
        if len(speeds) != len(turned):
            return np.eye(3)
        local = np.einsum("nji,nj->ni", turned, speeds)
        moving = np.linalg.norm(local, axis=1) > _MOVING_MPS
        if not moving.any():
            return np.eye(3)
        x, y, z = local[moving].mean(axis=0)
        return rotation_from_euler(0, -np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)).T


def _camera(ego_from_device: np.ndarray) -> Camera:
    width, height = _SIZE
    matrix = np.array([[_FOCAL, 0, width / 2], [0, _FOCAL, height / 2], [0, 0, 1]])
    pose = ego_from_device @ make_pose(CAMERA_AXES_IN_EGO, np.zeros(3))
    return Camera("video", width, height, matrix, ego_from_camera=pose)


def _array(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    array = load_npy(file)
    expected = f"finite floats of shape (N, {', '.join(map(str, shape))})"
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape or array.dtype.kind != "f":
        raise InputError(file, "", expected, f"shape {array.shape}, {array.dtype}")
    if not np.isfinite(array).all():
        raise InputError(file, "", expected, "numbers that are not finite")
    return array.astype(np.float64)
