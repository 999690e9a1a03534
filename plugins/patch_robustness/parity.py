"""Runs the golden cases of family ``reap`` (spec sections 2 to 7 and 12): each file of the manifest is a case."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from perception.geometry.homography import solve_homography
from perception.ops.paste import paste, warp
from perception.parity import GoldenCase, ParityRow, UncoveredError, compare, compare_to_max

from .lighting import apply_lighting, estimate_lighting
from .parity_attack import run_attack, run_metrics
from .render import compose_canvas
from .signs import patch_mask, raw_patch_mask, sign_class, sign_mask
from .synthetic import paste_synthetic, resize_template

__all__ = ["run"]

TIES = 1e-3
"""Share of pixels of a nearest warp that may fall the other way."""


def run(case: GoldenCase) -> Iterator[ParityRow]:
    """Return a row per compared quantity of one file.

    Raises:
        UncoveredError: A file of a kind that is not known.
    """
    name = str(case.entry.get("file", case.name)).rsplit("/", 1)[-1]
    for prefix, runner in RUNNERS.items():
        if name.startswith(prefix):
            return runner(case)
    raise UncoveredError(f"no runner for {name!r}; known: {', '.join(RUNNERS)}")


def _arrays(case: GoldenCase) -> dict[str, Tensor]:
    stored = case.npz(str(case.entry.get("file", case.name)))
    return {name: torch.from_numpy(np.asarray(array)) for name, array in stored.items()}


def _sign_masks(case: GoldenCase) -> Iterator[ParityRow]:
    for key, golden in _arrays(case).items():
        name, width, pad, box, what = key.split("|")
        found = sign_class(name)
        mask, points = sign_mask(found.shape, found.ratio, int(width[1:]), square=pad == "pad1", box=box == "box1")
        ours, atol = (mask.to(torch.uint8), 0.0) if what == "mask" else (points, 1e-9)
        yield compare(case, key, ours, golden, atol=atol)


def _patch_masks(case: GoldenCase) -> Iterator[ParityRow]:
    for key, golden in _arrays(case).items():
        name, width, size, what = key.split("|")
        found = sign_class(name)
        make = raw_patch_mask if what == "raw" else patch_mask
        mask = make(size, (found.height_mm, found.width_mm), int(width[1:]))
        yield compare(case, key, mask.to(torch.uint8), golden)


def _perspective(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = _arrays(case)
    for key, golden in arrays.items():
        *head, what = key.split("|")
        if what != "M":
            continue
        source, target = (arrays["|".join([*head, name])][None] for name in ("src", "tgt"))
        yield compare_to_max(case, key, solve_homography(source, target, head[2])[0], golden, 1e-5)  # type: ignore[arg-type]


def _method(name: str) -> str:
    """The method of a key such as ``polynomial_deg2``."""
    return re.sub(r"_deg\d+$", "", name)


def _relight_apply(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = _arrays(case)
    for key, golden in arrays.items():
        name, _, what = key.rpartition("|")
        if what == "output":
            method = _method(name)
            ours = apply_lighting(arrays["input"], method, arrays[f"{name}|coeffs"])
            yield compare(case, name, ours, golden, atol=1e-4 if "lab" in method or "hsv" in method else 1e-5)


def _relight_fit(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = _arrays(case)
    for key, golden in arrays.items():
        parts = key.split("|")
        image, template, mask, source, target = (
            arrays[f"{parts[0]}|{name}"] for name in ("img", "template", "mask", "src", "tgt")
        )
        matrix = solve_homography(source[None], target[None])[0]
        if parts[1] == "warped_mask":
            warped = warp(mask[None, None], matrix[None], tuple(image.shape[1:]), "nearest")[0, 0]  # type: ignore[arg-type]
            yield compare(case, key, warped.to(torch.uint8), golden, outliers=TIES)
        if len(parts) != 3:
            continue
        options = dict(option.split("=") for option in parts[2].split(",") if option)
        share, degree = float(options.get("percentile", 0.2)), int(options.get("polynomial_degree", 1))
        light = estimate_lighting(image, matrix, mask, template, _method(parts[1]), share=share, degree=degree)
        exact = parts[1] == "percentile"
        tolerance = {"atol": 1e-6} if exact else {"atol": 1e-4, "rtol": 1e-3}
        yield compare(case, key, light.coefficients, golden, **tolerance)


def _render_options(text: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=([\w-]+)", text.split(";")[0]))


def _render(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = _arrays(case)
    options = _render_options(str(case.entry["what"]))
    width, owners = arrays["patch"].shape[-1], arrays["obj_to_img"]
    count = len(arrays["input_rgb01"])
    images = torch.stack([arrays[f"image{i}_u8"] for i in range(count)]).float() / 255
    images = images.flip(1) if options["img_mode"] == "BGR" else images
    yield compare(case, "input_rgb01", images, arrays["input_rgb01"].float(), atol=5e-4)
    objects = [name[:-6] for name in arrays if name.endswith("|class")]
    matrices, masks = [], []
    for name in objects:
        found = sign_class(int(arrays[f"{name}|class"]))
        mask, source = sign_mask(found.shape, found.ratio, width)
        target = arrays[f"{name}|keypoints"][: len(source)]
        matrices.append(solve_homography(source[None].float(), target[None], options["geo"])[0])  # type: ignore[arg-type]
        masks.append(mask)
    obj_mask = torch.stack(masks)[:, None]
    matrix = torch.stack(matrices)
    first = sign_class(int(arrays[f"{objects[0]}|class"]))
    size = (first.height_mm, first.width_mm)
    yield compare(case, "obj_mask", obj_mask, arrays["obj_mask"])
    yield compare(case, "patch_mask", patch_mask(options["patch"], size, width)[None, None], arrays["patch_mask"])
    yield compare_to_max(case, "transform_mat", matrix, arrays["transform_mat"], 1e-5)
    patch = arrays["patch"].clone().requires_grad_()
    relit = apply_lighting(patch, options["relight"], arrays["relight_coeffs"])
    yield compare(case, "relit_patch", relit, arrays["relit_patch"], atol=1e-4 if "lab" in options["relight"] else 1e-5)
    canvas = compose_canvas(relit, arrays["patch_mask"], obj_mask)
    extent = (images.shape[2], images.shape[3])
    mode = options["interp"]
    warped = warp(canvas.detach(), matrix, extent, mode).clamp(0, 1)  # type: ignore[arg-type]
    ties = TIES if mode == "nearest" else 0.0
    yield compare(case, "warped_rgba", warped, arrays["warped_rgba"].float(), atol=5e-4, outliers=ties)
    warped_mask = warp(obj_mask, matrix, extent, "nearest")
    yield compare(case, "warped_obj_mask", warped_mask.to(torch.uint8), arrays["warped_obj_mask"], outliers=TIES)
    final = paste(images, canvas, matrix, owners, mode)  # type: ignore[arg-type]
    yield compare(case, "final_rgb01", final, arrays["final_rgb01"], atol=1e-4, outliers=ties)
    (grad,) = torch.autograd.grad((final * arrays["grad_probe_weight"].float()).sum(), patch)
    yield compare_to_max(case, "grad_patch", grad, arrays["grad_patch"], 1e-3)
    ready = (final.flip(1) if options["img_mode"] == "BGR" else final) * 255
    yield compare(case, "model_input_255", ready, arrays["model_input_255"].float(), atol=0.15, outliers=ties)


def _synthetic(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = _arrays(case)
    images, side = arrays["images_u8"].float() / 255, arrays["patch"].shape[-1]
    template = arrays["template_u8"].float() / 255
    template = resize_template(template, (round(template.shape[1] / template.shape[2] * side), side))
    boxes = arrays["noaug|boxes"][0].long().tolist()
    rows, columns = slice(boxes[1], boxes[1] + template.shape[1]), slice(boxes[0], boxes[0] + side)
    mask = arrays["obj_mask_resized"][0, 0, rows, columns].float()
    yield compare(
        case,
        "syn_obj_resized",
        template.expand(len(images), -1, -1, -1),
        arrays["syn_obj_resized"][:, :, rows, columns].float(),
        atol=5e-4,
    )
    clean, _ = paste_synthetic(images, template, mask, None, None)
    yield compare(case, "clean|final", clean, arrays["clean|final"].float(), atol=5e-4)
    for name, matrices in (("noaug", None), ("aug", arrays["aug|affine_matrix"])):
        out, found = paste_synthetic(images, template, mask, arrays["patch"], arrays["patch_mask"], matrices)
        yield compare(case, f"{name}|final", out, arrays[f"{name}|final"], atol=1e-4)
        yield compare(case, f"{name}|boxes", found, arrays[f"{name}|boxes"], atol=1e-3)


RUNNERS = {
    "sign_masks": _sign_masks,
    "patch_masks": _patch_masks,
    "perspective": _perspective,
    "relight_apply": _relight_apply,
    "relight_fit": _relight_fit,
    "render_": _render,
    "synthetic_render": _synthetic,
    "metrics": run_metrics,
    "attack": run_attack,
}
"""Start of a file name -> runner."""
