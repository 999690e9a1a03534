"""Looking into a drive before a run: gaps in its streams, a strip of pictures, calibrations that cannot be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from perception.sources.base import DriveSource
from perception.sources.calibration_checks import camera_checks, lidar_image_faults
from perception.structures import Fault, Frame

__all__ = ["Gap", "calibration_faults", "sample_frames", "stream_gaps", "thumbnail_strip"]

_GAP_FACTOR = 3.0


@dataclass(frozen=True)
class Gap:
    """A stretch without messages: seconds from the begin of its stream, and its length in seconds."""

    start_s: float
    length_s: float


def stream_gaps(times_ns: Mapping[str, np.ndarray]) -> dict[str, list[Gap]]:
    """Stream -> its gaps: steps of more than three times the median step, longest first.

    Streams of fewer than four messages, or whose messages share one time (latched topics), have none.
    """
    found: dict[str, list[Gap]] = {}
    for name, times in times_ns.items():
        if len(times) < 4:
            continue
        steps = np.diff(times).astype(np.float64) * 1e-9
        limit = _GAP_FACTOR * float(np.median(steps))
        wide = np.flatnonzero(steps > limit) if limit > 0 else np.zeros(0, np.int64)
        if len(wide):
            order = wide[np.argsort(-steps[wide], kind="stable")]
            found[name] = [Gap(float(times[i] - times[0]) * 1e-9, float(steps[i])) for i in order]
    return found


def sample_frames(source: DriveSource, count: int) -> Iterator[Frame]:
    """At most ``count`` frames spread evenly over a drive, found by seeking."""
    info = source.info
    begin, length, last = info.start_ns, max(info.end_ns - info.start_ns, 0), -1
    for number in range(count):
        source.seek(begin + length * number // max(count - 1, 1))
        frame = next(iter(source), None)
        if frame is not None and frame.index > last:
            last = frame.index
            yield frame
    source.seek(None)


def calibration_faults(source: DriveSource, frames: list[Frame]) -> list[Fault]:
    """Faults of the calibration of a drive, judged by itself and by some of its frames."""
    cameras = {name: camera for frame in frames for name, camera in frame.calibration.cameras.items()}
    faults = camera_checks(cameras, source.info.cameras)
    faults += [f for frame in frames for f in frame.faults if f.kind in ("size", "calibration") and f not in faults]
    return [*dict.fromkeys(faults), *lidar_image_faults(frames)]


def thumbnail_strip(frames: list[Frame], height: int = 120) -> np.ndarray | None:
    """A row a camera, a column a frame, (H, W, 3) uint8 RGB; without images clouds from above, None without both."""
    cameras = list(dict.fromkeys(name for frame in frames for name in frame.images))
    if cameras:
        sizes = {n: next(f.images[n].shape for f in frames if n in f.images) for n in cameras}
        widths = {name: max(round(height * shape[1] / shape[0]), 1) for name, shape in sizes.items()}
        width = max(widths.values())
        rows = [np.hstack([_picture(frame.images.get(name), width, height) for frame in frames]) for name in cameras]
        return np.vstack(rows)
    if not any(frame.clouds for frame in frames):
        return None
    return np.hstack([_from_above(frame, 2 * height) for frame in frames])


def _picture(image: np.ndarray | None, width: int, height: int) -> np.ndarray:
    canvas = np.zeros((height, width, 3), np.uint8)
    if image is not None:
        scale = min(height / image.shape[0], width / image.shape[1])
        size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return canvas


def _from_above(frame: Frame, size: int, reach_m: float = 50.0) -> np.ndarray:
    """Clouds of a frame seen from above, driving direction upwards, brighter where more points fall."""
    counts = np.zeros((size, size), np.float32)
    for name, cloud in frame.clouds.items():
        pose = frame.calibration.sensors.get(name, np.eye(4))
        points = cloud.points @ pose[:3, :3].T + pose[:3, 3]
        cells = np.floor((reach_m - points[:, :2]) * size / (2 * reach_m)).astype(np.int64)
        cells = cells[((cells >= 0) & (cells < size)).all(axis=1)]
        np.add.at(counts, (cells[:, 0], cells[:, 1]), 1)
    shade = np.clip(np.log1p(counts) * 80, 0, 255).astype(np.uint8)
    return np.repeat(shade[..., None], 3, axis=2)
