"""The real ShanghaiTech picture: its annotations, and the published anchor where the weights are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perception.plugins.crowd_counting.dataset import ShanghaiTechDataset, shanghaitech_points
from perception.plugins.crowd_counting.images import read_image
from perception.plugins.crowd_counting.stage import CrowdCountingStage

WEIGHTS = "PERCEPTION_MSFANET_B"
"""Variable with the path of the published ``checkpoint_best_MSFANet_B.pth``."""


@pytest.fixture(scope="module")
def part_b(real_data: Path) -> Path:
    return real_data / "shanghaitech" / "part_B_final"


def test_annotations_of_the_real_picture(part_b: Path):
    dataset = ShanghaiTechDataset(str(part_b), [], split="test")
    [record] = dataset.records
    image, truth = dataset.picture(0)
    assert record.name == "test_data/images/IMG_4.jpg" and image.shape == (768, 1024, 3)
    assert len(shanghaitech_points(record.label)) == 95
    assert truth.count == 95 and len(truth.points) == 95


def test_published_weights_give_the_published_count(part_b: Path):
    path = os.environ.get(WEIGHTS)
    if not path or not Path(path).is_file():
        pytest.skip(f"published M-SFANet weights of part B not at hand: set {WEIGHTS} to checkpoint_best_MSFANet_B.pth")
    stage = CrowdCountingStage("crowd_counting/m_sfanet_shb.py", path)
    assert stage.count(read_image(part_b / "test_data/images/IMG_4.jpg")).count == pytest.approx(94.737, abs=0.05)
