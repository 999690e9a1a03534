"""Light on a sign as a few coefficients: estimated from a photo, applied to a patch (spec section 4).

A method is a family and, after an underscore, where it works: ``percentile``, ``polynomial`` or ``color_transfer``;
``mean`` and ``max`` reduce the channels, ``hsv-sv`` works on saturation and value, ``lab-l`` on CIE lightness, ``lab``
on all of CIE Lab (``color_transfer_lab``: on the log space of Reinhard et al.). ``none`` leaves the patch as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perception.errors import PerceptionError, UnknownNameError
from perception.ops.paste import warp

from . import color

__all__ = ["METHODS", "Lighting", "apply_lighting", "estimate_lighting", "identity_lighting"]

_SPACES = {
    "percentile": ("", "hsv-sv", "lab-l"),
    "polynomial": ("", "mean", "max", "hsv-sv", "lab-l", "lab"),
    "color_transfer": ("", "lab", "hsv-sv", "lab-l"),
}
METHODS = ("none", *(f"{family}_{space}".rstrip("_") for family, spaces in _SPACES.items() for space in spaces))
"""All methods; ``color_transfer`` means ``color_transfer_lab``."""


@dataclass(frozen=True, eq=False)
class Lighting:
    """Light on one surface.

    Attributes:
        method: One of ``METHODS``.
        coefficients: (1 or 2 or 3 channels, degree + 1) float32, highest degree first.
    """

    method: str
    coefficients: Tensor

    def __post_init__(self) -> None:
        _split(self.method)
        values = torch.as_tensor(self.coefficients, dtype=torch.float32)
        if values.ndim != 2 or not 1 <= len(values) <= 3 or values.shape[1] < 1 or not bool(values.isfinite().all()):
            found = f"{tuple(values.shape)}" if bool(values.isfinite().all()) else "NaN or infinity"
            raise PerceptionError(f"lighting {self.method}: expected finite (1..3, degree + 1), found {found}")
        object.__setattr__(self, "coefficients", values)

    @property
    def gain(self) -> float:
        """Mean factor of the linear term, 1 for ``none``."""
        return (
            1.0 if self.method == "none" or self.coefficients.shape[1] < 2 else float(self.coefficients[:, -2].mean())
        )


def identity_lighting() -> Lighting:
    """Light that leaves a patch as it is."""
    return Lighting("none", torch.tensor([[1.0, 0.0]]))


def _split(method: str) -> tuple[str, str]:
    if method == "none":
        return "none", ""
    if method not in METHODS:
        raise UnknownNameError("lighting method", method, METHODS)
    family = next(name for name in _SPACES if method.startswith(name))
    space = method[len(family) + 1 :]
    return family, "lab" if method == "color_transfer" else space


def _polynomial(values: Tensor, coefficients: Tensor) -> Tensor:
    """Evaluate per-channel polynomials: values (N, C, h, w), coefficients (N, C or 1, D + 1)."""
    result = coefficients[:, :, 0, None, None].expand_as(values)
    for power in range(1, coefficients.shape[2]):
        result = result * values + coefficients[:, :, power, None, None]
    return result


def apply_lighting(patch: Tensor, method: str, coefficients: Tensor) -> Tensor:
    """Relight patches; differentiable.

    Args:
        patch: (N, 3, h, w) RGB in [0, 1].
        method: One of ``METHODS``.
        coefficients: (N, channels, degree + 1).

    Returns:
        (N, 3, h, w) in [0, 1].
    """
    family, space = _split(method)
    if family == "none":
        return patch.clamp(0, 1)
    if space in ("", "mean", "max"):
        return _polynomial(patch, coefficients).clamp(0, 1)
    if space == "hsv-sv":
        hsv = color.rgb_to_hsv(patch)
        changed = _polynomial(hsv[:, 1:], coefficients[:, -2:])
        return color.hsv_to_rgb(torch.cat([hsv[:, :1], changed], 1)).clamp(0, 1)
    if (family, space) == ("color_transfer", "lab"):
        return color.reinhard_to_rgb(_polynomial(color.rgb_to_reinhard(patch), coefficients))
    lab = color.rgb_to_lab(patch)
    if space == "lab":
        return color.lab_to_rgb(_polynomial(lab, coefficients))
    return color.lab_to_rgb(torch.cat([_polynomial(lab[:, :1], coefficients[:, :1]), lab[:, 1:]], 1))


def _channels(image: Tensor, family: str, space: str) -> Tensor:
    """What a method looks at, (C, h, w) of an RGB (3, h, w)."""
    if space in ("mean", "max"):
        return image.mean(0, keepdim=True) if space == "mean" else image.amax(0, keepdim=True)
    if space == "":
        return image
    transfer = family == "color_transfer"
    if space == "hsv-sv":
        hsv = color.rgb_to_hsv(image[None])[0]
        return hsv if transfer else hsv[1:]
    if space == "lab" and transfer:
        return color.rgb_to_reinhard(image[None])[0]
    lab = color.rgb_to_lab(image[None])[0]
    return lab if transfer or space == "lab" else lab[:1]


def estimate_lighting(
    image: Tensor,
    matrix: Tensor,
    mask: Tensor,
    template: Tensor | None = None,
    method: str = "percentile",
    *,
    share: float = 0.2,
    degree: int = 1,
) -> Lighting:
    """Estimate the light on one sign of a photo.

    Args:
        image: (3, H, W) RGB in [0, 1].
        matrix: (3, 3) canonical xy -> image xy.
        mask: (h, w) of 0 and 1, the sign on its canonical canvas.
        template: (3, h, w) what the sign looks like in white light; ``percentile`` needs none.
        method: One of ``METHODS``.
        share: ``percentile``: which percentiles count as black and white; ``polynomial``: share of the pixels with the
            largest differences that is left out.
        degree: Of the polynomials.

    Raises:
        PerceptionError: No template where one is needed, or no pixel of the sign in the image.
    """
    family, space = _split(method)
    if family == "none":
        return identity_lighting()
    if template is None and family != "percentile":
        raise PerceptionError(f"lighting {method}: expected a template of the sign, found none")
    if family == "color_transfer":
        assert template is not None
        return Lighting(method, _transfer(image, matrix, mask, template, space))
    size = (image.shape[1], image.shape[2])
    inside = warp(mask[None, None].float(), matrix[None], size, "nearest")[0, 0] > 0.5
    if not bool(inside.any()):
        raise PerceptionError(f"lighting {method}: no pixel of the sign lies in the image")
    photo = _channels(image, family, space)[:, inside].double().numpy()
    if family == "percentile":
        percent = round(100 * min(share, 1 - share))
        low, high = np.percentile(photo, [percent, 100 - percent])
        return Lighting(method, torch.tensor([[high - low, low]]))
    assert template is not None
    drawn = warp(template[None], matrix[None], size)[0]
    if not bool(drawn[:, inside].any()):
        values = np.concatenate([np.zeros((len(photo), degree)), photo.mean(1, keepdims=True)], 1)
        return Lighting(method, torch.from_numpy(values))
    expected = _channels(drawn, family, space)[:, inside].double().numpy()
    return Lighting(method, torch.from_numpy(_fit(expected, photo, share, degree)))


def _fit(template: np.ndarray, photo: np.ndarray, share: float, degree: int) -> np.ndarray:
    """Least squares per channel without the ``share`` of pixels that differ most; (C, n) each -> (C, degree + 1)."""
    rows = []
    for x, y in zip(template, photo):
        kept = np.argsort(np.abs(x - y), kind="stable")[: round((1 - share) * len(x))]
        rows.append(np.linalg.lstsq(np.vander(x[kept], degree + 1), y[kept], rcond=None)[0])
    return np.stack(rows)


def _transfer(image: Tensor, matrix: Tensor, mask: Tensor, template: Tensor, space: str) -> Tensor:
    """Gain and offset that give the template the mean and spread of the photo, (C, 2)."""
    inside = mask > 0.5
    if int(inside.sum()) < 2:
        raise PerceptionError("color transfer: expected a mask of at least two pixels")
    seen = warp(image[None], torch.linalg.inv(matrix.double()).to(matrix)[None], (mask.shape[0], mask.shape[1]))[0]
    photo = _channels(seen, "color_transfer", space)[:, inside]
    drawn = _channels(template, "color_transfer", space)[:, inside]
    gain = photo.std(1) / drawn.std(1).clamp(min=1e-6)
    return torch.stack([gain, photo.mean(1) - gain * drawn.mean(1)], 1)
