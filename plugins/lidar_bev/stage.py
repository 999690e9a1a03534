"""Both networks as a pipeline stage: LiDAR sweeps in, a grid of classes and future occupancy out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from perception.engine.checkpoint import describe_model, find_weights, load_weights
from perception.engine.config import load_config
from perception.errors import PerceptionError
from perception.ops.ray_visibility import visible_cells
from perception.ops.sweep_buffer import SweepBuffer
from perception.registry import MODELS, STAGES
from perception.runtime.parallel import Branches
from perception.runtime.stage import Stage, StageNeeds
from perception.structures import BevGrid, Frame, Result

from .model import ParallelPerception
from .sweeps import CLASSES, UNKNOWN, sweep_of
from .windows import WindowSettings, input_maps, level_of


def load_model(
    config: str | Path, weights: str | Path | None, trust: bool = False
) -> tuple[Config, ParallelPerception, Path | None]:
    """The config, the networks it names, and the file of weights they were given.

    Args:
        config: A shipped name or a path.
        weights: File or name of shipped weights; None keeps random weights.
        trust: Allow unpickling of foreign checkpoints.

    Raises:
        PerceptionError: The weights do not fit; names the keys.
    """
    content = load_config(config)
    model: ParallelPerception = MODELS.build(dict(content.model))
    path = None if weights is None else find_weights(weights)
    if path is not None:
        load_weights(model, path, trust=trust)
    return content, model, path


@STAGES.register_module()
class LidarBevStage(Stage):
    """Classes of cells now, and which are occupied in a moment.

    Layers of the result: ``semantics`` (`UNKNOWN` where no ray came) and ``occupancy_<seconds>s`` for every horizon.
    At the begin of a drive the oldest sweep stands in for those before it. A gap or a step back in time starts anew.

    Args:
        config: Config of the model, a shipped name or a path; its ``window`` says what the networks see.
        weights: File or name of shipped weights; None keeps random weights, for tests and timing.
        lidar: Name of the LiDAR; None takes the only or the first one.
        device: torch device of both networks.
        devices: Branch (``segmentation``, ``evolution``) -> device of its own, or ``auto``: spread over what there is.
        executor: How the networks run side by side, see :class:`~perception.runtime.parallel.Branches`.
        compensate: Override the config's ego-motion compensation; without it no pose is needed.
        trust: Allow unpickling of foreign checkpoints.
    """

    kind = BevGrid.KIND

    def __init__(
        self,
        config: str | Path,
        weights: str | Path | None = None,
        lidar: str | None = None,
        device: str = "cpu",
        devices: Mapping[str, str] | str | None = None,
        executor: str = "sequential",
        compensate: bool | None = None,
        trust: bool = False,
    ) -> None:
        content, model, self.weights = load_model(config, weights, trust)
        self.config_name = Path(str(content.filename)).stem
        window = dict(content.window) | ({} if compensate is None else {"compensate": compensate})
        self.settings, self.lidar = WindowSettings.of(window), lidar
        self.described = describe_model(f"PPN {self.config_name}", model, self.weights)
        places: Mapping[str, str] | str = devices if devices is not None else dict.fromkeys(model.branches, device)
        example = torch.zeros(1, self.settings.channels, *self.settings.grid.shape)
        self.branches = Branches(model.eval().branches, places, executor, example)
        self.buffer = SweepBuffer(
            self.settings.frames, self.settings.grid, self.settings.obstacle, self.settings.compensate
        )
        history = self.settings.frames * self.buffer.max_gap_s
        self.needs = StageNeeds(slots=(), lidar=True, pose=self.settings.compensate, history_s=history)

    def __call__(self, frame: Frame, inputs: Mapping[str, Result]) -> BevGrid:
        """Grid of the newest sweep of ``frame``.

        Raises:
            PerceptionError: No such cloud, no pose where one is needed, or an output that is not finite.
        """
        sweep = sweep_of(frame, self.lidar)
        self.buffer.push(sweep.points, sweep.time_ns, sweep.pose)
        level = level_of(sweep, self.settings)
        stack = self.buffer.stack(torch.from_numpy(level))
        seen = visible_cells(sweep.points, self.settings.grid, sweep.sensor, torch.from_numpy(level)).numpy() > 0
        return self._grid(input_maps(stack, sweep.points, sweep.sensor, level, self.settings), seen)

    @torch.inference_mode()
    def _grid(self, maps: torch.Tensor, seen: np.ndarray) -> BevGrid:
        outputs = self.branches(maps[None])
        layers: dict[str, np.ndarray] = {}
        for name, output in outputs.items():
            if not torch.isfinite(output).all():
                raise PerceptionError(f"{self.config_name}: {name} gave values that are not finite")
        if "segmentation" in outputs:
            classes = outputs["segmentation"][0].argmax(0).numpy()
            layers["semantics"] = np.where(seen, classes, UNKNOWN).astype(np.int8)
        if "evolution" in outputs:
            probability = outputs["evolution"][0].sigmoid().float().numpy()
            layers |= {f"occupancy_{h:g}s": p for h, p in zip(self.settings.horizons, probability)}
        grid = self.settings.grid
        return BevGrid("ego", grid.x_range, grid.y_range, grid.resolution, layers, CLASSES)

    def warmup(self) -> None:
        """Compile the kernels and run the networks once."""
        frames, self.buffer = self.buffer, SweepBuffer(1, self.settings.grid, self.settings.obstacle)
        points = torch.tensor([[5.0, 1.0, 1.0], [6.0, -1.0, 0.0]])
        self.buffer.push(points, 0, np.eye(4))
        stack = self.buffer.stack().repeat(self.settings.frames, 1, 1)
        self._grid(input_maps(stack, points, np.zeros(3), np.eye(4), self.settings), np.ones(self.settings.grid.shape))
        self.buffer = frames

    def reset(self) -> None:
        """Forget all sweeps."""
        self.buffer.clear()

    def describe(self) -> dict[str, Any]:
        """Model, size, origin of the weights and where the branches run."""
        return self.described | {"placement": self.branches.placement}
