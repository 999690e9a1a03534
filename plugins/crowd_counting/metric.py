"""mmengine metric around `perception.metrics.crowd`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from perception.metrics.crowd import count_scores, game, match_points
from perception.registry import METRICS

from .density import neighbour_distances


@METRICS.register_module()
class CrowdMetric(BaseMetric):
    """MAE, RMSE, NAE, bias and GAME of counts; precision and recall of head positions; MAE and one GAME per band.

    Args:
        levels: Levels of GAME.
        bands: Upper ends of bands of the true count; images with a larger count form the last band.
        band_level: Level of GAME that bands are given; not given when `levels` leaves it out.
        radius: Largest distance of a head to its truth, as a share of the distance to the nearest other head.
        radius_limits: Range of that distance, pixels.
    """

    default_prefix = "crowd"

    def __init__(
        self,
        levels: Sequence[int] = (0, 1, 2, 3),
        bands: Sequence[int] = (0, 50, 150, 400),
        band_level: int = 2,
        radius: float = 0.5,
        radius_limits: tuple[float, float] = (4.0, 16.0),
    ) -> None:
        super().__init__()
        self.levels, self.bands, self.band_level = tuple(levels), tuple(bands), band_level
        self.radius, self.radius_limits = radius, radius_limits

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take in one batch of predicted samples."""
        for sample in data_samples:
            density, points, size = sample["density"], np.asarray(sample["gt_points"]), tuple(sample["image_size"])
            heads = np.asarray(sample["heads"])
            if sample.get("mask") is not None:
                density, heads = masked(density, heads, sample["mask"])
            games = [game(density, points, size, level) for level in self.levels]
            reach = np.clip(self.radius * neighbour_distances(points, 1)[:, 0], *self.radius_limits)
            matches = match_points(heads, points, reach)
            self.results.append((float(density.sum(dtype=np.float64)), len(points), games, tuple(matches)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over the images."""
        predicted, truth = (np.array([row[i] for row in results], float) for i in (0, 1))
        scores = count_scores(predicted, truth)
        out = {
            "MAE": scores.mae,
            "RMSE": scores.rmse,
            "NAE": scores.nae,
            "bias": scores.bias,
            "mean": scores.mean_count,
        }
        games = {level: np.array([row[2][i] for row in results]) for i, level in enumerate(self.levels)}
        out |= {f"GAME{level}": float(values.mean()) for level, values in games.items()}
        hits, wrong, missed = np.array([row[3] for row in results]).sum(0).tolist()
        out["precision"] = hits / max(hits + wrong, 1)
        out["recall"] = hits / max(hits + missed, 1)
        out["F1"] = 2 * hits / max(2 * hits + wrong + missed, 1)
        return out | self._by_band(predicted, truth, games.get(self.band_level))

    def _by_band(self, predicted: np.ndarray, truth: np.ndarray, games: np.ndarray | None) -> dict[str, float]:
        """Errors and the mean true count of the images of each band that has any; of images of nobody, the error."""
        out = {}
        for low, high in pairwise([-1, *self.bands, np.inf]):
            pick = (truth > low) & (truth <= high)
            if not pick.any():
                continue
            error = float(np.abs(predicted - truth)[pick].mean())
            if high == 0:
                out["empty"] = error
                continue
            name = f"{int(low) + 1}-{'' if np.isinf(high) else int(high)}"
            out |= {f"MAE[{name}]": error, f"mean[{name}]": float(truth[pick].mean())}
            if games is not None:
                out[f"GAME{self.band_level}[{name}]"] = float(games[pick].mean())
        return out


def masked(density: np.ndarray, heads: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density and heads inside a region (H, W) of the picture; cells on its border count by their area in it."""
    import cv2

    share = cv2.resize(mask.astype(np.float32), (density.shape[1], density.shape[0]), interpolation=cv2.INTER_AREA)
    cell = np.clip(np.floor(heads).astype(int).reshape(-1, 2), 0, [mask.shape[1] - 1, mask.shape[0] - 1])
    return density * share, heads[mask[cell[:, 1], cell[:, 0]]]
