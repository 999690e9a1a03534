"""A chain of transforms from a dataset's record to what a model takes; datasets, tests and drives share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from perception.registry import TRANSFORMS

Sample = dict[str, Any]


class Transform(Protocol):
    """A step of a pipeline."""

    def __call__(self, sample: Sample) -> Sample:
        """Return the changed sample."""
        ...


class Pipeline:
    """A sequence of transforms built from their configs.

    Args:
        steps: Configs of registered transforms, in order.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]]) -> None:
        self.steps: list[Transform] = [TRANSFORMS.build(dict(step)) for step in steps]

    def __call__(self, sample: Sample) -> Sample:
        """Apply every step in turn."""
        for step in self.steps:
            sample = step(sample)
        return sample
