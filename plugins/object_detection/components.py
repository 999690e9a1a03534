"""Importing this module registers the components of the plugin."""

from . import attack_target, dataset, metric, model, stage, window_norm

__all__ = ["attack_target", "dataset", "metric", "model", "stage", "window_norm"]
