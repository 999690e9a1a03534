"""Looking at samples, predictions and curves; everything is drawn into pictures, no display is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from perception.engine.defaults import explain_build_errors, resolve_data
from perception.engine.evaluate import score_samples, with_test_parts
from perception.engine.seeding import seed_all
from perception.engine.train import TrainOptions, common
from perception.errors import PerceptionError, UnknownNameError
from perception.registry import DATASETS
from perception.structures import Result
from perception.viz.draw import banner, fit, grid

__all__ = ["Browsable", "browse_samples", "worst_samples"]


class Browsable(Protocol):
    """What a dataset offers to be looked at."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def picture(self, index: int) -> tuple[np.ndarray, Result]:
        """Image (H, W, 3) uint8 RGB as stored, and its truth."""
        ...

    def augmented(self, index: int) -> tuple[np.ndarray, Result]:
        """What the network sees in training, and the truth there."""
        ...

    def prediction(self, sample: Mapping[str, Any]) -> Result:
        """Result of a predicted sample, in pixels of `picture`."""
        ...


def browse_samples(config: Config, part: str = "train", count: int = 12, seed: int = 0) -> np.ndarray:
    """Contact sheet of samples with their truth: on the left as stored, beside it as the network sees them.

    Args:
        config: Training config.
        part: ``train``, ``val`` or ``test``.
        count: Samples, drawn evenly over the dataset.
        seed: Of the augmentation.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    dataset = _dataset(config, part)
    tiles = []
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist():
        seed_all(seed, index)
        for image, truth in (dataset.picture(index), dataset.augmented(index)):
            drawn = truth.draw(image)
            tiles.append(
                banner(fit(drawn, 480, round(480 * drawn.shape[0] / drawn.shape[1])), [(f"{index}", (255,) * 3)])
            )
    return grid(tiles, columns=4, width=1920)


def worst_samples(
    config: Config, results: Path, metric: str | None = None, count: int = 12
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The samples of saved predictions that score worst alone.

    Args:
        config: With the test data that was predicted; its order is that of the results.
        results: Folder of ``perception test --save-results``.
        metric: Score to sort by, larger is better; the first when None.
        count: Samples to draw.

    Returns:
        A row ``{"index", "name", score, ...}`` for every sample, worst first, and a sheet of the worst: truth left,
        prediction beside it.

    Raises:
        UnknownNameError: No such score.
    """
    rows: list[dict[str, Any]] = []
    samples: dict[int, dict[str, Any]] = {}
    for index, (sample, scores) in enumerate(score_samples(config, results)):
        metric = metric or next(iter(scores))
        if metric not in scores:
            raise UnknownNameError("score", metric, scores)
        rows.append({"index": index, "name": str(sample.get("name", sample.get("img_path", index))), **scores})
        samples[index] = sample
    rows.sort(key=lambda row: (row[str(metric)], row["index"]))
    dataset, tiles = _dataset(with_test_parts(common(config, TrainOptions())), "test"), []
    for row in rows[:count]:
        image, truth = dataset.picture(row["index"])
        words = f"{row['name']}  {metric} {row[str(metric)]:.3f}"
        for drawn in (truth.draw(image), dataset.prediction(samples[row["index"]]).draw(image)):
            tiles.append(banner(fit(drawn, 480, round(480 * drawn.shape[0] / drawn.shape[1])), [(words, (255,) * 3)]))
    return rows, grid(tiles, columns=4, width=1920)


def _dataset(config: Config, part: str) -> Browsable:
    config = common(config, TrainOptions())
    if f"{part}_dataloader" not in config:
        raise PerceptionError(f"{config.filename}: no {part}_dataloader")
    resolve_data(config, (part,))
    init_default_scope(config.default_scope)
    settings = config[f"{part}_dataloader"].dataset
    settings.pop("cache_size", None)
    with explain_build_errors(config):
        dataset = DATASETS.build(settings)
    missing: Sequence[str] = [name for name in ("picture", "augmented", "prediction") if not hasattr(dataset, name)]
    if missing:
        raise PerceptionError(f"{type(dataset).__name__} cannot be looked at: it has no {', '.join(missing)}")
    return dataset
