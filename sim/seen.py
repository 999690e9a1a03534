"""Which painted lines a picture shows: where it changes when their paint is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perception.sim.sensors.raycast import RayWorld
from perception.sim.sensors.render import View, render
from perception.sim.world.scene import Scene
from perception.sim.world.section import LineMark

DARK = 0.003
"""Radiance that drowns in the sensor's noise at the longest exposure; contrast is measured on top of it."""


def painted_contrast(scene: Scene, view: View, world: RayWorld, points: np.ndarray) -> np.ndarray:
    """Contrast of line paint against the bare road: 0 behind objects, small in fog, in the dark and where it is worn.

    Args:
        scene: The scene.
        view: Camera and pose.
        world: Ray-casting geometry of the same instant.
        points: (N, 3) points on the road in front of the camera, world frame, metres.

    Returns:
        (N,) float64 Michelson contrast in [0, 1], |a - b| / (a + b + DARK) of the radiance with and without paint, of
        the colour channel that shows it best: yellow on concrete is as bright as the road and still plain to see.
    """
    pose = view.world_from_camera
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    rays = (local / local[:, 2:]).astype(np.float32)
    bare = replace(scene, section=replace(scene.section, marks=()))
    painted, unpainted = (render(each, view, world, rays)[0].astype(np.float64) for each in (scene, bare))
    return (np.abs(painted - unpainted) / (painted + unpainted + DARK)).max(1)


def seen_shares(
    scene: Scene,
    view: View,
    world: RayWorld,
    marks: Sequence[LineMark],
    stations: Sequence[np.ndarray],
    least_contrast: float,
) -> np.ndarray:
    """Share of places at which the paint of each line can be seen.

    Args:
        scene: The scene.
        view: Camera and pose.
        world: Ray-casting geometry of the same instant.
        marks: L lines.
        stations: Where to look at each, (N,) stations in front of the camera; even steps in image rows give a share
            of rows.
        least_contrast: Contrast from which paint is seen, see :func:`painted_contrast`.

    Returns:
        (L,) float64 in [0, 1]. Gaps of dashes show no paint; of a double line the better stripe of each place counts.
    """
    stripes = [[scene.road.points(s, stripe.at(s)) for stripe in mark.stripes()] for mark, s in zip(marks, stations)]
    points = [point for line in stripes for point in line]
    if not points:
        return np.zeros(0)
    contrast = painted_contrast(scene, view, world, np.concatenate(points))
    each = iter(np.split(contrast, np.cumsum([len(part) for part in points])[:-1]))
    best = (np.max([next(each) for _ in line], axis=0) for line in stripes)
    return np.array([np.mean(line >= least_contrast) if len(line) else 0.0 for line in best])
