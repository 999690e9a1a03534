"""Importing this module registers everything the plugin offers to configs."""

from . import dataset, metric, model, networks, stage

__all__ = ["dataset", "metric", "model", "networks", "stage"]
