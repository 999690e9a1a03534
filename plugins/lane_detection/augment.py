"""Random changes of training images: one warp for all geometry, one table of cheap changes of appearance.

Images are uint8 RGB and small (the network input), so that a sample costs a few milliseconds on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np

from perception.engine.seeding import sample_rng
from perception.registry import TRANSFORMS

from .transforms import Sample, crop_box

Image = np.ndarray
Change = Callable[[Image, np.random.Generator], Image]


class RandomTransform:
    """Draws from the stream of the sample that is being made: it depends on seed, epoch and index only."""

    _own: np.random.Generator | None = None

    @property
    def rng(self) -> np.random.Generator:
        """Generator to draw from, see `perception.engine.seeding`."""
        return self._own or sample_rng()

    def seed(self, seed: int) -> None:
        """Draw from a stream of its own from now on, to look at one transform alone."""
        self._own = np.random.default_rng(seed)


@TRANSFORMS.register_module()
class LaneWarp(RandomTransform):
    """Crop, flip, shift, scale, rotate, shear and tilt in a single resampling straight to the network input.

    Args:
        size: (width, height) of the network input.
        box: The view of the network, see `LaneCrop`; the warp varies around it.
        reference: See `LaneCrop`.
        flip: Probability of mirroring.
        shift: Range of the shift in x and of that in y (downwards), fractions of the input size.
        scale: Range of the common scale.
        stretch: Range of the additional horizontal scale.
        rotate: Largest rotation in degrees.
        shear: Largest horizontal shear, input widths per input height.
        tilt: Largest perspective change: relative scale between the opposite borders.
        probability: Of changing anything but the mirroring.
    """

    def __init__(
        self,
        size: Sequence[int],
        box: Sequence[float],
        reference: Sequence[float] = (1, 1),
        flip: float = 0.5,
        shift: Sequence[Sequence[float]] = ((-0.12, 0.12), (-0.06, 0.2)),
        scale: Sequence[float] = (0.75, 1.3),
        stretch: Sequence[float] = (0.8, 1.25),
        rotate: float = 6.0,
        shear: float = 0.1,
        tilt: float = 0.15,
        probability: float = 0.9,
    ) -> None:
        self.size, self.box, self.reference = (int(size[0]), int(size[1])), tuple(box), tuple(reference)
        self.flip, self.scale, self.stretch = flip, tuple(scale), tuple(stretch)
        self.shift = np.asarray(shift, np.float64)  # (axis, low or high)
        self.rotate, self.shear, self.tilt, self.probability = rotate, shear, tilt, probability

    def __call__(self, sample: Sample) -> Sample:
        """Replace `img` and `lanes`, set `crop` (of the unchanged view) and `input_size`."""
        image = sample["img"]
        box = crop_box(self.box, self.reference, image.shape[1], image.shape[0])
        matrix = self._random_matrix() @ view_matrix(box, self.size)
        grey = (int(self.rng.integers(0, 256)),) * 3
        sample["img"] = cv2.warpPerspective(image, matrix, self.size, flags=cv2.INTER_LINEAR, borderValue=grey)
        sample["lanes"] = [warp_points(lane, matrix) for lane in sample["lanes"]]
        sample["crop"], sample["input_size"] = box, self.size
        return sample

    def _random_matrix(self) -> np.ndarray:
        """A change of the input image around the middle of its lower border, (3, 3)."""
        width, height = self.size
        center = np.array([[1, 0, (width - 1) / 2], [0, 1, height - 1], [0, 0, 1]])
        change = np.eye(3)
        rng = self.rng
        if rng.random() < self.probability:
            scale = np.exp(rng.uniform(*np.log(self.scale)))
            stretch = np.exp(rng.uniform(*np.log(self.stretch)))
            angle = np.radians(rng.uniform(-self.rotate, self.rotate))
            cos, sin = scale * np.cos(angle), scale * np.sin(angle)
            shear = rng.uniform(-self.shear, self.shear) * width / height
            tilt = rng.uniform(-self.tilt, self.tilt, 2) / (width, height)
            shift = rng.uniform(self.shift[:, 0], self.shift[:, 1]) * (width, height)
            turn = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]])
            change = turn @ np.array([[stretch, shear, 0], [0, 1, 0], [tilt[0], tilt[1], 1]])
        if rng.random() < self.flip:
            change = np.diag([-1.0, 1.0, 1.0]) @ change
        return center @ change @ np.linalg.inv(center)


def view_matrix(box: Sequence[float], size: Sequence[int]) -> np.ndarray:
    """Map pixels of an image to those of its view `box` resized to `size`, (3, 3); pixel centres are integers."""
    sx, sy = size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])
    return np.array([[sx, 0, (0.5 - box[0]) * sx - 0.5], [0, sy, (0.5 - box[1]) * sy - 0.5], [0, 0, 1]])


def warp_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move (N, 2) points by a homography; points at or behind its horizon are dropped."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    moved = moved[moved[:, 2] > 0.05]
    return moved[:, :2] / moved[:, 2:]


# --- appearance: each takes and returns a uint8 RGB image ---


def tone(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, gamma and gain per channel, as one table per channel."""
    level = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = np.exp(rng.normal(0, 0.06, 3)) * np.exp(rng.normal(0, 0.25))
    table = (level ** np.exp(rng.normal(0, 0.25))) * gain
    table = (table - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.08)
    return cv2.LUT(image, (table * 255).clip(0, 255).astype(np.uint8)[None])


