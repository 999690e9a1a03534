"""From an RGB image and its lanes to network input: the one path that training, testing and drives share.

A sample is a dict with ``img`` (uint8 RGB (H, W, 3)), ``lanes`` (list of (N, 2) float64 xy pixels of ``img``) and
``image_size`` (width, height) of the image as read. Transforms add ``crop`` (the network's view, pixels of that image),
``input_size`` (width, height) of the network input, and ``inputs``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from perception.engine.pipeline import Sample
from perception.errors import PerceptionError
from perception.registry import TRANSFORMS

from .targets import lane_targets

INTERPOLATION = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


def scale_points(points: np.ndarray, scale: Sequence[float], half_pixel: bool) -> np.ndarray:
    """Points of an image after resizing: with `half_pixel` as pixel centres move, else as published (x' = s x)."""
    shift = 0.5 if half_pixel else 0.0
    return (points + shift) * np.asarray(scale) - shift


def crop_box(box: Sequence[float], reference: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Pixel box x0, y0, x1, y1 in an image of any size for a `box` that was given for an image of size `reference`.

    Raises:
        PerceptionError: Nothing is left of the image.
    """
    sx, sy = width / reference[0], height / reference[1]
    x0, y0, x1, y1 = (round(value * scale) for value, scale in zip(box, (sx, sy, sx, sy)))
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        raise PerceptionError(
            f"an image of {width}x{height} is too small for the crop {tuple(box)} of {tuple(reference)}"
        )
    return x0, y0, x1, y1


@TRANSFORMS.register_module()
class LaneCrop:
    """Cut out the part of the image that the network sees.

    Args:
        box: x0, y0, x1, y1; fractions of the image, or pixels of an image of size `reference`.
        reference: (width, height) that `box` refers to; images of another size are cut proportionally.
    """

    def __init__(self, box: Sequence[float], reference: Sequence[float] = (1, 1)) -> None:
        self.box, self.reference = tuple(box), tuple(reference)

    def __call__(self, sample: Sample) -> Sample:
        """Cut `img`, move `lanes`, set `crop`."""
        height, width = sample["img"].shape[:2]
        x0, y0, x1, y1 = crop_box(self.box, self.reference, width, height)
        sample["img"] = sample["img"][y0:y1, x0:x1]
        sample["lanes"] = [lane - (x0, y0) for lane in sample.get("lanes", ())]
        sample["crop"] = (x0, y0, x1, y1)
        return sample


@TRANSFORMS.register_module()
class LaneResize:
    """Resize to the network input.

    Args:
        size: (width, height) in pixels.
        interpolation: ``linear`` or ``area`` (no aliasing when shrinking a lot).
        half_pixel: See `scale_points`.
    """

    def __init__(self, size: Sequence[int], interpolation: str = "linear", half_pixel: bool = False) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.flag, self.half_pixel = INTERPOLATION[interpolation], half_pixel

    def __call__(self, sample: Sample) -> Sample:
        """Resize `img` and `lanes`, set `input_size`."""
        height, width = sample["img"].shape[:2]
        if (width, height) != self.size:
            sample["img"] = cv2.resize(np.ascontiguousarray(sample["img"]), self.size, interpolation=self.flag)
        scale = (self.size[0] / width, self.size[1] / height)
        sample["lanes"] = [scale_points(lane, scale, self.half_pixel) for lane in sample.get("lanes", ())]
        sample["input_size"] = self.size
        return sample


@TRANSFORMS.register_module()
class LaneNormalize:
    """Make the float input tensor.

    Args:
        mean: Per channel in `order`, 0..255.
        std: Per channel in `order`.
        order: Channel order of the network, ``rgb`` or ``bgr``.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], order: str = "bgr") -> None:
        if order not in ("rgb", "bgr"):
            raise PerceptionError(f"LaneNormalize: order must be rgb or bgr, found {order!r}")
        level = np.arange(256, dtype=np.float32)[:, None]
        factor = (1 / np.asarray(std, np.float64)).astype(np.float32)
        self.constants = (np.asarray(mean, np.float32), factor)
        self.table = ((level - self.constants[0]) * factor)[None]  # (1, 256, 3)
        self.order = order

    def __call__(self, sample: Sample) -> Sample:
        """Set `inputs`, (3, H, W) float32."""
        image = sample["img"] if self.order == "rgb" else sample["img"][..., ::-1]
        values = cv2.LUT(np.ascontiguousarray(image), self.table)
        sample["inputs"] = np.stack(cv2.split(values))
        return sample


@TRANSFORMS.register_module()
class LaneTargets:
    """Add the training targets, see `targets.lane_targets`.

    Args:
        stride: Of the heatmap.
        sample_count: LFA samples per lane.
        max_lanes: Lanes with LFA samples.
        radius: Of keypoint Gaussians in cells.
        start_radius: Of start-point Gaussians in cells.
    """

    def __init__(
        self, stride: int, sample_count: int, max_lanes: int = 6, radius: int = 2, start_radius: int = 4
    ) -> None:
        self.keywords = {
            "stride": stride,
            "sample_count": sample_count,
            "max_lanes": max_lanes,
            "radius": radius,
            "start_radius": start_radius,
        }

    def __call__(self, sample: Sample) -> Sample:
        """Set `targets`."""
        height, width = sample["img"].shape[:2]
        sample["targets"] = lane_targets(sample["lanes"], height, width, **self.keywords)
        return sample


@TRANSFORMS.register_module()
class PackLanes:
    """Split a sample into what the model takes: the input tensor and a dict that goes along."""

    keys = ("name", "image_size", "crop", "input_size", "gt_lanes", "label")

    def __call__(self, sample: Sample) -> Sample:
        """Return ``inputs`` (3, H, W) float32 tensor and ``data_samples``."""
        data = {key: sample[key] for key in self.keys if key in sample} | sample.get("targets", {})
        return {"inputs": torch.from_numpy(sample["inputs"]), "data_samples": data}
