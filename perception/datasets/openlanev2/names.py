"""Names and numbers of OpenLane-V2 (spec openlanev2_metrics section 1)."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["AREA_KINDS", "CAMERAS", "ELEMENT_CATEGORIES", "FRONT", "IMAGE_SIZES", "REGION", "category_of", "subset_of"]

CAMERAS: Mapping[str, tuple[str, ...]] = {
    "A": (
        "ring_front_center",
        "ring_front_left",
        "ring_front_right",
        "ring_rear_left",
        "ring_rear_right",
        "ring_side_left",
        "ring_side_right",
    ),
    "B": ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT"),
}
"""Cameras of the subsets: A comes from Argoverse 2, B from nuScenes."""
FRONT = {"A": "ring_front_center", "B": "CAM_FRONT"}
"""The camera whose pixels boxes of traffic elements are in."""
IMAGE_SIZES: Mapping[str, tuple[int, int]] = (
    dict.fromkeys(CAMERAS["A"], (2048, 1550))
    | {"ring_front_center": (1550, 2048)}
    | dict.fromkeys(CAMERAS["B"], (1600, 900))
)
"""(width, height) in pixels; the files do not say it."""
REGION = ((-50.0, 50.0), (-25.0, 25.0))
"""Ranges of ego x and y that all published models look at, metres."""
ELEMENT_CATEGORIES = {1: "traffic_light", 2: "road_sign"}
AREA_KINDS = {1: "pedestrian_crossing", 2: "road_boundary"}
LIGHT_ATTRIBUTES = 4
"""Attributes below this number are those of lights."""


def subset_of(cameras: object) -> str | None:
    """``"A"`` or ``"B"`` by the names of cameras, None for neither."""
    names = set(cameras)  # type: ignore[call-overload]
    return next((subset for subset, known in CAMERAS.items() if names & set(known)), None)


def category_of(attribute: int) -> int:
    """Category that an attribute belongs to: 1 traffic light, 2 road sign."""
    return 1 if attribute < LIGHT_ATTRIBUTES else 2
