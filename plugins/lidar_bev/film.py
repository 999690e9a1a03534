"""A film of what was predicted for every sweep of a drive against what then happened.

``python -m perception.plugins.lidar_bev.film CONFIG WEIGHTS DRIVE OUT.mp4`` writes it, and the first picture beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from perception.engine.checkpoint import load_weights
from perception.engine.config import load_config
from perception.errors import InputError
from perception.registry import MODELS
from perception.sinks.storage import write_file
from perception.sinks.video import available_codec

from . import components
from .dataset import drive_windows
from .draw import window_panel
from .model import ParallelPerception
from .windows import Window, WindowSettings

__all__ = ["components", "film", "main"]


@torch.inference_mode()
def pictures(model: ParallelPerception, windows: Iterable[Window], settings: WindowSettings) -> Iterable[np.ndarray]:
    """A picture a window, uint8 RGB, see :func:`~perception.plugins.lidar_bev.draw.window_panel`."""
    for window in windows:
        outputs = model(window.inputs[None].float())
        classes = outputs["segmentation"][0].argmax(0).numpy()
        yield window_panel(window, settings, classes, outputs["evolution"][0].sigmoid().numpy())


def film(path: Path, images: Iterable[np.ndarray], rate: int = 5) -> int:
    """Write pictures of one size as an mp4; returns how many there were."""
    import av

    count = 0
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(available_codec(), rate=rate)
        for image in images:
            if not count:
                stream.height, stream.width = (side // 2 * 2 for side in image.shape[:2])
                stream.pix_fmt = "yuv420p"
            even = np.ascontiguousarray(image[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            if not count:
                _, code = cv2.imencode(".png", even[..., ::-1])
                write_file(path.with_suffix(".png"), code.tobytes())
            count += 1
        container.mux(stream.encode(None))
    return count


def main(arguments: list[str] | None = None) -> int:
    """Command line.

    Raises:
        InputError: The drive has no window with a future.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("config", "weights", "drive"):
        parser.add_argument(name)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(arguments)
    config = load_config(args.config)
    settings = WindowSettings.of(config.window)
    model: ParallelPerception = MODELS.build(dict(config.model))
    load_weights(model.eval(), args.weights)
    windows = drive_windows(args.drive, settings)
    if not windows:
        raise InputError(args.drive, "", f"{settings.frames} sweeps with poses and one after them", "no such window")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print(f"{film(args.out, pictures(model, windows, settings))} pictures in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
