"""The CPU kernels of ops against their definitions in plain torch and OpenCV."""

from __future__ import annotations

import numpy as np
import torch

from perception.bench.core import Pair, benchmark
from perception.bench.groups.metrics import synthetic_lanes
from perception.ops import lane_iou
from perception.ops.association import associate
from perception.ops.association import reference as association_reference
from perception.ops.heatmap_peaks import heatmap_peaks
from perception.ops.heatmap_peaks import reference as peaks_reference

IMAGES = 16


@benchmark("ops", "heatmap_peaks", naive="comparison with shifted maps (torch)", unit="image")
def peaks() -> Pair:
    """16 heatmaps of 40 x 100 cells with about 150 peaks each."""
    generator = torch.Generator().manual_seed(0)
    heat = torch.rand(IMAGES, 40, 100, generator=generator) ** 8
    return Pair(
        lambda: heatmap_peaks(heat, 0.4),
        lambda: peaks_reference.heatmap_peaks(heat, 0.4),
        units=IMAGES,
        check=torch.equal,
    )


@benchmark("ops", "association", naive="point after point (torch)", unit="image")
def association() -> Pair:
    """Four lanes of 35 keypoints and three seeds in each of 16 images."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.tensor([[10, 39], [40, 39], [60, 39], [95, 39]])
    seeds = (starts.repeat_interleave(3, 0) - torch.tensor([0, 1, 2]).repeat(4)[:, None]).repeat(IMAGES, 1)
    roots = starts.repeat_interleave(35, 0).repeat(IMAGES, 1) + torch.randn(140 * IMAGES, 2, generator=generator)
    splits = torch.arange(IMAGES + 1)
    inputs = (roots.double(), 140 * splits, seeds, 12 * splits, 5.0)
    return Pair(
        lambda: associate(*inputs),
        lambda: association_reference.associate(*inputs),
        units=IMAGES,
        check=lambda a, b: all(map(torch.equal, a, b)),
    )


@benchmark("ops", "lane_iou", naive="draw both lanes of every pair on a whole image (cv2.line)", unit="image")
def raster_iou() -> Pair:
    """Four lanes against four others at 1640 x 590."""
    truth, lanes = synthetic_lanes(seed=1)
    return Pair(
        lambda: lane_iou.iou_matrix(truth, lanes),
        lambda: lane_iou.reference.iou_matrix(truth, lanes, 30, (1640, 590)),
        check=np.array_equal,
    )
