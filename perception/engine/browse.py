"""Looking at samples, predictions and curves; everything is drawn into pictures, no display is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from perception.engine.defaults import explain_build_errors, resolve_data
from perception.engine.evaluate import score_samples, with_test_parts
from perception.engine.seeding import seed_all
from perception.engine.train import TrainOptions, common
from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.registry import DATASETS
from perception.sources import drives_in, open_drive
from perception.structures import Frame, Result
from perception.viz import BevView, bev_picture, cloud_from_above, cloud_in_picture, draw_result
from perception.viz.draw import banner, fit, grid

__all__ = ["Browsable", "browse_drives", "browse_samples", "worst_samples"]

_PLANE = BevView((-30.0, 30.0), (-48.0, 48.0), 5.0)
"""What is seen from above of frames without pictures."""


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


def browse_samples(
    config: Config,
    part: str = "train",
    count: int = 12,
    seed: int = 0,
    stored_only: bool = False,
    width: int = 1920,
) -> np.ndarray:
    """Contact sheet of samples with their truth: on the left as stored, beside it as the network sees them.

    Args:
        config: Training config.
        part: ``train``, ``val`` or ``test``.
        count: Samples, drawn evenly over the dataset.
        seed: Of the augmentation.
        stored_only: Leave out what the network sees.
        width: Of the sheet, pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    dataset = _dataset(config, part, ("picture",) if stored_only else ("picture", "augmented"))
    tiles = []
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist():
        seed_all(seed, index)
        for image, truth in [dataset.picture(index)] + ([] if stored_only else [dataset.augmented(index)]):
            drawn = truth.draw(image)
            tiles.append(
                banner(fit(drawn, 480, round(480 * drawn.shape[0] / drawn.shape[1])), [(f"{index}", (255,) * 3)])
            )
    return grid(tiles, columns=4, width=width)


def browse_drives(paths: Sequence[str], count: int = 12, show: Sequence[str] = (), width: int = 1920) -> np.ndarray:
    """Contact sheet of frames of recorded drives with what their files tell of truth.

    Args:
        paths: Drives, or folders of several (:func:`perception.sources.drives_in`).
        count: Frames, spread evenly over the drives; one camera after another is shown, or the plane from above where
            there is none.
        show: Kinds of truth to draw, and ``cloud`` for LiDAR points in the picture; all when empty.
        width: Of the sheet, pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: No drive there, or it cannot be read.
    """
    uris = [uri for path in paths for uri in drives_in(path)][: max(count, 1)]
    if not uris:
        raise InputError(" ".join(paths), "", "a recorded drive", "none")
    tiles: list[np.ndarray] = []
    for number, drive in enumerate(uris):
        wanted = (number + 1) * count // len(uris) - number * count // len(uris)
        with open_drive(drive) as source:
            frames = source.info.frames
        with open_drive(drive, every=max(frames // wanted, 1)) as source:
            for frame in islice(source, wanted):
                tiles.append(_frame_with_truth(frame, len(tiles), show))
    return grid(tiles, columns=4, width=width)


def _frame_with_truth(frame: Frame, number: int, show: Sequence[str]) -> np.ndarray:
    truth = {name: result for name, result in frame.truth.items() if not show or result.KIND in show}
    poses = frame.calibration.sensors
    points = [
        cloud.points @ poses[name][:3, :3].T + poses[name][:3, 3]
        for name, cloud in frame.clouds.items()
        if name in poses and (not show or "cloud" in show)
    ]
    if not frame.images:
        picture = bev_picture(next((r for r in truth.values() if r.frame_id == "ego"), None), _PLANE)
        for ego in points:
            picture = cloud_from_above(picture, ego, _PLANE)
        return banner(picture, [(f"{frame.index}", (255,) * 3)])
    name = list(frame.images)[number % len(frame.images)]
    image, camera = frame.images[name], frame.calibration.cameras.get(name)
    if camera is not None and camera.ego_from_camera is not None:
        for ego in points:
            image = cloud_in_picture(image, ego, camera)
    for result in truth.values():
        if result.frame_id in (name, "ego"):
            image = draw_result(image, result, camera)
    return banner(fit(image, 480, 300), [(f"{frame.index} {name}", (255,) * 3)])


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


def _dataset(config: Config, part: str, needed: Sequence[str] = ("picture", "prediction")) -> Browsable:
    config = common(config, TrainOptions())
    if f"{part}_dataloader" not in config:
        raise PerceptionError(f"{config.filename}: no {part}_dataloader")
    resolve_data(config, (part,))
    init_default_scope(config.default_scope)
    settings = config[f"{part}_dataloader"].dataset
    settings.pop("cache_size", None)
    with explain_build_errors(config):
        dataset = DATASETS.build(settings)
    missing = [name for name in needed if not hasattr(dataset, name)]
    if missing:
        raise PerceptionError(f"{type(dataset).__name__} cannot be looked at: it has no {', '.join(missing)}")
    return dataset
