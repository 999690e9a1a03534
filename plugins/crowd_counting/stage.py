"""Crowd counting as a pipeline stage: one camera image in, density, count and heads out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perception.engine.checkpoint import describe_model, find_weights, load_weights
from perception.engine.config import load_config
from perception.engine.inference import ready_to_run
from perception.engine.pipeline import Pipeline
from perception.errors import PerceptionError
from perception.registry import MODELS, STAGES
from perception.runtime.stage import Stage, StageNeeds
from perception.structures import DensityMap, Frame, Result

from .base import CrowdMaps, CrowdModel
from .dataset import density_result
from .decode import head_points
from .differentiable import network_input
from .images import to_rgb8
from .tiles import tiled_maps
from .transforms import CrowdNormalize, PackCrowd


@STAGES.register_module()
class CrowdCountingStage(Stage):
    """Count people in one camera, by the ``test_pipeline`` of the model's config.

    Args:
        config: Config of the model, a shipped name or a path.
        weights: File or name of shipped weights; None keeps random weights, for tests and timing.
        camera: Slot of the camera.
        device: torch device.
        trust: Allow unpickling of foreign checkpoints.
        tile: Pictures with a longer side are read in tiles of that side, which bounds the memory and leaves the density
            as it is; the network's own when None.
        attention: Put the attention map into the results.

    Raises:
        PerceptionError: The weights do not fit; names the keys.
    """

    kind = DensityMap.KIND

    def __init__(
        self,
        config: str | Path,
        weights: str | Path | None = None,
        camera: str = "front",
        device: str = "cpu",
        trust: bool = False,
        tile: int | None = None,
        attention: bool = True,
    ) -> None:
        self.needs = StageNeeds(slots=(camera,))
        self.camera, self.tile, self.attention = camera, tile, attention
        self.device = torch.device(device)
        content = load_config(config)
        self.config_name = Path(str(content.filename)).stem
        self.pipeline = Pipeline(content.test_pipeline)
        model_config = content.model.to_dict() if hasattr(content.model, "to_dict") else dict(content.model)
        self.model: CrowdModel = MODELS.build({**model_config, "pretrained": None})
        self.weights = None if weights is None else find_weights(weights)
        if self.weights is not None:
            load_weights(self.model, self.weights, trust=trust)
        self.described = describe_model(f"{type(self.model).__name__} {self.config_name}", self.model, self.weights)
        ready_to_run(self.model, self.device)
        # Normalising is left to the tiles: a float copy of a large picture would be the largest thing in memory.
        self._geometry = [s for s in self.pipeline.steps if not isinstance(s, (CrowdNormalize, PackCrowd))]
        self._normalize = next(step for step in self.pipeline.steps if isinstance(step, CrowdNormalize))

    def __call__(self, frame: Frame, inputs: Mapping[str, Result]) -> DensityMap:
        """Count in ``frame.images[camera]``, uint8 RGB (H, W, 3) of any size.

        Raises:
            PerceptionError: The network's output is not finite (recorded by the runtime as a fault of this frame).
        """
        return self.count(frame.images[self.camera])

    @torch.inference_mode()
    def count(self, image: np.ndarray) -> DensityMap:
        """Density, heads and attention of one image; grey and 16-bit images are taken as well."""
        image = to_rgb8(image)
        size = (image.shape[1], image.shape[0])
        sample: dict[str, Any] = {"img": image, "points": np.zeros((0, 2), np.float32), "image_size": size}
        sample["content_size"] = size
        for step in self._geometry:
            sample = step(sample)
        padded = sample["img"]

        def read(top: int, left: int, bottom: int, right: int) -> Tensor:
            part = self._normalize({"img": padded[top:bottom, left:right]})["inputs"]
            return torch.from_numpy(part)[None].to(self.device)

        density, attention = tiled_maps(self.model, read, (padded.shape[1], padded.shape[0]), self.tile)
        if not np.isfinite(density).all():
            raise PerceptionError(f"{self.config_name}: density holds values that are not finite")
        return self._result(sample, density, attention)

    def _result(self, sample: dict[str, Any], density: np.ndarray, attention: np.ndarray | None) -> DensityMap:
        stride = self.model.stride
        width, height = sample["content_size"]
        shape = (-(-height // stride), -(-width // stride))
        density = np.ascontiguousarray(density[: shape[0], : shape[1]])
        scale = np.array([sample["image_size"][0] / width, sample["image_size"][1] / height], np.float32)
        heads, _ = head_points(density, stride, self.model.peak_threshold)
        result = density_result(self.camera, {**sample, "density": density, "heads": heads * scale, "stride": stride})
        if attention is None or not self.attention:
            return result
        attention = np.ascontiguousarray(attention[: shape[0], : shape[1]])
        return DensityMap(self.camera, result.image_size, density, result.stride, result.points, attention)

    def maps_from_image(self, images: Tensor) -> CrowdMaps:
        """Density and attention with gradients down to the pixels, for attacks and saliency.

        Args:
            images: (B, 3, H, W) float RGB, 0..255, on the stage's device.
        """
        return self.model.maps(network_input(images, self.pipeline))

    def warmup(self) -> None:
        """One run on a blank image."""
        self.count(np.zeros((96, 128, 3), np.uint8))

    def describe(self) -> dict[str, Any]:
        """Model, size and origin of the weights."""
        return dict(self.described)
