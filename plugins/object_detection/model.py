"""Any mmdet detector as a model of ours: images in 0..255, boxes in pixels of the original image out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from perception.errors import PerceptionError
from perception.registry import MODELS

from .candidates import differentiable_candidates
from .letterbox import Fit, to_image

__all__ = ["MMDetDetector", "detection_samples"]


def _build_detector(config: Mapping[str, Any]) -> nn.Module:
    import mmdet.models  # noqa: F401 - registers every detector; imported here because it takes seconds
    from mmdet.registry import MODELS as MMDET_MODELS

    content = copy.deepcopy({name: value for name, value in config.items() if name != "data_preprocessor"})
    detector = MMDET_MODELS.build(ConfigDict(content, _scope_="mmdet"))
    if isinstance(getattr(detector, "level_embed", None), nn.Parameter):
        nn.init.normal_(detector.level_embed)  # made by torch.Tensor(...): it may hold anything, on any device
    return detector.to(torch.get_default_device())


def detection_samples(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], shape: tuple[int, int], device: torch.device
) -> list[Any]:
    """Samples of mmdet for a batch.

    Args:
        boxes: (N, 4) x0, y0, x1, y1 in pixels of the input, one tensor an image.
        labels: (N,) int64, one tensor an image.
        shape: (height, width) of the input.
        device: Of the samples.
    """
    from mmdet.structures import DetDataSample

    samples = []
    for box, label in zip(boxes, labels):
        sample = DetDataSample(
            metainfo={
                "img_shape": shape,
                "ori_shape": shape,
                "pad_shape": shape,
                "batch_input_shape": shape,
                "scale_factor": (1.0, 1.0),
            }
        )
        sample.gt_instances = InstanceData(bboxes=box.to(device).float(), labels=label.to(device))
        sample.ignored_instances = InstanceData(
            bboxes=box.new_zeros(0, 4).to(device).float(), labels=label[:0].to(device)
        )
        samples.append(sample)
    return samples


@MODELS.register_module()
class MMDetDetector(BaseModel):
    """A detector of mmdet behind our samples.

    Args:
        detector: mmdet's ``model`` config; its ``data_preprocessor`` is not used.
        class_names: Names of the classes, in the order of the head.
        input_size: (width, height) that images are letter-boxed to.
        mean: Subtracted from RGB in 0..255.
        std: Divided by.
        order: Channel order the detector wants, ``rgb`` or ``bgr``; mean and std are in that order.
        data_preprocessor: mmengine data preprocessor; the default moves data to the device.

    Raises:
        PerceptionError: ``order`` is neither.
    """

    def __init__(
        self,
        detector: Mapping[str, Any],
        class_names: Sequence[str],
        input_size: tuple[int, int],
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        order: str = "rgb",
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        if order not in ("rgb", "bgr"):
            raise PerceptionError(f"detector: order: expected rgb or bgr, found {order!r}")
        self.detector: Any = _build_detector(detector)
        self.class_names = tuple(class_names)
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.order = order
        self.mean, self.std = tuple(mean), tuple(std)

    def normalize(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in 0..255 -> what the detector sees; differentiable."""
        images = images if self.order == "rgb" else images.flip(1)
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std

    def forward(self, inputs: Tensor | Sequence[Tensor], data_samples: Any = None, mode: str = "tensor") -> Any:
        """Run the detector.

        Args:
            inputs: (B, 3, h, w) float32 RGB in 0..255, or a list of (3, h, w).
            data_samples: One dict per image: ``boxes``, ``labels`` for ``loss``, ``fit`` for ``predict``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            Raw outputs; loss terms; or the list of samples with ``found_boxes`` (original pixels), ``found_scores`` and
            ``found_labels`` added.

        Raises:
            PerceptionError: ``predict`` on images that are not finite.
        """
        batch = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        if mode == "loss":
            return self.loss(batch, [s["boxes"] for s in data_samples], [s["labels"] for s in data_samples])
        if mode == "tensor":
            return self.detector(self.normalize(batch), self._blank(batch), mode="tensor")
        if mode == "predict":
            return self.predict(batch, data_samples)
        raise ValueError(f"mode must be tensor, loss or predict, found {mode!r}")

    def loss(self, batch: Tensor, boxes: Sequence[Any], labels: Sequence[Any]) -> dict[str, Any]:
        """Training losses of the detector for boxes in input pixels.

        A batch that is not finite gives a loss of NaN: the matchers of some detectors would raise on it, and the
        engine skips such steps and counts them.
        """
        if not bool(torch.isfinite(batch).all()):
            first = next(self.detector.parameters())
            return {"loss": first.sum() * torch.nan}
        samples = detection_samples(
            [torch.as_tensor(value) for value in boxes],
            [torch.as_tensor(value) for value in labels],
            (batch.shape[2], batch.shape[3]),
            batch.device,
        )
        return self.detector.loss(self.normalize(batch), samples)

    def _blank(self, batch: Tensor) -> list[Any]:
        none = [torch.zeros(0, 4)] * len(batch)
        return detection_samples(
            none, [torch.zeros(0, dtype=torch.int64)] * len(batch), (batch.shape[2], batch.shape[3]), batch.device
        )

    @torch.no_grad()
    def predict(self, batch: Tensor, data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Detections of each image in pixels of the original, best score first; ``fit`` says how it was resized."""
        if not bool(torch.isfinite(batch).all()):
            raise PerceptionError("object detection: expected finite images, found NaN or infinity")
        found = self.detector.predict(self.normalize(batch), self._blank(batch), rescale=False)
        rows = []
        for sample, result in zip(data_samples, found):
            boxes, scores, labels = self._sorted(result.pred_instances, sample["fit"])
            rows.append({**sample, "found_boxes": boxes, "found_scores": scores, "found_labels": labels})
        return rows

    def candidates(self, batch: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Boxes (K, 4) in input pixels, scores (K,) with a gradient and labels (K,) of each image, before suppression.

        What ``predict`` gives, but neighbours of a detection are not suppressed, so that lowering the best of them does
        not just bring up the next.
        """
        with differentiable_candidates(self.detector):
            found = self.detector.predict(self.normalize(batch), self._blank(batch), rescale=False)
        kept = [sample.pred_instances for sample in found]
        return [(part.bboxes.detach(), part.scores, part.labels) for part in kept]

    @staticmethod
    def _sorted(found: InstanceData, placed: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores = found.scores.cpu().numpy().astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        boxes = to_image(found.bboxes.cpu().numpy(), placed)[order]
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        return boxes, scores[order], found.labels.cpu().numpy().astype(np.int64)[order]
