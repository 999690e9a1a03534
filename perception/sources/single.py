"""What video files and image folders share: one camera, one stream, times known in front."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.sources.base import DriveInfo, DriveOptions, DriveSource, StreamInfo
from perception.sources.mapping import CameraMapping, DriveMapping
from perception.sources.rig import camera_yaws, check_cameras
from perception.sources.sync import CLOCK_STEP_NS
from perception.structures import Calibration, Camera, Fault, Frame, Provenance

__all__ = ["SingleCameraSource"]


class SingleCameraSource(DriveSource):
    """A drive of one camera, named by the mapping's only camera, else by the only given calibration, else ``front``.

    Subclasses list the times of all frames and decode one image at a time.
    """

    def __init__(self, path: Path, options: DriveOptions, cameras: dict[str, Camera]) -> None:
        super().__init__(path, options)
        mapping = options.mapping or DriveMapping()
        if len(mapping.cameras) > 1 or mapping.lidars:
            found = ", ".join([*mapping.cameras, *mapping.lidars])
            raise InputError(path, "mapping", "one camera, as the drive has no other sensor", found)
        given = {**cameras, **options.cameras}
        self.camera = next(iter(mapping.cameras), next(iter(given), "front") if len(given) == 1 else "front")
        check_cameras(given, {self.camera: None})
        self.mapping = DriveMapping({self.camera: mapping.cameras.get(self.camera, CameraMapping())})
        self._given = given
        self._calibrations = Calibration(given), Calibration()

    @property
    @abstractmethod
    def times_ns(self) -> Sequence[int]:
        """Timestamps of all frames of the drive."""

    @abstractmethod
    def _size(self) -> tuple[int, int] | None:
        """(width, height) of the images, None when unknown."""

    @abstractmethod
    def _stream(self) -> StreamInfo:
        """Description of the only stream."""

    @property
    def info(self) -> DriveInfo:
        """See :class:`DriveInfo`."""
        times = self.times_ns
        posed = tuple(name for name, camera in self._given.items() if camera.ego_from_camera is not None)
        return DriveInfo(
            uri=str(self.path),
            source=type(self).__name__,
            streams=(self._stream(),),
            start_ns=times[0],
            end_ns=times[-1],
            frames=len(times),
            frames_exact=True,
            cameras={self.camera: self._size()},
            lidars=(),
            calibrated=tuple(self._given),
            posed=posed,
            has_pose=False,
            mapping=self.mapping,
            faults=tuple(self.faults),
            yaws=camera_yaws(self._given),
        )

    def __len__(self) -> int:
        """Frames in the range: exact unless frames are dropped for their time."""
        first, last = self._range()
        return max(-(-(last - first) // self.options.every), 0)

    def _range(self) -> tuple[int, int]:
        """First and one past the last index of the range in the options."""
        times = np.asarray(self.times_ns)
        if self.options.start_s is None and self.options.end_s is None:
            return 0, len(times)
        begin = int(times[0])
        inside = (times >= self.options.start_ns(begin)) & (times <= self.options.end_ns(begin))
        found = np.flatnonzero(inside)
        return (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)

    def _make_frame(
        self, index: int, time_ns: int, image: np.ndarray | None, faults: Sequence[Fault], record: str
    ) -> Frame:
        """A frame with its calibration, unless the image has another size than the calibrated one."""
        found = list(faults)
        calibrated = self._given.get(self.camera)
        fits = image is None or calibrated is None or image.shape[1::-1] == calibrated.size
        if not fits and image is not None and calibrated is not None:
            expected, size = f"{calibrated.width}x{calibrated.height}", f"{image.shape[1]}x{image.shape[0]}"
            found.append(Fault(self.camera, "size", f"expected {expected} as calibrated, found an image of {size}"))
        return Frame(
            time_ns,
            index,
            {} if image is None else {self.camera: image},
            calibration=self._calibrations[0 if fits else 1],
            faults=tuple(found),
            provenance=Provenance(str(self.path), type(self).__name__, record),
        )

    def _time_fault(self, time_ns: int, last_ns: int | None) -> tuple[Fault | None, bool]:
        """Judge a timestamp: a fault if it does not follow ``last_ns``, and whether its frame is kept."""
        if last_ns is None or time_ns > last_ns:
            return None, True
        kept = last_ns - time_ns > CLOCK_STEP_NS
        what = "the clock was set back; frames go on from here" if kept else "dropped"
        return Fault(self.camera, "time", f"expected a time after {last_ns} ns, found {time_ns} ns: {what}"), kept
