"""What a dash camera makes of linear radiance: windscreen, exposure, colour, blur, resampling, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.geometry.transforms import CAMERA_AXES_IN_EGO, make_pose, rotation_from_euler
from perception.sim.sensors.film import bright, gamma_table, grainy, light_errors, scaled, toned
from perception.sim.sensors.noise import SIZE, texture


def mounted_camera(
    size: tuple[int, int],
    fov: float = 1.0,
    height: float = 1.5,
    pitch: float = 0.0,
    roll: float = 0.0,
    yaw: float = 0.0,
    horizon: float = 0.45,
    forward: float = 1.6,
    lateral: float = 0.0,
    distortion: tuple[float, float] = (0.0, 0.0),
    name: str = "front",
) -> Camera:
    """A front camera on a vehicle.

    Args:
        size: (width, height) in pixels.
        fov: Horizontal field of view, radians.
        height: Above the ground, metres.
        pitch: Nose down positive, radians.
        roll: Radians.
        yaw: Left positive, radians.
        horizon: Row of the horizon as a share of the image height; the principal point follows from it and ``pitch``.
        forward: x of the camera in the ego frame, metres.
        lateral: y of the camera, metres.
        distortion: Radial coefficients k1 and k2.
        name: Name of the camera.

    Raises:
        PerceptionError: A camera under the road, a field of view outside (0.1, 2.6) rad or an empty image.
    """
    width, rows = size
    if width < 16 or rows < 16:
        raise PerceptionError(f"camera: expected an image of at least 16x16 pixels, found {width}x{rows}")
    if not 0.1 < height < 20:
        raise PerceptionError(f"camera: expected a height of 0.1 to 20 m above the road, found {height}")
    if not 0.1 < fov < 2.6:
        raise PerceptionError(f"camera: expected a horizontal field of view of 0.1 to 2.6 rad, found {fov}")
    focal = width / 2 / np.tan(fov / 2)
    cy = horizon * rows + focal * np.tan(pitch) - 0.5
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, cy], [0, 0, 1]])
    pose = make_pose(rotation_from_euler(roll, pitch, yaw) @ CAMERA_AXES_IN_EGO, np.array([forward, lateral, height]))
    if not any(distortion):
        return Camera(name, int(width), int(rows), intrinsics, ego_from_camera=pose)
    coefficients = np.array([*distortion, 0.0, 0.0, 0.0])
    return Camera(name, int(width), int(rows), intrinsics, "plumb_bob", coefficients, pose)


def random_camera(rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    """A front camera as people mount them: 40 to 100 degrees wide, 1.1 to 2.2 m high, roughly level."""
    fov = np.deg2rad(rng.uniform(40, 80) if rng.random() < 0.75 else rng.uniform(80, 100))
    pitch, roll, yaw = np.deg2rad(np.clip(rng.normal(0, (2.2, 0.7, 1.3)), (-6, -2, -4), (6, 2, 4)))
    strength = rng.uniform(-0.12, 0.06) if rng.random() < 0.5 else 0.0
    return mounted_camera(
        size, fov, rng.uniform(1.1, 1.7) if rng.random() < 0.8 else rng.uniform(1.7, 2.2), pitch, roll, yaw,
        rng.uniform(0.30, 0.62), rng.uniform(0.8, 2.4), rng.normal(0, 0.15), (strength, -0.15 * strength),
    )  # fmt: skip


@dataclass(frozen=True)
class Effects:
    """Settings of :func:`develop`; lengths in pixels of the rendered image unless said otherwise.

    Attributes:
        exposure: Factor on top of automatic exposure.
        gamma: Display gamma.
        contrast: Slope of an S-shaped tone curve, 0 for none.
        saturation: 1 keeps colours, 0 is grey.
        cast: Colour factors of the white balance.
        vignette: Darkening of the corners, 0 to 1.
        veil: Light scattered over the whole image, share of white.
        glare: (x, y, radius, strength) of a bright spot, in shares of the image size.
        bloom: Share of bright light that spreads.
        motion: Length of vertical or radial smear.
        blur: Standard deviation of defocus.
        scale: Resolution at which the scene is rendered relative to the output.
        noise: Standard deviation of sensor noise in 8-bit steps at mid grey.
        jpeg: JPEG quality, 0 for none.
        sharpen: Strength of an unsharp mask.
        bonnet: Height of the vehicle's bonnet in the image, share of the image height.
        reflection: Strength of dashboard reflections in the windscreen.
        rain: Density of drops and streaks, 0 to 1.
    """

    exposure: float = 1.0
    gamma: float = 2.2
    contrast: float = 0.3
    saturation: float = 1.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignette: float = 0.0
    veil: float = 0.0
    glare: tuple[float, float, float, float] = (0.5, 0.3, 0.2, 0.0)
    bloom: float = 0.0
    motion: float = 0.0
    blur: float = 0.0
    scale: float = 1.0
    noise: float = 1.0
    jpeg: int = 0
    sharpen: float = 0.0
    bonnet: float = 0.0
    reflection: float = 0.0
    rain: float = 0.0


def random_effects(rng: np.random.Generator, night: bool, wet: float) -> Effects:
    """Settings of a random dash camera; night makes more noise, a wet road may mean rain on the windscreen."""
    if rng.random() < 0.3:  # a good camera behind a clean windscreen
        return Effects(
            exposure=float(np.exp(rng.normal(0.0, 0.25))),
            contrast=rng.uniform(0, 0.8),
            saturation=rng.uniform(0.7, 1.3),
            noise=rng.uniform(0.3, 2.5),
            jpeg=int(rng.integers(70, 96)),
            sharpen=rng.uniform(0, 0.8),
        )
    tint = rng.normal(0, 0.05, 3) if rng.random() < 0.7 else rng.normal(0, 0.11, 3)
    glare = (rng.random(), rng.uniform(0.0, 0.6), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.7) * (rng.random() < 0.15))
    return Effects(
        exposure=float(np.exp(rng.normal(0.0, 0.35))),
        gamma=rng.uniform(1.9, 2.5),
        contrast=rng.uniform(0.0, 0.9),
        saturation=rng.uniform(0.45, 1.4) if rng.random() < 0.95 else 0.0,
        cast=tuple(np.exp(tint)),
        vignette=rng.uniform(0, 0.5) * (rng.random() < 0.6),
        veil=rng.uniform(0, 0.25) * (rng.random() < 0.35),
        glare=glare,
        bloom=rng.uniform(0.05, 0.4) if night else rng.uniform(0, 0.12),
        motion=rng.uniform(1, 7) * (rng.random() < (0.4 if night else 0.15)),
        blur=rng.uniform(0.3, 1.3) * (rng.random() < 0.3),
        scale=float(rng.choice([1.0, 0.75, 0.6, 1.25], p=[0.66, 0.16, 0.08, 0.10])),
        noise=rng.uniform(1, 9) if night else rng.uniform(0.3, 5),
        jpeg=int(rng.integers(35, 96)) if rng.random() < 0.7 else 0,
        sharpen=rng.uniform(0, 1.2) * (rng.random() < 0.4),
        bonnet=rng.uniform(0.03, 0.15) * (rng.random() < 0.22),
        reflection=rng.uniform(0.03, 0.25) * (rng.random() < 0.2),
        rain=wet * rng.uniform(0.2, 1) * (rng.random() < 0.45),
    )


def develop(
    linear: np.ndarray,
    effects: Effects,
    size: tuple[int, int],
    first_row: int,
    rng: np.random.Generator,
    windscreen: np.random.Generator,
) -> np.ndarray:
    """Turn radiance into an 8-bit picture.

    Args:
        linear: (h, W', 3) float32 radiance of the rows from the crop down, at the rendered resolution.
        effects: Settings.
        size: (width, height) of the full output image.
        first_row: Row of the output image at which ``linear`` begins.
        rng: Source of randomness for noise.
        windscreen: Source for what stays in place during a drive: bonnet, drops and reflections.

    Returns:
        (height - first_row, width, 3) uint8 RGB.
    """
    cast = np.asarray(effects.cast, np.float32)
    image = scaled(linear, cast, np.float32(effects.exposure * _auto_exposure(linear, cast)))
    top = first_row / size[1]
    if effects.bonnet > 0:
        _draw_bonnet(image, effects.bonnet, top, windscreen)
    if effects.bloom > 0:
        spread, some = bright(image)
        if some:
            image = cv2.scaleAdd(_wide_blur(spread, 0.03), effects.bloom * 1.5, image)
    if effects.rain > 0:
        image = _rain(image, effects.rain, windscreen)
    if effects.reflection > 0:
        image += _reflection(image.shape, windscreen) * np.float32(effects.reflection)
    _light_errors(image, effects, top)
    toned(image, gamma_table(effects.gamma), np.float32(effects.contrast), np.float32(effects.saturation))
    image = _smear(image, effects)
    rows = size[1] - first_row
    if image.shape[:2] != (rows, size[0]):
        smaller = image.shape[0] > rows
        image = cv2.resize(image, (size[0], rows), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    if effects.sharpen > 0:
        image = cv2.addWeighted(image, 1 + effects.sharpen, cv2.GaussianBlur(image, (0, 0), 1.2), -effects.sharpen, 0)
    return _expose(image, effects, rng)


def _expose(image: np.ndarray, effects: Effects, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB of display values, with noise and the traces of JPEG."""
    normal = rng.standard_normal(image.shape[:2] if effects.noise > 0 else (0, 0), np.float32)
    picture = grainy(image, normal, np.float32(0.4 if effects.noise > 3 else 0), np.float32(effects.noise / 255))
    if effects.jpeg:
        _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, effects.jpeg])
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _auto_exposure(image: np.ndarray, cast: np.ndarray) -> float:
    """Factor that brings the picture to a natural brightness without lifting night to day or burning out the road."""
    small = cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA) * cast
    level = float(np.mean(np.sqrt(np.maximum(small.mean(2), 0)))) ** 2
    bright = float(np.percentile(small.mean(2), 85))
    return float(np.clip(min(0.21 / max(level, 1e-4), 0.75 / max(bright, 1e-4)), 0.2, 5.0))


