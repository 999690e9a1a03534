"""Random changes of training pictures: the published recipes, and stronger ones for learning from simulated crowds."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from perception.engine.seeding import sample_rng
from perception.registry import TRANSFORMS

from .points import crop_targets, flipped, mean_neighbour_distance, scaled_size
from .transforms import Sample, resized


@TRANSFORMS.register_module()
class CrowdCrop:
    """Random scale, crop and mirroring.

    Args:
        size: (width, height) of the crop.
        scale: Range of the scale, drawn evenly in its logarithm when ``log``.
        least: First enlarge pictures whose short side is smaller; 0 for never.
        flip: Probability of mirroring.
        log: See ``scale``.
        crowded: Of two random places take the one with more heads, with this probability.
    """

    def __init__(
        self,
        size: Sequence[int] = (400, 400),
        scale: Sequence[float] = (0.8, 1.2),
        least: int = 0,
        flip: float = 0.5,
        log: bool = False,
        crowded: float = 0.0,
    ) -> None:
        self.size, self.least = (int(size[0]), int(size[1])), least
        self.scale = (float(scale[0]), float(scale[1]))
        self.flip, self.log, self.crowded = flip, log, crowded

    def __call__(self, sample: Sample) -> Sample:
        """Change `img` and `points`; heads outside the crop are dropped."""
        rng = sample_rng()
        height, width = sample["img"].shape[:2]
        factor = (
            np.exp(rng.uniform(np.log(self.scale[0]), np.log(self.scale[1]))) if self.log else rng.uniform(*self.scale)
        )
        factor *= max(self.least / min(height, width), 1.0)
        window = np.array(self.size) / factor
        origin = self._place(rng, sample["points"], window, (width, height))
        matrix = np.array([[factor, 0, -origin[0] * factor], [0, factor, -origin[1] * factor]])
        if rng.random() < self.flip:
            matrix = np.array([[-factor, 0, self.size[0] + origin[0] * factor], matrix[1]])
        points = sample["points"] @ matrix[:, :2].T + matrix[:, 2]
        shift = matrix.copy()  # OpenCV's pixel middles lie at integers, ours at k + 0.5
        shift[:, 2] += matrix[:, :2].sum(1) * 0.5 - 0.5
        flag = cv2.INTER_LINEAR
        image = sample["img"]
        if factor < 0.7:  # no aliasing when shrinking
            image = cv2.GaussianBlur(image, (0, 0), 0.4 / factor)
        sample["img"] = cv2.warpAffine(image, shift, self.size, flags=flag, borderMode=cv2.BORDER_CONSTANT)
        inside = (points >= 0).all(1) & (points < self.size).all(1)
        sample["points"] = points[inside].astype(np.float32)
        sample["content_size"] = self.size
        return sample

    def _place(
        self, rng: np.random.Generator, points: np.ndarray, window: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray:
        room = np.array(size) - window
        tries = [np.where(room > 0, rng.random(2) * room, room * rng.random(2)) for _ in range(2)]
        if rng.random() >= self.crowded:
            return tries[0]
        counts = [int(((points >= origin) & (points < origin + window)).all(1).sum()) for origin in tries]
        return tries[int(np.argmax(counts))]


@TRANSFORMS.register_module()
class CrowdAppearance:
    """Brightness, colour, blur, noise and compression.

    Args:
        gamma: Range of the exponent.
        gamma_probability, gray, blur, noise, jpeg, color: Probability of each change.
    """

    def __init__(
        self,
        gamma: Sequence[float] = (0.5, 1.5),
        gamma_probability: float = 0.3,
        gray: float = 0.1,
        blur: float = 0.0,
        noise: float = 0.0,
        jpeg: float = 0.0,
        color: float = 0.0,
    ) -> None:
        self.gamma, self.gamma_probability, self.gray = (float(gamma[0]), float(gamma[1])), gamma_probability, gray
        self.blur, self.noise, self.jpeg, self.color = blur, noise, jpeg, color

    def __call__(self, sample: Sample) -> Sample:
        """Change `img`."""
        rng = sample_rng()
        image = sample["img"]
        level = np.arange(256, dtype=np.float64)[:, None] / 255
        table = np.repeat(level, 3, axis=1)
        if rng.random() < self.gamma_probability:
            table = table ** rng.uniform(*self.gamma)
        if rng.random() < self.color:
            table = (table - 0.5) * rng.uniform(0.6, 1.4) + 0.5 + rng.uniform(-0.12, 0.12)
            table = table * rng.uniform(0.85, 1.15, 3)
        image = cv2.LUT(np.ascontiguousarray(image), (table.clip(0, 1) * 255 + 0.5).astype(np.uint8)[None])
        if rng.random() < self.gray:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        if rng.random() < self.blur:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
        if rng.random() < self.noise:
            spread = rng.normal(0, rng.uniform(1, 10), (*image.shape[:2], 1))
            image = (image + spread).clip(0, 255).astype(np.uint8)
        if rng.random() < self.jpeg:
            _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
            image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
        sample["img"] = image
        return sample


@TRANSFORMS.register_module()
class CrowdScaleLimits:
    """Bring the short side into a range, as the Bayesian preprocessing does; heads are clipped to the picture.

    Args:
        least, most: Range in pixels.
    """

    def __init__(self, least: int = 512, most: int = 2048) -> None:
        self.least, self.most = least, most

    def __call__(self, sample: Sample) -> Sample:
        """Scale `img` and `points`."""
        height, width = sample["img"].shape[:2]
        sample["points"] = np.clip(sample["points"], 0, [width - 1, height - 1]).astype(np.float32)
        rows, columns, factor = scaled_size(height, width, self.least, self.most)
        if factor == 1.0:
            return sample
        return resized(sample, (columns, rows), cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


@TRANSFORMS.register_module()
class CrowdBayesCrop:
    """Random crop with the point targets of Bayesian training.

    Args:
        size: Side of the crop, pixels; smaller pictures are enlarged first.
        flip: Probability of mirroring.
    """

    def __init__(self, size: int = 512, flip: float = 0.5) -> None:
        self.size, self.flip = size, flip

    def __call__(self, sample: Sample) -> Sample:
        """Crop `img`, set `points` and `targets` (``targets``, ``short_side``)."""
        rng = sample_rng()
        height, width = sample["img"].shape[:2]
        if min(height, width) < self.size:
            factor = self.size / min(height, width)
            size = (max(round(width * factor), self.size), max(round(height * factor), self.size))
            sample = resized(sample, size, cv2.INTER_LINEAR)
            width, height = size
        top, left = (int(rng.integers(0, side - self.size + 1)) for side in (height, width))
        distance = mean_neighbour_distance(sample["points"])
        found = crop_targets(sample["points"], distance, top, left, self.size, self.size)
        image, points = sample["img"][top : top + self.size, left : left + self.size], found.points
        if rng.random() < self.flip:
            image, points = image[:, ::-1], flipped(points, self.size)
        sample["img"] = np.ascontiguousarray(image)
        sample["points"] = np.asarray(points, np.float32).reshape(-1, 2)
        sample["content_size"] = (self.size, self.size)
        targets = np.asarray(found.targets, np.float32)
        sample.setdefault("targets", {}).update(targets=targets, short_side=float(min(height, width)))
        return sample
