"""A certified defence for boxes by masking, after the idea of ObjectSeeker: no patch is in the view of every mask.

The detector also sees the image with the part on either side of some lines greyed out. Boxes that only masked images
show are added. A patch that a mask covers cannot change what the detector finds under that mask, so an object that it
finds there stays found, wherever in that part the patch is and whatever it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.attack import ATTACK_TARGETS, AttackSample, AttackTarget
from perception.errors import PerceptionError
from perception.metrics.box_match import box_areas, common_areas
from perception.structures import Boxes2D

from .defences import content_generator
from .rates import Rate
from .wrapped import WrappedTarget

__all__ = ["POSITIONS", "MaskedTarget"]

POSITIONS = ("over", "close", "far")
"""Where a patch is: on the object, within its larger side of it, or farther away."""


@ATTACK_TARGETS.register_module()
class MaskedTarget(WrappedTarget):
    """A box detector behind the masking defence.

    Args:
        target: The detector, or its config.
        lines: Lines along each axis; 4 ``lines`` masked images are looked at.
        score: Score from which boxes of masked images count.
        inside: A box of a masked image is dropped when a box of the same class covers this share of it.
        looks: Masked images that ``loss`` draws for one step; an attack through the defence averages over them.
        seed: Of the draws.

    Raises:
        PerceptionError: Settings out of range.
    """

    def __init__(
        self,
        target: AttackTarget | dict,
        lines: int = 3,
        score: float = 0.5,
        inside: float = 0.8,
        looks: int = 2,
        seed: int = 0,
    ) -> None:
        if lines < 1 or not 0 < inside <= 1 or looks < 1:
            raise PerceptionError(
                f"masking: expected lines, looks >= 1, 0 < inside <= 1, found {lines}, {looks}, {inside}"
            )
        super().__init__(target)
        self.lines, self.score, self.inside, self.looks, self.seed = int(lines), score, inside, int(looks), seed

    @property
    def defence_name(self) -> str:
        """Name and settings of the defence."""
        return f"masking(lines={self.lines}, score={self.score}, inside={self.inside})"

    def masks(self, height: int, width: int) -> np.ndarray:
        """(4 lines, 4) float x0, y0, x1, y1 of the parts that are greyed out."""
        out = []
        for k in range(1, self.lines + 1):
            x, y = round(width * k / (self.lines + 1)), round(height * k / (self.lines + 1))
            out += [(0, 0, x, height), (x, 0, width, height), (0, 0, width, y), (0, y, width, height)]
        return np.array(out, np.float64)

    def _masked(self, images: Tensor, mask: np.ndarray) -> Tensor:
        x0, y0, x1, y1 = (int(value) for value in mask)
        out = images.clone()
        out[..., y0:y1, x0:x1] = 0.5
        return out

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) the victim's loss on the image, plus the mean over a few masked ones."""
        masks = self.masks(*images.shape[-2:])
        chosen = torch.randperm(len(masks), generator=content_generator(images, self.seed))[: self.looks]
        extra = [self.target.loss(self._masked(images, masks[k]), samples, goal) for k in chosen.tolist()]
        total: Tensor = self.target.loss(images, samples, goal) + torch.stack(extra).mean(0)
        return total

    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[Boxes2D]:
        """Boxes of the images and what only masked ones show."""
        base: list[Boxes2D] = self.target.predict(images, samples)
        masked = self._masked_boxes(images, samples)
        return [self._joined(found, [boxes[k] for boxes in masked]) for k, found in enumerate(base)]

    def _masked_boxes(self, images: Tensor, samples: Sequence[AttackSample]) -> list[list[Boxes2D]]:
        return [self.target.predict(self._masked(images, mask), samples) for mask in self.masks(*images.shape[-2:])]

    def _joined(self, base: Boxes2D, masked: Sequence[Boxes2D]) -> Boxes2D:
        boxes, scores, labels = base.boxes, base.scores, base.labels
        extra = [(b, s, c) for m in masked for b, s, c in zip(m.boxes, m.scores, m.labels) if s >= self.score]
        kept = []
        for box, score, label in extra:
            same = boxes[(labels == label) & (scores >= self.score)]
            covered = common_areas(box[None], same) / max(float(box_areas(box[None])[0]), 1e-9)
            if not len(same) or covered.max() < self.inside:
                kept.append((box, score, label))
        added = _unions(kept)
        if not added:
            return base
        new = (np.array([part[k] for part in added], kind) for k, kind in enumerate((np.float32, np.float32, np.int64)))
        all_boxes, all_scores, all_labels = (np.concatenate(p) for p in zip((boxes, scores, labels), new))
        return Boxes2D(base.frame_id, base.image_size, all_boxes, all_scores, all_labels, base.class_names)

    def certified(
        self, images: Tensor, sample: AttackSample, patch: tuple[int, int], cover: float = 0.2, step: int = 8
    ) -> list[dict[str, bool]]:
        """Which true boxes no patch of a size can take away; found by looking at the clean image only.

        An object is certified against a place of the patch when a mask covers the whole patch and the detector finds
        the object under that mask: the final boxes then cover at least ``cover`` of it. A box that was dropped for
        another that covers ``inside`` of it counts with what is left of it in the worst case.

        Args:
            images: (1, 3, H, W) clean.
            sample: With ``Boxes2D`` as truth.
            patch: (height, width) of the patch in pixels.
            cover: Least share of a true box.
            step: Distance of the places that are checked, pixels; places between are checked as one larger patch.

        Returns:
            For each true box ``POSITIONS`` -> certified for all places there; a position without a place is left out.
        """
        height, width = images.shape[-2:]
        found = [boxes[0] for boxes in self._masked_boxes(images, [sample])]
        good = np.stack([self._covers(boxes, sample.truth, cover) for boxes in found])  # (masks, G)
        places = _places(height, width, patch, step)
        masks = self.masks(height, width)
        low, high = masks[:, None, :2] <= places[None, :, :2], masks[:, None, 2:] >= places[None, :, 2:]
        held: np.ndarray = np.all(low & high, axis=2)  # (masks, places)
        safe: np.ndarray = np.any(held[:, :, None] & good[:, None], axis=0)  # (places, G)
        where = _positions(places, sample.truth.boxes.astype(np.float64))
        out = []
        for g in range(len(sample.truth)):
            rows = [(name, safe[where[:, g] == k, g]) for k, name in enumerate(POSITIONS)]
            out.append({name: bool(values.all()) for name, values in rows if len(values)})
        return out

    def _covers(self, found: Boxes2D, truth: Boxes2D, cover: float) -> np.ndarray:
        """(G,) whether a box of the right class surely leaves ``cover`` of each true box covered."""
        shared = common_areas(truth.boxes, found.boxes)
        worst = shared - (1 - self.inside) * box_areas(found.boxes)[None]
        right = (truth.labels[:, None] == found.labels[None]) & (found.scores >= self.score)[None]
        return (right & (worst >= cover * box_areas(truth.boxes)[:, None])).any(1)

    def certified_recall(
        self, images: Sequence[Tensor], samples: Sequence[AttackSample], patch: tuple[int, int], **more: Any
    ) -> dict[str, Rate]:
        """Position -> share of true boxes that are certified there, with its interval."""
        rows = [row for image, sample in zip(images, samples) for row in self.certified(image, sample, patch, **more)]
        out = {}
        for name in POSITIONS:
            values = [row[name] for row in rows if name in row]
            out[name] = Rate.of(sum(values), len(values))
        return out


