"""Camera topics that carry a video, a packet a message: H.264, H.265, VP9, AV1."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import av
import av.error
import numpy as np

from perception.sources.log import MessageLog
from perception.sources.wire import MessageError

__all__ = ["DecodedImage", "VideoStreams", "is_video", "key_frame_before"]

_CODECS = {"h264": "h264", "avc": "h264", "h265": "hevc", "hevc": "hevc", "vp9": "vp9", "av1": "av1"}
_START_CODE = re.compile(rb"\x00\x00\x01")
_FIRST_WINDOW_NS = 2_000_000_000


@dataclass(frozen=True)
class DecodedImage:
    """A message whose image is decoded: its stamp and frame as recorded, and (H, W, 3) uint8 RGB."""

    message: Any
    pixels: np.ndarray


def is_video(message: Any) -> bool:
    """Whether a message is a packet of a video instead of a picture."""
    return not hasattr(message, "encoding") and str(getattr(message, "format", "")).lower() in _CODECS


class VideoStreams:
    """Decoders of the video topics of a drive. Packets have to come in their order and without gaps.

    A packet has to give its own image (no B-frames), as Foxglove asks for; the first one has to be a key frame.
    """

    def __init__(self) -> None:
        self._contexts: dict[str, tuple[Any, str]] = {}
        self._packets: dict[str, int] = {}

    def decode(self, topic: str, message: Any) -> DecodedImage:
        """Decode the next packet of a topic.

        Raises:
            MessageError: It gives no image: it is damaged, or no key frame came before it.
        """
        codec = _CODECS[str(message.format).lower()]
        context, known = self._contexts.get(topic, (None, ""))
        if known != codec:
            context = av.CodecContext.create(codec, "r")
            context.flags |= av.codec.context.Flags.low_delay
            context.thread_count = 1  # threads would hand out an image some packets later
            self._contexts[topic] = context, codec
        number = self._packets[topic] = self._packets.get(topic, -1) + 1
        data = bytes(message.data)
        if not data:
            raise MessageError(f"expected a packet of {codec} video, found no bytes")
        packet = av.Packet(data)
        packet.pts = number
        try:
            frames = [frame for frame in context.decode(packet) if frame.pts in (None, number)]
        except (av.error.FFmpegError, ValueError, MemoryError) as error:
            raise MessageError(
                f"expected a packet of {codec} video, found one that does not decode: {error}"
            ) from error
        if not frames:
            raise MessageError(f"expected an image of {codec} video, found none yet: it begins at the next key frame")
        if frames[-1].is_corrupt:
            raise MessageError("expected an image, found one that the decoder marks as damaged")
        return DecodedImage(message, frames[-1].to_ndarray(format="rgb24"))


def key_frame_before(log: MessageLog, topics: Collection[str], log_ns: int) -> int:
    """Log time from which all video topics can be decoded at ``log_ns``: that of the earliest last key frame before it.

    Looks back in windows that double, so that a seek into a long drive reads seconds of it.
    """
    begin = log_ns
    for topic in topics:
        window, found = _FIRST_WINDOW_NS, None
        while found is None:
            start = max(log_ns - window, 0)
            found = _last_key_frame(log.messages([topic], start, log_ns + 1))
            if found is None and start <= log.start_ns:
                found = log.start_ns
            window *= 2
        begin = min(begin, found)
    return begin


def _last_key_frame(records: Iterable[Any]) -> int | None:
    last = None
    for record in records:
        try:
            message = record.message()
        except MessageError:
            continue
        if is_video(message) and _is_key_frame(bytes(message.data), _CODECS[str(message.format).lower()]):
            last = record.log_ns
    return last


def _is_key_frame(data: bytes, codec: str) -> bool:
    """Whether an H.264 or H.265 packet (Annex B) holds a slice of an instantaneous refresh."""
    if codec not in ("h264", "hevc"):
        return False
    for match in _START_CODE.finditer(data):
        if match.end() < len(data):
            head = data[match.end()]
            if head & 31 == 5 if codec == "h264" else 16 <= (head >> 1) & 63 <= 21:
                return True
    return False
