"""A folder of pictures, or a single one, as a drive."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.registry import SOURCES
from perception.sources.base import DriveOptions, StreamInfo
from perception.sources.pixels import decode_compressed
from perception.sources.rig import load_cameras
from perception.sources.single import SingleCameraSource
from perception.sources.times import TIME_FILES, natural_key, read_times
from perception.sources.wire import MessageError
from perception.structures import Fault, Frame

__all__ = ["ImageFolderSource"]

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
_MAGICS = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6")
_PERIOD_NS = 100_000_000
_POLL_S = 0.2
_CALIBRATION_FILES = ("calibration.yaml", "calibration.yml")


@SOURCES.register_module()
class ImageFolderSource(SingleCameraSource):
    """Pictures in natural order of their names (2 before 10), turned as their EXIF orientation says.

    An optional ``timestamps.csv`` or ``timestamps.txt`` in the folder holds a line for each picture: a time, or
    ``name,time``. Times with a decimal point are seconds, others nanoseconds, also ``2011-09-26 13:02:25.964389445``
    (UTC); a first line that is no time is a heading, which may say ``timestamp_s`` or ``timestamp_ns``. Without it the
    pictures are 0.1 s apart. An optional ``calibration.yaml`` is read like a file given by hand. Pictures that do not
    decode give frames with a fault.

    Raises:
        InputError: No picture, or times that do not fit the pictures.
    """

    KIND = "images"

    def __init__(self, path: Path, options: DriveOptions) -> None:
        folder = path if path.is_dir() else path.parent
        self.files = _pictures(path) if path.is_dir() else [path]
        if not self.files:
            raise InputError(path, "", f"pictures ({', '.join(sorted(SUFFIXES))})", "none")
        sidecars = [folder / name for name in _CALIBRATION_FILES] if path.is_dir() else []
        calibration = next((file for file in sidecars if file.is_file()), None)
        super().__init__(path, options, load_cameras(calibration) if calibration and not options.cameras else {})
        self._list()

    def _list(self) -> None:
        """Find pictures and their times, again where the folder is followed."""
        path = self.path
        self.files = _pictures(path) if path.is_dir() else [path]
        times = next((path / name for name in TIME_FILES if path.is_dir() and (path / name).is_file()), None)
        if times is not None:
            self.files, self._times = read_times(times, self.files)
        else:
            self._times = [index * _PERIOD_NS for index in range(len(self.files))]

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        if path.is_dir():
            return 0.5 if _pictures(path) else 0
        with path.open("rb") as stream:
            head = stream.read(16)
        return 0.9 if path.suffix.lower() in SUFFIXES and (head.startswith(_MAGICS) or head[8:12] == b"WEBP") else 0

    @property
    def times_ns(self) -> Sequence[int]:
        """See :class:`SingleCameraSource`."""
        return self._times

    def close(self) -> None:
        """Nothing stays open between pictures."""

    def _stream(self) -> StreamInfo:
        seconds = (self._times[-1] - self._times[0]) * 1e-9
        kinds = sorted({file.suffix.lower().lstrip(".") for file in self.files})
        count = len(self.files)
        return StreamInfo(
            self.camera, f"images ({', '.join(kinds)})", count, (count - 1) / seconds if seconds > 0 else 0
        )

    def _size(self) -> tuple[int, int] | None:
        image = self._read(self.files[0])[0]
        return None if image is None else (image.shape[1], image.shape[0])

    def _frames(self, from_ns: int | None) -> Iterator[Frame]:
        first, last = self._range()
        last_ns: int | None = None
        carried: list[Fault] = []
        following = self.options.follow_s is not None and self.options.end_s is None and self.path.is_dir()
        for index in chain(range(first, last), self._written_later(last) if following else ()):
            time_ns = self._times[index]
            if from_ns is not None and time_ns < from_ns:
                continue
            from_ns = None  # frames behind a clock that was set back belong to the range as well
            fault, kept = self._time_fault(time_ns, last_ns)
            carried += [fault] if fault else []
            if not kept:
                continue
            last_ns = time_ns
            if (index - first) % self.options.every:
                continue
            image, faults = self._read(self.files[index])
            yield self._make_frame(index, time_ns, image, [*carried, *faults], self.files[index].name)
            carried = []
        for fault in carried:
            self.record_fault(fault)

    def _written_later(self, known: int) -> Iterator[int]:
        """Numbers of pictures that appear while this runs, until none came for the time in the options."""
        idle_s, last = self.options.follow_s, time.monotonic()
        while idle_s is not None and time.monotonic() - last < idle_s:
            self._list()
            for index in range(known, len(self.files)):
                last = time.monotonic()
                yield index
            known = max(known, len(self.files))
            time.sleep(min(_POLL_S, idle_s / 4))

    def _read(self, file: Path) -> tuple[np.ndarray | None, list[Fault]]:
        try:
            return decode_compressed(file.read_bytes(), orient=True), []
        except (MessageError, OSError) as error:
            kind = "corrupt" if file.exists() else "missing"
            return None, [Fault(self.camera, kind, f"{file.name}: {error}")]


def _pictures(folder: Path) -> list[Path]:
    found = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    return sorted((file for file in found if file.is_file()), key=lambda file: natural_key(file.name))
