"""The stage of the sample plugin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perception.registry import STAGES
from perception.runtime.stage import Stage, StageNeeds
from perception.structures import Boxes2D, Frame, Result


@STAGES.register_module()
class BrightSpotStage(Stage):
    """Boxes everything that is brighter than ``threshold`` (0 to 255)."""

    needs = StageNeeds(slots=("front",))
    kind = Boxes2D.KIND

    def __init__(self, threshold: int = 200) -> None:
        self.threshold = threshold

    def __call__(self, frame: Frame, inputs: Mapping[str, Result]) -> Boxes2D:
        image = frame.images["front"]
        rows, columns = np.nonzero(image.mean(axis=2) > self.threshold)
        boxes = [(columns.min(), rows.min(), columns.max(), rows.max())] if len(rows) else np.zeros((0, 4))
        return Boxes2D(
            frame_id="front",
            image_size=(image.shape[1], image.shape[0]),
            boxes=np.asarray(boxes, dtype=np.float32),
            scores=np.ones(len(boxes), dtype=np.float32),
            labels=np.zeros(len(boxes), dtype=np.int64),
            class_names=("bright",),
        )
