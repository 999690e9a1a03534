"""The networks on LiDAR sweeps as an attack target: returns that make vehicles vanish or obstacles appear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from perception.attack import ATTACK_TARGETS, check_goal
from perception.attack_points import PointSample
from perception.errors import PerceptionError

from .draw import classes_picture
from .metric import LidarBevMetric
from .stage import load_model
from .sweeps import CLASSES, GROUND, UNKNOWN, VEHICLE, Sweep
from .windows import EXTRAS, Window, WindowSettings, level_of, make_window

__all__ = ["LidarBevTarget", "LidarTruth"]

KEPT = ("mIoU", "IoU_ground", "IoU_static", "IoU_vehicle")
"""Scores of the metric that a report shows, beside the IoU at each horizon."""


@dataclass(frozen=True, eq=False)
class LidarTruth:
    """Truth of a sample: the clean window, and which vehicle covers a cell.

    Attributes:
        window: Window of the clean sweeps.
        objects: (H, W) int64 index into ``vehicles``, -1 for none.
        vehicles: Distance of each vehicle in metres.
    """

    window: Window
    objects: np.ndarray
    vehicles: tuple[float, ...]


@ATTACK_TARGETS.register_module()
class LidarBevTarget:
    """Both networks behind the attack protocol for points; they are never changed.

    ``hide`` makes cells of vehicles something else, ``appear`` makes ground something else. An instance is a vehicle;
    its score is the share of its observed cells that are called vehicle.

    Args:
        config: Config of the model.
        weights: File or name of shipped weights.
        device: torch device.

    Raises:
        PerceptionError: The config has no segmentation network with the classes of the plugin.
    """

    goals: tuple[str, ...] = ("hide", "appear")
    differentiable = True

    def __init__(self, config: str | Path, weights: str | Path | None = None, device: str = "cpu") -> None:
        content, self.model, _ = load_model(config, weights)
        self.model.to(device).eval()
        self.settings = WindowSettings.of(content.window)
        self.device = torch.device(device)
        if self.model.pyrnet is None or content.model.segmentation.get("outputs") != len(CLASSES):
            raise PerceptionError(
                f"{content.filename}: an attack needs a segmentation network with {len(CLASSES)} classes"
            )

    @property
    def module(self) -> torch.nn.Module:
        """The victim, which must not change."""
        return self.model

    def _inputs(self, sample: PointSample) -> Tensor:
        """(C, H, W) what the networks see."""
        return make_window(_sweeps(sample, self.settings.frames), (), self.settings).inputs

    def _losses(self, logits: Tensor, samples: Sequence[PointSample], goal: str) -> Tensor:
        wanted = VEHICLE if goal == "hide" else GROUND
        rows = []
        for logit, sample in zip(F.log_softmax(logits, 1), samples):
            cells = torch.from_numpy(self._classes(sample) == wanted).to(logit.device)
            rows.append(logit[wanted][cells].mean() if bool(cells.any()) else logit.sum() * 0)
        return torch.stack(rows)

    def _classes(self, sample: PointSample) -> np.ndarray:
        """(H, W) true classes where a ray came; unknown where the attack put returns, but a vehicle stays one."""
        window: Window = sample.truth.window
        classes = np.where(window.seen.numpy() > 0, window.classes.numpy(), UNKNOWN)
        rows, columns = self._added(sample)
        classes[rows, columns] = np.where(classes[rows, columns] == VEHICLE, VEHICLE, UNKNOWN)
        return classes

    def _added(self, sample: PointSample) -> tuple[np.ndarray, np.ndarray]:
        cells = self.settings.grid.cells(sample.added)
        rows, columns = cells[self.settings.grid.inside(cells)].astype(np.int64).T
        return rows, columns

    @torch.no_grad()
    def loss(self, samples: Sequence[PointSample], goal: str) -> Tensor:
        """(B,) mean log-probability of the true class in cells of vehicles (``hide``) or ground (``appear``)."""
        check_goal(self, goal)
        batch = torch.stack([self._inputs(sample) for sample in samples]).to(self.device)
        return self._losses(self.model(batch)["segmentation"], samples, goal).cpu()

    def point_gains(self, sample: PointSample, points: np.ndarray, goal: str, past: bool) -> np.ndarray:
        """(K,) see ``PointAttackTarget``; 0 outside the grid and the heights that count."""
        check_goal(self, goal)
        maps = self._inputs(sample).to(self.device).requires_grad_()
        loss = self._losses(self.model(maps[None])["segmentation"], [sample], goal).sum()
        (slope,) = torch.autograd.grad(loss, maps)
        level = level_of(_sweeps(sample, 1)[-1], self.settings)
        raised = np.asarray(points, np.float64) @ level[:3, :3].T + level[:3, 3]
        cells = self.settings.grid.cells(raised)
        low, high = self.settings.obstacle
        good = self.settings.grid.inside(cells) & (raised[:, 2] >= low) & (raised[:, 2] <= high)
        rows, columns = torch.from_numpy(np.where(good[:, None], cells, 0).astype(np.int64)).T
        delta = self._change(maps.detach()[:, rows, columns], torch.from_numpy(raised[:, 2]).float(), past)
        gains = -(slope[:, rows, columns] * delta).sum(0).cpu().numpy()
        return np.where(good, gains, 0.0)

    def _change(self, now: Tensor, heights: Tensor, past: bool) -> Tensor:
        """(C, K) what one more return changes in its cell."""
        frames = self.settings.frames
        delta = torch.zeros_like(now)
        first = 0 if past else frames - 1
        delta[first:frames] = 1 - now[first:frames]
        for index, name in enumerate(self.settings.extras, start=frames):
            if name not in EXTRAS or name == "ground":
                continue
            if name == "count":
                delta[index] = (now[index] * 4).exp().log1p() / 4 - now[index]
            elif name == "seen":
                delta[index] = 1 - now[index]
            else:
                empty = now[self.settings.extras.index("count") + frames] == 0 if "count" in self.settings.extras else 0
                pick = torch.maximum if name == "high" else torch.minimum
                delta[index] = (
                    torch.where(torch.as_tensor(empty), heights / 4, pick(now[index], heights / 4)) - now[index]
                )
        return delta

    @torch.no_grad()
    def predict(self, samples: Sequence[PointSample]) -> list[dict[str, np.ndarray]]:
        """``predicted_classes`` (H, W) and, with an evolution network, ``predicted_occupancy`` (K, H, W)."""
        out = []
        for sample in samples:
            inputs = self._inputs(sample).to(self.device)
            [found] = self.model.predict(self.model(inputs[None]), [{}])
            out.append({name: value.numpy() for name, value in found.items()} | {"inputs": inputs.cpu().numpy()})
        return out

    def instances(self, sample: PointSample) -> list[dict[str, Any]]:
        """Every vehicle with an observed cell."""
        return [{"label": "vehicle", "distance_m": round(metres, 2)} for metres in sample.truth.vehicles]

    def instance_scores(self, prediction: dict[str, np.ndarray], sample: PointSample) -> np.ndarray:
        """(G,) share of the observed cells of each vehicle that are called vehicle."""
        known = self._classes(sample) == VEHICLE
        right = known & (prediction["predicted_classes"] == VEHICLE)
        count = len(sample.truth.vehicles)
        objects = sample.truth.objects
        cells, hits = (np.bincount(objects[mask & (objects >= 0)], minlength=count) for mask in (known, right))
        return hits / np.maximum(cells, 1)

    def task_metric(
        self, predictions: Sequence[dict[str, np.ndarray]], samples: Sequence[PointSample]
    ) -> dict[str, float]:
        """IoU of classes, IoU of occupancy at each horizon, and the share of ground that became something else."""
        metric = LidarBevMetric()
        lost = ground = 0
        for found, sample in zip(predictions, samples):
            window: Window = sample.truth.window
            maps = {name: getattr(window, name).numpy() for name in ("seen", "future", "moving", "stale")}
            rows, columns = self._added(sample)
            mask = window.mask.numpy().copy()
            mask[:, rows, columns] = 0
            past = window.inputs[: self.settings.frames].numpy() > 0
            classes = self._classes(sample)
            maps |= {"classes": classes, "mask": mask, "last": past[-1], "union": past.any(0)}
            metric.process(None, [{**maps, **found, "name": sample.name, "horizons": self.settings.horizons}])
            lost += int(((found["predicted_classes"] != GROUND) & (classes == GROUND)).sum())
            ground += int((classes == GROUND).sum())
        scores = metric.compute_metrics(metric.results)
        wanted = (*KEPT, *(f"IoU@{horizon:g}s" for horizon in self.settings.horizons))
        return {name: scores[name] for name in wanted if name in scores} | {"ground_lost": lost / max(ground, 1)}

    def picture(self, sample: PointSample, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """(H, 2 W, 3) uint8 RGB: the newest map with added returns, and the predicted classes, forward up."""
        newest = prediction["inputs"][self.settings.frames - 1] > 0
        shown = np.where(newest, 1, -1)
        shown[self._added(sample)] = 2
        return np.hstack([classes_picture(shown), classes_picture(prediction["predicted_classes"])])


def _sweeps(sample: PointSample, count: int) -> list[Sweep]:
    """The last ``count`` sweeps; the oldest stands in for those that are missing."""
    chosen = [max(len(sample.clouds) - count + k, 0) for k in range(count)]
    return [
        Sweep(sample.times_ns[k], torch.from_numpy(sample.clouds[k]), sample.poses[k], sample.sensors[k])
        for k in chosen
    ]
