"""Camera slots: which camera of a drive feeds which input of a model, and the frame as that model sees it.

A model is written for slots ("front"); a drive has cameras ("front_wide", "0"). Stages speak slots and images as they
get them, the rest of the pipeline speaks cameras of the drive and pixels of the recorded images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from perception.errors import PerceptionError, UnknownNameError
from perception.runtime.stage import StageNeeds
from perception.structures import Boxes2D, Calibration, Camera, Frame, Lanes2D, Result

__all__ = ["assign_cameras", "move_pixels", "result_for_drive", "result_for_stage", "stage_frame"]


SLOT_YAWS = {
    "front": 0.0,
    "front_left": 50.0,
    "front_right": -50.0,
    "left": 90.0,
    "right": -90.0,
    "side_left": 99.0,
    "side_right": -99.0,
    "back_left": 130.0,
    "back_right": -130.0,
    "back": 180.0,
}
"""Where slots of a model look, degrees in the ego frame (left positive); rigs differ, hence the wide tolerance."""
_YAW_TOLERANCE = np.radians(25)


def assign_cameras(
    stage: str,
    needs: StageNeeds,
    cameras: Sequence[str],
    chosen: Mapping[str, str] | None = None,
    yaws: Mapping[str, float] | None = None,
) -> dict[str, str]:
    """Decide which camera of the drive fills which slot.

    A choice of the user wins, then the camera with the slot's name, then the camera that looks where the slot does
    (see :data:`SLOT_YAWS`, within 25 degrees; the nearest pair first); the only camera of a drive fills the only slot.

    Args:
        stage: Name of the stage, for messages.
        needs: What the stage declared.
        cameras: Cameras of the drive.
        chosen: Slot -> camera.
        yaws: Camera -> direction it looks in, radians in the ego frame, as far as known.

    Returns:
        Slot -> camera, for every slot and for those optional slots that have a camera.

    Raises:
        UnknownNameError: A slot has no camera, or a chosen slot or camera does not exist; suggests close matches.
        PerceptionError: The drive has no cameras at all.
    """
    chosen = dict(chosen or {})
    slots = (*needs.slots, *needs.optional_slots)
    for slot, camera in chosen.items():
        if slot not in slots:
            raise UnknownNameError(f"camera slot of stage {stage!r}", slot, slots)
        if camera not in cameras:
            raise UnknownNameError("camera", camera, cameras)
    assigned = {slot: chosen.get(slot, slot) for slot in slots if slot in chosen or slot in cameras}
    assigned |= _by_yaw([slot for slot in slots if slot not in assigned], set(assigned.values()), yaws or {})
    if len(cameras) == 1 and len(needs.slots) == 1:
        assigned.setdefault(needs.slots[0], cameras[0])
    for slot in needs.slots:
        if slot not in assigned and not cameras:
            raise PerceptionError(f"stage {stage!r} needs a camera for slot {slot!r}, and the drive has none")
        if slot not in assigned:
            raise UnknownNameError(f"camera for slot {slot!r} of stage {stage!r}", slot, cameras)
    return assigned


def _by_yaw(slots: Sequence[str], taken: set[str], yaws: Mapping[str, float]) -> dict[str, str]:
    wanted = {slot: np.radians(SLOT_YAWS[key]) for slot in slots if (key := _direction(slot)) in SLOT_YAWS}
    free = {camera: yaw for camera, yaw in yaws.items() if camera not in taken}
    pairs = [
        (abs(np.angle(np.exp(1j * (yaw - target)))), slot, camera)
        for slot, target in wanted.items()
        for camera, yaw in free.items()
    ]
    assigned: dict[str, str] = {}
    for distance, slot, camera in sorted(pairs):
        if distance <= _YAW_TOLERANCE and slot not in assigned and camera not in assigned.values():
            assigned[slot] = camera
    return assigned


def _direction(slot: str) -> str:
    """The part of a slot's name that says where it looks: ``ring_front_left`` and ``CAM_FRONT_LEFT`` are the same."""
    words = [
        word for word in slot.lower().split("_") if word not in ("ring", "cam", "camera", "center", "centre", "wide")
    ]
    return "_".join("back" if word == "rear" else word for word in words)


