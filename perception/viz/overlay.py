"""One picture of a frame with everything that was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from perception.structures import Fault, Frame, Result
from perception.viz import draw
from perception.viz.bev import bev_picture, inset
from perception.viz.colors import FAULT, TEXT, Color, color_of
from perception.viz.results import draw_result, summary

__all__ = ["draw_frame", "main_camera"]

_MISSING_SIZE = (640, 360)


def main_camera(frame: Frame) -> str:
    """The camera to show when nobody chose one: one whose name contains ``front``, else the first; "" without any."""
    names = list(frame.images) or list(frame.calibration.cameras)
    front = sorted((name for name in names if "front" in name.lower()), key=len)
    return (front or names or [""])[0]


def draw_frame(
    frame: Frame,
    results: Mapping[str, Result],
    faults: Sequence[Fault] = (),
    timings_ms: Mapping[str, float] | None = None,
    cameras: str | Sequence[str] = "",
    width: int | None = None,
) -> np.ndarray:
    """Draw the results on the images of a frame, with a banner.

    Args:
        frame: Frame of the drive.
        results: Stage name -> result. Image results appear on the camera in their ``frame_id``, ego results on every
            camera that knows its pose, and as one inset where none does.
        faults: Named in the banner.
        timings_ms: Stage name -> milliseconds for the banner; None leaves times out.
        cameras: A camera, several for a grid, ``"all"``, or ``""`` for :func:`main_camera`.
        width: Width of the picture in pixels; None keeps the size of the (first) image.

    Returns:
        (H, W, 3) uint8 RGB. A camera without an image is black and says so.
    """
    names = _chosen(frame, cameras)
    panels = [_panel(frame, name, results) for name in names]
    columns = int(np.ceil(np.sqrt(len(panels))))
    if len(panels) > 1:
        panels = [draw.text(panel, name, (8, panel.shape[0] - 10), scale=0.6) for name, panel in zip(names, panels)]
        picture = draw.grid(panels, columns, width or panels[0].shape[1])
    else:
        picture = panels[0]
        if width is not None and width != picture.shape[1]:
            picture = draw.fit(picture, width, max(1, round(picture.shape[0] * width / picture.shape[1])))
    return draw.banner(picture, _entries(frame, results, faults, timings_ms))


def _chosen(frame: Frame, cameras: str | Sequence[str]) -> list[str]:
    if cameras == "all":
        return sorted(set(frame.images) | set(frame.calibration.cameras)) or [""]
    if isinstance(cameras, str):
        return [cameras or main_camera(frame)]
    return list(cameras) or [main_camera(frame)]


def _panel(frame: Frame, name: str, results: Mapping[str, Result]) -> np.ndarray:
    camera = frame.calibration.cameras.get(name)
    image = frame.images.get(name)
    if image is None:
        width, height = camera.size if camera is not None else _MISSING_SIZE
        blank = np.zeros((height, width, 3), dtype=np.uint8)
        image = draw.text(blank, f"no image {name}".strip(), (width * 0.04, height * 0.55), FAULT, width / 900)
    placed = camera is not None and camera.ego_from_camera is not None
    for result in results.values():
        if result.frame_id == name or (result.frame_id == "ego" and placed and result.KIND != "bev_grid"):
            image = draw_result(image, result, camera)
    for result in results.values():
        if result.frame_id == "ego" and (result.KIND == "bev_grid" or not placed):
            image = inset(image, bev_picture(result))
            break
    return image


def _entries(
    frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault], timings_ms: Mapping[str, float] | None
) -> list[tuple[str, Color]]:
    entries: list[tuple[str, Color]] = [(f"#{frame.index}  {frame.timestamp_ns / 1e9:.3f} s", TEXT)]
    for number, (stage, result) in enumerate(results.items()):
        time = "" if timings_ms is None or stage not in timings_ms else f"  {timings_ms[stage]:.0f} ms"
        entries.append((f"{stage}: {summary(result)}{time}", color_of(number)))
    entries += [(f"{fault.where}: {fault.kind}", FAULT) for fault in faults]
    return entries
