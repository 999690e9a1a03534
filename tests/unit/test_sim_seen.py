"""Lines whose paint shows nowhere in the picture are no truth; everything else stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.sim.seen import painted_contrast, seen_shares
from perception.sim.sensors.camera import mounted_camera
from perception.sim.sensors.raycast import RayWorld
from perception.sim.sensors.render import view_at
from perception.sim.truth import TruthConfig, trace_lanes
from perception.sim.world.road import arc_road
from perception.sim.world.scene import Light, Scene, Surface, Vehicle
from perception.sim.world.section import LineMark, simple_section
from perception.sim.world.vehicles import vehicle_pool

PLAIN = Surface(grain=0.0, mottle=0.0, streaks=0.0, tracks=0.0, oil=0.0)


def _scene(second: LineMark, **changes) -> Scene:
    section = replace(simple_section(), marks=(LineMark(1.75), second))
    return Scene(arc_road(), section, PLAIN, **changes)


def _labelled(scene: Scene, config: TruthConfig | None = None) -> tuple[int, ...]:
    view = view_at(scene, mounted_camera((640, 360), fov=1.0, height=1.5, forward=0.0, horizon=0.4))
    return trace_lanes(scene, view, RayWorld(scene, 0.0, 0.0), config)[1]


def test_a_line_that_is_worn_away_is_not_labelled_unless_asked_for():
    scene = _scene(LineMark(-1.75, opacity=0.0))
    assert _labelled(scene) == (0,)
    assert _labelled(scene, TruthConfig(least_seen=0.0)) == (0, 1)


def test_a_line_as_bright_as_the_road_is_seen_by_its_colour():
    scene = _scene(LineMark(-1.75, color=(0.35, 0.18, 0.02)))
    assert _labelled(scene) == (0, 1)


def test_dashes_count_through_their_gaps():
    assert _labelled(_scene(LineMark(-1.75, "dashed", paint=3.0, gap=12.0))) == (0, 1)


def test_a_line_behind_a_wall_of_vehicles_is_not_labelled():
    mesh, size = vehicle_pool(False)["bus"][0]
    row = tuple(Vehicle(mesh, size, s, -3.2) for s in np.arange(2.0, 110.0, size[0] + 0.1))
    far = LineMark(-5.2)
    assert _labelled(_scene(far)) == (0, 1)
    assert _labelled(_scene(far, vehicles=row)) == (0,)
    assert _labelled(_scene(far, vehicles=row[:1])) == (0, 1)


@pytest.mark.parametrize(("fog", "seen"), [(0.0003, True), (0.4, False)])
def test_thick_fog_hides_lines(fog, seen):
    scene = _scene(LineMark(-1.75), light=Light(fog=fog))
    view = view_at(scene, mounted_camera((640, 360), fov=1.0, height=1.5, forward=0.0, horizon=0.4))
    world = RayWorld(scene, 0.0, 0.0)
    stations = np.linspace(15, 60, 20)
    points = scene.road.points(stations, np.full(20, 1.75))
    contrast = painted_contrast(scene, view, world, points)
    assert contrast.shape == (20,) and (contrast > 0.04).all() == seen
    shares = seen_shares(scene, view, world, scene.section.marks, [stations, stations[:0]], 0.04)
    assert shares.tolist() == [float(seen), 0.0]
