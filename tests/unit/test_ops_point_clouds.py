"""Point-cloud ops by hand: order and threads change nothing, odd input does no harm."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from perception.geometry import GridSpec, make_pose, rotation_from_euler
from perception.ops.bev_rasterize import bev_occupancy, bev_statistics
from perception.ops.ego_motion import compensate, deskew
from perception.ops.points_in_boxes import points_in_boxes
from perception.ops.ray_visibility import FREE, HIT, UNSEEN, visible_cells
from perception.ops.rotated_iou import rotated_iou, rotated_nms
from perception.ops.voxelize import voxelize

GRID = GridSpec((0.0, 4.0), (-2.0, 2.0), 1.0)


def rows(*points: tuple[float, float, float]) -> Tensor:
    return torch.tensor(points, dtype=torch.float32).reshape(-1, 3)


def crowd(count: int = 5000, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=generator) * torch.tensor([20.0, 20.0, 1.0, 1.0])


# --- grids and rasterisation ------------------------------------------------------------------------------------------


def test_grid_cells_and_centers():
    assert GRID.shape == (4, 4) and GRID.offset == (-0.0, 2.0)
    assert GRID.cells(np.array([[0.0, -2.0], [3.9, 1.9], [-0.1, 2.0]])).tolist() == [[0, 0], [3, 3], [-1, 4]]
    assert GRID.centers()[0, 3].tolist() == [0.5, 1.5]
    assert GridSpec.centered((2, 4), 0.5) == GridSpec((-0.5, 0.5), (-1.0, 1.0), 0.5)
    with pytest.raises(Exception, match="at least one cell"):
        GridSpec((0.0, 0.0), (0.0, 1.0), 0.5)


def test_occupancy_and_statistics_by_hand():
    points = rows((0.5, -1.5, 1.0), (0.9, -1.1, 3.0), (0.1, -1.9, -1.0), (3.5, 1.5, 0.0), (9.0, 0.0, 1.0))
    occupied = bev_occupancy(points, GRID)
    assert occupied.nonzero().tolist() == [[0, 0, 0]], "a height of 0 is not above 0"
    found = bev_statistics(points, GRID)
    assert found.counts[0, 0, 0] == 3 and found.counts.sum() == 4
    assert (found.high[0, 0, 0], found.low[0, 0, 0], found.mean[0, 0, 0]) == (3, -1, 1)
    assert found.high[0, 1, 1] == found.low[0, 1, 1] == 0
    assert bev_occupancy(points, GRID, (2.0, 3.0)).sum() == 0, "limits are exclusive"


def test_statistics_leave_out_a_minimum_nobody_asks_for():
    expected = bev_statistics(crowd(), GRID)
    out = expected._replace(counts=torch.full_like(expected.counts, 9), low=torch.empty(0))
    found = bev_statistics(crowd(), GRID, out=out)
    assert len(found.low) == 0 and expected.low.any()
    assert all(torch.equal(getattr(found, name), getattr(expected, name)) for name in ("counts", "high", "mean"))


@pytest.mark.parametrize("threads", [1, 2])
def test_order_and_threads_change_nothing(threads: int):
    points, grid = crowd(), GridSpec.centered(128, 0.5)
    expected = (bev_occupancy(points, grid), *bev_statistics(points, grid), visible_cells(points, grid))
    shuffled = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(1))]
    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(min(threads, before[0]))
    torch.set_num_threads(threads)
    try:
        found = (bev_occupancy(shuffled, grid), *bev_statistics(shuffled, grid), visible_cells(shuffled, grid))
        voxels, others = (voxelize(cloud, (-50, -50, -5), (1, 1, 1), (100, 100, 10)) for cloud in (points, shuffled))
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])
    assert all(map(torch.equal, expected, found))
    assert torch.equal(voxels.coordinates, others.coordinates) and torch.equal(voxels.counts, others.counts)


def test_sweeps_are_moved_on_the_way_and_arrays_are_reused():
    points, splits = rows((0.5, 0.5, 1), (0.5, 0.5, 1), (1.5, 0.5, 1)), torch.tensor([0, 1, 3])
    turns = torch.eye(4).repeat(2, 1, 1)
    turns[1, 0, 3] = 2.0
    out = torch.full((2, 4, 4), 7, dtype=torch.uint8)
    found = bev_occupancy(points, GRID, splits=splits, transforms=turns, out=out)
    assert found is out and found.nonzero().tolist() == [[0, 0, 2], [1, 2, 2], [1, 3, 2]]
    with pytest.raises(ValueError, match="contiguous"):
        bev_occupancy(points, GRID, out=out)


@pytest.mark.parametrize(
    "points", [torch.zeros(0, 3), torch.full((7, 3), torch.nan), torch.full((7, 3), torch.inf)], ids=["0", "nan", "inf"]
)
def test_nothing_to_see(points: Tensor):
    assert bev_occupancy(points, GRID).sum() == 0
    assert all(tensor.sum() == 0 for tensor in bev_statistics(points, GRID))
    assert visible_cells(points, GRID).sum() == 0
    assert len(voxelize(points, (0, 0, 0), (1, 1, 1), (2, 2, 2)).counts) == 0
    assert points_in_boxes(points, torch.zeros(1, 7)).tolist() == [-1] * len(points)


def test_five_million_points():
    points = crowd(100_000).repeat(50, 1)
    grid = GridSpec.centered(200, 1.0)
    once, often = bev_statistics(points[:100_000], grid), bev_statistics(points, grid)
    assert torch.equal(often.counts, 50 * once.counts) and torch.equal(often.mean, once.mean)
    assert torch.equal(bev_occupancy(points, grid), bev_occupancy(points[:100_000], grid))
    assert torch.equal(visible_cells(points, grid), visible_cells(points[:100_000], grid))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bev_occupancy(torch.zeros(3), GRID), "N, 3 or more"),
        (lambda: bev_occupancy(torch.zeros(3, 3), GRID, splits=torch.tensor([0, 2])), "rise from 0 to 3"),
        (lambda: bev_statistics(torch.zeros(3, 3), GRID, transforms=torch.full((1, 4, 4), torch.nan)), "finite"),
        (lambda: visible_cells(torch.zeros(3, 2), GRID), "N, 3 or more"),
        (lambda: visible_cells(torch.zeros(3, 3), GRID, (math.nan, 0)), "finite place"),
        (lambda: voxelize(torch.zeros(3, 3), (0, 0, 0), (0, 1, 1), (1, 1, 1)), "positive edges"),
        (lambda: points_in_boxes(torch.zeros(3, 3), torch.zeros(1, 5)), "M, 7"),
        (lambda: rotated_iou(torch.zeros(1, 4), torch.zeros(1, 5)), r"\(N, 5\)"),
        (lambda: compensate(torch.zeros(1, 3), torch.eye(4)[None], torch.tensor([1])), "below 1"),
    ],
)
def test_wrong_arguments_are_refused(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


# --- rays -------------------------------------------------------------------------------------------------------------


def test_a_wall_hides_what_is_behind_it():
    seen = visible_cells(rows((2.5, 0.5, 1)), GRID, (0.5, 0.5))
    assert seen[:, 2].tolist() == [FREE, FREE, HIT, UNSEEN]
    assert seen.sum() == 2 * FREE + HIT


def test_rays_may_leave_and_enter_the_grid():
    assert visible_cells(rows((9.5, 0.5, 1)), GRID, (0.5, 0.5))[:, 2].tolist() == [FREE] * 4
    assert visible_cells(rows((2.5, 0.5, 1)), GRID, (-3.5, 0.5))[:, 2].tolist() == [FREE, FREE, HIT, UNSEEN]
    assert visible_cells(rows((1e9, 0.5, 1)), GRID, (0.5, 0.5)).sum() == 0, "too long a ray"
    turn = torch.eye(4)
    turn[0, 3] = 1.0
    assert visible_cells(rows((1.5, 0.5, 1)), GRID, (0.5, 0.5), turn)[:, 2].tolist() == [UNSEEN, FREE, HIT, UNSEEN]


# --- voxels, boxes, motion --------------------------------------------------------------------------------------------


def test_voxels_by_hand():
    points = torch.tensor([[0.5, 0.5, 0.5, 2], [0.9, 0.1, 0.9, 4], [1.5, 0.5, 0.5, 1], [5.0, 0, 0, 0]])
    found = voxelize(points, (0, 0, 0), (1, 1, 1), (2, 2, 2))
    assert found.coordinates.tolist() == [[0, 0, 0], [1, 0, 0]] and found.counts.tolist() == [2, 1]
    assert found.voxel_of.tolist() == [0, 0, 1, -1]
    assert found.means[:, 3].tolist() == [3, 1]


def test_points_in_a_turned_box():
    box = torch.tensor([[1.0, 1.0, 0.0, 4.0, 1.0, 2.0, math.pi / 2], [1.0, 1.0, 0.0, 9.0, 9.0, 9.0, 0.0]])
    points = rows((1, 2.9, 0), (2.9, 1, 0), (1, 1, 1), (1, 1, 1.1), (7, 7, 7))
    assert points_in_boxes(points, box).tolist() == [0, 1, 0, 1, -1]


def test_rotated_overlap_by_hand():
    unit = torch.tensor([[0.0, 0, 2, 2, 0]])
    others = torch.tensor(
        [[1.0, 0, 2, 2, 0], [0, 0, 2, 2, math.pi / 4], [0, 0, 1, 1, 1.0], [5, 0, 2, 2, 0], [0, 0, 0, 2, 0]]
    )
    octagon = 8 * (math.sqrt(2) - 1)
    expected = [1 / 3, octagon / (8 - octagon), 1 / 4, 0, 0]
    assert rotated_iou(unit, others)[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_nms_keeps_the_best_of_overlapping_boxes():
    boxes = torch.tensor([[0.0, 0, 4, 2, 0], [0.3, 0, 4, 2, 0.05], [10, 0, 4, 2, 0], [0, 0, 4, 2, math.pi / 2]])
    assert rotated_nms(boxes, torch.tensor([0.5, 0.9, 0.1, 0.5]), 0.5).tolist() == [1, 3, 2]
    assert rotated_nms(boxes, torch.tensor([0.5, 0.9, 0.1, 0.5]), 0.2).tolist() == [1, 2]
    assert rotated_nms(boxes[:0], torch.zeros(0), 0.5).tolist() == []


def test_compensation_keeps_other_columns():
    turn = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    turn[1, :3, 3] = torch.tensor([5.0, -1, 0])
    points = torch.tensor([[1.0, 2, 3, 9], [1, 2, 3, 8]])
    assert compensate(points, turn, torch.tensor([0, 1])).tolist() == [[1, 2, 3, 9], [6, 1, 3, 8]]


def test_deskew_of_a_car_that_drives_and_turns():
    start = torch.eye(4, dtype=torch.float64)
    end = torch.from_numpy(make_pose(rotation_from_euler(0, 0, 0.2), np.array([3.0, 0, 0])))
    world = torch.tensor([10.0, 4, 1, 1], dtype=torch.float64)
    first, last = (torch.linalg.solve(pose, world)[:3] for pose in (start, end))
    found = deskew(torch.stack([first, last]).float(), torch.tensor([0.0, 1.0]), start, end, bins=512)
    torch.testing.assert_close(found, last.float().repeat(2, 1), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("bev_occupancy", (torch.rand(9, 4), torch.tensor([0, 9]), torch.eye(4)[None, :3], [0.5, 0, 0, 0, 1], [4, 4])),
        ("bev_statistics", (torch.rand(9, 3), torch.tensor([0, 9]), torch.eye(4)[None, :3], [0.5, 0, 0, 0, 1], [4, 4])),
        ("visible_cells", (torch.tensor([[1, 2], [3, 3]]), torch.tensor([0, 0]), [4, 4])),
        ("voxel_index", (torch.rand(9, 3), [0.0] * 3, [0.5] * 3, [2, 2, 2])),
        ("points_in_boxes", (torch.rand(9, 3, dtype=torch.float64), torch.rand(2, 8, dtype=torch.float64))),
        ("rotated_intersection", (torch.rand(3, 6, dtype=torch.float64), torch.rand(2, 6, dtype=torch.float64))),
        ("compensate", (torch.rand(5, 3), torch.rand(2, 3, 4, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1]))),
    ],
)
def test_the_ops_are_registered_with_a_fake(op: str, arguments: tuple):
    torch.library.opcheck(getattr(torch.ops.perception, op), arguments)
