"""Runs the PPN cases of family ``ppn_crowd``: both networks, losses, rasterisation; others belong to other plugins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from perception.errors import InputError
from perception.geometry.grid import GridSpec
from perception.ops.bev_rasterize import bev_occupancy
from perception.parity import UncoveredError, compare
from perception.parity.fill import fill_state

from .loss import canny_edges, mssce, soft_iou
from .networks import AutoencoderNet, MapEncoder, PyramidNet, fit

if TYPE_CHECKING:
    from perception.parity import Arrays, GoldenCase, ParityRow

_CHANNELS = re.compile(r"_ch0_(\d+)$")


def run(case: GoldenCase) -> Iterator[ParityRow]:
    """Compare one case.

    Raises:
        UncoveredError: It is none of PPN's.
    """
    group, _, name = case.name.partition("/")
    if group != "ppn":
        raise UncoveredError(f"lidar_bev does not know {case.name!r}")
    for prefix, function in _RUNNERS.items():
        if name.startswith(prefix):
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                yield from function(case)
            finally:
                torch.set_num_threads(threads)
            return
    raise UncoveredError(f"lidar_bev does not know {case.name!r}")


def _file(case: GoldenCase) -> Arrays:
    return case.npz(str(case.entry["file"]))


def _close(case: GoldenCase, tensor: str, ours: Any, expected: Any) -> ParityRow:
    stated = case.tolerance if isinstance(case.tolerance, Mapping) else {}
    rtol, atol = float(stated.get("rtol", 1e-4)), float(stated.get("atol_of_max", 1e-4))
    return compare(case, tensor, ours, expected, rtol=rtol, atol_of_max=atol)


# --- networks ---------------------------------------------------------------------------------------------------------


def _keys(case: GoldenCase, kind: str) -> list[dict[str, Any]]:
    """Rows of the state_dict: of the case, or of the case of that network beside it."""
    rows = case.entry.get("keys") or case.manifest["ppn"].get(kind, {}).get("keys")
    if not rows:
        raise InputError(case.folder / "manifest.json", f"{case.name}: keys", "rows of a state_dict", "nothing")
    return rows


def _build(case: GoldenCase, kind: str, **options: Any) -> MapEncoder:
    """The network that a state_dict describes, with weights by rule."""
    rows = _keys(case, kind)
    shapes = {row["key"]: row["shape"] for row in rows}
    levels = sum(re.fullmatch(r"conv\d+\.weight", key) is not None for key in shapes)
    widths = [shapes[f"conv{k}.weight"][0] for k in range(1, levels + 1)]
    frames, outputs = shapes["conv1.weight"][1], shapes["upconv1_1.weight"][1]
    network = (PyramidNet if kind == "segmentation" else AutoencoderNet)(frames, widths, outputs, **options)
    state = fill_state(rows, family=case.family)
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return network.eval()


def _fill_rows(case: GoldenCase, network: MapEncoder) -> Iterator[ParityRow]:
    state = network.state_dict()
    for check in case.manifest.get("fill_check", []):
        value = state.get(check["key"])
        if value is not None and list(value.shape) == check["shape"]:
            first = value.double().flatten()[:3]
            yield compare(case, f"fill {check['key']}", first, check["first3"], rtol=1e-6)


def _scans(golden: Arrays) -> Tensor:
    return torch.from_numpy(golden["scans"].astype(np.float32))[None]


def _stored(case: GoldenCase, golden: Arrays, tensors: Mapping[str, Tensor]) -> Iterator[ParityRow]:
    """Every stored array, some of which hold the first channels only."""
    for name, expected in golden.items():
        if name == "scans":
            continue
        found = _CHANNELS.search(name)
        ours = tensors.get(name[: found.start()] if found else name)
        if ours is None:
            raise UncoveredError(f"lidar_bev knows no tensor {name!r}")
        yield _close(case, name, ours[:, : int(found[1]) + 1] if found else ours, expected)


@torch.no_grad()
def _segmentation(case: GoldenCase) -> Iterator[ParityRow]:
    golden = _file(case)
    network = _build(case, "segmentation", decoder="unchained")
    assert isinstance(network, PyramidNet)
    yield from _fill_rows(case, network)
    x = _scans(golden)
    tensors = {"out": network(x)}
    blocks, _ = network.encode(x)
    laterals = [network.lateral(k, block) for k, block in enumerate(blocks, start=1)]
    for k, (block, lateral) in enumerate(zip(blocks, laterals), start=1):
        tensors |= {f"enc{k}_conv": block, f"enc{k}_lateral": lateral}
        skip = laterals[k - 2] if k > 1 else x
        up, fused = network.decode(k, lateral, skip)
        tensors |= {f"dec{k}_up": fit(up, skip.shape[2:]), f"dec{k}_out": fused}
    network.decoder = "chained"
    tensors["out_chained"] = network(x)
    network.decoder = "unchained"
    tensors["out_train_mode"] = network.train()(x)
    yield from _stored(case, golden, tensors)


@torch.no_grad()
def _reconstruction(case: GoldenCase) -> Iterator[ParityRow]:
    golden = _file(case)
    network = _build(case, "reconstruction")
    assert isinstance(network, AutoencoderNet)
    yield from _fill_rows(case, network)
    x = _scans(golden)
    raw = "raw_output_shape" in case.entry
    blocks, y = network.encode(x)
    tensors = {f"enc{k}_conv": block for k, block in enumerate(blocks, start=1)}
    for k in range(len(blocks), 0, -1):
        y = network.decode(k, y, blocks[k - 1], raw)
        tensors[f"dec{k}_out"] = y
    tensors["out"] = network(x, raw_size=raw)
    if "out_train_mode" in golden:
        tensors["out_train_mode"] = network.train()(x)
    yield from _stored(case, golden, tensors)


# --- losses -----------------------------------------------------------------------------------------------------------


def _losses(case: GoldenCase) -> Iterator[ParityRow]:
    golden, values = _file(case), case.entry["values"]
    predicted, truth = (torch.from_numpy(golden[name]) for name in ("pred", "truth"))
    edges = {name: canny_edges(maps) for name, maps in (("pred", predicted), ("truth", truth))}
    for name, ours in edges.items():
        yield compare(case, f"{name}_edge", ours, golden[f"{name}_edge"])
    for name, expected in values.items():
        ours = _loss_value(name, predicted, truth, edges, golden)
        yield _close(case, name, ours, np.float32(expected))


def _loss_value(name: str, predicted: Tensor, truth: Tensor, edges: Mapping[str, Tensor], golden: Arrays) -> Tensor:
    if name.startswith("mssce_per_map_al"):
        return mssce(predicted, truth, float(name.removeprefix("mssce_per_map_al")), edge="canny")
    probability, target = (torch.from_numpy(golden[key]) for key in ("iou_prob", "iou_target"))
    functions = {
        "mse": lambda: torch.nn.functional.mse_loss(predicted, truth),
        "smoothl1": lambda: torch.nn.functional.smooth_l1_loss(predicted, truth),
        "edge_mse": lambda: torch.nn.functional.mse_loss(edges["pred"], edges["truth"]),
        "edge_smoothl1": lambda: torch.nn.functional.smooth_l1_loss(edges["pred"], edges["truth"]),
        "iou_loss_notebook": lambda: notebook_iou_loss(probability, target),
        "iou_loss_notebook_identical_binary": lambda: notebook_iou_loss(target, target),
        "iou_true_soft": lambda: soft_iou(probability, target),
    }
    if name not in functions:
        raise UncoveredError(f"lidar_bev knows no loss {name!r}")
    return functions[name]()


def notebook_iou_loss(probability: Tensor, target: Tensor, epsilon: float = 1e-6) -> Tensor:
    """The original's loss, whose union subtracts the intersection once too often; only to compare with its figures."""
    inner = (probability * target).sum()
    union = ((probability != 0) | (target != 0)).sum() - inner
    return 1 - (inner + epsilon) / (union + epsilon)


