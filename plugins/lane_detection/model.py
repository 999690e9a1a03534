"""GANet, a keypoint lane detector (CVPR 2022, arXiv 2204.07335; spec ganet section 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from perception.nn.resnet import ResNet
from perception.registry import MODELS

from .decode import DecodeSettings, decode_batch
from .head import LaneMaps, decode_inputs
from .loss import LossWeights, lane_losses

TARGETS = ("keypoint_hm", "start_hm", "cell_offset", "start_offset", "offset_mask", "start_weight", "lane_points")


@MODELS.register_module()
class GANet(BaseModel):
    """Backbone, DeformFPN and heads; computes maps, losses or lanes.

    Args:
        backbone: Config of a network that returns maps, finest first.
        neck: Config of the neck.
        bbox_head: Config of the head (named as in published checkpoints).
        decode: Keywords of `DecodeSettings`.
        loss_weights: Keywords of `LossWeights`.
        sample_count: LFA samples per lane, as in the targets.
        min_positives: See `loss.focal`.
        channels_last: Memory layout of weights and images, about a third faster on CPUs; rounding differs.
        data_preprocessor: mmengine data preprocessor; the default moves data to the device.

    Attributes:
        optional_keys: Prefixes of keys that published checkpoints may or may not hold.
    """

    optional_keys = ("bbox_head.centerpts_head.",)

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        bbox_head: dict,
        decode: Mapping[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        sample_count: int = 41,
        min_positives: int = 3,
        channels_last: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.bbox_head = MODELS.build(bbox_head)
        self.decode = DecodeSettings(**(decode or {}))
        self.loss_weights = LossWeights(**(loss_weights or {}))
        self.sample_count = sample_count
        self.min_positives = min_positives
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)

    def forward(self, inputs: Tensor | Sequence[Tensor], data_samples: Any = None, mode: str = "tensor") -> Any:
        """Run the network.

        Args:
            inputs: (B, 3, H, W) float32 normalised images, or a list of (3, H, W).
            data_samples: One dict per image; targets for ``loss``, ``crop`` and ``input_size`` for ``predict``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            `LaneMaps`; loss terms; or the list of samples with ``lanes`` (original pixels) and ``scores`` added.
        """
        batch = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        if mode == "loss":
            return self.loss(batch, data_samples)
        maps = self.maps(batch)
        if mode == "tensor":
            return maps
        if mode == "predict":
            return self.predict(maps, data_samples)
        raise ValueError(f"mode must be tensor, loss or predict, found {mode!r}")

    def maps(self, batch: Tensor) -> LaneMaps:
        """Raw maps for images (B, 3, H, W)."""
        return self.bbox_head(self.neck(self.backbone(batch.contiguous(memory_format=self.memory_format))))

    def loss(self, batch: Tensor, data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Weighted loss terms of a batch.

        Raises:
            PerceptionError: Frozen layers hold random weights.
        """
        if self.training and isinstance(self.backbone, ResNet):
            self.backbone.check_frozen()
        targets = {name: torch.stack([torch.as_tensor(sample[name]) for sample in data_samples]) for name in TARGETS}
        targets = {name: value.to(batch.device, non_blocking=True) for name, value in targets.items()}
        return lane_losses(self.maps(batch), targets, self.loss_weights, self.sample_count, self.min_positives)

    def predict(self, maps: LaneMaps, data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Decode maps; ``crop`` and ``input_size`` of each sample say where the network looked."""
        crops, sizes = [sample["crop"] for sample in data_samples], [sample["input_size"] for sample in data_samples]
        heat, start, cell = (tensor.numpy() for tensor in decode_inputs(maps))
        decoded = decode_batch(heat, start, cell, self.decode, crops, sizes)
        return [{**sample, "lanes": lanes, "scores": scores} for sample, (lanes, scores) in zip(data_samples, decoded)]
