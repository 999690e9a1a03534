"""Video files as drives, decoded by FFmpeg through PyAV."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from perception.errors import InputError
from perception.registry import SOURCES
from perception.sources.base import DriveOptions, StreamInfo
from perception.sources.single import SingleCameraSource
from perception.structures import Fault, Frame

__all__ = ["VideoSource"]

_NOT_VIDEO = ("image2", "tty", "_pipe", "srt", "txt", "concat", "hls", "dash", "sdp", "lavfi")
_END_SLACK_NS = 500_000_000
_LOGS = (b"\x89MCAP", b"#ROSBAG", b"SQLite format")
_SAFE = {"protocol_whitelist": "file"}
_DAMAGE = (av.error.FFmpegError, OSError)
"""Some codes of FFmpeg arrive as errors of the operating system."""


@SOURCES.register_module()
class VideoSource(SingleCameraSource):
    """The first video stream of a file; timestamps are ``pts * time_base``, exact to the nanosecond.

    Images are turned as the rotation in the file says. A packet that does not decode, or a frame the decoder marks as
    damaged, gives a frame without image and a fault ``corrupt``. A file that ends before the number of frames or the
    duration its header states gets a fault on the last frame. The times of all packets are read once, without
    decoding, and kept (8 bytes a frame).

    Raises:
        InputError: No video, or one without a frame.
    """

    KIND = "video"

    def __init__(self, path: Path, options: DriveOptions) -> None:
        super().__init__(path, options, {})
        self._times: array[int] | None = None
        self._has_pts = True
        self._turned_size: tuple[int, int] | None = None
        with self._container() as container:
            stream = container.streams.video[0]
            self._time_base = Fraction(stream.time_base or 1)
            self._codec = stream.codec_context.name
            self._plain_size = stream.codec_context.width, stream.codec_context.height
            mp4 = "mp4" in container.format.name
            self._stated_frames = stream.frames if mp4 else 0
            alone = len(container.streams) == 1 and not mp4
            self._stated_ns = (container.duration or 0) * 1000 if alone else 0
            self._rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        if not len(self.times_ns):
            raise InputError(path, "", "a video with at least one frame", f"none ({self._codec})")

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        if path.is_dir():
            return 0
        with path.open("rb") as stream:
            if stream.read(16).startswith(_LOGS):  # FFmpeg would search megabytes of them for a stream
                return 0
        with suppress(*_DAMAGE, ValueError), av.open(str(path), options=_SAFE) as container:
            names = container.format.name
            if container.streams.video and not any(word in names for word in _NOT_VIDEO):
                return 0.8
        return 0.1 if path.suffix.lower() in (".mp4", ".mkv", ".avi", ".mov", ".webm", ".hevc", ".m4v") else 0

    @property
    def times_ns(self) -> Sequence[int]:
        """Times of all packets in order of presentation."""
        if self._times is None:
            found = array("q")
            with self._container() as container, suppress(*_DAMAGE):
                for number, packet in enumerate(self._packets(container)):
                    found.append(self._time(_pts(packet), number))
                    self._has_pts &= packet.pts is not None
            self._times = array("q", sorted(found))
            self._check_end(self._times)
        return self._times

    def _check_end(self, times: Sequence[int]) -> None:
        """Record a fault if the file ends before its header says."""
        expected = found = ""
        if self._stated_frames > len(times):
            expected, found = f"{self._stated_frames} frames", str(len(times))
        elif times and self._stated_ns - (times[-1] - times[0]) > _END_SLACK_NS:
            expected, found = f"{self._stated_ns * 1e-9:.2f} s", f"{(times[-1] - times[0]) * 1e-9:.2f} s"
        if expected:
            message = f"expected {expected} as the header states, found {found}: cut off"
            self.record_fault(Fault(self.camera, "corrupt", message))

    def close(self) -> None:
        """Nothing stays open between iterations."""

    def _container(self) -> Any:
        try:
            container = av.open(str(self.path), options=_SAFE)
        except (*_DAMAGE, ValueError) as error:
            raise InputError(self.path, "", "a video that FFmpeg can read", str(error)) from error
        if not container.streams.video:
            container.close()
            raise InputError(self.path, "", "a video stream", f"{len(container.streams)} other stream(s)")
        if container.streams.video[0].codec_context is None:
            container.close()
            raise InputError(self.path, "", "a video with a codec FFmpeg knows", "an unknown one")
        container.streams.video[0].thread_type = "AUTO"
        return container

    def _packets(self, container: Any) -> Iterator[Any]:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and not packet.is_discard:
                yield packet

    def _time(self, pts: int | None, number: int) -> int:
        """Nanoseconds of a time stamp of the stream; without one, frames are spaced by the average rate."""
        return round(number / self._rate * 10**9) if pts is None else round(pts * self._time_base * 10**9)

    def _stream(self) -> StreamInfo:
        return StreamInfo(self.camera, f"video ({self._codec})", len(self.times_ns), float(self._rate))

    def _size(self) -> tuple[int, int] | None:
        if self._turned_size is None:
            first = next((frame for _, frame, _ in self._decoded(self.times_ns[0]) if frame is not None), None)
            turned = first is not None and round(first.rotation / 90) % 2
            self._turned_size = self._plain_size[::-1] if turned else self._plain_size
        return self._turned_size

    def _frames(self, from_ns: int | None) -> Iterator[Frame]:
        first, last = self._range()
        times = np.asarray(self.times_ns)
        begin = max(first, int(np.searchsorted(times, from_ns or 0)) if from_ns is not None else first)
        if begin >= last:
            return
        last_ns: int | None = None
        for time_ns, picture, message in self._decoded(int(times[begin])):
            index = int(np.searchsorted(times, time_ns))
            if index >= last:
                return
            if (index - first) % self.options.every or (last_ns is not None and time_ns <= last_ns):
                continue
            last_ns = time_ns
            faults = [Fault(self.camera, "corrupt", f"frame {index}: {message}")] if picture is None else []
            image = None if picture is None else _rgb(picture)
            yield self._make_frame(index, time_ns, image, faults, f"frame {index}")

    def _decoded(self, from_ns: int) -> Iterator[tuple[int, Any, str]]:
        """Decoded frames from a time on: (time, PyAV frame or None, what went wrong)."""
        with self._container() as container:
            stream = container.streams.video[0]
            if from_ns > self.times_ns[0] and self._has_pts:
                with suppress(*_DAMAGE):  # frames before the time are passed over all the same
                    container.seek(int(Fraction(from_ns, 10**9) / self._time_base), stream=stream, backward=True)
            expected: list[int] = []
            message = "the decoder gave no image for it"
            try:
                for number, packet in enumerate(container.demux(stream)):
                    if packet.size and not packet.is_discard:
                        heapq.heappush(expected, self._time(_pts(packet), number))
                    try:
                        frames = packet.decode()
                    except _DAMAGE as error:
                        message = str(error)
                        continue
                    for frame in frames:
                        yield from self._matched(frame, expected, from_ns, message)
            except _DAMAGE as error:
                self.record_fault(Fault(self.camera, "corrupt", f"reading stopped: {error}"))
            while expected:
                if (time_ns := heapq.heappop(expected)) >= from_ns:
                    yield time_ns, None, message

    def _matched(self, frame: Any, expected: list[int], from_ns: int, message: str) -> Iterator[tuple[int, Any, str]]:
        """A frame with the packets before it that gave none; takes them off ``expected`` (a heap of times)."""
        if not self._has_pts or frame.pts is None:
            time_ns = heapq.heappop(expected) if expected else self.times_ns[-1]
        else:
            time_ns = self._time(frame.pts, 0)
            while expected and expected[0] <= time_ns:
                lost_ns = heapq.heappop(expected)
                if from_ns <= lost_ns < time_ns:
                    yield lost_ns, None, message
        if time_ns >= from_ns:
            yield (time_ns, None, "marked as damaged by the decoder") if frame.is_corrupt else (time_ns, frame, "")


def _pts(packet: Any) -> int | None:
    return packet.dts if packet.pts is None else packet.pts


def _rgb(frame: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned as the file says (quarter turns)."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
