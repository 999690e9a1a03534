"""Runs the golden cases of family ``ganet``: models, decoding, deformable convolution, losses and targets."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from perception.errors import InputError
from perception.nn.deform_conv import deform_conv_1xp
from perception.parity import UncoveredError, compare
from perception.parity.fill import fill_state

from .decode import (
    DecodeSettings,
    Keypoints,
    culane_text,
    decode_lanes,
    find_keypoints,
    group_keypoints,
    to_image,
    tusimple_lane,
)
from .head import clamped_sigmoid
from .loss import LossWeights, focal, lane_losses, match_points
from .model import GANet
from .targets import lane_samples, lane_targets

if TYPE_CHECKING:
    from perception.parity import GoldenCase, ParityRow

ARRAYS = {
    "gt_cpts_hm": "start_hm",
    "gt_kpts_hm": "keypoint_hm",
    "int_offset": "cell_offset",
    "pts_offset": "start_offset",
    "offset_mask": "offset_mask",
    "offset_mask_weight": "start_weight",
}
"""Golden name -> name in `lane_targets`."""
MAPS = {
    "cpts_hm_logit": "start_logit",
    "kpts_hm_logit": "keypoint_logit",
    "pts_offset": "start_offset",
    "int_offset": "cell_offset",
    "deform_points_l0": "points",
}
"""Golden name -> field of `LaneMaps`."""
CLOSE = 1e-4
"""A decision boundary nearer than this may fall either way (README of the golden data)."""


def run(case: GoldenCase) -> Iterator[ParityRow]:
    """Yield a row per compared tensor of one case."""
    kind = case.kind.removeprefix("ganet/")
    if kind not in RUNNERS:
        raise UncoveredError(f"{case.name}: kind {case.kind!r} is not one of {sorted(RUNNERS)}")
    return RUNNERS[kind](case)


def build_model(description: Mapping[str, Any]) -> GANet:
    """The network of a model manifest in evaluation mode, filled by its rules."""
    config, rows = description["config"], description["keys"]
    shapes = {row["key"]: row["shape"] for row in rows}
    backbone, neck, head = config["backbone"], config["neck"], config["head"]
    model = GANet(
        backbone={
            "type": "SlimResNet",
            "depth": backbone["depth"],
            "base_width": shapes["backbone.conv1.weight"][0],
            "frozen_stages": backbone["frozen_stages"],
            "norm_eval": backbone["norm_eval"],
        },
        neck={
            "type": "DeformFPN",
            "in_channels": neck["in_channels"],
            "out_channels": neck["out_channels"],
            "point_nums": neck["dcn_point_num"],
            "attention": neck["trans_cfg"]["attn_out_dims"],
            "ratios": neck["trans_cfg"]["ratios"],
            "hidden": shapes["neck.def_convs.0.cls_convs.0.conv.weight"][0],
        },
        bbox_head={
            "type": "GANetHead",
            "in_channels": head["in_channels"],
            "branch_channels": head["branch_in_channels"],
            "start_branch": any("centerpts_head" in key for key in shapes),
        },
        loss_weights={
            "start": config["loss_weights"]["center"],
            "keypoint": config["loss_weights"]["point"],
            "cell_offset": config["loss_weights"]["error"],
            "start_offset": config["loss_weights"]["offset"],
            "points": config["loss_weights"]["aux"],
        },
        sample_count=config["sample_gt_points"][0],
    )
    state = fill_state(rows, description.get("scale", ()), family="ganet")
    model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in state.items()})
    return model.eval()


@contextmanager
def _threads(description: Mapping[str, Any]) -> Iterator[None]:
    """Use as many threads as the golden run did.

    Sums are added in another order otherwise, and the attention, whose softmax has large unscaled logits, amplifies the
    difference of 1e-5 in the backbone of the large model to 1e-3.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(int(description.get("env", {}).get("threads", 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _json_file(case: GoldenCase, suffix: str = ".json") -> str:
    return next(file for file in case.entry["files"] if file.endswith(suffix))


def _tolerance(case: GoldenCase) -> dict[str, float]:
    stated = case.entry.get("tolerance")
    stated = stated if isinstance(stated, Mapping) else {}
    return {"rtol": float(stated.get("rtol", 1e-5)), "atol": float(stated.get("atol", 1e-5))}


def _seeded_input(spec: Mapping[str, Any], where: str) -> Tensor:
    values = np.random.default_rng(spec["seed"]).standard_normal(spec["shape"]).astype(np.float32)
    if zlib.crc32(values.tobytes()) != spec["crc32"]:
        raise InputError(where, "input", f"crc32 {spec['crc32']}", str(zlib.crc32(values.tobytes())))
    return torch.from_numpy(values)


def _flat(lists: Sequence[Any]) -> np.ndarray:
    """Ragged lists as one vector: every length, then every value."""
    parts = [np.asarray(part, np.float64).reshape(-1) for part in lists]
    return np.concatenate([[len(parts)], [len(part) for part in parts], *parts])


def _settings(entry: Mapping[str, Any], center: bool = True) -> DecodeSettings:
    return DecodeSettings(
        stride=entry["stride"],
        kpt_thr=entry["kpt_thr"],
        root_thr=entry["root_thr"],
        center_radius=entry["cluster_by_center_thr"] if center else None,
        cluster_radius=entry.get("cluster_thr", 0),
        points_thr=entry["points_thr"],
    )


def _input_size(entry: Mapping[str, Any]) -> tuple[int, int]:
    return entry["img_shape"][1], entry["img_shape"][0]


# --- model ------------------------------------------------------------------------------------------------------------


def _run_model(case: GoldenCase) -> Iterator[ParityRow]:
    description, golden = case.json(_json_file(case)), case.npz(_json_file(case, ".npz"))
    model, tolerance = build_model(description), _tolerance(case)
    own = [(key, list(value.shape)) for key, value in model.state_dict().items()]
    stated = [(row["key"], row["shape"]) for row in description["keys"]]
    yield compare(case, "state_dict keys differing", np.array(len(set(map(str, own)) ^ set(map(str, stated)))), 0)
    if "n_params" in description:
        yield compare(case, "n_params", np.array(sum(p.numel() for p in model.parameters())), description["n_params"])
    if description["inputs"].get("stored") and "input" in golden:
        image = torch.from_numpy(golden["input"])
    else:
        image = _seeded_input(description["inputs"], case.name)
    with _threads(description):
        tensors = _activations(model, image)
    for name in golden:
        base, _, step = name.partition("_ch::")
        if base in tensors:
            ours = tensors[base][:, :: int(step)] if step else tensors[base]
            yield compare(case, name, ours.numpy(), golden[name], **tolerance)
    yield from _model_decode(case, description["decode"], tensors, golden)


@torch.no_grad()
def _activations(model: GANet, image: Tensor) -> dict[str, Tensor]:
    """All intermediate tensors that golden files store, by their golden name."""
    maps = model.backbone(image)
    tensors = {f"backbone_l{stage + 1}": value for stage, value in enumerate(maps)}
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out, i=i: tensors.__setitem__(f"attn{i}", out))
        for i, layer in enumerate(model.neck.trans_head.attn_layers)
    ]
    lfa = model.neck.def_convs[0]
    hooks.append(lfa.register_forward_hook(lambda _m, _i, out: tensors.__setitem__("lfa_out", out[0])))
    neck = model.neck(maps)
    for hook in hooks:
        hook.remove()
    heads = model.bbox_head(neck)
    tensors |= {"feature_l0": neck.feature, "aux_feat": neck.aux_feature}
    return tensors | {name: getattr(heads, field) for name, field in MAPS.items() if getattr(heads, field) is not None}


def _model_decode(
    case: GoldenCase, entry: Mapping[str, Any], tensors: Mapping[str, Tensor], golden: Mapping[str, np.ndarray]
) -> Iterator[ParityRow]:
    """Decode the stored maps (must agree exactly) and our own maps (must agree up to the stated margins)."""
    settings, size, crop = _settings(entry), _input_size(entry), entry["crop_bbox"]
    slack = 1.0 if entry["margins"]["int_truncation"] < CLOSE else 0.0
    stored = [golden[name] for name in ("kpts_hm_logit", "pts_offset", "int_offset")]
    heat = clamped_sigmoid(torch.from_numpy(stored[0])).numpy()[0, 0]
    keypoints = find_keypoints(heat[None], stored[1], stored[2], settings)
    yield from _compare_keypoints(
        case, keypoints, {key: golden[f"dec_{key}"] for key in ("cpt_seeds", "align", "root")}
    )
    lanes, _ = decode_lanes(heat, stored[1][0], stored[2][0], settings, crop, size)
    yield compare(case, "lanes of stored maps", _flat(lanes), _flat(entry["lanes"]), rtol=0, atol=slack)
    centers = group_keypoints(keypoints, settings).centers
    yield compare(case, "centers", to_image(centers, settings, crop, size), np.array(entry["centers"]).reshape(-1, 2))
    start, cell = (tensors[name].numpy() for name in ("pts_offset", "int_offset"))
    found = find_keypoints(clamped_sigmoid(tensors["kpts_hm_logit"]).numpy()[:, 0], start, cell, settings)
    undecided = sum(value < CLOSE for value in entry["margins"].values())
    for name, cells, expected in (
        ("seeds", found.seeds, golden["dec_cpt_seeds"]),
        ("keypoints", found.cells, keypoints.cells),
    ):
        different = len({tuple(cell) for cell in cells.tolist()} ^ {tuple(cell) for cell in expected.tolist()})
        yield compare(case, f"{name} of own maps differing", np.array(different), 0, rtol=0, atol=undecided)


def _compare_keypoints(case: GoldenCase, ours: Keypoints, golden: Mapping[str, np.ndarray]) -> Iterator[ParityRow]:
    prefix = f"{golden['case']}/" if "case" in golden else ""
    yield compare(case, f"{prefix}cpt_seeds", ours.seeds, golden["cpt_seeds"], rtol=0, atol=0)
    yield compare(case, f"{prefix}align", ours.align, golden["align"], rtol=0, atol=1e-5)
    yield compare(case, f"{prefix}root", ours.root, golden["root"], rtol=0, atol=1e-5)


# --- decode -----------------------------------------------------------------------------------------------------------


def _run_decode(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = case.npz(_json_file(case, ".npz"))
    for entry in case.json(_json_file(case))["cases"]:
        name = entry["case"]
        settings, size, crop = _settings(entry), _input_size(entry), entry["crop_bbox"]
        heat, start, cell = (arrays[f"{name}/{key}"] for key in ("heat", "offset", "int_offset"))
        keypoints = find_keypoints(heat[None], start[None], cell[None], settings)
        golden = {key: arrays[f"{name}/{key}"] for key in ("cpt_seeds", "align", "root")}
        yield from _compare_keypoints(case, keypoints, {**golden, "case": name})
        found = group_keypoints(keypoints, settings)
        groups, centers = found.members(), found.centers
        alone = group_keypoints(keypoints, _settings(entry, center=False)).members()
        lanes, _ = decode_lanes(heat, start, cell, settings, crop, size)
        kept = [i for i, group in enumerate(groups) if len(group) > settings.points_thr]
        roots = [to_image(keypoints.root[groups[i]], settings, crop, size) for i in kept]
        exact: list[tuple[str, Any, Any]] = [
            ("groups", _flat(groups), _flat(entry["groups"])),
            ("group_centers", centers, np.array(entry["group_centers"]).reshape(-1, 2)),
            ("groups_without_centers", _flat(alone), _flat(entry["groups_without_centers"])),
            ("lanes", _flat(lanes), _flat(entry["lanes"])),
            ("lane_roots", _flat(roots), _flat(entry["lane_roots"])),
            ("centers", to_image(centers, settings, crop, size), np.array(entry["centers"]).reshape(-1, 2)),
            ("culane_text differing", np.array(culane_text(lanes) != entry["culane_text"]), np.array(False)),
        ]
        if "tusimple_lanes" in entry:
            rows = [tusimple_lane(lane, entry["tusimple_h_samples"]) for lane in lanes]
            exact.append(("tusimple_lanes", _flat(rows), _flat(entry["tusimple_lanes"])))
        for tensor, ours, expected in exact:
            yield compare(case, f"{name}/{tensor}", ours, expected, rtol=0, atol=0)


# --- deformable convolution -------------------------------------------------------------------------------------------


def _run_deform_conv(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = case.npz(_json_file(case, ".npz"))
    for prefix in sorted({name.partition("/")[0] for name in arrays}):
        x, offset, weight = (torch.from_numpy(arrays[f"{prefix}/{key}"]) for key in ("x", "offset", "weight"))
        for backend in ("numba", "torchvision", "torch"):
            ours = deform_conv_1xp(x, offset, weight, backend).numpy()
            yield compare(case, f"{prefix}/y {backend}", ours, arrays[f"{prefix}/y"], **_tolerance(case))


# --- targets and losses -----------------------------------------------------------------------------------------------


def _compare_targets(
    case: GoldenCase, prefix: str, lanes: Sequence, size: Sequence[int], stride: int, golden: Mapping[str, np.ndarray]
) -> Iterator[ParityRow]:
    points = [np.asarray(lane, np.float64).reshape(-1, 2) for lane in lanes]
    levels = sorted(name for name in golden if name.startswith("lane_points_l"))
    rows, count = golden["lane_points_l0"].shape[:2]
    ours = lane_targets(points, size[0], size[1], stride, count, rows)
    for name, own_name in ARRAYS.items():
        yield compare(case, prefix + name, ours[own_name], golden[name], **_tolerance(case))
    for level, name in enumerate(levels):
        values = lane_samples(points, size[0], size[1], stride * 2**level, golden[name].shape[1], rows)
        yield compare(case, prefix + name, values, golden[name], **_tolerance(case))


def _run_targets(case: GoldenCase) -> Iterator[ParityRow]:
    arrays = case.npz(_json_file(case, ".npz"))
    for entry in case.json(_json_file(case))["cases"]:
        prefix = f"{entry['case']}/"
        golden = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
        yield from _compare_targets(case, prefix, entry["lanes"], entry["img_shape"], entry["stride"], golden)


def _run_losses(case: GoldenCase) -> Iterator[ParityRow]:
    description, arrays = case.json(_json_file(case)), case.npz(_json_file(case, ".npz"))
    weights = case.json(case.entry["weights"])
    stored = {name.removeprefix("target/"): arrays[name] for name in arrays if name.startswith("target/")}
    size = description["input"]["shape"][2:]
    stride = weights["decode"]["stride"]
    for i, lanes in enumerate(description["gt_lanes"]):
        golden = {name: value[i] for name, value in stored.items()}
        yield from _compare_targets(case, f"target {i}/", lanes, size, stride, golden)
    targets = {ours: torch.from_numpy(stored[name]) for name, ours in ARRAYS.items()}
    targets["lane_points"] = torch.from_numpy(stored["lane_points_l0"])
    yield from _loss_rows(case, description, weights, targets)
    yield from _assigner_rows(case, description, arrays)
    yield from _focal_rows(case, description)


def _loss_rows(
    case: GoldenCase, description: Mapping[str, Any], weights: Mapping[str, Any], targets: Mapping[str, Tensor]
) -> Iterator[ParityRow]:
    model, tolerance = build_model(weights), _tolerance(case)
    factors = LossWeights(
        *(description["loss_weights"][name] for name in ("center", "point", "error", "offset", "aux"))
    )
    with _threads(weights):
        maps = model.maps(_seeded_input(description["input"], case.name))
        losses = lane_losses(maps, targets, factors, model.sample_count)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
    for (name, golden), ours in zip(sorted(description["loss_terms"].items()), losses.values(), strict=True):
        yield compare(case, name, ours.detach().numpy(), np.array(golden), **tolerance)
    yield compare(case, "total", total.detach().numpy(), np.array(description["total"]), **tolerance)
    parameters = dict(model.named_parameters())
    rtol = float(case.entry["tolerance"].get("grad_rtol", 1e-3))
    for name, golden in description["grad_l2"].items():
        gradient = parameters[name].grad
        norm = 0.0 if gradient is None else float(gradient.norm())
        yield compare(case, f"grad_l2 {name}", np.array(norm), np.array(golden), rtol=rtol, atol=1e-6)
    without = {name for name, value in parameters.items() if value.grad is None}
    difference = without ^ set(description["params_without_grad"])
    yield compare(case, "params_without_grad differing", np.array(len(difference)), 0)


def _assigner_rows(
    case: GoldenCase, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Iterator[ParityRow]:
    assigner = description["assigner"]
    points, lanes = (torch.from_numpy(arrays[assigner[key]]) for key in ("pred", "gt"))
    valid, predicted, matched = match_points(points, lanes, assigner["sample_gt_points"])
    for name, values in zip(assigner["out"], (matched, predicted)):
        ours = np.zeros_like(arrays[name])
        ours[valid.numpy()] = values.numpy()
        yield compare(case, name, ours, arrays[name], **_tolerance(case))


def _focal_rows(case: GoldenCase, description: Mapping[str, Any]) -> Iterator[ParityRow]:
    edge = description["focal_edge"]
    seed, shape = _seed_and_shape(edge["pred"], case.name)
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
    for name, entry in edge.items():
        if not isinstance(entry, Mapping):
            continue
        target = torch.zeros(shape)
        for index in entry["ones"]:
            target[tuple(index)] = 1
        for *index, value in entry.get("soft", ()):
            target[tuple(index)] = value
        ours = focal(clamped_sigmoid(values), target).numpy()
        yield compare(case, f"focal {name}", ours, np.array(entry["value"]), **_tolerance(case))


def _seed_and_shape(text: str, where: str) -> tuple[int, list[int]]:
    match = re.search(r"default_rng\((\d+)\)\.standard_normal\(\[([\d, ]+)\]\)", text)
    if match is None:
        raise InputError(where, "focal_edge", "default_rng(seed).standard_normal([shape])", text)
    return int(match[1]), [int(part) for part in match[2].split(",")]


RUNNERS: dict[str, Callable[[GoldenCase], Iterator[ParityRow]]] = {
    "model": _run_model,
    "decode": _run_decode,
    "deform_conv1d": _run_deform_conv,
    "losses": _run_losses,
    "targets": _run_targets,
}

__all__ = ["build_model", "run"]