def _wide_blur(image: np.ndarray, share: float) -> np.ndarray:
    """A blur over ``share`` of the width, made at low resolution."""
    h, w = image.shape[:2]
    small = cv2.resize(image, (max(w // 4, 8), max(h // 4, 8)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), share * w / 4)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def _draw_bonnet(image: np.ndarray, share: float, top: float, rng: np.random.Generator) -> None:
    """Cover the bottom with a curved, glossy bonnet or dashboard."""
    h, w = image.shape[:2]
    y = (top + (1 - top) * (np.arange(h, dtype=np.float32) + 0.5) / h)[:, None]
    x = np.linspace(-1, 1, w, dtype=np.float32)[None]
    skew, bend = rng.normal(0, 0.02), rng.uniform(0.01, 0.06)
    edge = 1 - share + bend * np.abs(x) ** rng.uniform(1.5, 4) + skew * x
    inside = np.clip((y - edge) * h / (1 - top), 0, 1)[..., None]
    color = rng.choice([0.01, 0.03, 0.1, 0.3]) * rng.uniform(0.5, 1.5) * (1 + rng.normal(0, 0.1, 3))
    shine = np.clip(1 - (y - edge) / max(share, 0.02), 0, 1)[..., None] ** 2
    light = image.mean()
    tone = (color * min(3 * light, 1.0) + rng.uniform(0, 0.25) * shine * light).astype(np.float32)
    image += (tone - image) * inside.astype(np.float32)


def _rain(image: np.ndarray, density: float, rng: np.random.Generator) -> np.ndarray:
    """Blurred drops on the windscreen that show the scene shifted, and falling streaks."""
    h, w = image.shape[:2]
    soft = cv2.GaussianBlur(image, (0, 0), max(1.5, w / 200))
    mask = np.zeros((h, w), np.float32)
    for _ in range(int(density * 110)):
        center = (int(rng.integers(w)), int(rng.integers(h)))
        axes = (int(rng.uniform(1, w / 110) + 1), int(rng.uniform(1, w / 80) + 1))
        cv2.ellipse(mask, center, axes, rng.uniform(-20, 20), 0, 360, float(rng.uniform(0.4, 1)), -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.8)[..., None]
    image = image * (1 - mask) + np.roll(soft[::-1] * 0.35 + soft * 0.75, int(rng.integers(3, 9)), axis=0) * mask
    streaks = (rng.random((h, w)) > 1 - 0.004 * density).astype(np.float32)
    kernel = np.zeros((15, 15), np.float32)
    cv2.line(kernel, (7 + int(rng.integers(-3, 4)), 0), (7, 14), 1.0 / 15)
    return image + cv2.filter2D(streaks, -1, kernel)[..., None] * np.float32(0.25)


def _reflection(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A faint blurred pattern, as of a dashboard mirrored in the windscreen; float32 of ``shape``."""
    h, w = shape[:2]
    canvas = np.zeros((max(h // 4, 8), max(w // 4, 8)), np.float32)
    for _ in range(int(rng.integers(2, 7))):
        points = (rng.random((int(rng.integers(3, 6)), 2)) * [canvas.shape[1], canvas.shape[0]]).astype(np.int32)
        if rng.random() < 0.5:
            cv2.fillPoly(canvas, [cv2.convexHull(points)], float(rng.uniform(0.1, 0.6)))
        else:
            cv2.polylines(canvas, [points], False, float(rng.uniform(0.2, 0.8)), int(rng.integers(1, 3)))
    soft = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.8, 4))
    return cv2.resize(soft, (w, h), interpolation=cv2.INTER_LINEAR)[..., None] * rng.uniform(0.7, 1, 3).astype(
        np.float32
    )


def _light_errors(image: np.ndarray, effects: Effects, top: float) -> None:
    """Vignette, veil and glare, in place."""
    if not (effects.vignette > 0 or effects.veil > 0 or effects.glare[3] > 0):
        return
    pattern = np.zeros((0, 0), np.float32)
    if effects.veil > 0:
        tex, (h, w) = texture()[:, :, 1], image.shape[:2]
        pattern = cv2.resize(tex[: SIZE // 8, : SIZE // 8], (w, h), interpolation=cv2.INTER_LINEAR)
    glare = tuple(map(float, effects.glare))
    light_errors(image, float(top), float(effects.vignette), glare, float(effects.veil), pattern)


def _smear(image: np.ndarray, effects: Effects) -> np.ndarray:
    """Motion blur (vertical, as the road moves) and defocus."""
    if effects.motion > 1:
        image = cv2.blur(image, (1, round(effects.motion)))
    if effects.blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), effects.blur)
    return image
