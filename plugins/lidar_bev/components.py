"""Importing this module registers everything the plugin offers to configs."""

from . import attack_scenes, attack_target, dataset, metric, model, networks, stage

__all__ = ["attack_scenes", "attack_target", "dataset", "metric", "model", "networks", "stage"]
