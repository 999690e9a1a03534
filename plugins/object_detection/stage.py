"""A detector as a pipeline stage: one camera image in, ``Boxes2D`` in its pixels out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perception.engine.checkpoint import describe_model, find_weights, load_state, load_weights
from perception.engine.config import load_config
from perception.errors import PerceptionError
from perception.registry import MODELS, STAGES
from perception.runtime.stage import Stage, StageNeeds
from perception.structures import Boxes2D, Frame, Result

from . import window_norm  # noqa: F401 - configs name it
from .letterbox import letterbox
from .mmdet_config import from_mmdet, is_mmdet, without_pretrained
from .model import MMDetDetector

__all__ = ["ObjectDetectionStage", "build_detector"]


def build_detector(
    config: str | Path,
    weights: str | Path | None = None,
    class_names: tuple[str, ...] = (),
    device: str = "cpu",
    trust: bool = False,
) -> MMDetDetector:
    """Build a detector in evaluation mode from a config of ours or of mmdet.

    Args:
        config: Shipped name or path; a config of mmdet is recognised by its model.
        weights: Our safetensors or a checkpoint of mmdet; None keeps random weights.
        class_names: For configs of mmdet that do not name theirs.
        device: torch device.
        trust: Allow unpickling of foreign checkpoints.

    Raises:
        PerceptionError: The weights do not fit; names the keys.
    """
    content = load_config(config)
    if is_mmdet(content):
        options = from_mmdet(content, class_names)
    else:
        options = content.model.to_dict()
        options["detector"] = without_pretrained(options["detector"])
    model: MMDetDetector = MODELS.build(options)
    if weights is not None:
        path = find_weights(weights)
        own = path.suffix == ".safetensors" or any(key.startswith("detector.") for key in load_state(path, trust))
        load_weights(model if own else model.detector, path, trust=trust)  # type: ignore[arg-type]
    return model.to(torch.device(device)).eval()


@STAGES.register_module()
class ObjectDetectionStage(Stage):
    """Detect objects in one camera with any mmdet detector.

    Args:
        config: Config of ours or of mmdet, a shipped name or a path.
        weights: Safetensors of ours or a checkpoint of mmdet; None keeps random weights, for tests and timing.
        camera: Slot of the camera.
        score: Detections below it are left out.
        class_names: For configs of mmdet that do not name theirs.
        device: torch device.
        trust: Allow unpickling of foreign checkpoints.
    """

    kind = Boxes2D.KIND

    def __init__(
        self,
        config: str | Path,
        weights: str | Path | None = None,
        camera: str = "front",
        score: float = 0.3,
        class_names: tuple[str, ...] = (),
        device: str = "cpu",
        trust: bool = False,
    ) -> None:
        self.needs = StageNeeds(slots=(camera,))
        self.camera, self.score = camera, score
        self.device = torch.device(device)
        self.config_name = Path(str(config)).stem
        self.weights = None if weights is None else find_weights(weights)
        self.model = build_detector(config, weights, tuple(class_names), device, trust)

    def __call__(self, frame: Frame, inputs: Mapping[str, Result]) -> Boxes2D:
        """Detect in ``frame.images[camera]``, uint8 RGB (H, W, 3) of any size.

        Raises:
            PerceptionError: The network's output is not finite.
        """
        return self.detect(frame.images[self.camera])

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Boxes2D:
        """Objects in one image, best score first."""
        inputs, placed = letterbox(image, self.model.input_size)
        batch = torch.from_numpy(inputs)[None].to(self.device)
        [found] = self.model.predict(batch, [{"fit": placed}])
        if not (np.isfinite(found["found_boxes"]).all() and np.isfinite(found["found_scores"]).all()):
            raise PerceptionError(f"{self.config_name}: boxes or scores are not finite")
        keep = found["found_scores"] >= self.score
        size = (image.shape[1], image.shape[0])
        boxes, scores, labels = (found[f"found_{name}"][keep] for name in ("boxes", "scores", "labels"))
        return Boxes2D(self.camera, size, boxes, scores, labels, self.model.class_names)

    def warmup(self) -> None:
        """Run once on a blank image."""
        self.detect(np.zeros((64, 96, 3), np.uint8))

    def describe(self) -> dict[str, Any]:
        """Model, size and origin of the weights."""
        return describe_model(f"{type(self.model.detector).__name__} {self.config_name}", self.model, self.weights)
