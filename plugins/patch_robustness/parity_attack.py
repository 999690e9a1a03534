"""Golden metrics, losses and attack loops of family ``reap``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from perception.metrics.coco import BoxSet, evaluate_boxes, max_f1_thresholds
from perception.parity import GoldenCase, ParityRow, compare

from .lighting import Lighting
from .losses import rp2_loss, rp2_pairs, smoothness
from .optimize import optimize_patch
from .rates import attack_rates, fnr_threshold, summarise
from .render import render
from .signs import sign_class
from .surfaces import Surface

PRECISION = 1e-9
CELLS = 8


def run_metrics(case: GoldenCase) -> Iterator[ParityRow]:
    """Evaluator, thresholds, FNR and ASR of one metrics file."""
    stored = case.json(str(case.entry.get("file", case.name)))
    truth = BoxSet.from_coco(stored["gts"])
    background, classes = int(stored["background_class"]), int(stored["background_class"]) + 1
    found: dict[str, BoxSet] = {}
    results = {}
    for key, expected in stored["cases"].items():
        which, mode, only = key.split("|")
        if which not in found:
            found[which] = BoxSet.from_coco(stored[f"dets_{which}"])
        label = int(only.removeprefix("cat"))
        scores = results[key] = evaluate_boxes(
            truth,
            found[which],
            classes,
            background=background,
            mode=None if mode == "None" else mode,
            only=None if label < 0 else label,
            compat=True,
        )
        yield compare(case, f"{key} stats", scores.stats, np.array(expected["stats"]), atol=PRECISION)
        golden_ap = np.array([np.nan if value is None else value for value in expected["ap_per_class"]], np.float64)
        yield compare(case, f"{key} ap", scores.ap, golden_ap, atol=PRECISION)
        yield compare(case, f"{key} truths", scores.truths, np.array(expected["num_gts_per_class"]))
        for name, ours in _score_lists(scores).items():
            golden = np.concatenate([np.asarray(expected[name][str(c)], np.float64) for c in range(classes)])
            yield compare(case, f"{key} {name}", np.concatenate(ours), golden, atol=PRECISION)
    yield from _thresholds(case, stored, results, background)


def _score_lists(scores: Any) -> dict[str, list[np.ndarray]]:
    labels = sorted(scores.gt_scores)
    return {
        "gt_scores_iou50": [scores.gt_scores[c][0] for c in labels],
        "gt_scores_iou75": [scores.gt_scores[c][5] for c in labels],
        "tp_scores_iou50": [scores.tp_scores[c] for c in labels],
        "fp_scores_iou50": [scores.fp_scores[c] for c in labels],
    }


def _thresholds(
    case: GoldenCase, stored: dict[str, Any], results: dict[str, Any], background: int
) -> Iterator[ParityRow]:
    clean, attacked = (results[f"{which}|drop|cat-1"] for which in ("clean", "attacked"))
    golden = stored["max_f1_threshold_iou50"]
    thresholds, tp, fp = max_f1_thresholds(clean, range(len(golden["thresholds"])))
    yield compare(case, "max F1 thresholds", thresholds, np.array(golden["thresholds"]), atol=PRECISION)
    yield compare(case, "max F1 tp", tp.astype(float), np.array(golden["tp"]))
    yield compare(case, "max F1 fp", fp.astype(float), np.array(golden["fp"]))
    golden = stored["fnr_asr_iou50"]
    rows = [
        attack_rates(clean.gt_scores[c][0], attacked.gt_scores[c][0], thresholds[c], compat=True)
        for c in range(background)
    ]
    names = ("num_gt", "clean_detected", "success")
    expected = np.array([[golden["per_class"][str(c)][name] for name in names] for c in range(background)])
    yield compare(case, "counts per class", np.array([[r.truths, r.clean, r.success] for r in rows]), expected)
    fnr = np.array([[golden["per_class"][str(c)][n] for n in ("fnr_clean", "fnr_attacked")] for c in range(background)])
    yield compare(case, "fnr per class", np.array([[r.fnr_clean, r.fnr_attacked] for r in rows]), fnr, atol=PRECISION)
    for name, value in summarise(rows, compat=True).items():
        yield compare(case, name, value, golden[name], atol=PRECISION)
    golden = stored["synthetic_threshold"]
    ours = fnr_threshold(np.array(golden["scores"]), np.array(golden["matches"]), float(golden["desired_fnr"]))
    yield compare(case, "synthetic threshold", ours, golden["threshold"], atol=PRECISION)


def run_attack(case: GoldenCase) -> Iterator[ParityRow]:
    """Loss terms and whole loops on the toy detector."""
    arrays = {
        name: torch.from_numpy(np.asarray(a)) for name, a in case.npz(str(case.entry.get("file", case.name))).items()
    }
    for key in [name.removesuffix("|keep") for name in arrays if name.endswith("|keep")]:
        yield from _loss_rows(case, key, arrays)
    ours = smoothness(arrays["tv|delta"], "reference")
    yield compare(case, "smoothness", ours, arrays["tv|value_reference"], atol=1e-6)
    for key in [name.removesuffix("|init") for name in arrays if name.endswith("|init")]:
        yield from _loop_rows(case, key, arrays)


def _loss_rows(case: GoldenCase, key: str, arrays: dict[str, Tensor]) -> Iterator[ParityRow]:
    options = dict(part.split("=") for part in key.split("|")[1].split(","))
    logits, objectness = (arrays[f"loss|{name}"].clone().requires_grad_() for name in ("logits", "objectness"))
    keep, labels = rp2_pairs(
        arrays["loss|proposals"],
        logits,
        arrays["loss|gt_boxes"],
        arrays["loss|gt_classes"],
        float(options["iou"]),
        float(options["score"]),
        options["correct"] == "1",
    )
    value = -rp2_loss(logits[keep], labels, objectness[keep], 0.5)
    grads = torch.autograd.grad(value, (logits, objectness))
    yield compare(case, f"{key}|keep", keep, arrays[f"{key}|keep"])
    yield compare(case, f"{key}|labels", labels, arrays[f"{key}|labels"])
    yield compare(case, f"{key}|value", value, arrays[f"{key}|value"], atol=1e-5)
    for name, grad in zip(("grad_logits", "grad_obj"), grads):
        yield compare(case, f"{key}|{name}", grad, arrays[f"{key}|{name}"], atol=1e-5)


def _toy_detector(images: Tensor, arrays: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, 64, C), objectness (B, 64) and boxes (64, 4) of the detector whose weights are stored."""
    cells = F.adaptive_avg_pool2d(images, CELLS).permute(0, 2, 3, 1).reshape(len(images), CELLS**2, 3)
    out = torch.tanh(cells @ arrays["toy_w"][:3] + arrays["toy_b"]) @ arrays["toy_w"][3:]
    height, width = images.shape[2:]
    r, c = torch.meshgrid(torch.arange(float(CELLS)), torch.arange(float(CELLS)), indexing="ij")
    x, y = width / CELLS, height / CELLS
    boxes = torch.stack([(c - 1) * x, (r - 1) * y, (c + 2) * x, (r + 2) * y], -1).reshape(-1, 4)
    return out[..., :-1], out[..., -1], boxes


