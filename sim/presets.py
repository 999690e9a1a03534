"""Named, seeded settings of random scenes.

Seeds from :data:`perception.held_out.HELD_OUT_SEED` on are never used for training: they are for scores in model cards.
"""

from __future__ import annotations

from perception.errors import UnknownNameError
from perception.held_out import HELD_OUT_SEED as HELD_OUT_SEED
from perception.sim.world.builder import SceneConfig

TRAINING_SIZES = ((480, 270), (512, 288), (480, 360), (560, 202), (640, 360))
"""Image sizes drawn when none is given: 16:9, 4:3 and the wide format of CULane."""

PRESETS: dict[str, SceneConfig] = {
    "random": SceneConfig(),
    "day": SceneConfig(night=0.0, wet=0.0, fog=0.1),
    "night": SceneConfig(night=1.0, wet=0.2, fog=0.1),
    "rain": SceneConfig(night=0.1, wet=1.0, fog=0.5),
}


def get(preset: str | SceneConfig) -> SceneConfig:
    """The settings of a name; settings pass through.

    Raises:
        UnknownNameError: No preset of that name.
    """
    if isinstance(preset, SceneConfig):
        return preset
    if preset not in PRESETS:
        raise UnknownNameError("simulator preset", preset, PRESETS)
    return PRESETS[preset]
