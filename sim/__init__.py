"""A synthetic world: procedurally varied roads and towns, seen by simulated sensors, with exact truth.

Held-out seeds: see :data:`perception.sim.presets.HELD_OUT_SEED`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "presets": ("presets",),
    "city.drive": ("TownDrive", "TownSample"),
    "city.generator": ("make_town",),
    "city.layout": ("TownConfig",),
    "city.model": ("Category", "Town"),
    "city.sensors.lidar": ("LidarConfig",),
    "drive": ("SimulatedDrive",),
    "lanes": ("LaneSample", "render_lane_sample"),
    "truth": ("TruthConfig", "lane_truth"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: a worker that makes crowds needs no towns."""
    for home, names in _HOMES.items():
        if name in names:
            module = importlib.import_module(f"{__name__}.{home}")
            return module if name == home else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
