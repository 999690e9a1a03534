"""Side-by-side timings of the parts of GANet that the obvious implementation makes slow."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from perception.bench.core import Pair, benchmark
from perception.nn.deform_conv import deform_conv_1xp

from .decode import DecodeSettings, decode_batch, decode_lanes
from .loss import assign_points
from .targets import fit_spline, lane_targets, lane_vertices


@benchmark("ops", "deform_conv_1xp", naive="torchvision.ops.deform_conv2d", unit="map")
def deform_conv() -> Pair:
    """Forward and backward of the tiny model's deformable convolution (grid 20 x 50, seven points)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 64, 20, 50, generator=generator).to(memory_format=torch.channels_last).requires_grad_()
    offset = torch.randn(2, 14, 20, 50, generator=generator).mul(3).requires_grad_()
    weight = torch.randn(32, 64, 1, 7, generator=generator).mul(0.05).requires_grad_()

    def run(backend: str) -> list[torch.Tensor]:
        out = deform_conv_1xp(x, offset, weight, backend)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), (x, offset, weight))]

    def agree(ours: list[torch.Tensor], naive: list[torch.Tensor]) -> bool:
        return all(torch.allclose(a, b, rtol=1e-3, atol=1e-2) for a, b in zip(ours, naive))

    return Pair(lambda: run("auto"), lambda: run("torchvision"), units=2, check=agree)


@benchmark("train", "lane_point_assignment", naive="scipy per lane and position", unit="batch")
def assignment() -> Pair:
    """Assignment of LFA points to samples for a batch of 16 images with four lanes each."""
    rng = np.random.default_rng(0)
    points, samples = rng.normal(10, 5, (64, 21, 7, 2)), rng.normal(10, 5, (64, 21, 2))

    def naive() -> np.ndarray:
        out = np.zeros(points.shape[:3], np.int64)
        for lane, position in np.ndindex(*points.shape[:2]):
            cost = ((points[lane, position][:, None] - samples[lane][None]) ** 2).sum(-1)
            out[lane, position] = linear_sum_assignment(cost)[1]
        return out

    return Pair(lambda: assign_points(points, samples), naive, check=np.array_equal)


