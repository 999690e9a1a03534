"""``perception attack place``: a patch that is fixed in the world, drawn into the frames of a drive."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from perception.errors import InputError, PerceptionError

from .bundle import load_bundle
from .occlusion import hidden_by_lidar, hidden_by_mask, points_in_ego
from .placement import PlacedView, board_corners, preview, road_corners
from .render import render

__all__ = ["Placing", "place_patch"]


@dataclass(frozen=True)
class Placing:
    """Where a patch goes, and what may hide it.

    Attributes:
        spot: Metres ahead and to the left of the vehicle in the first frame.
        size_m: Height (length on the road) and width.
        on: ``road`` or ``board``.
        camera: One slot, or ``all``.
        patch: Folder of a bundle; None draws grey.
        frames: First frames only; None takes all.
        occlusion: ``lidar`` where a frame has returns, ``none``, or a folder of masks, see ``occlusion``.

    Raises:
        PerceptionError: No frames, or a folder of masks that is not there.
    """

    spot: tuple[float, float]
    size_m: tuple[float, float]
    on: str = "road"
    camera: str = "all"
    patch: Path | None = None
    frames: int | None = None
    occlusion: str = "lidar"

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise PerceptionError(f"attack place: expected 1 frame or more, found {self.frames}")
        if self.occlusion not in ("lidar", "none") and not Path(self.occlusion).is_dir():
            raise PerceptionError(f"attack place: expected occlusion lidar, none or a folder, found {self.occlusion!r}")

    @property
    def corners(self) -> np.ndarray:
        """(4, 3) in the ego frame of the first frame."""
        return (road_corners if self.on == "road" else board_corners)(*self.spot, self.size_m)


def place_patch(drive: str, placing: Placing, out: Path) -> int:
    """Draw a patch into the frames of a drive, say what was drawn, and return 0.

    Pictures are ``OUT/<frame>.png``, of ``camera="all"`` ``OUT/<camera>/<frame>.png``.

    Raises:
        InputError: The drive has no frame.
        PerceptionError: No frame shows the patch.
    """
    from perception.sources import open_drive

    patch = placing.patch
    picture = torch.full((1, 3, 64, 64), 0.5) if patch is None else load_bundle(patch).patch[:1]
    slots = None if placing.camera == "all" else (placing.camera,)
    seen: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    poses: dict[int, bool] = {}
    with open_drive(drive) as source:
        for view in preview(islice(source, placing.frames), slots, placing.corners, placing.size_m):
            folder = out / view.slot if slots is None else out
            folder.mkdir(parents=True, exist_ok=True)
            array = view.image
            if view.surface is not None:
                hidden = _hidden(view, placing.occlusion)
                judged[view.slot] += hidden is not None
                array = _drawn(view, picture, hidden)
            seen[view.slot] += view.surface is not None
            poses[view.index] = view.frame.ego_pose is not None
            cv2.imwrite(str(folder / f"{view.index:05d}.png"), np.ascontiguousarray(array[..., ::-1]))
    if not poses:
        raise InputError(drive, "", "at least one frame", "none")
    if not any(seen.values()):
        raise PerceptionError(f"attack place: none of {len(poses)} frames shows the patch in camera {placing.camera!r}")
    for slot, number in sorted(seen.items()):
        print(f"{slot}: {number} of {len(poses)} frames show it")
    how = "fixed in the world" if all(poses.values()) else "moves with the vehicle where the drive has no poses"
    print(f"{how}; {_told(placing.occlusion, sum(judged.values()), sum(seen.values()))} -> {out}")
    return 0


def _told(occlusion: str, judged: int, shown: int) -> str:
    if not judged:
        return "occlusion is ignored" + (": no LiDAR" if occlusion == "lidar" else "")
    source = "LiDAR" if occlusion == "lidar" else occlusion
    return f"occlusion from {source} in {judged} of {shown} pictures" + (
        "" if judged == shown else ", ignored in others"
    )


def _hidden(view: PlacedView, occlusion: str) -> np.ndarray | None:
    """(H, W) bool of what hides the patch, None where nothing is known."""
    camera = view.frame.calibration.cameras[view.slot]
    if occlusion == "none" or (occlusion == "lidar" and not view.frame.clouds):
        return None
    if occlusion == "lidar":
        return hidden_by_lidar(points_in_ego(view.frame), view.corners, camera)
    return hidden_by_mask(Path(occlusion), view.slot, view.index, (view.image.shape[1], view.image.shape[0]))


def _drawn(view: PlacedView, picture: Tensor, hidden: np.ndarray | None) -> np.ndarray:
    """(H, W, 3) uint8 of the image with the patch where nothing hides it."""
    assert view.surface is not None
    tensor = torch.from_numpy(np.ascontiguousarray(view.image)).permute(2, 0, 1)[None].float() / 255
    drawn = render(tensor, picture, [replace(view.surface, view=0)])[0]
    array = (drawn.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return array if hidden is None else np.where(hidden[..., None], view.image, array)
