"""Configs of mmdet read as configs of ours: model, normalisation, input size and class names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from perception.errors import InputError

__all__ = ["from_mmdet", "is_mmdet"]


def is_mmdet(config: Config) -> bool:
    """Whether a config is one of mmdet: its model is not ``MMDetDetector``."""
    return "model" in config and config.model.get("type") != "MMDetDetector"


def from_mmdet(config: Config, class_names: tuple[str, ...] = ()) -> dict[str, Any]:
    """The config of an ``MMDetDetector`` for an mmdet config.

    Args:
        config: Of mmdet.
        class_names: Names of the classes; empty takes those of its dataset, else ``class_0``, ``class_1``, ...

    Raises:
        InputError: It has no model, or a head whose number of classes cannot be found.
    """
    if "model" not in config:
        raise InputError(str(config.filename), "model", "an mmdet config with a model", "none")
    model = config.model.to_dict()
    before = model.pop("data_preprocessor", None) or {}
    count = _num_classes(model)
    if not count:
        raise InputError(str(config.filename), "model", "a head with num_classes", "none")
    names = tuple(class_names) or _dataset_classes(config) or tuple(f"class_{index}" for index in range(count))
    if len(names) != count:
        raise InputError(str(config.filename), "num_classes", f"{len(names)} classes ({names[0]}, ...)", str(count))
    return {
        "type": "MMDetDetector",
        "detector": without_pretrained(model),
        "class_names": names,
        "input_size": _input_size(config),
        "mean": tuple(before.get("mean") or (0.0, 0.0, 0.0)),
        "std": tuple(before.get("std") or (1.0, 1.0, 1.0)),
        "order": "rgb" if before.get("bgr_to_rgb", False) else "bgr",
    }


def without_pretrained(model: Any) -> Any:
    """A copy of a model config that downloads no backbone: the checkpoint holds its weights."""
    if isinstance(model, dict):
        drop = {"init_cfg", "pretrained"}
        return {key: without_pretrained(value) for key, value in model.items() if key not in drop}
    return [without_pretrained(value) for value in model] if isinstance(model, (list, tuple)) else model


def _num_classes(model: Any) -> int:
    """Classes of the last head: the box head of a second stage wins over the first stage."""
    for key in ("roi_head", "bbox_head", "mask_head", "panoptic_head"):
        node = model.get(key)
        if isinstance(node, (list, tuple)):
            node = node[0] if node else None
        if isinstance(node, dict):
            found = int(node.get("num_classes", 0)) or _num_classes(node)
            if found:
                return found
    return 0


def _dataset_classes(config: Config) -> tuple[str, ...]:
    loader = config.get("test_dataloader") or config.get("val_dataloader") or {}
    dataset = loader.get("dataset", {}) or {}
    names = (dataset.get("metainfo") or {}).get("classes", ())
    if names:
        return (names,) if isinstance(names, str) else tuple(names)
    if dataset.get("type") == "CocoDataset":
        from mmdet.datasets import CocoDataset

        return tuple(CocoDataset.METAINFO["classes"])
    return ()


def _input_size(config: Config) -> tuple[int, int]:
    """(width, height): the resize of the test pipeline, rounded up to a multiple of 32."""
    scale: Any = (1333, 800)
    for step in config.get("test_pipeline") or ():
        if step.get("type", "").endswith("Resize") and "scale" in step:
            scale = step["scale"]
    width, height = (scale, scale) if isinstance(scale, int) else (int(scale[0]), int(scale[1]))
    return -(-width // 32) * 32, -(-height // 32) * 32


def load_mmdet(path: str | Path) -> Config:
    """Read an mmdet config file with its bases.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return Config.fromfile(str(path))
    except Exception as error:
        raise InputError(path, "", "a readable mmdet config", f"{type(error).__name__}: {error}") from error
