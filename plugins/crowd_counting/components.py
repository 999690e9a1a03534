"""Importing this module registers everything the plugin offers to configs."""

from perception.engine import lookahead

from . import augment, dataset, light, loss, metric, model, own_data, stage, transforms

__all__ = ["augment", "dataset", "light", "lookahead", "loss", "metric", "model", "own_data", "stage", "transforms"]
