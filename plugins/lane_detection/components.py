"""Importing this module registers everything the plugin offers to configs."""

from . import augment, dataset, head, metric, model, neck, other_data, published_augment, stage, transforms

__all__ = [
    "augment",
    "dataset",
    "head",
    "metric",
    "model",
    "neck",
    "other_data",
    "published_augment",
    "stage",
    "transforms",
]