def colour(image: Image, rng: np.random.Generator) -> Image:
    """Saturation (down to grey) and hue, as one linear map of RGB."""
    grey = np.full((3, 1), 1.0) @ np.array([[0.299, 0.587, 0.114]])
    saturation = rng.uniform(0, 1.6)
    angle = rng.normal(0, 0.15)
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis
    return cv2.transform(image, turn @ (saturation * np.eye(3) + (1 - saturation) * grey))


def shadow(image: Image, rng: np.random.Generator) -> Image:
    """Darken or lighten a random polygon with a soft or hard border."""
    height, width = image.shape[:2]
    corners = rng.uniform((-0.3 * width, -0.3 * height), (1.3 * width, 1.3 * height), (rng.integers(3, 6), 2))
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [cv2.convexHull(corners.astype(np.int32))], 255)
    if rng.random() < 0.5:
        mask = cv2.blur(mask, (9, 9))
    factor = rng.uniform(0.35, 0.8) if rng.random() < 0.8 else rng.uniform(1.2, 1.7)
    other = cv2.convertScaleAbs(image, alpha=factor)
    weight = cv2.merge([mask, mask, mask])
    kept = cv2.multiply(image, cv2.bitwise_not(weight), scale=1 / 255)
    return cv2.add(kept, cv2.multiply(other, weight, scale=1 / 255))


def blur(image: Image, rng: np.random.Generator) -> Image:
    """Defocus or motion in a random direction."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    angle, middle = rng.uniform(0, np.pi), (length - 1) / 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = np.round(middle - reach).astype(int).tolist(), np.round(middle + reach).astype(int).tolist()
    cv2.line(kernel, start, end, 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


@lru_cache(maxsize=1)
def _grain(height: int, width: int) -> Image:
    """Standard normal values to cut noise from; drawing them anew for every image would cost more than all the rest."""
    return np.random.default_rng(0).standard_normal((2 * height, 2 * width, 3), np.float32)


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Gaussian sensor noise, the same in all channels or independent."""
    height, width = image.shape[:2]
    y, x = rng.integers(0, height), rng.integers(0, width)
    grain = _grain(height, width)[y : y + height, x : x + width] * np.float32(rng.uniform(2, 14))
    if rng.random() < 0.5:
        grain = np.asarray(cv2.merge([np.ascontiguousarray(grain[..., 0])] * 3), np.float32)
    return cv2.add(image, grain, dtype=cv2.CV_8U)


def compress(image: Image, rng: np.random.Generator) -> Image:
    """JPEG artefacts."""
    return recompress(image, int(rng.integers(25, 90)))


def recompress(image: Image, quality: int) -> Image:
    """The image after JPEG compression of a quality in 1..100."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def coarsen(image: Image, rng: np.random.Generator) -> Image:
    """Lose resolution: shrink and enlarge."""
    factor = rng.uniform(0.4, 0.9)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)


def cutout(image: Image, rng: np.random.Generator) -> Image:
    """Cover up to three rectangles with a flat colour, as an obstacle would."""
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        w, h = rng.uniform(0.04, 0.2) * width, rng.uniform(0.06, 0.3) * height
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        image[int(y) : int(y + h), int(x) : int(x + w)] = rng.integers(0, 256, 3)
    return image


def haze(image: Image, rng: np.random.Generator) -> Image:
    """Blend towards a light colour at the top, as fog, glare or a dirty windscreen do."""
    height = image.shape[0]
    weight = np.linspace(rng.uniform(0.1, 0.7), 0, height, dtype=np.float32) ** rng.uniform(0.5, 2)
    light = rng.uniform(150, 255) * (1 + rng.normal(0, 0.04, 3))
    mixed = image * (1 - weight[:, None, None]) + weight[:, None, None] * light.astype(np.float32)
    return mixed.clip(0, 255).astype(np.uint8)


CHANGES: dict[str, tuple[Change, float]] = {
    "shadow": (shadow, 0.35),
    "haze": (haze, 0.15),
    "cutout": (cutout, 0.2),
    "tone": (tone, 0.85),
    "colour": (colour, 0.5),
    "blur": (blur, 0.25),
    "coarsen": (coarsen, 0.2),
    "noise": (noise, 0.3),
    "compress": (compress, 0.3),
}
"""Name -> change and its probability, in the order in which they happen between scene and file."""


@TRANSFORMS.register_module()
class LaneAppearance(RandomTransform):
    """Apply each change of `CHANGES` with its probability.

    Args:
        strength: Factor on all probabilities, at most 1 each; 0 switches everything off.
        only: Names of the changes to use; all when None.
    """

    def __init__(self, strength: float = 1.0, only: Sequence[str] | None = None) -> None:
        names = CHANGES if only is None else only
        self.changes = [(CHANGES[name][0], min(1.0, strength * CHANGES[name][1])) for name in names]

    def __call__(self, sample: Sample) -> Sample:
        """Change `img`."""
        image = np.ascontiguousarray(sample["img"])
        for change, probability in self.changes:
            if self.rng.random() < probability:
                image = change(image, self.rng)
        sample["img"] = image
        return sample