def stage_frame(frame: Frame, assigned: Mapping[str, str], rectified: bool = False) -> Frame:
    """The frame as a stage sees it: images and cameras by slot, undistorted if it wants that, without truth.

    Args:
        frame: Frame of the drive; cameras that have no image in it stay empty.
        assigned: Slot -> camera.
        rectified: Undistort images; their cameras become the rectified ones.
    """
    images: dict[str, np.ndarray] = {}
    cameras: dict[str, Camera] = {}
    for slot, name in assigned.items():
        camera = frame.calibration.cameras.get(name)
        if name in frame.images:
            image = frame.images[name]
            images[slot] = camera.rectify(image) if rectified and camera is not None else image
        if camera is not None:
            cameras[slot] = replace(camera.rectified_camera() if rectified else camera, name=slot)
    calibration = Calibration(cameras, frame.calibration.sensors)
    return replace(frame, images=images, calibration=calibration, truth={})


def result_for_drive(result: Result, assigned: Mapping[str, str], frame: Frame, rectified: bool = False) -> Result:
    """A stage's result with cameras of the drive as frames, in pixels of the recorded images."""
    return _renamed(result, assigned, frame, undo=rectified)


def result_for_stage(result: Result, assigned: Mapping[str, str], frame: Frame, rectified: bool = False) -> Result:
    """The result of an input stage with the slots of the consuming stage as frames, in pixels of the images it sees."""
    slots = {camera: slot for slot, camera in assigned.items()}
    return _renamed(result, slots, frame, redo=rectified)


def move_pixels(result: Result, source: Camera, target: Camera) -> Result:
    """A 2-D result in the image of another lens at the same place with the same orientation.

    Lane points that leave the image are dropped, and lanes of which fewer than two points remain; boxes become the
    bounds of their bent outline, clipped to the image.

    Raises:
        PerceptionError: The kind of result cannot be moved (a grid in image space).
    """
    if isinstance(result, Lanes2D):
        moved = [target.project(source.unproject(lane)) for lane in result.lanes]
        kept = [uv[valid] for uv, valid in moved]
        keep = [i for i, lane in enumerate(kept) if len(lane) >= 2]
        assert result.scores is not None
        return Lanes2D(result.frame_id, target.size, tuple(kept[i] for i in keep), result.scores[keep])
    if isinstance(result, Boxes2D):
        boxes = np.stack([_move_box(box, source, target) for box in result.boxes]) if len(result) else result.boxes
        return replace(result, boxes=boxes, image_size=target.size)
    raise PerceptionError(f"a result of kind {result.KIND!r} cannot be brought from a rectified to the recorded image")


def _move_box(box: np.ndarray, source: Camera, target: Camera) -> np.ndarray:
    x0, y0, x1, y1 = box.astype(np.float64)
    steps = np.linspace(0, 1, 9)
    xs, ys = x0 + (x1 - x0) * steps, y0 + (y1 - y0) * steps
    sides = [(xs, np.full(9, y0)), (xs, np.full(9, y1)), (np.full(9, x0), ys), (np.full(9, x1), ys)]
    uv, _ = target.project(source.unproject(np.concatenate([np.stack(side, axis=1) for side in sides])))
    limit = np.array(target.size) - 1
    low, high = np.nanmin(uv, axis=0).clip(0, limit), np.nanmax(uv, axis=0).clip(0, limit)
    return np.concatenate([low, high])


def _renamed(result: Result, names: Mapping[str, str], frame: Frame, undo: bool = False, redo: bool = False) -> Result:
    changes: dict[str, Any] = {}
    for field in fields(result):  # type: ignore[arg-type]
        value = getattr(result, field.name)
        if isinstance(value, Result):
            changes[field.name] = _renamed(value, names, frame, undo, redo)
    if result.frame_id in names:
        new_name = names[result.frame_id]
        camera = frame.calibration.cameras.get(new_name if undo else result.frame_id)
        if camera is not None and camera.lens != "none" and (undo or redo):
            pair = (camera.rectified_camera(), camera) if undo else (camera, camera.rectified_camera())
            result = move_pixels(result, *pair)
        changes["frame_id"] = new_name
    return replace(result, **changes) if changes else result  # type: ignore[type-var]
