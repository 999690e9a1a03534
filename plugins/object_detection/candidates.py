"""What a detector of mmdet would detect before overlapping boxes are suppressed, with scores that carry a gradient."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from mmengine.config import ConfigDict
from torch import Tensor, nn

__all__ = ["differentiable_candidates"]

MOST = 1000
"""Boxes of an image that are kept."""


@contextmanager
def differentiable_candidates(detector: nn.Module) -> Iterator[None]:
    """Within, ``detector.predict`` suppresses no box and its scores can be differentiated.

    Heads with a score threshold and a suppression in their ``test_cfg`` get one that keeps all boxes; the proposals of
    a first stage stay as they are. Dense heads of mmdet decode detached maps (``select_single_mlvl``); here not.
    The names are swapped in modules, so this is not for several threads at a time.
    """
    with ExitStack() as stack:
        for module in detector.modules():
            config = getattr(module, "test_cfg", None)
            if module is not detector and isinstance(config, Mapping) and "score_thr" in config and "nms" in config:
                free = {"nms": {"type": "nms", "iou_threshold": 1.0}, "max_per_img": MOST}
                stack.enter_context(_swapped(module, "test_cfg", ConfigDict({**config, **free})))
        for home in {sys.modules[base.__module__] for module in detector.modules() for base in type(module).__mro__}:
            if hasattr(home, "select_single_mlvl"):
                stack.enter_context(_swapped(home, "select_single_mlvl", _levels_of))
        yield


def _levels_of(tensors: Sequence[Tensor], index: int, detach: bool = True) -> list[Tensor]:
    return [level[index] for level in tensors]


@contextmanager
def _swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
