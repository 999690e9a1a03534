"""Cases on which the forms of the op are compared: the composite, and the gradients of canvases and images."""

from __future__ import annotations

import numpy as np
import torch

from perception.ops.paste import paste, reference
from perception.ops.paste.device import tables
from perception.ops.paste.windows import MODES, windows
from perception.ops.verify import Check, Outputs

_IMAGES, _SIDE = (2, 3, 14, 17), 5


def _maps(places: list[tuple[float, float]], scale: float = 1.63, tilt: float = 0.0) -> np.ndarray:
    """Maps of canvases to image points (x, y) of their first pixel; no pixel falls on a tie between two taps."""
    out = np.zeros((len(places), 3, 3), np.float32)
    for k, (x, y) in enumerate(places):
        out[k] = [[scale, 0.11, x], [-0.07, scale, y], [tilt, tilt / 2, 1]]
    return out


def _cases() -> dict[str, dict]:
    rng = np.random.default_rng(0)
    apart, close = [(1.31, 2.17), (9.43, 5.29)], [(2.31, 2.17), (5.43, 4.29), (3.77, 6.41)]
    maps = {
        "apart": _maps(apart),
        "overlapping": _maps(close),
        "turned away": _maps(close, 2.1, 0.03),
        "across the border": _maps([(-4.3, -3.2), (13.4, 10.7)]),
        "outside": _maps([(80.3, 2.2), (-40.7, 3.1)]),
        "small": _maps(apart, 0.37),
        "one": _maps(apart[:1]),
        "nothing": _maps([]),
    }
    cases: dict[str, dict] = {}
    for name, matrices in maps.items():
        count = len(matrices)
        canvases = rng.uniform(0.01, 0.6, (count, 4, _SIDE, _SIDE)).astype(np.float32)
        images = rng.uniform(0.01, 0.99, _IMAGES).astype(np.float32)
        owners = np.zeros(count, np.int64) if "over" in name else np.arange(count) % 2
        cases[name] = {"images": images, "canvases": canvases, "matrices": matrices, "owners": owners}
    for mode in ("nearest", "bicubic"):
        cases[f"overlapping, {mode}"] = {**cases["overlapping"], "mode": mode}
    cases["empty canvas"] = {**cases["apart"], "canvases": cases["apart"]["canvases"] * 0}
    cases["full sums"] = {**cases["overlapping"], "canvases": cases["overlapping"]["canvases"].clip(0.55)}
    cases["as in REAP"] = {**cases["overlapping"], "premultiplied": False}
    return cases


def _upstream() -> np.ndarray:
    return np.random.default_rng(7).uniform(-1, 1, _IMAGES).astype(np.float32)


def _by_torch(form, images, canvases, matrices, owners, mode="bilinear", premultiplied=True) -> Outputs:
    below, free = torch.from_numpy(images).requires_grad_(), torch.from_numpy(canvases).requires_grad_()
    out = form(below, free, torch.from_numpy(matrices), torch.from_numpy(owners), mode, premultiplied=premultiplied)
    slopes = torch.autograd.grad(out, [below, free], torch.from_numpy(_upstream()), allow_unused=True)
    of_images, of_canvases = (np.zeros(0, np.float32) if slope is None else slope.numpy() for slope in slopes)
    return out.detach().numpy(), of_images, of_canvases.reshape(canvases.shape)


def _reference(**case: np.ndarray) -> Outputs:
    return _by_torch(reference.paste, **case)


def _cpu(**case: np.ndarray) -> Outputs:
    return _by_torch(paste, **case)


def _cuda(
    images: np.ndarray,
    canvases: np.ndarray,
    matrices: np.ndarray,
    owners: np.ndarray,
    mode: str = "bilinear",
    premultiplied: bool = True,
) -> Outputs:
    from numba.cuda import to_device

    from perception.ops.paste import cuda

    packed = np.ascontiguousarray(canvases.transpose(0, 2, 3, 1))
    places = windows(torch.from_numpy(packed), torch.from_numpy(matrices), images.shape[2:], mode).numpy()
    *lists, total = tables(places, owners)
    grads, upstream = np.zeros_like(packed), _upstream()
    if not total:
        return images.clip(1e-6, 1 - 1e-6), upstream, grads.transpose(0, 3, 1, 2)
    inverse = np.ascontiguousarray(np.linalg.inv(matrices.astype(np.float64)))
    arrays = [to_device(array) for array in (packed, inverse, places, owners, *lists)]
    state = (*arrays, MODES[mode], premultiplied)
    shown, kept = to_device(images.copy()), to_device(np.zeros((total, 3), np.float32))
    cuda.composite(shown, state, places, kept)
    of_images, of_canvases = to_device(upstream.copy()), to_device(grads)
    cuda.gradient(to_device(upstream), kept, state, places, of_canvases, of_images)
    return shown.copy_to_host(), of_images.copy_to_host(), of_canvases.copy_to_host().transpose(0, 3, 1, 2)


CHECK = Check(_cases, _reference, _cpu, _cuda, tolerance=2e-5)
