"""A synthetic world: procedurally varied roads, seen by simulated sensors, with exact truth.

Held-out seeds: see :data:`perception.sim.presets.HELD_OUT_SEED`.
"""

from perception.sim import presets
from perception.sim.drive import SimulatedDrive
from perception.sim.lanes import LaneSample, render_lane_sample
from perception.sim.truth import TruthConfig, lane_truth

__all__ = ["LaneSample", "SimulatedDrive", "TruthConfig", "lane_truth", "presets", "render_lane_sample"]
