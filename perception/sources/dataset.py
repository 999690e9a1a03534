"""Data set folders as drives: a format says which files hold what, everything else is done here.

A format is one module: a subclass of :class:`DatasetSource` whose ``read_layout`` lists the records of each sensor
(:class:`Track`), the calibration and the ego poses. Reading, matching by time, ranges, faults and calibration that does
not fit an image are the same for all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.sources.base import DriveInfo, DriveOptions, DriveSource, StreamInfo
from perception.sources.mapping import CameraMapping, DriveMapping, LidarMapping, Sync
from perception.sources.pixels import decode_compressed
from perception.sources.rig import camera_yaws, check_cameras
from perception.sources.side_by_side import side_by_side
from perception.sources.transforms import PoseTrack
from perception.sources.wire import MessageError
from perception.structures import Calibration, Fault, Frame, PointCloud, Provenance, Result

__all__ = [
    "DatasetSource",
    "Layout",
    "Track",
    "cloud_track",
    "file_inside",
    "frames_apart",
    "image_size",
    "image_track",
]

Record = np.ndarray | PointCloud


@dataclass(frozen=True)
class Track:
    """The records of one sensor.

    Attributes:
        name: Name in the data set, such as ``CAM_FRONT``.
        kind: ``image`` or ``cloud``.
        times_ns: (N,) int64 time of each record, ascending.
        read: Record number -> (H, W, 3) uint8 RGB, or :class:`PointCloud` in the sensor frame.
        label: Record number -> what to call it in messages.
        type: Format of the files.
    """

    name: str
    kind: str
    times_ns: np.ndarray
    read: Callable[[int], Record]
    label: Callable[[int], str]
    type: str = ""

    def nearest(self, time_ns: int) -> tuple[int, int]:
        """Number of the record nearest to a time, and how many nanoseconds lie between (-1 when there is none)."""
        if not len(self.times_ns):
            return -1, -1
        right = int(np.clip(np.searchsorted(self.times_ns, time_ns), 1, max(len(self.times_ns) - 1, 1)))
        pair = [right - 1, min(right, len(self.times_ns) - 1)]
        best = min(pair, key=lambda index: abs(int(self.times_ns[index]) - time_ns))
        return best, abs(int(self.times_ns[best]) - time_ns)


@dataclass
class Layout:
    """What a data set folder holds.

    Attributes:
        tracks: Tracks by name.
        sensors: Suggested sensor name -> name of its track.
        calibration: Number of a frame -> rig, by *track* name. Return the same object while nothing changes.
        poses: Ego poses ``world_from_ego``, None when the data set has none.
        pose_source: Where they come from, for the report.
        truth: (track that drives the frames, record number) -> ground truth, with a track or ``ego`` as ``frame_id``.
        reference: Suggested sensor to drive the frames; empty: ``front``, else the first camera, else the first LiDAR.
        tolerance_ms: Largest difference of times within one frame.
        faults: Damage found while listing.
        origin: Latitude, longitude and height of the world of the poses, see :class:`~perception.structures.Frame`.
    """

    tracks: Mapping[str, Track]
    sensors: Mapping[str, str]
    calibration: Callable[[int], Calibration] = lambda _: Calibration()
    poses: PoseTrack | None = None
    pose_source: str = ""
    truth: Callable[[str, int], Sequence[Result]] | None = None
    reference: str = ""
    tolerance_ms: float = 50.0
    faults: list[Fault] = field(default_factory=list)
    origin: tuple[float, float, float] | None = None


class DatasetSource(DriveSource):
    """A drive in the folder layout of a data set. The mapping names tracks where that of a bag names topics.

    Raises:
        InputError: A file the layout needs is missing or damaged, or no sensor has a record.
        UnknownNameError: The mapping or a calibration names what the data set does not have.
    """

    def __init__(self, path: Path, options: DriveOptions) -> None:
        super().__init__(path, options)
        self.layout = self.read_layout()
        self.mapping = options.mapping or _suggested(self.layout)
        self._tracks = _mapped(self.mapping, self.layout.tracks)
        check_cameras(options.cameras, self.mapping.cameras)
        self.reference = self.mapping.reference
        if not self.reference or not len(self._tracks[self.reference].times_ns):
            found = ", ".join(f"{t.name} ({len(t.times_ns)} records)" for t in self.layout.tracks.values()) or "none"
            raise InputError(path, "", "camera images or point clouds", found)
        self._times = self._tracks[self.reference].times_ns
        self._has_pose = bool(self.mapping.pose) and self.layout.poses is not None
        self._memo: dict[str, tuple[int, Record]] = {}
        self._renamed_rig: tuple[object, Calibration] = (None, Calibration())
        self.faults += self.layout.faults

    @abstractmethod
    def read_layout(self) -> Layout:
        """List what :attr:`path` holds; called once."""

    @property
    def info(self) -> DriveInfo:
        """See :class:`DriveInfo`."""
        rig = self._calibration(0)
        sizes = {name: self._size(self._tracks[name]) for name in self.mapping.cameras}
        posed = [name for name, camera in rig.cameras.items() if camera.ego_from_camera is not None]
        return DriveInfo(
            uri=str(self.path),
            source=type(self).__name__,
            streams=tuple(_stream(track) for track in self.layout.tracks.values()),
            start_ns=int(self._times[0]),
            end_ns=int(self._times[-1]),
            frames=len(self._times),
            frames_exact=True,
            cameras=sizes,
            lidars=tuple(self.mapping.lidars),
            calibrated=tuple(rig.cameras),
            posed=(*posed, *(name for name in rig.sensors if name in self.mapping.lidars)),
            has_pose=self._has_pose,
            mapping=self.mapping,
            faults=tuple(self.faults),
            pose_source=self.layout.pose_source if self._has_pose else "",
            yaws=camera_yaws(rig.cameras),
            origin=self.layout.origin if self._has_pose else None,
        )

    def __len__(self) -> int:
        """Frames in the range."""
        first, last = self._range()
        return max(-(-(last - first) // self.options.every), 0)

    def close(self) -> None:
        """Forget decoded records; no file stays open between frames."""
        self._memo.clear()

    def stream_times(self) -> dict[str, np.ndarray]:
        """See :meth:`DriveSource.stream_times`."""
        return {track.name: track.times_ns for track in self.layout.tracks.values()}

    def _range(self) -> tuple[int, int]:
        begin = int(self._times[0])
        first = int(np.searchsorted(self._times, self.options.start_ns(begin)))
        return first, int(np.searchsorted(self._times, self.options.end_ns(begin), side="right"))

    def _frames(self, from_ns: int | None) -> Iterator[Frame]:
        first, last = self._range()
        for index in range(first, last, self.options.every):
            if from_ns is None or self._times[index] >= from_ns:
                yield self._frame(index)

    def _frame(self, index: int) -> Frame:
        time_ns = int(self._times[index])
        faults: list[Fault] = []
        images: dict[str, np.ndarray] = {}
        clouds: dict[str, PointCloud] = {}
        reads = [partial(self._record, name, track, index, time_ns) for name, track in self._tracks.items()]
        for name, (value, found) in zip(self._tracks, side_by_side(reads)):
            faults += found
            if isinstance(value, PointCloud):
                clouds[name] = value
            elif value is not None:
                images[name] = value
        pose = self.layout.poses.at(time_ns) if self._has_pose and self.layout.poses else None
        if self._has_pose and pose is None:
            faults.append(Fault("ego_pose", "missing", f"expected a pose around {time_ns} ns, found none"))
        reference = self._tracks[self.reference]
        provenance = Provenance(str(self.path), type(self).__name__, reference.label(index))
        calibration = self._fitting(index, images, faults)
        truth = self._frame_truth(reference, index, faults)
        origin = self.layout.origin if self._has_pose else None
        return Frame(time_ns, index, images, clouds, calibration, pose, truth, tuple(faults), provenance, origin)

    def _record(self, name: str, track: Track, index: int, time_ns: int) -> tuple[Record | None, list[Fault]]:
        number, distance = (index, 0) if name == self.reference else track.nearest(time_ns)
        tolerance_ms = self.mapping.sync.tolerance_ms
        if number < 0 or distance > tolerance_ms * 1e6:
            gap = "no record" if number < 0 else f"the nearest {distance / 1e6:.1f} ms away"
            expected = f"expected a record within {tolerance_ms:g} ms of {time_ns} ns"
            return None, [Fault(name, "missing", f"{expected}, found {gap}")]
        known = self._memo.get(name)
        if known is not None and known[0] == number:
            return known[1], []
        faults: list[Fault] = []
        try:
            value = track.read(number)
        except FileNotFoundError:
            return None, [Fault(name, "missing", f"{track.label(number)}: no such file")]
        except (PerceptionError, OSError, ValueError) as error:
            return None, [Fault(name, "corrupt", f"{track.label(number)}: {error}")]
        if isinstance(value, PointCloud):
            value = _finite(value, name, faults)
        self._memo[name] = number, value
        return value, faults

    def _frame_truth(self, reference: Track, index: int, faults: list[Fault]) -> Mapping[str, Result]:
        if self.layout.truth is None:
            return {}
        try:
            results = self.layout.truth(reference.name, index)
        except (PerceptionError, OSError, ValueError, KeyError, TypeError) as error:
            faults.append(Fault("truth", "corrupt", f"{reference.label(index)}: {error}"))
            return {}
        sensors = {track.name: name for name, track in self._tracks.items()}
        named = [_renamed(result, sensors) for result in results]
        return {f"{result.frame_id}/{result.KIND}": result for result in named}

    def _calibration(self, index: int) -> Calibration:
        """The rig by sensor name, with the calibrations the user gave."""
        rig = self.layout.calibration(index)
        if self._renamed_rig[0] is not rig:
            cameras = {}
            for name, entry in self.mapping.cameras.items():
                camera, given = rig.cameras.get(entry.image), self.options.cameras.get(name)
                if given is not None and given.ego_from_camera is None and camera is not None:
                    given = replace(given, ego_from_camera=camera.ego_from_camera)
                camera = given or camera
                if camera is not None:
                    cameras[name] = replace(camera, name=name)
            lidars = {name: entry.points for name, entry in self.mapping.lidars.items()}
            sensors = {name: rig.sensors[points] for name, points in lidars.items() if points in rig.sensors}
            self._renamed_rig = rig, Calibration(cameras, sensors)
        return self._renamed_rig[1]

    def _fitting(self, index: int, images: Mapping[str, np.ndarray], faults: list[Fault]) -> Calibration:
        """The rig without cameras whose image has another size than the one they were calibrated for."""
        try:
            rig = self._calibration(index)
        except (PerceptionError, OSError) as error:
            faults.append(Fault("calibration", "corrupt", str(error)))
            return Calibration()
        wrong = set()
        for name, image in images.items():
            camera = rig.cameras.get(name)
            if camera is not None and image.shape[1::-1] != camera.size:
                wrong.add(name)
                expected, found = f"{camera.width}x{camera.height}", f"{image.shape[1]}x{image.shape[0]}"
                faults.append(Fault(name, "size", f"expected {expected} as calibrated, found an image of {found}"))
        if not wrong:
            return rig
        return Calibration({name: c for name, c in rig.cameras.items() if name not in wrong}, rig.sensors)

    def _size(self, track: Track) -> tuple[int, int] | None:
        try:
            return image_size(track) if len(track.times_ns) else None
        except (PerceptionError, OSError, ValueError):
            return None


def image_track(name: str, files: Sequence[Path], times_ns: Sequence[int] | np.ndarray) -> Track:
    """A camera track of picture files, sorted by time; see :class:`Track`."""
    return _file_track(name, "image", files, times_ns, lambda file, _: decode_compressed(file.read_bytes()))


def cloud_track(
    name: str,
    files: Sequence[Path],
    times_ns: Sequence[int] | np.ndarray,
    read: Callable[[Path, int], PointCloud],
) -> Track:
    """A LiDAR track of one file a sweep, sorted by time; ``read`` gets the file and its time."""
    return _file_track(name, "cloud", files, times_ns, read)


def file_inside(root: Path, name: str, record: str = "") -> Path:
    """``root / name`` for a name that was read from a file; refuses one that leads out of ``root``.

    Raises:
        InputError: The path leaves the folder.
    """
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InputError(root, record, "a file inside the folder", repr(name))
    return root / name


def frames_apart(count: int, period_s: float = 0.1) -> np.ndarray:
    """Times of records for which the data set states none: ``count`` of them, ``period_s`` apart, from 0."""
    return np.arange(count, dtype=np.int64) * round(period_s * 1e9)


def image_size(track: Track) -> tuple[int, int]:
    """(width, height) of the first picture of a camera that is there.

    Raises:
        MessageError: It does not decode, or the first hundred are missing.
    """
    missing = ""
    for number in range(min(len(track.times_ns), 100)):
        try:
            image = track.read(number)
        except OSError as error:
            missing = missing or str(error)
            continue
        assert isinstance(image, np.ndarray)
        return image.shape[1], image.shape[0]
    raise MessageError(f"{track.name}: expected a picture, found none: {missing or 'no files'}")


def _file_track(
    name: str,
    kind: str,
    files: Sequence[Path],
    times_ns: Sequence[int] | np.ndarray,
    read: Callable[[Path, int], Record],
) -> Track:
    try:
        times = np.asarray(times_ns, dtype=np.int64).reshape(-1)
    except OverflowError as error:
        raise InputError(files[0].parent, name, "times that fit into 64 bits", str(error)) from error
    if len(times) != len(files):
        raise InputError(files[0].parent if files else name, name, f"{len(files)} times, one a file", str(len(times)))
    order = np.argsort(times, kind="stable")
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(times[order]) > 0  # of two records with one time the first stays
    order = order[first]
    kept = [files[index] for index in order]
    times = times[order]
    suffixes = sorted({"".join(file.suffixes[-1:]).lstrip(".") for file in kept[:100]})
    return Track(
        name,
        kind,
        times,
        lambda n: read(kept[n], int(times[n])),
        lambda n: kept[n].name,
        f"{kind} ({', '.join(suffixes)})",
    )


def _stream(track: Track) -> StreamInfo:
    seconds = float(track.times_ns[-1] - track.times_ns[0]) * 1e-9 if len(track.times_ns) else 0.0
    rate = (len(track.times_ns) - 1) / seconds if seconds > 0 else 0.0
    return StreamInfo(track.name, track.type, len(track.times_ns), rate)


def _suggested(layout: Layout) -> DriveMapping:
    named = {name: layout.tracks[track] for name, track in layout.sensors.items() if len(layout.tracks[track].times_ns)}
    cameras = {name: CameraMapping(track.name) for name, track in named.items() if track.kind == "image"}
    lidars = {name: LidarMapping(track.name) for name, track in named.items() if track.kind == "cloud"}
    reference = layout.reference if layout.reference in named else ""
    pose = layout.pose_source if layout.poses is not None else ""
    return DriveMapping(cameras, lidars, pose, sync=Sync(reference, layout.tolerance_ms))


def _mapped(mapping: DriveMapping, tracks: Mapping[str, Track]) -> dict[str, Track]:
    """Sensor -> track, of the kind the mapping expects."""
    wanted = [(name, entry.image, "image") for name, entry in mapping.cameras.items()]
    wanted += [(name, entry.points, "cloud") for name, entry in mapping.lidars.items()]
    found = {}
    for name, track, kind in wanted:
        if track not in tracks or tracks[track].kind != kind:
            raise UnknownNameError(f"{kind} track", track, [t.name for t in tracks.values() if t.kind == kind])
        found[name] = tracks[track]
    return found


def _renamed(result: Result, names: Mapping[str, str]) -> Result:
    """A result, and results inside it, with sensors in place of tracks as frames."""
    inner = {f.name: getattr(result, f.name) for f in fields(result)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {key: _renamed(value, names) for key, value in inner.items() if isinstance(value, Result)}
    return replace(result, frame_id=names.get(result.frame_id, result.frame_id), **changes)  # type: ignore[type-var]


def _finite(cloud: PointCloud, name: str, faults: list[Fault]) -> PointCloud:
    good = np.isfinite(cloud.points).all(axis=1)
    lost = int(len(good) - good.sum())
    if not lost:
        return cloud
    faults.append(Fault(name, "nonfinite", f"expected finite points, found {lost} of {len(good)} that are not"))
    columns = {key: column[good] for key, column in cloud.fields.items()}
    return PointCloud(cloud.points[good], columns, cloud.timestamp_ns, cloud.sensor)
