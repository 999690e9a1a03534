"""Look at real pictures: are both lines of the ego lane found, and what do the misses look like?

Reads labels like tests/fixtures/highway_lanes.json: for each clip or folder of pictures the x of both lines at a few
rows. Prints the share found and draws the worst frames, labels in white, predictions in colour. ``--change`` makes the
pictures harder first: what a model trained on simulated roads owes to luck shows there.

    python tools/ego_lines.py tests/fixtures/highway_lanes.json FOLDER --out out/ego_lines
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from perception.metrics.ego_lines import line_error
from perception.plugin import load
from perception.registry import STAGES
from perception.sources import open_drive
from perception.structures import Lanes2D
from perception.viz.results import draw_result

TOLERANCE = 20.0


def _shift(image: np.ndarray, share: float) -> np.ndarray:
    """Move the picture down by a share of its height, as another mounting would; grey fills what it leaves."""
    matrix = np.array([[1, 0, 0], [0, 1, share * image.shape[0]]], np.float64)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderValue=(60, 60, 60))


def _jpeg(image: np.ndarray) -> np.ndarray:
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 8])[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))


CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "none": (lambda image: image, 0.0),
    "dark": (lambda image: (255 * 0.3 * (image / 255.0) ** 1.5).astype(np.uint8), 0.0),
    "bright": (lambda image: np.clip(image * 1.3 + 60.0, 0, 255).astype(np.uint8), 0.0),
    "grey": (lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2), 0.0),
    "blur": (lambda image: cv2.GaussianBlur(image, (0, 0), 3.5), 0.0),
    "jpeg": (_jpeg, 0.0),
    "up": (lambda image: _shift(image, -0.1), -0.1),
    "down": (lambda image: _shift(image, 0.1), 0.1),
}
"""Name -> change of an RGB picture, and by which share of the height it moves down."""


def frame_error(lanes: Lanes2D, label: dict[str, list[float]], rows: list[float]) -> float:
    """Pixels by which the worse of the two lines is missed by the best lane for it; infinity when nothing is near."""
    best = (min((line_error(lane, label[side], rows) for lane in lanes.lanes), default=np.inf) for side in label)
    return float(max(best))


def measure(
    stage: Any, labels: dict[str, Any], name: str, root: Path, change: str
) -> list[tuple[float, str, np.ndarray]]:
    """Error, key and drawing of every labelled frame of a clip or folder."""
    truth, out = labels["sets"][name], []
    harder, moved = CHANGES[change]
    rows = [row + moved * labels["size"][1] for row in labels["rows"]]
    with open_drive(str(root / name)) as drive:
        for frame in drive:
            key = str(frame.index) if str(frame.index) in truth else Path(frame.provenance.record).name
            if key not in truth:
                continue
            image = harder(next(iter(frame.images.values())))
            lanes = stage.detect(image)
            error = frame_error(lanes, truth[key], rows)
            out.append((error, key, _draw(image, lanes, truth[key], rows, error)))
    return out


def _draw(
    image: np.ndarray, lanes: Lanes2D, label: dict[str, list[float]], rows: list[float], error: float
) -> np.ndarray:
    picture = np.ascontiguousarray(draw_result(image, lanes))
    for xs in label.values():
        points = np.stack([xs, rows], axis=1).round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(picture, [points], isClosed=False, color=(255, 255, 255), thickness=1, lineType=cv2.LINE_AA)
    text = f"{error:.1f} px" if np.isfinite(error) else "missed"
    cv2.putText(picture, text, (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
    return picture


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("root", type=Path, help="folder that the names in the labels are relative to")
    parser.add_argument("--config", default="lane_detection/ganet_tiny_sim.py")
    parser.add_argument("--weights", default="ganet_tiny_sim.safetensors")
    parser.add_argument("--change", choices=CHANGES, nargs="+", default=["none"])
    parser.add_argument("--out", type=Path, default=Path("out/ego_lines"))
    parser.add_argument("--count", type=int, default=6, help="frames to draw of each set, worst first (6)")
    args = parser.parse_args()
    load("lane_detection")
    stage = STAGES.get("LaneDetectionStage")(args.config, args.weights)
    labels = json.loads(args.labels.read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    for change, name in itertools.product(args.change, labels["sets"]):
        frames = measure(stage, labels, name, args.root, change)
        errors = np.array([error for error, _, _ in frames])
        found = int((errors <= TOLERANCE).sum())
        print(f"{name} {change}: both lines within {TOLERANCE:g} px in {found} of {len(frames)} frames", end=", ")
        print(f"median error {np.median(errors):.1f} px")
        for error, key, picture in sorted(frames, key=lambda item: -item[0])[: args.count]:
            path = args.out / f"{change}_{name.replace('/', '_')}_{key}.png"
            cv2.imwrite(str(path), picture[..., ::-1])
            print(f"  {error:6.1f} px  {path}")


if __name__ == "__main__":
    main()
