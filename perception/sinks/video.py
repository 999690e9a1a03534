"""An overlay video with the time stamps of the drive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import PerceptionError
from perception.registry import SINKS
from perception.sinks.base import Sink
from perception.sinks.segments import Segments
from perception.sinks.storage import storage_errors
from perception.structures import Fault, Frame, Result

__all__ = ["OverlayVideoSink", "available_codec"]

_TIME_BASE = Fraction(1, 1_000_000)
_CODECS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "superfast", "tune": "zerolatency", "crf": "21", "threads": "2"},
    "libopenh264": {"rc_mode": "quality", "threads": "1"},
    "mjpeg": {"qmin": "2", "qmax": "6", "threads": "1"},
}
"""Encoder -> options, best first. None holds frames back or reorders them, so that a killed part is whole."""


def available_codec() -> str:
    """The best encoder the installed PyAV has.

    Raises:
        PerceptionError: It has none of them.
    """
    import av

    for name in _CODECS:
        with suppress(av.codec.codec.UnknownCodecError):
            av.codec.Codec(name, "w")
            return name
    raise PerceptionError(f"no video encoder: PyAV was built without {', '.join(_CODECS)}; reinstall the package `av`")


@SINKS.register_module()
class OverlayVideoSink(Sink):
    """``overlay.mp4`` (H.264 where possible), written in parts of fragmented mp4 and joined without re-encoding.

    The time of every picture is its frame's time stamp relative to the first frame, to the microsecond; frames whose
    stamps do not increase follow one microsecond after the one before. The first frame fixes the size (made even by a
    black row or column); later ones of other sizes are fitted into it.

    Args:
        out: Folder of the run.
        cameras: What to show, as in :func:`perception.viz.draw_frame`.
        width: Width of the video in pixels; None keeps that of the image.
        part_frames: Frames in a part: what a killed run has to compute again at most.
        show_latency: Write milliseconds into the banner; the videos of two runs then differ.
        codec: Encoder; "" takes :func:`available_codec`.
    """

    def __init__(
        self,
        out: str | Path,
        cameras: str | Sequence[str] = "",
        width: int | None = None,
        part_frames: int = 100,
        show_latency: bool = False,
        codec: str = "",
    ) -> None:
        super().__init__(out)
        self.path = self.out / "overlay.mp4"
        self.cameras, self.width, self.show_latency = cameras, width, show_latency
        self.part_frames = max(1, part_frames)
        self._codec = codec
        self._parts = Segments(self.path)
        self._state: dict[str, Any] = {}
        self._part: _Part | None = None

    def append(
        self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float]
    ) -> None:
        """Draw and encode one frame; one that was dropped leaves the picture before it on the screen."""
        from perception.viz import draw_frame

        if self._part is not None and not frame.images and any(fault.kind == "dropped" for fault in faults):
            self._part.frames += 1
            self._finish_full_part()
            return
        timings = timings_ms if self.show_latency else None
        picture = draw_frame(frame, results, faults, timings, self.cameras, self.width)
        if not self._state:
            height, width = picture.shape[:2]
            size = {"width": width + width % 2, "height": height + height % 2}
            self._state = {**size, "start_ns": frame.timestamp_ns, "last_us": -1, "codec": self._codec}
        time_us = max((frame.timestamp_ns - self._state["start_ns"]) // 1000, self._state["last_us"] + 1)
        if self._part is None:
            self._state["part_us"] = time_us
            self._part = _Part(self._parts.next_part, self._state)
        picture = _padded(picture, self._state["width"], self._state["height"])
        self._part.write(picture, time_us - self._state["part_us"])
        self._state["last_us"] = time_us
        self._finish_full_part()

    def close(self) -> None:
        """Join the parts into ``overlay.mp4``."""
        if self._part is not None:
            self._finish_part()
        starts = [part["state"]["part_us"] for part in self._parts.parts]
        self._parts.merge(partial(_join, [0, *starts[1:]]))

    def abort(self) -> None:
        """End the part in work, so that it can be watched; it is not counted and will be written again."""
        if self._part is not None:
            with suppress(PerceptionError):
                self._part.close()
            self._part = None

    def _keep(self, limit: int | None) -> int:
        return self._parts.keep(limit)

    def _start(self) -> None:
        self._state = self._parts.state
        self._codec = self._state.get("codec") or self._codec or available_codec()
        self._parts.begin()

    def _finish_full_part(self) -> None:
        if self._part is not None and self._part.frames == self.part_frames:
            self._finish_part()

    def _finish_part(self) -> None:
        part, self._part = self._part, None
        assert part is not None
        part.close()
        self._parts.complete(part.frames, self._state)


class _Part:
    """One fragmented mp4 file whose time starts at 0: readable up to its last picture if the process dies."""

    def __init__(self, path: Path, state: Mapping[str, Any]) -> None:
        import av

        self.path, self.frames = path, 0
        with _video_errors(path):
            options = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
            self._container = av.open(str(path), "w", format="mp4", options=options)
            stream = self._container.add_stream(state["codec"], rate=30, options=dict(_CODECS.get(state["codec"], {})))
            stream.width, stream.height = state["width"], state["height"]
            stream.pix_fmt = "yuvj420p" if state["codec"] == "mjpeg" else "yuv420p"
            stream.codec_context.gop_size = 50
            stream.time_base = stream.codec_context.time_base = _TIME_BASE
        self._stream = stream

    def write(self, picture: np.ndarray, time_us: int) -> None:
        import av

        with _video_errors(self.path):
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            image.pts, image.time_base = time_us, _TIME_BASE
            self._container.mux(self._stream.encode(image))
        self.frames += 1

    def close(self) -> None:
        with _video_errors(self.path):
            try:
                self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()


@contextmanager
def _video_errors(path: Path) -> Iterator[None]:
    """:func:`storage_errors`, and errors of the encoder with the name of the file."""
    import av

    with storage_errors(path):
        try:
            yield
        except (av.error.FFmpegError, av.codec.codec.UnknownCodecError) as error:
            if isinstance(error, OSError):
                raise
            raise PerceptionError(f"cannot write {path}: {error}") from error


def _padded(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    from perception.viz import fit

    rows, columns = height - picture.shape[0], width - picture.shape[1]
    if rows in (0, 1) and columns in (0, 1):
        return np.pad(picture, ((0, rows), (0, columns), (0, 0))) if rows or columns else picture
    return fit(picture, width, height)


def _join(starts_us: Sequence[int], parts: Sequence[Path], target: Path) -> None:
    """Copy the packets of ``parts``, each shifted to its start, into one ordinary mp4 with its index in front."""
    import av

    with _video_errors(target), av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as out:
        stream: Any = None
        for start_us, part in zip(starts_us, parts):
            with av.open(str(part)) as source:
                if stream is None:
                    stream = out.add_stream_from_template(source.streams.video[0])
                    stream.time_base = _TIME_BASE
                for packet in source.demux(video=0):
                    if packet.dts is not None and packet.pts is not None:
                        offset = round(start_us * _TIME_BASE / packet.time_base)
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = stream
                        out.mux(packet)
