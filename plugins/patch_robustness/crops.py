"""Samples cut around what carries a patch: crafting on crops at full resolution costs a fraction of whole pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from perception.attack import AttackSample
from perception.errors import PerceptionError
from perception.metrics.box_match import box_areas
from perception.registry import DATASETS
from perception.structures import Boxes2D

__all__ = ["CroppedScenes", "crop_sample"]

_VISIBLE = 0.3
"""Boxes of which less is left in a crop are no longer truth."""


def crop_sample(sample: AttackSample, size: tuple[int, int]) -> AttackSample:
    """Cut a sample with boxes so that its first surface is in the middle, as far as the picture reaches.

    Args:
        sample: One image with ``Boxes2D`` as truth and at least one surface.
        size: (width, height) of the result; pictures that are smaller are left whole in that direction.

    Raises:
        PerceptionError: Several views, another truth, or no surface.
    """
    if sample.image.ndim != 3 or not isinstance(sample.truth, Boxes2D) or not sample.surfaces:
        raise PerceptionError(f"crop: sample {sample.name}: expected one image with boxes and surfaces")
    full = np.array([sample.image.shape[1], sample.image.shape[0]])
    window = np.minimum(size, full)
    quad = sample.surfaces[0].quad.numpy()
    middle = (quad.min(0) + quad.max(0)) / 2
    x, y = np.clip(np.round(middle - window / 2), 0, full - window).astype(int).tolist()
    image = np.ascontiguousarray(sample.image[y : y + window[1], x : x + window[0]])
    boxes = sample.truth.boxes - np.array([x, y, x, y], np.float32)
    cut = boxes.clip(0, [*window, *window])
    left, whole = box_areas(cut), box_areas(boxes)
    kept = np.flatnonzero(left >= np.maximum(_VISIBLE * whole, 1e-6))
    place = {int(old): new for new, old in enumerate(kept)}
    truth = Boxes2D(
        sample.truth.frame_id,
        (int(window[0]), int(window[1])),
        cut[kept].astype(np.float32),
        sample.truth.scores[kept],
        sample.truth.labels[kept],
        sample.truth.class_names,
    )
    surfaces = []
    for surface in sample.surfaces:
        moved = surface.quad - torch.tensor([x, y])
        inside = bool((moved.amax(0) > 0).all() and (moved.amin(0) < torch.tensor(window - 1)).all())
        if inside and (surface.instance is None or surface.instance in place):
            instance = None if surface.instance is None else place[surface.instance]
            surfaces.append(replace(surface, quad=moved, instance=instance))
    hidden = None if sample.hidden is None else sample.hidden[y : y + window[1], x : x + window[0]]
    return replace(sample, image=image, truth=truth, surfaces=tuple(surfaces), hidden=hidden)


@DATASETS.register_module()
class CroppedScenes:
    """The samples of another dataset, cut by ``crop_sample``.

    Args:
        dataset: Its config.
        size: (width, height).
    """

    def __init__(self, dataset: dict[str, Any], size: tuple[int, int] = (160, 160)) -> None:
        self.scenes, self.size = DATASETS.build(dataset), (int(size[0]), int(size[1]))

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> AttackSample:
        return crop_sample(self.scenes[index], self.size)
