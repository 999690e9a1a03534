"""Segments of OpenLane-V2 as drives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from perception.errors import InputError
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.sources import open_drive
from perception.structures import LaneGraph


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))


def openlane_frame(time: int, image: str) -> dict[str, Any]:
    line = [[float(x), 1.0, 0.0] for x in range(5)]
    return {
        "timestamp": time,
        "sensor": {
            "ring_front_center": {
                "image_path": image,
                "extrinsic": {"rotation": CAMERA_AXES_IN_EGO.tolist(), "translation": [1.6, 0, 1.4]},
                "intrinsic": {"K": [[50, 0, 32], [0, 50, 24], [0, 0, 1]], "distortion": [-0.2, 0.1, 0.05]},
            }
        },
        "pose": {"rotation": np.eye(3).tolist(), "translation": [time * 1e-9, 0, 0]},
        "annotation": {
            "lane_centerline": [{"id": "a", "points": line}, {"id": "b", "points": line}],
            "traffic_element": [{"id": "t", "category": 1, "attribute": 2, "points": [[1, 2], [5, 8]]}],
            "topology_lclc": [[0, 1], [0, 0]],
            "topology_lcte": [[1], [0]],
        },
    }


def test_openlanev2(tmp_path: Path) -> None:
    segment = tmp_path / "val" / "10000"
    (segment / "info").mkdir(parents=True)
    for time in (10_000_000_000, 9_500_000_000):  # as text the later one comes first
        image = f"val/10000/image/ring_front_center/{time}.jpg"
        picture(tmp_path / image)
        (segment / "info" / f"{time}.json").write_text(json.dumps(openlane_frame(time, image)))
    with open_drive(segment) as drive:
        frames = list(drive)
        assert not drive.faults
    assert [frame.timestamp_ns for frame in frames] == [9_500_000_000, 10_000_000_000]
    assert frames[0].ego_pose is not None and frames[0].ego_pose[0, 3] == 9.5
    graph = frames[0].truth["ego/lane_graph"]
    assert isinstance(graph, LaneGraph) and len(graph) == 2 and graph.lane_lane.tolist() == [[0, 1], [0, 0]]
    assert graph.elements is not None and graph.elements.boxes.tolist() == [[1, 2, 5, 8]]
    assert graph.elements.class_names[2] == "green"
    assert frames[0].calibration.cameras["ring_front_center"].distortion.tolist() == [-0.2, 0.1, 0, 0, 0.05]
    (segment / "info" / "11000000000.json").write_text(json.dumps(openlane_frame(11 * 10**9, "../../secret.jpg")))
    with pytest.raises(InputError, match="a path below the root of the dataset"):
        open_drive(segment)


def test_openlanev2_of_subset_b_with_lane_segments(tmp_path: Path) -> None:
    """Stamps are microseconds there; a frame's truth comes from the files of both tracks, its faults stop no other."""
    info = tmp_path / "val" / "a" / "info"
    info.mkdir(parents=True)
    picture(tmp_path / "x.jpg")
    line = [[float(x), 1.0, 0.0] for x in range(5)]
    sides = {"centerline": line, "left_laneline": line, "right_laneline": line}
    lane = {"id": 1, **sides, "left_laneline_type": 1, "right_laneline_type": 2}
    for stamp in (1_600_000_000_000_000, 1_600_000_000_500_000):
        frame = openlane_frame(stamp, "x.jpg")
        frame["sensor"] = {"CAM_FRONT": frame["sensor"]["ring_front_center"]}
        (info / f"{stamp}.json").write_text(json.dumps(frame))
        segments = {"lane_segment": [lane], "area": [], "traffic_element": [], "topology_lsls": [[0]]}
        frame["annotation"] = segments | {"topology_lste": [[]]}
        (info / f"{stamp}-ls.json").write_text(json.dumps(frame))
    (info / f"{stamp}-ls.json").write_text(json.dumps(frame | {"annotation": {"lane_segment": 3}}))
    with open_drive(info.parent) as drive:
        first, second = drive
    assert first.timestamp_ns == 1_600_000_000 * 10**9 and second.timestamp_ns - first.timestamp_ns == 5 * 10**8
    assert sorted(first.truth) == ["ego/lane_graph", "ego/lane_segments"] and not first.faults
    assert first.truth["ego/lane_graph"].elements.frame_id == "CAM_FRONT"
    assert first.calibration.cameras["CAM_FRONT"].size == (64, 48)
    assert [(fault.where, fault.kind) for fault in second.faults] == [("truth", "corrupt")] and not second.truth
