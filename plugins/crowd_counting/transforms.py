"""From an RGB picture and its heads to network input: the one path that training, testing and drives share.

A sample is a dict with ``img`` (uint8 RGB (H, W, 3)), ``points`` (N, 2) float32 xy pixels of ``img`` (pixel k covers
[k, k + 1)) and ``image_size`` (width, height) of the picture as read. Transforms add ``content_size`` (width, height)
of the picture inside the network input, without padding, and ``inputs``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.registry import FUNCTIONS

from perception.engine.pipeline import Sample
from perception.errors import PerceptionError
from perception.registry import TRANSFORMS

from .density import adaptive_sigmas, fixed_density, point_density, shrink, shrink_map
from .points import rounded_size

MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


BORDERS = {"replicate": cv2.BORDER_REPLICATE, "zero": cv2.BORDER_CONSTANT}


def resized(sample: Sample, size: tuple[int, int], interpolation: int) -> Sample:
    """The sample with picture and points scaled to ``size`` (width, height)."""
    height, width = sample["img"].shape[:2]
    if (width, height) != size:
        sample["img"] = cv2.resize(np.ascontiguousarray(sample["img"]), size, interpolation=interpolation)
        sample["points"] = sample["points"] * np.array([size[0] / width, size[1] / height], np.float32)
    return sample


@TRANSFORMS.register_module()
class CrowdPad:
    """Extend the picture at the right and at the bottom to sides that the network accepts.

    Args:
        multiple: Sides become multiples of it.
        mode: ``replicate`` the border, or ``zero`` (black).
        least: Shortest side.
    """

    def __init__(self, multiple: int = 16, mode: str = "replicate", least: int = 16) -> None:
        if mode not in BORDERS:
            raise PerceptionError(f"CrowdPad: mode: expected replicate or zero, found {mode!r}")
        self.multiple, self.mode, self.least = multiple, mode, least

    def __call__(self, sample: Sample) -> Sample:
        """Pad `img`, set `content_size`."""
        height, width = sample["img"].shape[:2]
        sample["content_size"] = (width, height)
        bottom, right = (self.padding(side) for side in (height, width))
        if bottom or right:
            sample["img"] = cv2.copyMakeBorder(sample["img"], 0, bottom, 0, right, BORDERS[self.mode])
        return sample

    def padding(self, side: int) -> int:
        """How many pixels a side grows by."""
        return max(-(-side // self.multiple) * self.multiple, self.least) - side


@TRANSFORMS.register_module()
class CrowdRoundResize:
    """Resize both sides to the nearest multiple, as the published test code does (bilinear, halves to even).

    Args:
        multiple: Sides become multiples of it.
    """

    def __init__(self, multiple: int = 16) -> None:
        self.multiple = multiple

    def __call__(self, sample: Sample) -> Sample:
        """Resize `img` and `points`, set `content_size`.

        Raises:
            PerceptionError: A side rounds to 0.
        """
        height, width = sample["img"].shape[:2]
        size = (rounded_size(width, self.multiple), rounded_size(height, self.multiple))
        if not all(size):
            raise PerceptionError(f"CrowdRoundResize: a picture of {width}x{height} is too small")
        sample["content_size"] = size
        return resized(sample, size, cv2.INTER_LINEAR)


@TRANSFORMS.register_module()
class CrowdEnlarge:
    """Resize both sides by a factor (bilinear), so that small heads cover more cells; to be followed by `CrowdPad`.

    Args:
        factor: Between 0.25 and 4.

    Raises:
        PerceptionError: Another factor.
    """

    def __init__(self, factor: float) -> None:
        if not 0.25 <= factor <= 4:
            raise PerceptionError(f"CrowdEnlarge: factor: expected 0.25 to 4, found {factor!r}")
        self.factor = factor

    def side(self, side: int) -> int:
        """What a side becomes, at least 1."""
        return max(round(side * self.factor), 1)

    def __call__(self, sample: Sample) -> Sample:
        """Resize `img` and `points`."""
        height, width = sample["img"].shape[:2]
        return resized(sample, (self.side(width), self.side(height)), cv2.INTER_LINEAR)


@TRANSFORMS.register_module()
class CrowdNormalize:
    """Make the float input tensor.

    Args:
        mean: Per channel (RGB), 0..255; ImageNet's.
        std: Per channel.
    """

    def __init__(self, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> None:
        level = np.arange(256, dtype=np.float32)[:, None]
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        self.table = ((level - self.mean) / self.std)[None].astype(np.float32)

    def __call__(self, sample: Sample) -> Sample:
        """Set `inputs`, (3, H, W) float32."""
        values = cv2.LUT(np.ascontiguousarray(sample["img"]), self.table)
        sample["inputs"] = np.stack(cv2.split(values))
        return sample


@TRANSFORMS.register_module()
class CrowdTargets:
    """Add density and attention targets at the stride of the network.

    Args:
        stride: Of the network's output.
        kernel: ``fixed`` (published: Gaussian on pixels, halved once; stride 2 only), or ``adaptive`` (by the
            distance of neighbours, within ``limits``, every head counts exactly 1).
        sigma: Of the fixed kernel, pixels.
        limits: Smallest and largest sigma of adaptive kernels, pixels.
        attention: Density at stride 1 of a lone fixed kernel, or share of the peak of a cell's kernel, from which
            the attention target is 1.
    """

    def __init__(
        self,
        stride: int = 2,
        kernel: str = "fixed",
        sigma: float = 5.0,
        limits: tuple[float, float] = (2.5, 8.0),
        attention: float = 0.02,
    ) -> None:
        if kernel not in ("fixed", "adaptive") or (kernel == "fixed" and stride != 2):
            raise PerceptionError(f"CrowdTargets: expected fixed at stride 2, or adaptive, found {kernel!r}, {stride}")
        self.stride, self.kernel, self.sigma, self.limits, self.attention = stride, kernel, sigma, limits, attention

    def __call__(self, sample: Sample) -> Sample:
        """Set `targets` with ``density`` and ``attention`` (h, w) float32."""
        height, width = sample["img"].shape[:2]
        points = sample["points"]
        if self.kernel == "fixed":
            full = fixed_density(points, (height, width), self.sigma)
            density, attention = shrink(full.density), shrink_map(full.attention)
        else:
            shape = (height // self.stride, width // self.stride)
            sigma = np.clip(0.6 * adaptive_sigmas(points, (height, width)), *self.limits)
            density = point_density(points, shape, sigma, self.stride)
            attention = (density > self.attention).astype(np.float32)
        sample.setdefault("targets", {}).update(density=density, attention=attention)
        return sample


@TRANSFORMS.register_module()
class PackCrowd:
    """Split a sample into what the model takes: the input tensor and a dict that goes along."""

    keys = ("name", "image_size", "content_size", "points", "gt_points", "region", "mask")

    def __call__(self, sample: Sample) -> Sample:
        """Return ``inputs`` (3, H, W) float32 tensor and ``data_samples``."""
        data = {key: sample[key] for key in self.keys if sample.get(key) is not None} | sample.get("targets", {})
        return {"inputs": torch.from_numpy(sample["inputs"]), "data_samples": data}


@FUNCTIONS.register_module()
def crowd_collate(batch: Sequence[Sample]) -> Sample:
    """Stack the inputs of packed samples to (B, 3, H, W); pictures of different sizes are padded to the largest."""
    height, width = (max(sample["inputs"].shape[axis] for sample in batch) for axis in (1, 2))
    inputs = [
        torch.nn.functional.pad(
            sample["inputs"], (0, width - sample["inputs"].shape[2], 0, height - sample["inputs"].shape[1])
        )
        for sample in batch
    ]
    return {"inputs": torch.stack(inputs), "data_samples": [sample["data_samples"] for sample in batch]}
