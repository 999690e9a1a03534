"""The ring buffer of sweeps: order, what is rasterised again, gaps, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from perception.errors import PerceptionError
from perception.geometry import GridSpec
from perception.ops import sweep_buffer
from perception.ops.sweep_buffer import SweepBuffer

GRID = GridSpec((0.0, 8.0), (-1.0, 1.0), 1.0)
STEP = 100_000_000


def at(x: float) -> Tensor:
    return torch.tensor([[x, 0.5, 1.0]])


def pose(x: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def columns(stack: Tensor) -> list[list[int]]:
    """Occupied rows of each map."""
    return [one[:, 1].nonzero()[:, 0].tolist() for one in stack]


def test_a_standing_wall_stays_where_it_is_with_compensation():
    buffer = SweepBuffer(3, GRID)
    for i in range(5):
        buffer.push(at(6.5 - i), i * STEP, pose(i))
    assert columns(buffer.stack()) == [[2]] * 3
    without = SweepBuffer(3, GRID, compensate=False)
    for i in range(5):
        without.push(at(6.5 - i), i * STEP)
    assert columns(without.stack()) == [[4], [3], [2]]


@pytest.mark.parametrize(("compensate", "expected"), [(False, 1), (True, 3)])
def test_what_a_new_sweep_costs(monkeypatch: pytest.MonkeyPatch, compensate: bool, expected: int):
    calls = []
    real = sweep_buffer.bev_occupancy
    monkeypatch.setattr(sweep_buffer, "bev_occupancy", lambda *a, **k: calls.append(1) or real(*a, **k))
    buffer = SweepBuffer(3, GRID, compensate=compensate)
    for i in range(4):
        buffer.push(at(1.5), i * STEP, pose(0))
        calls.clear() if i < 3 else None
    buffer.stack()
    assert len(calls) == expected


def test_the_oldest_stands_in_at_the_begin_and_a_level_is_applied():
    buffer = SweepBuffer(3, GRID)
    buffer.push(at(1.5), 0, pose(0))
    buffer.push(at(3.5), STEP, pose(0))
    assert columns(buffer.stack()) == [[1], [1], [3]]
    sunk = torch.eye(4)
    sunk[2, 3] = -5
    assert buffer.stack(sunk).sum() == 0


@pytest.mark.parametrize("compensate", [True, False])
def test_duplicates_replace_gaps_and_steps_back_begin_anew(compensate: bool):
    buffer = SweepBuffer(3, GRID, compensate=compensate)
    for time, x in ((0, 0.5), (STEP, 1.5), (STEP, 2.5)):
        buffer.push(at(x), time, pose(0))
    assert len(buffer) == 2 and columns(buffer.stack()) == [[0], [0], [2]]
    buffer.push(at(3.5), 9 * STEP, pose(0))
    assert (len(buffer), buffer.resets) == (1, 1) and columns(buffer.stack()) == [[3]] * 3
    buffer.push(at(4.5), 0, pose(0))
    assert (len(buffer), buffer.resets) == (1, 2) and columns(buffer.stack()) == [[4]] * 3


def test_empty_and_nan_sweeps_are_empty_maps():
    buffer = SweepBuffer(2, GRID)
    buffer.push(torch.zeros(0, 3), 0, pose(0))
    buffer.push(torch.full((4, 3), torch.nan), STEP, pose(0))
    assert buffer.stack().sum() == 0


@pytest.mark.parametrize("bad", [None, np.full((4, 4), np.nan), np.eye(3)])
def test_a_missing_pose_is_an_error_only_where_it_is_needed(bad: np.ndarray | None):
    with pytest.raises(PerceptionError, match="expected a pose"):
        SweepBuffer(2, GRID).push(at(1.5), 0, bad)
    free = SweepBuffer(2, GRID, compensate=False)
    free.push(at(1.5), 0, None)
    assert columns(free.stack()) == [[1], [1]]


def test_no_sweep_no_stack():
    with pytest.raises(PerceptionError, match="before the first stack"):
        SweepBuffer(2, GRID).stack()
    with pytest.raises(PerceptionError, match="at least one frame"):
        SweepBuffer(0, GRID)
