"""Pictures from above: what the networks see, what they say, and what then happened."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from .windows import Window, WindowSettings

COLORS = np.array([[30, 30, 34], [92, 92, 104], [200, 178, 120], [235, 92, 60], [90, 200, 250]], np.uint8)
"""RGB of unknown, ground, static, vehicle, person."""
MISSED, FALSE, RIGHT = (250, 190, 60), (225, 70, 160), (120, 220, 120)


def to_image(maps: np.ndarray) -> np.ndarray:
    """Turn a map (H, W, ...), row = x forward, column = y left, so that forward is up and left is left."""
    return np.ascontiguousarray(maps[::-1, ::-1])


def classes_picture(classes: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB of class indices, -1 = unknown, forward up."""
    return to_image(COLORS[np.clip(classes.astype(np.int64) + 1, 0, len(COLORS) - 1)])


def input_picture(inputs: Tensor, settings: WindowSettings) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a stack: the newest map white, older ones fade into blue, forward up."""
    stack = inputs[: settings.frames].float().numpy()
    age = np.linspace(0.15, 0.6, settings.frames)[:, None, None]
    trail = (stack * age).max(0)
    rgb = np.stack([stack[-1] * 0.9, np.maximum(trail * 0.5, stack[-1] * 0.9), np.maximum(trail, stack[-1])], axis=-1)
    return to_image((255 * np.clip(rgb, 0, 1)).astype(np.uint8))


def agreement_picture(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB: green = right, pink = false alarm, yellow = missed, grey = seen and free, forward up."""
    rgb = np.zeros((*truth.shape, 3), np.uint8)
    rgb[mask.astype(bool)] = (52, 52, 58)
    predicted, truth, seen = predicted.astype(bool), truth.astype(bool), mask.astype(bool)
    rgb[predicted & ~truth & seen], rgb[~predicted & truth & seen], rgb[predicted & truth & seen] = FALSE, MISSED, RIGHT
    rgb[predicted & ~seen] = (70, 40, 60)
    return to_image(rgb)


def panel(pictures: Sequence[np.ndarray], titles: Sequence[str], scale: int = 3, columns: int = 3) -> np.ndarray:
    """Pictures of one size side by side under their titles, uint8 RGB."""
    tiles = []
    for picture, title in zip(pictures, titles):
        big = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        tile = np.zeros((big.shape[0] + 26, big.shape[1] + 8, 3), np.uint8)
        tile[22:-4, 4:-4] = big
        cv2.putText(tile, title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
        tiles.append(tile)
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def window_panel(
    window: Window,
    settings: WindowSettings,
    classes: np.ndarray | None = None,
    occupancy: np.ndarray | None = None,
    threshold: float = 0.5,
) -> np.ndarray:
    """A window with what was predicted: input, classes (truth, prediction) and each horizon against what happened.

    Args:
        window: The window.
        settings: It was made with these.
        classes: (H, W) predicted classes.
        occupancy: (K, H, W) predicted probabilities.
        threshold: From which on a cell counts as occupied.
    """
    pictures = [input_picture(window.inputs, settings), classes_picture(window.classes.numpy())]
    titles = [f"last {settings.frames} sweeps", "classes, truth"]
    if classes is not None:
        pictures.append(classes_picture(np.where(window.seen.numpy() > 0, classes, -1)))
        titles.append("classes, predicted")
    for k, horizon in enumerate(settings.horizons if occupancy is not None else ()):
        assert occupancy is not None
        truth, mask = window.future[k].numpy(), window.mask[k].numpy()
        pictures.append(agreement_picture(occupancy[k] >= threshold, truth, mask))
        titles.append(f"occupied in {horizon:g} s: right, false, missed")
    return panel(pictures, titles)
