"""Lens models in normalised image coordinates, with OpenCV's coefficient order."""

from __future__ import annotations

import numpy as np

from perception.errors import PerceptionError, UnknownNameError

__all__ = ["LENSES", "canonical_lens", "distort", "distortion_limit", "undistort"]

LENSES: dict[str, tuple[int, ...]] = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8,),
    "equidistant": (4,),
}
"""Lens model -> allowed numbers of coefficients."""

_ALIASES = {
    "": "none",
    "pinhole": "none",
    "radtan": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "fisheye": "equidistant",
}


def canonical_lens(name: str, label: str = "lens") -> str:
    """Map aliases (``radtan``, ``fisheye``, ...) to the names of :data:`LENSES`."""
    name = _ALIASES.get(str(name).lower(), str(name).lower())
    if name not in LENSES:
        raise UnknownNameError(f"lens model of {label}", name, LENSES)
    return name


def _radial(r2: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Radial factor of plumb_bob and rational_polynomial at squared radius ``r2``."""
    k = np.concatenate([k, np.zeros(8 - len(k))])
    numerator = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
    return numerator / (1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7])))


def distort(xy: np.ndarray, lens: str, coefficients: np.ndarray) -> np.ndarray:
    """Ideal normalised coordinates (N, 2) -> distorted ones (N, 2)."""
    if lens == "none" or (not np.any(coefficients) and lens != "equidistant"):
        return xy
    x, y = xy[:, 0], xy[:, 1]
    r2 = x * x + y * y
    if lens == "equidistant":
        return xy * _fisheye_scale(np.sqrt(r2), coefficients)[:, None]
    factor = _radial(r2, coefficients)
    p1, p2 = coefficients[2], coefficients[3]
    tangential_x = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    tangential_y = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x * factor + tangential_x, y * factor + tangential_y], axis=1)


def _fisheye_scale(radius: np.ndarray, k: np.ndarray) -> np.ndarray:
    theta = np.arctan(radius)
    t2 = theta * theta
    bent = theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(radius > 1e-9, bent / radius, 1.0)


def undistort(xy: np.ndarray, lens: str, coefficients: np.ndarray, iterations: int = 50) -> np.ndarray:
    """Inverse of :func:`distort` by Newton steps; rays the lens cannot have produced come back as NaN."""
    if lens == "none" or (not np.any(coefficients) and lens != "equidistant"):
        return xy
    if lens == "equidistant":
        return _undistort_fisheye(xy, coefficients, iterations)
    guess = xy.copy()
    step = 1e-6
    shifts = np.eye(2) * step
    for _ in range(iterations):
        residual = distort(guess, lens, coefficients) - xy
        if not np.nanmax(np.abs(residual), initial=0.0) > 1e-12:
            break
        dx, dy = (
            (distort(guess + shift, lens, coefficients) - distort(guess - shift, lens, coefficients)) / (2 * step)
            for shift in shifts
        )
        det = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            change = (
                np.stack(
                    [
                        dy[:, 1] * residual[:, 0] - dy[:, 0] * residual[:, 1],
                        dx[:, 0] * residual[:, 1] - dx[:, 1] * residual[:, 0],
                    ],
                    axis=1,
                )
                / det[:, None]
            )
        guess = guess - np.clip(np.nan_to_num(change), -0.5, 0.5)
    bad = ~(np.abs(distort(guess, lens, coefficients) - xy).max(axis=1, initial=0.0) < 1e-6)
    guess[bad] = np.nan
    return guess


def _undistort_fisheye(xy: np.ndarray, k: np.ndarray, iterations: int) -> np.ndarray:
    bent = np.hypot(xy[:, 0], xy[:, 1])
    theta = bent.copy()
    for _ in range(iterations):
        t2 = theta * theta
        value = theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
        slope = 1 + t2 * (3 * k[0] + t2 * (5 * k[1] + t2 * (7 * k[2] + t2 * 9 * k[3])))
        with np.errstate(divide="ignore", invalid="ignore"):
            theta = theta - np.clip(np.nan_to_num((value - bent) / slope), -0.5, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(bent > 1e-12, np.tan(theta) / bent, 1.0)
    out = xy * scale[:, None]
    out[(theta < 0) | (theta >= np.pi / 2)] = np.nan
    return out


def distortion_limit(lens: str, coefficients: np.ndarray) -> float:
    """Largest ideal radius up to which the distorted radius still grows; beyond it points fold back into the image."""
    if lens == "none" or lens == "equidistant" or not np.any(coefficients):
        return float("inf")
    if len(coefficients) < 4:
        raise PerceptionError(f"lens {lens}: expected at least 4 coefficients, found {len(coefficients)}")
    radius = np.linspace(0.0, 10.0, 4001)
    falling = np.flatnonzero(np.diff(radius * _radial(radius**2, coefficients)) <= 0)
    return float(radius[falling[0]]) if len(falling) else float("inf")
