"""Golden cases of the crowd part of ``ppn_crowd``: networks, losses, density maps, point targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception.parity import runner

CASES = [
    *(f"crowd/{name}" for name in ("M_SFANet", "M_SFANet_UCF_QNRF", "M_SegNet", "M_SegNet_UCF_QNRF")),
    *(f"crowd_aux/{name}" for name in ("bayesian_loss", "density_maps", "dual_path_loss", "point_targets")),
]


@pytest.mark.parametrize("name", CASES)
def test_golden_case(name: str, golden_data: Path):
    results = list(runner.run(golden_data / "ppn_crowd", only=name))
    assert [result.status for result in results] == ["ok"], [
        (row.tensor, row.max_error, row.note) for result in results for row in result.rows if not row.ok
    ]
