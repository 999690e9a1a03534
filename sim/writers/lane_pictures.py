"""What the writers of lane datasets share: which picture has which seed and part, and how a picture becomes a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.sim import presets
from perception.sim.writers import Request, check_request
from perception.sinks.storage import write_file

JPEG_QUALITY = 92


class Picture(NamedTuple):
    """One picture of a dataset, plain data that workers can be sent.

    Attributes:
        root: Folder of the dataset.
        name: Path below it.
        part: ``train``, ``val`` or ``test``.
        scene: Number of its folder.
        seed: Of :func:`perception.sim.lanes.render_lane_sample`, as are preset, size and rows_from.
        preset: Name of a preset.
        size: (width, height), or None to draw one.
        rows_from: Share of the height that stays black.
    """

    root: str
    name: str
    part: str
    scene: int
    seed: int
    preset: str
    size: tuple[int, int] | None
    rows_from: float = 0.0

    @property
    def path(self) -> Path:
        """Where the picture lies."""
        return Path(self.root) / self.name


def plan(
    root: Path,
    scenes: int,
    frames: int,
    seed: int,
    preset: str,
    size: tuple[int, int] | None,
    name: Callable[[int, int], str],
    rows_from: float = 0.0,
) -> list[Picture]:
    """All pictures: picture ``i`` has seed ``seed + i``; of ten scenes eight train, one validates, one tests.

    Args:
        root: Folder of the dataset.
        scenes: Number of folders.
        frames: Pictures a folder.
        seed: First seed.
        preset: Name of a preset.
        size: (width, height) of the pictures; None draws one for each.
        name: Path below the root of a picture, from the first seed of its folder and its number there.
        rows_from: Share of the height that stays black.

    Raises:
        PerceptionError: Numbers out of range, or an unknown preset.
    """
    check_request(scenes, frames, seed)
    presets.get(preset)
    pictures = []
    for index in range(scenes * frames):
        scene, frame = divmod(index, frames)
        part = {8: "val", 9: "test"}.get(scene % 10, "train")
        file = name(seed + scene * frames, frame)
        pictures.append(Picture(str(root), file, part, scene, seed + index, preset, size, rows_from))
    return pictures


def refuse_towns(request: Request, name: str) -> None:
    """Raise for what a dataset of roads seen by one camera cannot serve."""
    if request.world == "town" or request.rig or request.lidar:
        raise PerceptionError(f"simulate: --format {name} shows roads; --world town, --rig and --lidar are for others")


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Write an RGB image whole or not at all."""
    _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    write_file(path, code.tobytes())
