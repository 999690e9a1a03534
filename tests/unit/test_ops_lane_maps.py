"""The op that draws lanes into training maps, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception.ops.lane_maps import LaneMaps, lane_maps


def draw(
    *lanes: list[tuple[float, float]],
    images: tuple[int, ...] | None = None,
    shape: tuple[int, int, int] = (1, 4, 6),
    radii: tuple[int, int] = (0, 0),
) -> LaneMaps:
    points = torch.tensor([point for lane in lanes for point in lane], dtype=torch.float64).reshape(-1, 2)
    splits = torch.tensor(np.cumsum([0, *map(len, lanes)]))
    return lane_maps(points, splits, torch.tensor(images or (0,) * len(lanes), dtype=torch.int64), shape, *radii)


def test_offsets_and_weights_of_two_vertices():
    maps = draw([(2.25, 3.5), (4.75, 1.0)])
    assert maps.keypoint_hm[0, 0].nonzero().tolist() == [[1, 4], [3, 2]]
    assert maps.start_hm[0, 0].nonzero().tolist() == [[3, 2]]
    assert maps.cell_offset[0, :, 3, 2].tolist() == [0.25, 0.5]
    assert maps.start_offset[0, :, 1, 4].tolist() == [-2.5, 2.5]
    assert maps.start_weight[0, 0, 1, 4] == 1, "2.5 above the start, less than twice the whole cells of its height"
    assert maps.offset_mask.sum() == 2


def test_the_last_vertex_of_a_cell_wins_and_gaussians_merge():
    maps = draw([(1.5, 3.5), (1.75, 3.25)], [(3.5, 3.5)], radii=(1, 1))
    assert maps.cell_offset[0, :, 3, 1].tolist() == [0.75, 0.25]
    assert maps.keypoint_hm[0, 0, 3, 1] == maps.keypoint_hm[0, 0, 3, 3] == 1
    assert maps.keypoint_hm[0, 0, 3, 2].item() == pytest.approx(np.exp(-2)), "a cell away, sigma 0.5"


def test_lanes_go_to_their_images():
    maps = draw([(0.0, 0.0)], [(5.0, 3.0)], images=(1, 0), shape=(3, 4, 6))
    assert maps.offset_mask.nonzero().tolist() == [[0, 0, 3, 5], [1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("lane", "images", "message"),
    [
        ([(6.0, 1.0)], (0,), "6 x 4"),
        ([(-0.5, 1.0)], (0,), "6 x 4"),
        ([(float("nan"), 1.0)], (0,), "6 x 4"),
        ([(1.0, 1.0)], (2,), "below 1"),
    ],
)
def test_what_does_not_fit_is_refused(lane: list[tuple[float, float]], images: tuple[int, ...], message: str):
    with pytest.raises(ValueError, match=message):
        draw(lane, images=images)


def test_the_op_is_registered_with_a_fake():
    arguments = (torch.zeros(3, 2, dtype=torch.float64), torch.tensor([0, 3]), torch.tensor([0]), [1, 4, 6], 2, 4)
    torch.library.opcheck(torch.ops.perception.lane_maps, arguments)
