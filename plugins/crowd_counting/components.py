"""Importing this module registers everything the plugin offers to configs."""

from perception.engine import lookahead, muon

from . import attack_target, augment, dataset, light, loss, metric, model, own_data, stage, transforms

__all__ = [
    "attack_target",
    "augment",
    "dataset",
    "light",
    "lookahead",
    "loss",
    "metric",
    "model",
    "muon",
    "own_data",
    "stage",
    "transforms",
]
