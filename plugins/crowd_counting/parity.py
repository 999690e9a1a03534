"""Golden cases of the crowd part of family ``ppn_crowd`` (``perception parity``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.errors import InputError
from perception.parity.case import Arrays, GoldenCase, UncoveredError
from perception.parity.comparison import ParityRow, compare
from perception.parity.fill import fill_state
from perception.registry import MODELS

from . import components  # noqa: F401  (registers the networks)
from .base import CrowdMaps, CrowdModel
from .density import adaptive_density, adaptive_sigmas, dots, fixed_density, shrink, shrink_map
from .loss import BayesianLoss, dual_path_terms, posterior
from .points import crop_targets, flipped, mean_neighbour_distance, rounded_size, scaled_size

RTOL = ATOL_OF_MAX = 1e-4
"""As stated in the README of the golden data."""

TAPS: dict[str, Callable[[CrowdModel], dict[str, Any]]] = {
    "M_SFANet": lambda m: {
        "conv4_3": m.vgg.conv4_3, "conv5_3": m.vgg.conv5_3, "can": m.spm["can"], "aspp": m.spm["assp"],
        "amp_stage1": m.amp.conv2, "amp_feat": m.amp.conv7, "dmp_stage1": m.dmp.conv2, "dmp_stage2": m.dmp.conv4,
        "dmp_feat": m.dmp.conv7,
    },
    "M_SFANet_UCF_QNRF": lambda m: {
        "conv4_4": m.vgg.conv4_4, "conv5_4": m.vgg.conv5_4, "can": m.spm["can"], "aspp": m.spm["assp"],
        "reg_layer": m.spm["reg_layer"], "dmp_stage1": m.dmp.conv2, "dmp_stage2": m.dmp.conv4, "dmp_feat": m.dmp.conv7,
    },
    "M_SegNet": lambda m: {
        "conv4_3": m.vgg.conv4_3, "amp_stage1": m.amp.conv2, "amp_feat": m.amp.conv7, "dmp_stage1": m.dmp.conv2,
        "dmp_stage2": m.dmp.conv4, "dmp_feat": m.dmp.conv7,
    },
    "M_SegNet_UCF_QNRF": lambda m: {
        "conv4_4": m.vgg.conv4_4, "conv5_4": m.vgg.conv5_4, "reg_layer": m.dmp.reg_layer, "dmp_stage1": m.dmp.conv2,
        "dmp_stage2": m.dmp.conv4, "dmp_feat": m.dmp.conv7,
    },
}  # fmt: skip
"""Modules whose output the golden files hold, by the stored name."""


def run(case: GoldenCase) -> Iterator[ParityRow]:
    """Compare one case.

    Raises:
        UncoveredError: Not a crowd case, or one of an unknown kind.
        InputError: The case lacks what its kind needs.
    """
    group, _, name = case.name.partition("/")
    if group == "crowd" and name in TAPS:
        return _network(case, name)
    if group == "crowd_aux" and name in AUX:
        return AUX[name](case)
    raise UncoveredError(f"crowd_counting knows no case {case.name!r}")


def _network(case: GoldenCase, name: str) -> Iterator[ParityRow]:
    model = MODELS.build({"type": name})
    keys = case.entry["keys"]
    ours = [(key, list(value.shape)) for key, value in model.state_dict().items()]
    yield compare(case, "keys", ours == [(row["key"], list(row["shape"])) for row in keys], True)
    state = fill_state(keys, family="ppn_crowd")
    model.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()})
    model.eval()
    yield compare(case, "parameters", sum(p.numel() for p in model.parameters()), _parameters(keys))
    for entry in case.entry["runs"]:
        yield from _forward(case, name, model, entry)


def _parameters(keys: list[dict]) -> int:
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return sum(int(np.prod(row["shape"])) for row in keys if not row["key"].endswith(statistics))


def _forward(case: GoldenCase, name: str, model: CrowdModel, entry: dict) -> Iterator[ParityRow]:
    shape = tuple(entry["shape"])
    image = np.random.default_rng(entry["seed"]).standard_normal(shape).astype(np.float32)
    found: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, tap=tap: found.__setitem__(tap, output))
        for tap, module in TAPS[name](model).items()
    ]
    with torch.inference_mode():
        maps: CrowdMaps = model.maps(torch.from_numpy(image))
    for hook in hooks:
        hook.remove()
    found["density"] = maps.density
    if maps.attention is not None:
        found["attention"] = maps.attention
    label = f"{shape[2]}x{shape[3]}"
    for tensor, stride, expected in case.npz(entry["file"]).strided():
        if tensor in ("input", "image", "x"):
            yield compare(case, f"{label} {tensor}", image, expected)
        elif tensor not in found:
            raise UncoveredError(f"{case.name}: unknown array {tensor!r} in {entry['file']}")
        else:
            yield _close(case, f"{label} {tensor}", found[tensor][:, ::stride], expected)


def _close(case: GoldenCase, tensor: str, ours: Any, expected: Any) -> ParityRow:
    return compare(case, tensor, ours, expected, rtol=RTOL, atol_of_max=ATOL_OF_MAX)


def _bayesian(case: GoldenCase) -> Iterator[ParityRow]:
    data, entry = case.npz(case.entry["file"]), case.entry
    images = len(data["st_sizes"])
    for key, expected in entry["losses"].items():
        stride_text, form, *rest = key.split("_")
        stride = int(stride_text.removeprefix("stride"))
        small = rest[0] == "smallst"
        ratio = 1.0 if small else float(rest[0].removeprefix("bg"))
        sizes = data["st_sizes_small" if small else "st_sizes"]
        loss = BayesianLoss(entry["sigma"], ratio, rest[1] == "usebg", form)
        density = torch.from_numpy(data[f"density_s{stride}"])
        samples = [
            {"points": data[f"points_{i}"], "targets": data[f"target_{i}"], "short_side": sizes[i]}
            for i in range(images)
        ]
        for memory, label in ((256.0, key), (1e-4, f"{key} in bands")):
            loss.memory = memory
            yield _close(case, label, loss(CrowdMaps(density, None), samples, stride)["loss_bayes"], expected)
    yield from _posteriors(case, data)


def _posteriors(case: GoldenCase, data: Arrays) -> Iterator[ParityRow]:
    side = data["density_s8"].shape[-1]
    for name in data:
        if not name.startswith("prob_"):
            continue
        _, form, kind, image = name.split("_")
        sizes = data["st_sizes_small" if kind == "small" else "st_sizes"]
        ratio = 1.0 if kind == "small" else float(kind.removeprefix("bg"))
        radius = ratio * float(sizes[int(image)])
        points = torch.from_numpy(data[f"points_{image}"])
        ours = posterior(points, (side, side), 8, float(case.entry["sigma"]), radius, form)
        yield _close(case, name, ours, data[name])


def _density(case: GoldenCase) -> Iterator[ParityRow]:
    data, entry = case.npz(case.entry["file"]), case.entry
    shape, points = tuple(entry["shape"]), data["points_xy"]
    marked, kept = dots(points, shape)
    yield compare(case, "dots", marked, data["dots"])
    yield compare(case, "kept_before_merge", kept, entry["kept_before_merge"])
    yield compare(case, "annotations", len(points), entry["annotations"])
    for name in data:
        if name.startswith("fixed_reflect_s"):
            fixed = fixed_density(points, shape, float(name.removeprefix("fixed_reflect_s")))
            yield _close(case, name, fixed.density, data[name])
            yield compare(case, f"sum of {name}", fixed.density.sum(), entry["sums"][name], rtol=1e-5)
    five = fixed_density(points, shape, 5.0)
    yield compare(case, "attention_s5", five.attention, data["attention_s5"].astype(bool))
    yield _close(case, "fixed_s5_half", shrink(five.density), data["fixed_s5_half"])
    yield _close(case, "attention_s5_half", shrink_map(five.attention), data["attention_s5_half"])
    pixels = data["adaptive_points_xy"]
    yield compare(case, "adaptive_sigma", adaptive_sigmas(pixels, shape), data["adaptive_sigma"], rtol=1e-9)
    yield _close(case, "adaptive_constant", adaptive_density(pixels, shape), data["adaptive_constant"])
    alone = data["adaptive_single_point"]
    peak = np.argwhere(alone == alone.max())[0]
    yield _close(case, "adaptive_single_point", adaptive_density(peak[None, ::-1], shape), alone)


def _dual_path(case: GoldenCase) -> Iterator[ParityRow]:
    data = case.npz(case.entry["file"])
    tensors = [torch.from_numpy(data[f"{a}_{b}"]) for b in ("pred", "gt") for a in ("density", "attention")]
    density, attention = dual_path_terms(*tensors)
    yield _close(case, "density", density, case.entry["density"])
    yield _close(case, "attention_weighted", 0.1 * attention, case.entry["attention_weighted"])
    yield _close(case, "total", density + 0.1 * attention, case.entry["total"])


def _point_targets(case: GoldenCase) -> Iterator[ParityRow]:
    data, entry = case.npz(case.entry["file"]), case.entry
    points = data["points_xy"]
    distance = mean_neighbour_distance(points)
    yield compare(case, "mean_dis_3nn", distance, data["mean_dis_3nn"], rtol=1e-5)
    yield compare(case, "keypoints_xyd", np.concatenate([points, distance], 1), data["keypoints_xyd"], rtol=1e-5)
    found = crop_targets(data["keypoints_xyd"][:, :2], data["keypoints_xyd"][:, 2], *data["crop_ijhw"].tolist())
    yield compare(case, "inner_ratio", found.share, data["inner_ratio"], rtol=1e-5, atol=1e-6)
    yield compare(case, "kept", found.kept, data["kept"])
    yield compare(case, "crop_points", found.points, data["crop_points"], rtol=1e-5, atol=1e-4)
    width = int(data["crop_ijhw"][3])
    yield compare(case, "crop_points_flipped", flipped(found.points, width), data["crop_points_flipped"], 1e-5, 1e-4)
    yield compare(case, "crop_target", found.targets, data["crop_target"], rtol=1e-5, atol=1e-6)
    for index, row in enumerate(entry["cal_new_size"]):
        ours = scaled_size(row["h"], row["w"], row["min_size"], row["max_size"])
        yield compare(case, f"cal_new_size[{index}]", list(ours), row["out"], rtol=1e-9)
    rounded = [[side, rounded_size(side)] for side, _ in entry["resize_to_16"]]
    yield compare(case, "resize_to_16", rounded, entry["resize_to_16"])


def _samples(case: GoldenCase) -> Iterator[ParityRow]:
    """Numbers of real pictures; those that are not at hand cannot be compared beyond their size."""
    import os
    from pathlib import Path

    from .dataset import shanghaitech_points

    root = Path(os.environ.get("PERCEPTION_REAL", case.folder.parent.parent / "real")) / "shanghaitech"
    compared = 0
    for part, entry in case.entry.items():
        if not isinstance(entry, dict) or entry.get("available") is False:
            continue
        for path in sorted(root.glob(f"part_{part}_final/*/ground_truth/GT_*.mat")):
            points, shape = shanghaitech_points(path), tuple(entry["image_hw"])
            if not np.allclose(points[:3], np.asarray(entry["first3_xy"])[: len(points)], atol=1e-3):
                continue
            compared += 1
            marked, inside = dots(points, shape)
            five, fifteen = (fixed_density(points, shape, sigma) for sigma in (5.0, 15.0))
            for key, ours in (("annotations", len(points)), ("in_image", inside), ("distinct_pixels", marked.sum())):
                yield compare(case, f"{part} {key}", ours, entry[key])
            yield compare(case, f"{part} sum_sigma5", five.density.sum(), entry["sum_sigma5"], rtol=1e-4)
            yield compare(case, f"{part} sum_sigma15", fifteen.density.sum(), entry["sum_sigma15"], rtol=1e-4)
            yield compare(case, f"{part} max_sigma5", five.density.max(), entry["max_sigma5"], rtol=1e-4)
            fraction = five.attention.mean()
            yield compare(case, f"{part} attention_fraction", fraction, entry["attention_fraction"], rtol=1e-3)
    if not compared:
        raise InputError(root, "", "a ShanghaiTech annotation of the manifest", "none (PERCEPTION_REAL)")


AUX: dict[str, Callable[[GoldenCase], Iterator[ParityRow]]] = {
    "bayesian_loss": _bayesian,
    "density_maps": _density,
    "dual_path_loss": _dual_path,
    "point_targets": _point_targets,
    "shanghaitech_samples": _samples,
}