def _four_lanes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heatmap and offsets of four lanes of 35 keypoints on a grid of 40 x 100 cells (stride 8 at 320 x 800)."""
    rng = np.random.default_rng(0)
    heat = rng.uniform(0, 0.2, (40, 100)).astype(np.float32)
    start, cell = np.zeros((2, 40, 100), np.float32), rng.uniform(0, 1, (2, 40, 100)).astype(np.float32)
    for side in (-1.5, -0.5, 0.5, 1.5):
        for y in range(5, 40):
            x = int(50 + side * (4 + 22 * (y - 5) / 35))
            heat[y, x], start[:, y, x] = 0.9, (int(50 + side * 26) - x, 39 - y)
    return heat, start, cell


def _decode_plainly(heat: np.ndarray, start: np.ndarray, cell: np.ndarray, s: DecodeSettings) -> list[np.ndarray]:
    """Section 6 of the spec with Python loops over the peaks; original image 1640 x 590, cropped from row 270."""
    radius = s.center_radius or s.cluster_radius
    peaks = heat * ((heat >= np.roll(heat, 1, 1)) & (heat >= np.roll(heat, -1, 1)))
    cells = np.argwhere(peaks > s.kpt_thr).tolist()
    seeds = sorted((x, y) for y, x in cells if start[1, y, x] < s.root_thr)
    groups: list[list[tuple[int, int]]] = []
    for seed in seeds:
        for group in groups:
            if any(math.dist(seed, member) <= radius for member in group):
                group.append(seed)
                break
        else:
            groups.append([seed])
    centers = [np.mean(group, axis=0).astype(int) for group in groups]
    lanes: list[list[list[float]]] = [[] for _ in centers]
    for y, x in cells:
        root = (x + start[0, y, x], y + start[1, y, x])
        for lane, center in zip(lanes, centers):
            if math.dist(root, center) <= radius:
                px, py = (np.float32(x) + cell[0, y, x]) * 8.0, (np.float32(y) + cell[1, y, x]) * 8.0
                lane.append([int(px * (1640 / 800)), int(py + 270)])
                break
    return [np.array(lane, np.float32) for lane in lanes if len(lane) > s.points_thr]


@benchmark("ops", "lane_decode", naive="Python loops over the peaks", unit="image")
def decode() -> Pair:
    """Peaks, grouping and lanes of a batch of eight images with four lanes each at stride 8."""
    maps, settings = _four_lanes(), DecodeSettings()
    heat, start, cell = (np.stack([array] * 8) for array in maps)
    views, sizes = [(0, 270, 1640, 590)] * 8, [(800, 320)] * 8
    return Pair(
        lambda: [lanes for lanes, _ in decode_batch(heat, start, cell, settings, views, sizes)],
        lambda: [_decode_plainly(*maps, settings) for _ in range(8)],
        units=8,
        check=lambda a, b: all(len(x) == len(y) == 4 and all(map(np.allclose, x, y)) for x, y in zip(a, b)),
    )


@benchmark("ops", "lane_decode_single", naive="Python loops over the peaks", unit="image")
def decode_single() -> Pair:
    """The same for one image alone, as on a drive."""
    maps, settings = _four_lanes(), DecodeSettings()
    return Pair(
        lambda: decode_lanes(*maps, settings, (0, 270, 1640, 590), (800, 320))[0],
        lambda: _decode_plainly(*maps, settings),
        check=lambda a, b: len(a) == len(b) == 4 and all(map(np.allclose, a, b)),
    )


def _bent_lanes() -> list[np.ndarray]:
    """Four lanes of 40 points in an input of 800 x 320."""
    y = np.linspace(60, 319, 40)
    return [np.stack([400 + side * (y - 40) + 10 * np.sin(y / 130), y], axis=1) for side in (-1.2, -0.5, 0.5, 1.2)]


def _targets_plainly(lanes: list[np.ndarray], stride: int = 8, radius: int = 2, start_radius: int = 4) -> np.ndarray:
    """Section 4 of the spec with Python loops over points; the keypoint and offset maps, stacked."""
    h, w = 320 // stride, 800 // stride
    out = np.zeros((8, h, w), np.float32)

    def splat(heatmap: np.ndarray, x: int, y: int, radius: int) -> None:
        sigma = (2 * radius + 1) / 6
        for row in range(max(y - radius, 0), min(y + radius + 1, h)):
            for column in range(max(x - radius, 0), min(x + radius + 1, w)):
                value = math.exp(-((row - y) ** 2 + (column - x) ** 2) / (2 * sigma * sigma))
                heatmap[row, column] = max(heatmap[row, column], value)

    for lane in lanes:
        spline = fit_spline(lane / stride, h, w)
        vertices = None if spline is None else lane_vertices(spline, h, w, 360 // stride)
        assert vertices is not None
        x0, y0 = vertices[0]
        length = 2 * math.floor(abs(y0 - vertices[-1, 1]))
        splat(out[1], int(x0), int(y0), start_radius)
        for x, y in vertices.tolist():
            column, row = int(x), int(y)
            splat(out[0], column, row, radius)
            weight = 0.2 if y0 - y < 0 else 1.0 if y0 - y < length else 0.4
            out[2:, row, column] = x - column, y - row, x0 - x, y0 - y, weight, 1
    return out


@benchmark("ops", "lane_targets", naive="Python loops over the points", unit="image")
def targets() -> Pair:
    """All maps and samples of one image with four lanes at stride 8."""
    lanes = _bent_lanes()
    names = ("keypoint_hm", "start_hm", "cell_offset", "start_offset")

    def ours() -> np.ndarray:
        maps = lane_targets(lanes, 320, 800, 8, sample_count=41)
        return np.concatenate([*(maps[name] for name in names), maps["start_weight"][:1], maps["offset_mask"]])

    return Pair(ours, lambda: _targets_plainly(lanes), check=lambda a, b: np.allclose(a, b, atol=1e-5))
