"""Our written data in the hands of the official readers, in environments that the tests build for themselves.

Slow, and they need a package registry: without one they are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perception.cli import main

pytestmark = pytest.mark.slow

NUSCENES = """
import numpy as np, sys
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
found = NuScenes("v1.0-sim", sys.argv[1], verbose=False)
assert len(found.scene) == 2 and len(found.sample) == 4, (len(found.scene), len(found.sample))
boxes = 0
for sample in found.sample:
    path, seen, _ = found.get_sample_data(sample["data"]["LIDAR_TOP"])
    points = LidarPointCloud.from_file(path).points
    assert len(points) == 4 and points.shape[1] > 1000 and np.isfinite(points).all()
    assert all(found.box_velocity(token).shape == (3,) for token in sample["anns"])
    boxes += len(seen)
    file = found.get("lidarseg", sample["data"]["LIDAR_TOP"])["filename"]
    labels = np.fromfile(found.dataroot + "/" + file, np.uint8)
    assert len(labels) == points.shape[1]
assert boxes
"""
COCO = """
import sys
from pycocotools.coco import COCO
found = COCO(sys.argv[1])
assert len(found.getImgIds()) == 4 and found.getCatIds()
for row in found.loadAnns(found.getAnnIds()):
    assert row["area"] > 0 and len(row["bbox"]) == 4
"""
MAT = """
import json, pathlib, sys
from scipy.io import loadmat
files = sorted(pathlib.Path(sys.argv[1]).rglob("GT_IMG_*.mat"))
assert len(files) == 2
for file in files:
    heads = loadmat(file)["image_info"][0, 0][0, 0][0]
    told = json.loads((file.parent / file.name.replace("GT_", "").replace(".mat", ".json")).read_text())
    assert len(heads) == len(told["points"]) and (not len(heads) or heads.shape[1] == 2)
"""


@pytest.fixture
def official(tmp_path):
    """``official(packages, code, *arguments)`` runs code where only those packages are installed."""

    def run(packages: list[str], code: str, *arguments: Path) -> None:
        python = tmp_path / "venv/bin/python"
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--only-binary=:all:", *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{' '.join(packages)} cannot be installed: {done.stderr.strip()[-200:]}")
        done = subprocess.run([str(python), "-I", "-c", code, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    return run


def simulate(out: Path, arguments: str) -> Path:
    assert main(["simulate", str(out), *arguments.split()]) == 0
    return out


def test_nuscenes_devkit(official, tmp_path):
    root = simulate(tmp_path / "n", "--format nuscenes --scenes 2 --frames 2 --option key_every=1")
    official(["numpy<2", "nuscenes-devkit>=1.1.11"], NUSCENES, root)


def test_pycocotools(official, tmp_path):
    root = simulate(tmp_path / "s", "--format signs --scenes 2 --frames 2 --size 256x192")
    official(["pycocotools"], COCO, root / "annotations/signs_train.json")


def test_scipy(official, tmp_path):
    root = simulate(tmp_path / "c", "--format crowd --scenes 2 --size 256x192 --option people=30")
    official(["scipy"], MAT, root)
