"""A Foxglove layout that shows what a run wrote: import it with *Layouts > Import from file*."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["foxglove_layout"]

_IN_SCENE = ("lane_segments", "lane_graph", "boxes_3d")
_ON_IMAGE = ("lanes_2d", "boxes_2d", "density_map", "lane_graph", "lane_segments")
_IMAGES_SHOWN = 4


def foxglove_layout(kinds: Mapping[str, str], cameras: Sequence[str], lidars: Sequence[str] = ()) -> str:
    """The layout as json: scene and pictures side by side, raw results and faults below.

    Args:
        kinds: Stage -> kind of its results.
        cameras: Cameras of the drive, the most important one first; at most four get a panel.
        lidars: LiDARs of the drive.
    """
    scene = [f"/perception/{stage}/scene" for stage, kind in kinds.items() if kind in _IN_SCENE]
    grids = [f"/perception/{stage}/grid" for stage, kind in kinds.items() if kind == "bev_grid"]
    clouds = [f"/lidar/{name}/points" for name in lidars]
    panels: dict[str, Any] = {
        "RawMessages!frame": {"topicPath": "/perception/frame", "diffEnabled": False},
    }
    for stage, kind in kinds.items():
        panels[f"RawMessages!{stage}"] = {"topicPath": f"/perception/{stage}/{kind}", "diffEnabled": False}
    pictures = [f"Image!{name}" for name in cameras[:_IMAGES_SHOWN]]
    for name, panel in zip(cameras, pictures):
        panels[panel] = _image_panel(name, kinds, scene)
    views: list[Any] = list(pictures)
    if scene or grids or clouds:
        panels["3D!scene"] = _scene_panel(scene, grids, clouds)
        views.insert(0, "3D!scene")
    raw = [panel for panel in panels if panel.startswith("RawMessages!")]
    panels["Tab!raw"] = {
        "activeTabIdx": 0,
        "tabs": [{"title": panel.partition("!")[2], "layout": panel} for panel in raw],
    }
    upper = _split(views, "row") if views else None
    layout: Any = "Tab!raw"
    if upper is not None:
        layout = {"direction": "column", "first": upper, "second": "Tab!raw", "splitPercentage": 72}
    return json.dumps(
        {
            "configById": panels,
            "globalVariables": {},
            "userNodes": {},
            "playbackConfig": {"speed": 1},
            "layout": layout,
        },
        indent=1,
    )


def _split(views: Sequence[Any], direction: str) -> Any:
    """Panels in halves, turn by turn beside and below each other."""
    if len(views) == 1:
        return views[0]
    middle = 1 if str(views[0]).startswith("3D!") else (len(views) + 1) // 2
    other = "column" if direction == "row" else "row"
    halves = (_split(views[:middle], other), _split(views[middle:], other))
    return {"direction": direction, "first": halves[0], "second": halves[1], "splitPercentage": 50}


def _image_panel(name: str, kinds: Mapping[str, str], scene: Sequence[str]) -> dict[str, Any]:
    drawn = [f"/perception/{stage}/annotations" for stage, kind in kinds.items() if kind in _ON_IMAGE]
    return {
        "imageMode": {
            "imageTopic": f"/camera/{name}/image",
            "calibrationTopic": f"/camera/{name}/calibration",
            "annotations": {topic: {"visible": True} for topic in drawn},
        },
        "topics": {topic: {"visible": True} for topic in scene},
        "foxglovePanelTitle": name,
    }


def _scene_panel(scene: Sequence[str], grids: Sequence[str], clouds: Sequence[str]) -> dict[str, Any]:
    topics: dict[str, Any] = {topic: {"visible": True} for topic in (*scene, *grids)}
    topics.update({topic: {"visible": True, "pointSize": 2, "colorMode": "flat"} for topic in clouds})
    return {
        "followTf": "ego",
        "followMode": "follow-pose",
        "cameraState": {
            "perspective": True,
            "distance": 55,
            "phi": 55,
            "thetaOffset": 90,
            "targetOffset": [12, 0, 0],
            "target": [0, 0, 0],
            "targetOrientation": [0, 0, 0, 1],
            "fovy": 45,
            "near": 0.5,
            "far": 5000,
        },
        "scene": {"transforms": {"visible": False}},
        "topics": topics,
        "layers": {"grid": {"layerId": "foxglove.Grid", "visible": True, "frameLocked": True, "size": 100}},
        "foxglovePanelTitle": "scene",
    }
