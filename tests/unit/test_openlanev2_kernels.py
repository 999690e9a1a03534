"""Polyline distances: known values, and agreement of the compiled kernels with their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception.ops.polyline_distance import Polylines, chamfer_matrix, frechet_matrix, open_closed, pack, resample
from perception.ops.polyline_distance.tensors import chamfer_distances, frechet_distances, resample_polylines


def random_lines(rng: np.random.Generator, count: int) -> Polylines:
    return pack([rng.normal(0, 10, (rng.integers(1, 14), 3)) for _ in range(count)])


def awkward_lines() -> Polylines:
    line = np.array([[0.0, 0, 0], [1, 0, 0], [2, 1, 0]])
    with_nan, with_inf = line.copy(), line.copy()
    with_nan[1, 2], with_inf[0, 0] = np.nan, np.inf
    return pack([line, line[:1], np.repeat(line[:1], 4, axis=0), with_nan, with_inf, line[:0], line[::-1], line * 1e6])


@pytest.mark.parametrize("matrix", [chamfer_matrix, frechet_matrix])
def test_kernels_agree_with_their_definition(matrix):
    rng = np.random.default_rng(0)
    for a, b in [(random_lines(rng, 9), random_lines(rng, 7)), (awkward_lines(), awkward_lines())]:
        expected = matrix(a, b, implementation="reference")
        np.testing.assert_allclose(matrix(a, b), expected, rtol=1e-12, atol=1e-12)
        where = rng.random(expected.shape) < 0.5
        np.testing.assert_array_equal(matrix(a, b, where), np.where(where, matrix(a, b), np.inf))


def test_limit_keeps_what_lies_within_it_exactly():
    rng = np.random.default_rng(1)
    a, b = random_lines(rng, 20), random_lines(rng, 20)
    full = chamfer_matrix(a, b)
    limit = np.median(full, axis=1)
    np.testing.assert_array_equal(chamfer_matrix(a, b, limit=limit), np.where(full <= limit[:, None], full, np.inf))


def test_known_distances():
    straight = np.array([[0.0, 0], [1, 0], [2, 0]])
    lines = pack([straight, straight + (0, 3), straight[::-1], straight[:1]])
    chamfer, frechet = chamfer_matrix(lines, lines), frechet_matrix(lines, lines)
    assert chamfer[0].tolist() == [0.0, 3.0, 0.0, 0.5]
    assert frechet[0].tolist() == [0.0, 3.0, 2.0, 2.0]


def test_no_polylines_give_an_empty_matrix():
    assert chamfer_matrix(pack([]), awkward_lines()).shape == (0, 8)
    assert frechet_matrix(awkward_lines(), pack([])).shape == (8, 0)
    assert resample(pack([]), 5).shape == (0, 5, 3)


def test_resampling_agrees_with_its_definition():
    rng = np.random.default_rng(2)
    for lines in (random_lines(rng, 12), awkward_lines()):
        for count in (2, 10):
            expected = resample(lines, count, implementation="reference")
            np.testing.assert_allclose(resample(lines, count), expected, rtol=1e-9, atol=1e-9)
    corner = pack([np.array([[0.0, 0], [3, 0], [3, 1]])])
    assert resample(corner, 5)[0].tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [3, 1, 0]]


def test_closed_curves_lose_their_last_vertex_only():
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 0]])
    opened = open_closed(pack([square, square[:3], square[:1]]))
    assert [len(line) for line in opened] == [3, 3, 1]
    np.testing.assert_array_equal(opened[0][:, :2], square[:3])


def test_operators_on_tensors_equal_the_functions_on_arrays():
    rng = np.random.default_rng(3)
    a, b = random_lines(rng, 6), awkward_lines()
    first, second = ((torch.from_numpy(lines.points), torch.from_numpy(lines.offsets)) for lines in (a, b))
    where, limit = rng.random((6, 8)) < 0.7, rng.uniform(0, 20, 6)
    wanted, limits = torch.from_numpy(where), torch.from_numpy(limit)
    np.testing.assert_array_equal(chamfer_distances(first, second, wanted, limits), chamfer_matrix(a, b, where, limit))
    np.testing.assert_array_equal(frechet_distances(first, second), frechet_matrix(a, b))
    np.testing.assert_array_equal(resample_polylines(second, 7), resample(b, 7))
    single = chamfer_distances((first[0].float().requires_grad_(), first[1].int()), second)
    assert single.dtype == torch.float64 and not single.requires_grad
    with pytest.raises(ValueError, match=r"where: expected shape \(6, 8\)"):
        frechet_distances(first, second, wanted[:2])
    with pytest.raises(ValueError, match=r"points \(K, 3\)"):
        resample_polylines((first[0][:, :2], first[1]), 4)


def test_operators_are_traceable():
    a = awkward_lines()
    lines = (torch.from_numpy(a.points), torch.from_numpy(a.offsets))
    wanted, limits = torch.ones((8, 8), dtype=torch.bool), torch.full((8,), 5.0, dtype=torch.float64)
    checks = ("test_schema", "test_faketensor")
    ops = torch.ops.perception
    torch.library.opcheck(ops.chamfer_distances.default, (*lines, *lines, wanted, limits), test_utils=checks)
    torch.library.opcheck(ops.frechet_distances.default, (*lines, *lines, wanted), test_utils=checks)
    torch.library.opcheck(ops.resample_polylines.default, (*lines, 5), test_utils=checks)


def test_wrong_arguments_are_refused():
    lines = awkward_lines()
    with pytest.raises(ValueError, match=r"polyline 1: .*\(4,\)"):
        pack([np.zeros((2, 3)), np.zeros(4)])
    with pytest.raises(ValueError, match=r"\(8, 8\), found \(8, 7\)"):
        chamfer_matrix(lines, lines, np.ones((8, 7), bool))
    with pytest.raises(ValueError, match="at least 2"):
        resample(lines, 1)
