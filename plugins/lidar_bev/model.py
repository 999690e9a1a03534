"""Both networks as one model: shared data, no shared features, so that each can run where there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from perception.errors import PerceptionError
from perception.registry import MODELS

from . import networks as _networks  # noqa: F401, registers what configs name
from .loss import masked_mean, mssce, occupancy_loss, segmentation_loss, soft_iou


@MODELS.register_module()
class ParallelPerception(BaseModel):
    """Segmentation at time t and occupancy at later times.

    Submodules have the names of the published file that holds both networks; either may be left out.

    Args:
        segmentation: Config of a network with an output a class, or one output: occupied.
        evolution: Config of a network with an output a horizon.
        class_weights: Weights of the classes in the cross-entropy.
        positive: Weight of occupied cells.
        alpha: Weight of maps against their edges, see `loss.mssce`.
        edge: Weight of the MSSCE term.
        moving_weight: Weight of cells that objects in motion cover, see `loss.occupancy_loss`.
        channels_last: Memory layout of weights and maps, faster for narrow networks on CPUs; rounding differs.
        data_preprocessor: mmengine data preprocessor; the default moves data to the device.

    Raises:
        PerceptionError: Neither network is configured.
    """

    def __init__(
        self,
        segmentation: Mapping[str, Any] | None = None,
        evolution: Mapping[str, Any] | None = None,
        class_weights: Sequence[float] | None = None,
        positive: float = 1.0,
        alpha: float = 0.85,
        edge: float = 1.0,
        moving_weight: float = 0.0,
        channels_last: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        if segmentation is None and evolution is None:
            raise PerceptionError("ParallelPerception: expected segmentation or evolution, found neither")
        self.pyrnet = None if segmentation is None else MODELS.build(dict(segmentation))
        self.autonet = None if evolution is None else MODELS.build(dict(evolution))
        self.class_weights = None if class_weights is None else torch.tensor(list(class_weights), device="cpu")
        self.positive, self.alpha, self.edge, self.moving_weight = positive, alpha, edge, moving_weight
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)

    @property
    def branches(self) -> dict[str, torch.nn.Module]:
        """The networks by name, for :mod:`perception.runtime.parallel`."""
        found = {"segmentation": self.pyrnet, "evolution": self.autonet}
        return {name: network for name, network in found.items() if network is not None}

    def published_keys(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A published state_dict with the prefixes of this model, which files with one network do without."""
        if any(key.startswith(("pyrnet.", "autonet.")) for key in state):
            return dict(state)
        prefix = "pyrnet." if "poolconv1.weight" in state else "autonet."
        return {prefix + key: value for key, value in state.items()}

    def forward(self, inputs: Tensor | Sequence[Tensor], data_samples: Any = None, mode: str = "tensor") -> Any:
        """Run both networks.

        Args:
            inputs: (B, C, H, W) float32 map stacks, or a list of (C, H, W).
            data_samples: A dict a sample, with targets for ``loss``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            Branch -> raw output; loss terms; or the samples with ``predicted_classes`` (H, W) int64 and
            ``predicted_occupancy`` (K, H, W) float32 added.
        """
        batch = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        batch = batch.contiguous(memory_format=self.memory_format)
        outputs = {name: network(batch) for name, network in self.branches.items()}
        if mode == "tensor":
            return outputs
        if mode == "loss":
            return self.loss(outputs, data_samples)
        if mode == "predict":
            return self.predict(outputs, data_samples)
        raise ValueError(f"mode must be tensor, loss or predict, found {mode!r}")

    def loss(self, outputs: Mapping[str, Tensor], samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Loss terms of both branches; a segmentation network with one output learns which cells are occupied."""
        device = next(iter(outputs.values())).device
        terms: dict[str, Tensor] = {}
        logits = outputs.get("segmentation")
        if logits is not None and logits.shape[1] == 1:
            current = torch.stack([sample["last"] for sample in samples])[:, None].to(logits)
            terms |= _map_loss(logits, current, torch.ones_like(current), self.alpha)
        elif logits is not None:
            classes = torch.stack([sample["classes"] for sample in samples]).to(device).long()
            weights = None if self.class_weights is None else self.class_weights.to(logits)
            terms |= segmentation_loss(logits, classes, weights)
        logits = outputs.get("evolution")
        if logits is not None:
            future, mask, moving = (
                torch.stack([sample[name] for sample in samples])[:, : logits.shape[1]].to(logits)
                for name in ("future", "mask", "moving")
            )
            factors = (self.positive, self.alpha, self.edge)
            terms |= occupancy_loss(logits, future, mask, *factors, moving, self.moving_weight)
        return terms

    def predict(self, outputs: Mapping[str, Tensor], samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Classes and probabilities on the CPU.

        Raises:
            PerceptionError: An output is not finite.
        """
        for name, output in outputs.items():
            if not torch.isfinite(output).all():
                raise PerceptionError(f"ParallelPerception: {name} gave values that are not finite")
        results = [dict(sample) for sample in samples]
        if (logits := outputs.get("segmentation")) is not None:
            classes = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
            for result, found in zip(results, classes.cpu()):
                result["predicted_classes"] = found
        if (logits := outputs.get("evolution")) is not None:
            for result, found in zip(results, logits.sigmoid().float().cpu()):
                result["predicted_occupancy"] = found
        return results


def _map_loss(logits: Tensor, truth: Tensor, mask: Tensor, alpha: float) -> dict[str, Tensor]:
    """Reconstruction of a map: MSSCE on probabilities and soft IoU."""
    probability = logits.sigmoid()
    return {
        "loss_map": mssce(probability, truth, alpha, mask=mask),
        "loss_map_iou": soft_iou(probability, truth, mask, epsilon=1.0),
        "map_error": masked_mean((probability - truth).abs(), mask).detach(),
    }
