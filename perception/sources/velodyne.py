"""Raw Velodyne packets (``velodyne_msgs/VelodyneScan``), decoded by ``velodyne-decoder`` (extra ``drives``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.sources.clouds import relative_seconds
from perception.sources.wire import MessageError
from perception.structures import PointCloud

__all__ = ["decode_scan"]

_PACKET_BYTES = 1206
_LARGEST_SCAN = 4096


def decode_scan(message: Any, stamp_ns: int, sensor: str) -> tuple[PointCloud, int]:
    """One message with the packets of a turn -> the cloud in the sensor frame (x forward, y left, z up).

    The model (VLP-16, Puck Hi-Res, VLP-32C, VLS-128, ...) is found in the packets. Models whose calibration is not part
    of the library (HDL-64E) take it from the packets, where a scan carries enough of them.

    Args:
        message: Has ``packets``, each with ``stamp`` and 1206 bytes of ``data``.
        stamp_ns: Time of the sweep; the field ``time`` is relative to it.
        sensor: Name of the sensor.

    Returns:
        The cloud with the fields intensity, ring and time, and 0.

    Raises:
        MessageError: A packet has another length, the library refuses them, or it is not installed.
    """
    try:
        import velodyne_decoder
    except ImportError as error:
        fix = "pip install 'perception-stack[drives]'"
        raise MessageError(f"raw Velodyne packets need velodyne-decoder: {fix}") from error
    packets = list(message.packets)
    wrong = next((len(packet.data) for packet in packets if len(packet.data) != _PACKET_BYTES), None)
    if wrong is not None or not 0 < len(packets) <= _LARGEST_SCAN:
        found = f"{len(packets)} packets" if wrong is None else f"one of {wrong}"
        raise MessageError(f"expected 1 to {_LARGEST_SCAN} packets of {_PACKET_BYTES} bytes, found {found}")
    vector = velodyne_decoder.PacketVector(
        [velodyne_decoder.VelodynePacket(_seconds(packet.stamp), bytes(packet.data)) for packet in packets]
    )
    try:
        time, table = velodyne_decoder.ScanDecoder(velodyne_decoder.Config()).decode(vector, True)
    except Exception as error:  # the library raises std::exception as RuntimeError, ValueError, ...
        raise MessageError(f"expected packets of a Velodyne LiDAR, found bytes that do not decode: {error}") from error
    points = np.stack([np.asarray(table[axis], np.float32) for axis in "xyz"], axis=1)
    seconds = np.asarray(table["time"], np.float64) + float(time.host)  # of a point, before the last packet's time
    fields = {
        "intensity": np.ascontiguousarray(table["intensity"]),
        "ring": np.ascontiguousarray(table["ring"]),
        "time": relative_seconds(seconds, stamp_ns),
    }
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        fields = {name: column[finite] for name, column in fields.items()}
    return PointCloud(points[finite], fields, stamp_ns, sensor), int(len(points) - finite.sum())


def _seconds(stamp: Any) -> float:
    nanoseconds = getattr(stamp, "nanosec", None)
    return float(stamp.sec) + 1e-9 * float(stamp.nsec if nanoseconds is None else nanoseconds)
