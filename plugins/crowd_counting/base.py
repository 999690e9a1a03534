"""What all counting networks share: modes, padding, losses and predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor

from perception.errors import PerceptionError
from perception.registry import MODELS

from .decode import head_points


class CrowdMaps(NamedTuple):
    """What a network makes of a batch.

    Attributes:
        density: (B, 1, h, w) people a cell; published networks can give small negative values.
        attention: (B, 1, h, w) probability of people within [0, 1], or None where the network has none.
    """

    density: Tensor
    attention: Tensor | None


class CrowdModel(BaseModel):
    """A counting network with its loss.

    Args:
        loss: Config of the loss, which is called with maps and samples; None for a network that is only evaluated.
        peak_threshold: Least density around a local maximum that counts as a head, people.
        data_preprocessor: mmengine data preprocessor; the default moves data to the device.

    Attributes:
        stride: Edge of a cell of the density map in input pixels.
        multiple: Sides of the input that the network wants, see `transforms.CrowdPad`.
        halo: Input pixels around a place that can change its density, beyond which tiles need not overlap.
        tile: Side from which on a picture is cut into tiles, so that one takes less than 3 GiB.
    """

    stride = 2
    multiple = 16
    halo = 0
    tile = 1280

    def __init__(
        self, loss: dict | None = None, peak_threshold: float = 0.35, data_preprocessor: dict | None = None
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.criterion = None if loss is None else MODELS.build(loss)
        self.peak_threshold = peak_threshold

    @abstractmethod
    def maps(self, batch: Tensor) -> CrowdMaps:
        """Density and attention of normalised images (B, 3, H, W)."""

    def forward(self, inputs: Tensor | Sequence[Tensor], data_samples: Any = None, mode: str = "tensor") -> Any:
        """Run the network.

        Args:
            inputs: (B, 3, H, W) float32 normalised images, or a list of (3, H, W).
            data_samples: One dict per image; ``points`` and targets for ``loss``, sizes for ``predict``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            `CrowdMaps`; loss terms; or the samples with ``density``, ``count`` and ``heads`` added.
        """
        batch = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        if mode == "loss":
            return self.loss(batch, data_samples)
        if mode == "tensor":
            return self.maps(batch)
        if mode == "predict":
            return self.predict(self.maps(batch), data_samples)
        raise ValueError(f"mode must be tensor, loss or predict, found {mode!r}")

    def loss(self, batch: Tensor, data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Loss terms of a batch.

        Raises:
            PerceptionError: The config names no loss.
        """
        if self.criterion is None:
            raise PerceptionError(f"{type(self).__name__}: training needs a `loss` in the config of the model")
        return self.criterion(self.maps(batch), data_samples, self.stride)

    def predict(self, maps: CrowdMaps, data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Density of the picture without its padding, count and heads in pixels of the picture as read.

        Raises:
            PerceptionError: The density is not finite.
        """
        found = []
        for density, sample in zip(maps.density.detach().float().cpu().numpy()[:, 0], data_samples):
            if not np.isfinite(density).all():
                raise PerceptionError(
                    f"{type(self).__name__}: density is not finite for {sample.get('name', 'a sample')}"
                )
            width, height = sample["content_size"]
            density = np.ascontiguousarray(density[: -(-height // self.stride), : -(-width // self.stride)])
            scale = (sample["image_size"][0] / width, sample["image_size"][1] / height)
            heads, scores = head_points(density, self.stride, self.peak_threshold)
            heads = (heads * np.asarray(scale, np.float32)).astype(np.float32)
            extra = {
                "density": density,
                "count": float(density.sum(dtype=np.float64)),
                "heads": heads,
                "stride": self.stride,
                "scores": scores,
            }
            found.append({**sample, **extra})
        return found
