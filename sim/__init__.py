"""A synthetic world: procedurally varied roads and towns, seen by simulated sensors, with exact truth.

Held-out seeds: see :data:`perception.sim.presets.HELD_OUT_SEED`.
"""

from perception.sim import presets
from perception.sim.city.drive import TownDrive, TownSample
from perception.sim.city.generator import make_town
from perception.sim.city.layout import TownConfig
from perception.sim.city.model import Category, Town
from perception.sim.city.sensors.lidar import LidarConfig
from perception.sim.drive import SimulatedDrive
from perception.sim.lanes import LaneSample, render_lane_sample
from perception.sim.truth import TruthConfig, lane_truth

__all__ = [
    "Category",
    "LaneSample",
    "LidarConfig",
    "SimulatedDrive",
    "Town",
    "TownConfig",
    "TownDrive",
    "TownSample",
    "TruthConfig",
    "lane_truth",
    "make_town",
    "presets",
    "render_lane_sample",
]
