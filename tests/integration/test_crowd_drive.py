"""People counted on a drive: results, heat map, the count over time, gradients; by the real commands."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from perception.cli import main
from perception.plugins.crowd_counting import tiny_data


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    folder = tmp_path / "drive"
    folder.mkdir()
    for index in range(4):
        image, _ = tiny_data.draw(index, 3 * index, (128, 96))
        cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
    return folder


def test_people_over_a_drive(drive: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert main(["run", str(drive), "--pipeline", "pipelines/crowd_front.py", "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["stages"]["crowd"]["results"] == 4 and report["stages"]["crowd"]["trained_on"] == "simulator"
    assert len(report["series"]["counts"]["crowd"]) == 4
    page = (out / "report.html").read_text()
    assert "people over the drive" in page and "density_map</div>" not in page
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines() if line.strip()]
    found = [record["results"]["crowd"] for record in records if record.get("results")]
    assert len(found) == 4
    assert {"density", "attention", "points", "image_size"} <= set(found[0])
