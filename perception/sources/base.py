"""The one interface of recorded drives, and the description of what is in one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from perception.errors import PerceptionError
from perception.sources.calibration_checks import camera_checks
from perception.sources.mapping import DriveMapping
from perception.structures import Camera, Fault, Frame

__all__ = ["DriveInfo", "DriveOptions", "DriveSource", "StreamInfo"]


@dataclass(frozen=True)
class DriveOptions:
    """How to read a drive.

    Attributes:
        mapping: Which topics are which sensors; None derives it from the drive.
        cameras: Calibrations that replace those of the drive, by camera name.
        start_s: Seconds from the drive's first frame; None begins there.
        end_s: Seconds from the drive's first frame, inclusive; None reads to the end.
        every: Deliver every n-th frame, counted from the first one of the range.
        trust: Files that could run code when read (pickles) may be read.
        part: Which drive of a folder that holds several, see :meth:`DriveSource.parts`.
        follow_s: Wait at the end for more, until nothing new came for this many seconds; None: stop at the end.
    """

    mapping: DriveMapping | None = None
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    start_s: float | None = None
    end_s: float | None = None
    every: int = 1
    trust: bool = False
    part: str = ""
    follow_s: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise PerceptionError(f"every: expected 1 or more, found {self.every}")
        if (self.start_s or 0) < 0:
            raise PerceptionError(f"start: expected seconds from the drive's begin, found {self.start_s}")
        if self.follow_s is not None and self.follow_s <= 0:
            raise PerceptionError(f"follow: expected seconds above 0, found {self.follow_s}")
        if self.end_s is not None and self.end_s < (self.start_s or 0):
            raise PerceptionError(f"end: expected at least start ({self.start_s or 0} s), found {self.end_s} s")

    def start_ns(self, begin_ns: int) -> int:
        """First wanted timestamp of a drive that begins at ``begin_ns``."""
        return begin_ns + round((self.start_s or 0) * 1e9)

    def end_ns(self, begin_ns: int) -> int:
        """Last wanted timestamp of a drive that begins at ``begin_ns``."""
        return 2**63 - 1 if self.end_s is None else begin_ns + round(self.end_s * 1e9)


@dataclass(frozen=True)
class StreamInfo:
    """One topic or stream: name, message type or codec, messages (-1 unknown), mean rate in Hz (0 unknown)."""

    name: str
    type: str
    count: int
    rate_hz: float = 0.0


@dataclass(frozen=True)
class DriveInfo:
    """What a drive holds.

    Attributes:
        uri: Path of the drive.
        source: Name of the source class that reads it.
        streams: All topics, also those no sensor is read from.
        start_ns: Timestamp of the first frame.
        end_ns: Timestamp of the last frame, as far as it is known without reading everything.
        frames: Frames of the whole drive, of all its time and with ``every`` 1.
        frames_exact: False if ``frames`` is an estimate.
        cameras: Camera name -> (width, height), None when no image could be decoded.
        lidars: LiDAR names.
        calibrated: Cameras with intrinsics.
        posed: Cameras and LiDARs whose pose in the ego frame is known.
        has_pose: True if frames carry an ego pose.
        mapping: The mapping in use.
        faults: Damage of the file as a whole.
        pose_source: Where ego poses come from, in words; empty when there are none.
        transforms: Edges of the transform tree: (parent, child, True if it moves).
        origin: Latitude, longitude (degrees) and height (metres) of the world's origin, see ``Frame.world_origin``.
        yaws: Camera -> direction it looks in, radians in the ego frame (left positive), where its pose is known.
    """

    uri: str
    source: str
    streams: tuple[StreamInfo, ...]
    start_ns: int
    end_ns: int
    frames: int
    frames_exact: bool
    cameras: Mapping[str, tuple[int, int] | None]
    lidars: tuple[str, ...]
    calibrated: tuple[str, ...]
    posed: tuple[str, ...]
    has_pose: bool
    mapping: DriveMapping
    faults: tuple[Fault, ...] = ()
    pose_source: str = ""
    transforms: tuple[tuple[str, str, bool], ...] = ()
    yaws: Mapping[str, float] = field(default_factory=dict)
    origin: tuple[float, float, float] | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last frame."""
        return max(self.end_ns - self.start_ns, 0) * 1e-9

    @property
    def has_calibration(self) -> bool:
        """True if every camera has intrinsics."""
        return bool(self.cameras) and set(self.cameras) <= set(self.calibrated)

    def to_dict(self) -> dict[str, Any]:
        """Json-able form."""
        return {
            "uri": self.uri,
            "source": self.source,
            "streams": [vars(stream) for stream in self.streams],
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "duration_s": self.duration_s,
            "frames": self.frames,
            "frames_exact": self.frames_exact,
            "cameras": {name: None if size is None else list(size) for name, size in self.cameras.items()},
            "lidars": list(self.lidars),
            "calibrated": list(self.calibrated),
            "posed": list(self.posed),
            "has_calibration": self.has_calibration,
            "has_pose": self.has_pose,
            "mapping": self.mapping.to_dict(),
            "faults": [fault.to_dict() for fault in self.faults],
            "pose_source": self.pose_source,
            "transforms": [list(edge) for edge in self.transforms],
            "yaws": dict(self.yaws),
            "origin": None if self.origin is None else list(self.origin),
        }