def _loop_rows(case: GoldenCase, key: str, arrays: dict[str, Tensor]) -> Iterator[ParityRow]:
    said = case.manifest.get("attack", {})
    optimizer, *rest = key.split("|")
    options = {name: float(value) for name, value in (part.split("=") for part in rest)}
    found = sign_class(int(said.get("class_id", 3)))
    size = (found.height_mm / 1000, found.width_mm / 1000)
    count = len(arrays[f"{key}|init"])
    images = torch.stack([arrays[f"image{i}_u8"] for i in range(count)]).float() / 255
    images = images.flip(1) if said.get("img_mode") == "BGR" else images
    surfaces = [
        Surface(arrays[f"keypoints{i}"], found.shape, size, Lighting("percentile", arrays[f"coeffs{i}"]), i)
        for i in range(count)
    ]
    label = torch.tensor([int(said.get("class_id", 3))])

    def loss(patch: Tensor, _: int) -> Tensor:
        attacked = render(images, patch, surfaces, patch_masks=arrays["patch_mask"], premultiplied=False)
        logits, objectness, boxes = _toy_detector(attacked, arrays)
        total = options["lambda"] * smoothness(patch, "reference")
        for i in range(count):
            threshold = float(said.get("iou_thres", 0.1))
            keep, labels = rp2_pairs(boxes, logits[i], arrays[f"box{i}"], label, threshold, options["minconf"])
            total = total - rp2_loss(logits[i][keep], labels, objectness[i][keep], options["obj"])
        return total

    trace = optimize_patch(loss, arrays[f"{key}|init"], optimizer, int(options["steps"]), options["lr"])
    tolerance = {"atol": 1e-5, "outliers": 0.01} if optimizer == "pgd" else {"atol": 1e-3}
    yield compare(case, f"{key}|loss", np.array(trace.losses, np.float32), arrays[f"{key}|loss"], rtol=1e-4)
    yield compare(case, f"{key}|final", trace.patch, arrays[f"{key}|final"], **tolerance)