# --- rasterisation ----------------------------------------------------------------------------------------------------


def _bev(case: GoldenCase) -> Iterator[ParityRow]:
    golden = _file(case)
    for name, entry in case.entry.items():
        if isinstance(entry, Mapping) and "resolution" in entry:
            grid = GridSpec.centered(int(entry["size"]), float(entry["resolution"]))
            if name.startswith("bev3d_"):
                yield from _bev3d(case, name, entry, grid, golden)
            else:
                yield from _bev2d(case, name, entry, grid, golden)


def _occupied(points: np.ndarray, grid: GridSpec, top: float = np.inf) -> np.ndarray:
    rows = torch.from_numpy(np.ascontiguousarray(points[:3].T))
    return bev_occupancy(rows, grid, (0.0, top))[0].numpy().astype(bool)


def _bev3d(
    case: GoldenCase, name: str, entry: Mapping[str, Any], grid: GridSpec, golden: Arrays
) -> Iterator[ParityRow]:
    points, depth, size = golden["points"], int(entry["depth"]), np.float32(entry["resolution"])
    top = np.float32(depth / 2) * size
    while np.floor(top / size + np.float32(depth / 2)) >= depth:
        top = np.nextafter(top, np.float32(0))
    while np.floor(top / size + np.float32(depth / 2)) < depth:
        top = np.nextafter(top, np.float32(np.inf))
    ours = _occupied(points, grid, float(top))  # heights from `top` on leave the notebook's grid of voxels
    yield compare(case, name, ours, golden.bits(f"{name}_packed", grid.shape))
    yield compare(case, f"{name} shuffled", _occupied(points[:, ::-1], grid, float(top)), ours)
    yield compare(case, f"{name} occupied", int(ours.sum()), entry["occupied"])
    layer = np.floor(points[2] / size + np.float32(depth / 2))
    cells = grid.cells(points.T)
    inside = grid.inside(cells) & (layer >= 0) & (layer < depth)
    yield compare(case, f"{name} points in grid", int(inside.sum()), entry["points_in_grid"])
    voxels = f"voxels_{name.removeprefix('bev3d_')}"
    if voxels in golden:
        ours = np.column_stack([cells, layer])[inside].astype(np.int16)
        yield compare(case, voxels, ours, golden[voxels])