class DriveSource(ABC):
    """A recorded drive as a lazy sequence of frames.

    Subclasses are registered in :data:`perception.registry.SOURCES` and constructed with a path and
    :class:`DriveOptions`. They say with :meth:`probe` how sure they are to read a path. Memory does not grow with the
    length of the drive. Use as a context manager, or call :meth:`close`.
    A source that sets ``NEEDS_TRUST`` comes behind all others unless the user trusts the files.

    Timestamps of successive frames increase. A record whose time lies before that of a delivered frame is dropped and
    recorded as a fault of kind ``time``; a step back of more than a second is a clock that was set anew: the frames
    behind it are kept, the first of them has the fault.

    Attributes:
        path: The drive.
        options: How it is read.
        faults: Damage that concerns the drive as a whole, as far as it has been read; the last frame carries it too.
    """

    KIND: ClassVar[str] = ""
    NEEDS_TRUST: ClassVar[bool] = False

    def __init__(self, path: Path, options: DriveOptions) -> None:
        self.path, self.options = path, options
        self.faults: list[Fault] = []
        self._from_ns: int | None = None

    @classmethod
    @abstractmethod
    def probe(cls, path: Path) -> float:
        """How sure this source is to read the path: 0 (not at all) to 1. Looks at the content, not only at names."""

    @property
    @abstractmethod
    def info(self) -> DriveInfo:
        """What the drive holds."""

    @abstractmethod
    def __len__(self) -> int:
        """Frames that iteration from the start gives; an upper bound where ``info.frames_exact`` is False."""

    @abstractmethod
    def close(self) -> None:
        """Release files; closing twice is allowed."""

    @abstractmethod
    def _frames(self, from_ns: int | None) -> Iterator[Frame]:
        """Frames of the range in ``options``, beginning with the first one at or after ``from_ns``."""

    @classmethod
    def parts(cls, path: Path) -> list[str]:
        """Names of the drives inside a folder that holds several; empty for a path that is one drive."""
        return []

    def stream_times(self) -> dict[str, np.ndarray]:
        """Stream -> (N,) int64 times of its records, as far as they are known without decoding; for gaps."""
        return {}

    def seek(self, timestamp_ns: int | None) -> None:
        """Let iterations from now on begin with the first frame at or after ``timestamp_ns``; None: at the beginning.

        ``index`` of a frame and the choice made by ``every`` do not depend on it.
        """
        self._from_ns = None if timestamp_ns is None else int(timestamp_ns)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in time order; every call begins anew (at the time of :meth:`seek`, if it was called)."""
        last: Frame | None = None
        for frame in self._frames(self._from_ns):
            if last is not None:
                yield last
            else:
                for fault in camera_checks(frame.calibration.cameras, {}):
                    self.record_fault(fault)
            last = frame
        if last is not None:
            found = tuple(fault for fault in self.faults if fault not in last.faults)
            yield replace(last, faults=last.faults + found) if found else last

    def __enter__(self) -> DriveSource:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def record_fault(self, fault: Fault) -> None:
        """Add a fault of the drive as a whole, once."""
        if fault not in self.faults:
            self.faults.append(fault)
