"""What a run does beside training; importing this registers the hooks."""

from perception.engine.hooks.checkpoints import Checkpoints, newest_checkpoint
from perception.engine.hooks.data_wait import DataWait
from perception.engine.hooks.early_stop import EarlyStop
from perception.engine.hooks.freeze_norm import FreezeNorm
from perception.engine.hooks.frozen_guard import FrozenGuard
from perception.engine.hooks.initial_weights import InitialWeights
from perception.engine.hooks.progress import ProgressBar
from perception.engine.hooks.run_folder import RunFolder

__all__ = [
    "Checkpoints",
    "DataWait",
    "EarlyStop",
    "FreezeNorm",
    "FrozenGuard",
    "InitialWeights",
    "ProgressBar",
    "RunFolder",
    "newest_checkpoint",
]