def _bev2d(
    case: GoldenCase, name: str, entry: Mapping[str, Any], grid: GridSpec, golden: Arrays
) -> Iterator[ParityRow]:
    ours = _occupied(golden["points_unique"], grid)
    yield compare(case, name, ours, golden.bits(f"{name}_packed", grid.shape))
    yield compare(case, f"{name} occupied", int(ours.sum()), entry["occupied"])
    order = case.entry.get("bev2d_order_dependence")
    if order is None:
        return
    points = golden["points"]
    maximum = _occupied(points, grid)
    yield compare(case, "bev2d_true_max", maximum, golden.bits("bev2d_true_max_packed", grid.shape))
    yield compare(case, "true_max occupied", int(maximum.sum()), order["true_max"])
    forward, backward = last_write_wins(points, grid), last_write_wins(points[:, ::-1], grid)
    yield compare(case, "original, forward", int(forward.sum()), order["forward"])
    yield compare(case, "original, reversed", int(backward.sum()), order["reversed_points"])
    yield compare(case, "original, cells that differ", int((forward != backward).sum()), order["cells_that_differ"])


def last_write_wins(points: np.ndarray, grid: GridSpec) -> np.ndarray:
    """The original's 2-D map, which depends on the order of the points; only to compare with its figures."""
    cells = grid.cells(points.T)
    inside = grid.inside(cells)
    rows, columns = cells[inside].astype(np.int64).T
    heights = np.zeros(grid.shape, np.float32)
    heights[rows, columns] = np.maximum(points[2, inside], 0)
    return heights > 0


_RUNNERS = {"segmentation": _segmentation, "reconstruction": _reconstruction, "losses": _losses, "bev": _bev}
"""Beginning of a case's name -> what runs it."""
