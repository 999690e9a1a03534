"""Whether a pipeline can run on a drive, known before the first frame is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from perception.runtime.graph import Graph, Node

if TYPE_CHECKING:
    from perception.sources.base import DriveInfo

__all__ = ["obstacles"]


def obstacles(
    graph: Graph, info: DriveInfo, cameras: Mapping[str, Mapping[str, str]], blind: Collection[str] = ()
) -> dict[str, str]:
    """Stages that cannot run on any frame of a drive.

    Args:
        graph: The pipeline.
        info: What the drive holds.
        cameras: Stage -> slot -> camera, from :meth:`Graph.assign`.
        blind: Cameras known to have no picture that can be read.

    Returns:
        Stage -> reason; empty when everything can run.
    """
    reasons: dict[str, str] = {}
    for node in graph.nodes:
        lost = [name for name in node.inputs if name in reasons]
        reason = f"its input {lost[0]!r} cannot run" if lost else _reason(node, info, cameras[node.name], blind)
        if reason:
            reasons[node.name] = reason
    return reasons


def _reason(node: Node, info: DriveInfo, slots: Mapping[str, str], blind: Collection[str]) -> str:
    needs = node.stage.needs
    unseen = [slots[slot] for slot in needs.slots if slots[slot] in blind]
    if unseen:
        return f"no picture of camera {', '.join(map(repr, unseen))} can be read"
    uncalibrated = [slots[slot] for slot in needs.slots if slots[slot] not in info.calibrated]
    if (needs.calibration or needs.rectified) and uncalibrated:
        return f"the drive has no calibration of camera {', '.join(map(repr, uncalibrated))} (give one with --calib)"
    if needs.lidar and not info.lidars:
        return "the drive has no point clouds"
    if needs.pose and not info.has_pose:
        hint = " (LiDAR odometry: pip install 'perception-stack[drives]')" if info.lidars else ""
        return f"the drive has no ego poses{hint}"
    return ""