def _unions(parts: Sequence[tuple[np.ndarray, float, int]]) -> list[tuple[np.ndarray, float, int]]:
    """Boxes of one class that overlap become the box around them, with the highest score."""
    out: list[tuple[np.ndarray, float, int]] = []
    for box, score, label in parts:
        touching = [
            k
            for k, (other, _, kind) in enumerate(out)
            if kind == label and common_areas(box[None], other[None])[0, 0] > 0
        ]
        group = [(box, score), *((out[k][0], out[k][1]) for k in touching)]
        boxes = np.stack([part[0] for part in group])
        union = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        out = [part for k, part in enumerate(out) if k not in touching]
        out.append((union, max(part[1] for part in group), label))
    return out


def _places(height: int, width: int, patch: tuple[int, int], step: int) -> np.ndarray:
    """(P, 4) windows that together hold every place of a patch: places within ``step`` pixels share one window."""
    if not (0 < patch[0] <= height and 0 < patch[1] <= width and step >= 1):
        raise PerceptionError(f"masking: expected a patch inside {height} x {width}, found {patch}, step {step}")
    y, x = np.meshgrid(
        np.arange(0, height - patch[0] + 1, step), np.arange(0, width - patch[1] + 1, step), indexing="ij"
    )
    low = np.stack([x.ravel(), y.ravel()], 1).astype(np.float64)
    size = np.array([patch[1], patch[0]]) + step - 1
    return np.hstack([low, np.minimum(low + size, [width, height])])


def _positions(places: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(P, G) index into ``POSITIONS``."""
    gap = np.maximum(boxes[None, :, :2] - places[:, None, 2:], places[:, None, :2] - boxes[None, :, 2:]).max(2)
    side = (boxes[:, 2:] - boxes[:, :2]).max(1)
    return np.where(gap < 0, 0, np.where(gap < side[None], 1, 2))
