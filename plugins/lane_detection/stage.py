"""GANet as a pipeline stage: one camera image in, lanes in its pixels out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.engine.checkpoint import describe_model, find_weights, load_weights
from perception.engine.config import load_config
from perception.engine.pipeline import Pipeline
from perception.errors import PerceptionError
from perception.registry import MODELS, STAGES
from perception.runtime.stage import Stage, StageNeeds
from perception.structures import Frame, Lanes2D, Result

from .differentiable import network_input
from .head import LaneMaps
from .model import GANet


@STAGES.register_module()
class LaneDetectionStage(Stage):
    """Detect lanes in one camera, by the ``test_pipeline`` of the model's config.

    Args:
        config: Config of the model, a shipped name or a path.
        weights: File or name of shipped weights; None keeps random weights, for tests and timing.
        camera: Slot of the camera.
        device: torch device.
        trust: Allow unpickling of foreign checkpoints.
        max_lanes: Keep the lanes with the best scores.

    Raises:
        PerceptionError: The weights do not fit; names the keys.
    """

    kind = Lanes2D.KIND

    def __init__(
        self,
        config: str | Path,
        weights: str | Path | None = None,
        camera: str = "front",
        device: str = "cpu",
        trust: bool = False,
        max_lanes: int | None = None,
    ) -> None:
        self.needs = StageNeeds(slots=(camera,))
        self.camera, self.max_lanes = camera, max_lanes
        self.device = torch.device(device)
        content = load_config(config)
        self.config_name = Path(str(content.filename)).stem
        self.pipeline = Pipeline(content.test_pipeline)
        model_config = content.model.to_dict() if hasattr(content.model, "to_dict") else dict(content.model)
        model_config["backbone"] = dict(model_config["backbone"], pretrained=None)
        self.model: GANet = MODELS.build(model_config)
        self.weights = None if weights is None else find_weights(weights)
        if self.weights is not None:
            load_weights(self.model, self.weights, trust=trust)
        self.model.to(self.device).eval()

    def __call__(self, frame: Frame, inputs: Mapping[str, Result]) -> Lanes2D:
        """Detect lanes in ``frame.images[camera]``, uint8 RGB (H, W, 3) of any size.

        Raises:
            PerceptionError: The network's output is not finite (recorded by the runtime as a fault of this frame).
        """
        return self.detect(frame.images[self.camera])

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Lanes2D:
        """Lanes of one image, bottom of the image first, best score first."""
        size = (image.shape[1], image.shape[0])
        packed = self.pipeline({"img": image, "lanes": [], "image_size": size})
        maps = self.model.maps(packed["inputs"][None].to(self.device))
        for name, values in maps._asdict().items():
            if values is not None and not torch.isfinite(values).all():
                raise PerceptionError(f"{self.config_name}: {name} holds values that are not finite")
        [found] = self.model.predict(maps, [packed["data_samples"]])
        order = np.argsort(-found["scores"], kind="stable")[: self.max_lanes]
        lanes = tuple(found["lanes"][i][::-1].copy() for i in order)
        return Lanes2D(self.camera, size, lanes, found["scores"][order])

    def maps_from_image(self, images: Tensor) -> LaneMaps:
        """Raw maps with gradients down to the pixels, for attacks and saliency.

        Args:
            images: (B, 3, H, W) float RGB, 0..255, on the stage's device.
        """
        return self.model.maps(network_input(images, self.pipeline))

    def warmup(self) -> None:
        """Compile the kernels by one run on a blank image."""
        self.detect(np.zeros((288, 512, 3), np.uint8))

    def describe(self) -> dict[str, Any]:
        """Model, size and origin of the weights."""
        return describe_model(f"GANet {self.config_name}", self.model, self.weights)
