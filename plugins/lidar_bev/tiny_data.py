"""A car that drives past boxes, in the layout of nuScenes, to try a config or the training engine on in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perception.geometry import make_pose, rotation_from_euler
from perception.geometry.transforms import invert_pose
from perception.sim.writers.nuscenes import SceneWriter, Style, write_tables
from perception.structures import Boxes3D, Calibration, Frame, PointCloud

NAMES = ("car", "pedestrian")
PERIOD_NS = 100_000_000


def write(root: Path, config: dict, scenes: int = 2, sweeps: int = 22) -> None:
    """Write scenes that every part of a config finds windows in, below ``root``.

    Args:
        root: Folder of the dataset.
        config: Config, not looked at.
        scenes: Number of scenes.
        sweeps: Sweeps of each, 10 a second.
    """
    tables = []
    for seed in range(scenes):
        writer = SceneWriter(root, f"scene-{seed:04d}", Style(), key_every=1)
        for index in range(sweeps):
            writer.add(frame(seed, index))
        tables.append(writer.finish())
    write_tables(root, tables, Style())


def frame(seed: int, index: int) -> Frame:
    """One moment: the car drives at 5 m/s, another ahead of it at 8 m/s, walls on both sides, someone on foot."""
    rng = np.random.default_rng([seed, index])
    ego = make_pose(rotation_from_euler(0, 0, 0.1 * seed), np.array([0.5 * index, 0.0, 0.0]))
    boxes = np.array([[12 + 0.8 * index, 1.5, 0.8, 4.5, 1.9, 1.6, 0], [8, -4, 0.9, 0.6, 0.6, 1.8, 0]])
    objects = Boxes3D(
        "world", boxes, np.ones(2), np.array([0, 1]), NAMES, np.array([[8.0, 0], [0, 0]]), np.array([7, 8])
    ).moved(invert_pose(ego), "ego")
    ground = np.column_stack([rng.uniform(-30, 30, (900, 2)), np.zeros(900)])
    walls = np.column_stack([np.linspace(-40, 60, 400), np.tile([7.0, -7.0], 200), rng.uniform(0.5, 3, 400)])
    sides = [middle + rng.uniform(-0.5, 0.5, (60, 3)) * size for middle, size in zip(boxes[:, :3], boxes[:, 3:6])]
    world = np.concatenate([walls, *sides])
    points = np.concatenate([ground, (world - ego[:3, 3]) @ ego[:3, :3]]).astype(np.float32)
    category = np.repeat([1, 6, 10, 11], [900, 400, 60, 60]).astype(np.uint8)
    ring = np.zeros(len(points), np.uint8)
    fields: dict[str, np.ndarray] = {"intensity": np.full(len(points), 0.3), "ring": ring, "category": category}
    cloud = PointCloud(points, fields, index * PERIOD_NS, "lidar")
    truth = {"ego/boxes_3d": objects}
    stamp = 1_700_000_000_000_000_000 + index * PERIOD_NS
    return Frame(stamp, index, {}, {"lidar": cloud}, Calibration({}, {"lidar": np.eye(4)}), ego, truth)
