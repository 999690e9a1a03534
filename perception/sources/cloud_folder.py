"""A folder of ``.pcd`` or ``.bin`` clouds, with times and poses if there are files of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.geometry import make_pose, quaternion_to_matrix
from perception.registry import SOURCES
from perception.sources.cloud_files import guess_columns, read_bin, read_pcd
from perception.sources.dataset import DatasetSource, Layout, cloud_track, frames_apart
from perception.sources.times import TIME_FILES, name_times, natural_key, read_times
from perception.sources.transforms import PoseTrack
from perception.structures import Calibration

__all__ = ["CloudFolderSource", "read_poses"]

_SUFFIXES = (".pcd", ".bin")
_POSE_FILES = ("poses.txt", "poses.csv", "poses.tum")


@SOURCES.register_module()
class CloudFolderSource(DatasetSource):
    """One file a sweep, or a single file.

    Times come from ``timestamps.csv`` or ``.txt`` (as for pictures), else from file names that end with a time since
    1970, else the sweeps are 0.1 s apart in natural order of their names. ``poses.txt`` (or ``.csv``, ``.tum``) holds
    ``world_from_ego`` in one of two forms: 12 numbers a line, the rows of a 3x4 matrix, one line a sweep; or 8 numbers
    a line, time in seconds, x y z, quaternion x y z w. ``.bin`` files have 4 or 5 columns of float32. The ego frame is
    that of the LiDAR.
    """

    KIND = "cloud folder"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        if path.is_dir():
            return 0.6 if _files(path) else 0
        with path.open("rb") as stream:
            head = stream.read(512)
        if path.suffix == ".pcd" and b"VERSION" in head:
            return 0.9
        return 0.3 if path.suffix == ".bin" and head else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        folder = self.path if self.path.is_dir() else self.path.parent
        files = _files(folder) if self.path.is_dir() else [self.path]
        times: Sequence[int] | np.ndarray | None = None
        listed = next((folder / name for name in TIME_FILES if self.path.is_dir() and (folder / name).is_file()), None)
        if listed is not None:
            files, times = read_times(listed, files)
        else:
            times = name_times([file.name for file in files])
        if times is None:
            times = frames_apart(len(files))
        columns = guess_columns(files[0]) if files[0].suffix == ".bin" else ()

        def read(file: Path, time_ns: int):
            return read_bin(file, columns, time_ns) if file.suffix == ".bin" else read_pcd(file, time_ns)

        track = cloud_track("lidar", files, times, read)
        rig = Calibration({}, {"lidar": np.eye(4)})
        layout = Layout({"lidar": track}, {"lidar": "lidar"}, lambda _: rig)
        pose_file = next((folder / name for name in _POSE_FILES if (folder / name).is_file()), None)
        if pose_file is not None and self.path.is_dir():
            layout.poses = read_poses(pose_file, np.sort(np.asarray(times)))
            layout.pose_source = pose_file.name
        return layout


def read_poses(path: Path, times_ns: np.ndarray) -> PoseTrack:
    """Poses in a text file, see :class:`CloudFolderSource`; ``times_ns`` belong to poses without times.

    Raises:
        InputError: Neither form fits.
    """
    try:
        rows = [line.replace(",", " ").split() for line in path.read_text().splitlines()]
        rows = [row for row in rows if row and not row[0].startswith("#")]
        seconds = [row[0] for row in rows]
        table = np.array(rows, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(path, "", "12 or 8 numbers in every line", str(error)) from error
    if table.ndim != 2 or table.shape[1] not in (8, 12) or not np.isfinite(table).all():
        raise InputError(path, "", "12 or 8 finite numbers in every line", f"an array of shape {table.shape}")
    if table.shape[1] == 12:
        if len(table) != len(times_ns):
            raise InputError(path, "", f"{len(times_ns)} lines, one a sweep", str(len(table)))
        return PoseTrack.of(times_ns.tolist(), [np.vstack([row.reshape(3, 4), [0, 0, 0, 1]]) for row in table])
    if (np.linalg.norm(table[:, 4:], axis=1) < 1e-6).any():
        raise InputError(path, "", "quaternions x y z w that are not 0", "one that is")
    whole = [int(text.partition(".")[0] or 0) * 10**9 for text in seconds]
    stamps = [
        w + round(float(text) * 1e9 - w) if "e" in text else w + _fraction(text) for w, text in zip(whole, seconds)
    ]
    return PoseTrack.of(stamps, [make_pose(quaternion_to_matrix(row[4:]), row[1:4]) for row in table])


def _fraction(text: str) -> int:
    """Nanoseconds behind the point; float64 would lose them for times since 1970."""
    return int(text.partition(".")[2][:9].ljust(9, "0") or 0)


def _files(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")]
    return sorted((file for file in files if file.is_file()), key=lambda file: natural_key(file.name))
