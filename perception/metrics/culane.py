"""CULane F1, equal to the official evaluator to the last digit (spec ganet section 7.1).

Every lane is drawn as a thick curve; lanes are matched one to one by the IoU of their pixels, and a matched pair
above the threshold is a true positive. Counts are summed over images before precision, recall and F1 are formed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from perception.errors import InputError
from perception.metrics.assignment import kuhn_munkres
from perception.ops.lane_iou import iou_matrix

WIDTH = 30
SIZE = (1640, 590)
CATEGORIES = ("normal", "crowd", "hlight", "shadow", "noline", "arrow", "curve", "cross", "night")
SUFFIX = ".lines.txt"
MEAN_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Thresholds over which mF1 is the mean."""


class Counts(NamedTuple):
    """True positives, false positives and false negatives."""

    tp: int
    fp: int
    fn: int


@dataclass(frozen=True)
class Scores:
    """Counts of a set of images and what follows from them.

    Attributes:
        images: Number of images.
        tp: True positives.
        fp: False positives.
        fn: False negatives.
        precision: tp / (tp + fp), -1 when undefined.
        recall: tp / (tp + fn), -1 when undefined (the "cross" category has no ground truth; look at ``fp`` there).
        f1: Harmonic mean of the two.
    """

    images: int
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float


def precision_recall(tp: int, fp: int, fn: int) -> tuple[float, float]:
    """Return precision and recall; -1 stands for an undefined value, as the official tool prints it."""
    return (tp / (tp + fp) if tp + fp else -1.0), (tp / (tp + fn) if tp + fn else -1.0)


def f1(tp: int, fp: int, fn: int) -> float:
    """Return 2PR / (P + R) of ``precision_recall``; 0 without a true positive (the official tool may print NaN)."""
    precision, recall = precision_recall(tp, fp, fn)
    return 2 * precision * recall / (precision + recall) if tp else 0.0


def parse_lanes(text: str, path: str | Path = "<text>") -> list[np.ndarray]:
    """Read the lanes of a ``.lines.txt`` file.

    Args:
        text: One lane a line, ``x y x y ...`` in pixels. A blank line is a lane without points, and counts as one.
        path: Named in errors.

    Returns:
        (N, 2) float32 arrays, N may be 0.

    Raises:
        InputError: A value that is not a finite number, or an odd number of values in a line.
    """
    lines = text.split("\n")
    if not lines[-1].strip():
        lines.pop()
    return [_parse_line(line, path, number) for number, line in enumerate(lines, 1)]


def _parse_line(line: str, path: str | Path, number: int) -> np.ndarray:
    words = line.split()
    try:
        values = np.array(words, np.float64)
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        raise InputError(path, f"line {number}", "numbers 'x y x y ...'", repr(wrong)) from None
    if not np.isfinite(values).all():
        wrong = words[int(np.argmin(np.isfinite(values)))]
        raise InputError(path, f"line {number}", "finite numbers", repr(wrong))
    if len(values) % 2:
        raise InputError(path, f"line {number}", "an even number of values 'x y x y ...'", f"{len(values)} values")
    return values.astype(np.float32).reshape(-1, 2)


def _is_number(word: str) -> bool:
    try:
        np.array([word], np.float64)
    except ValueError:
        return False
    return True


def read_lanes(path: str | Path) -> list[np.ndarray]:
    """Read the lanes of a file; a missing file means no lanes.

    Raises:
        InputError: See ``parse_lanes``; also for a file that is not text.
    """
    try:
        return parse_lanes(Path(path).read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise InputError(path, "", "text", f"byte {error.object[error.start]:#x} at offset {error.start}") from None


def scale_lanes(
    lanes: Iterable[np.ndarray], from_size: tuple[int, int], to_size: tuple[int, int] = SIZE
) -> list[np.ndarray]:
    """Scale (N, 2) xy pixel lanes from an image of ``from_size`` (width, height) to one of ``to_size``."""
    factor = np.array([to_size[0] / from_size[0], to_size[1] / from_size[1]])
    return [(np.asarray(lane, np.float64).reshape(-1, 2) * factor).astype(np.float32) for lane in lanes]


def match_counts(similarity: np.ndarray, ious: Sequence[float]) -> list[Counts]:
    """Match ground truth with predictions and count.

    Args:
        similarity: (G, P) float64 IoU of each ground-truth lane with each prediction.
        ious: Thresholds; a true positive lies strictly above.

    Returns:
        One ``Counts`` a threshold.
    """
    truth, predicted = similarity.shape
    if not truth or not predicted:
        return [Counts(0, predicted, truth) for _ in ious]
    columns = kuhn_munkres(similarity)
    rows = np.flatnonzero(columns >= 0)
    matched = similarity[rows, columns[rows]]
    hits = [int((matched > iou).sum()) for iou in ious]
    return [Counts(tp, predicted - tp, truth - tp) for tp in hits]


def image_counts(
    pred_lanes: Sequence[np.ndarray],
    gt_lanes: Sequence[np.ndarray],
    iou: float = 0.5,
    width: int = WIDTH,
    size: tuple[int, int] = SIZE,
) -> Counts:
    """Count one image.

    Args:
        pred_lanes: Predicted lanes, (N, 2) xy pixels each; lanes of fewer than two points match nothing and still
            count.
        gt_lanes: True lanes.
        iou: A true positive has an IoU strictly above.
        width: Thickness of a drawn lane in pixels.
        size: (width, height) of the image; scale lanes of other images to the default with ``scale_lanes``.

    Returns:
        (tp, fp, fn).
    """
    return image_counts_at(pred_lanes, gt_lanes, (iou,), width, size)[0]


def image_counts_at(
    pred_lanes: Sequence[np.ndarray],
    gt_lanes: Sequence[np.ndarray],
    ious: Sequence[float],
    width: int = WIDTH,
    size: tuple[int, int] = SIZE,
) -> list[Counts]:
    """Count one image at several IoU thresholds; see ``image_counts``."""
    if not len(pred_lanes) or not len(gt_lanes):
        return [Counts(0, len(pred_lanes), len(gt_lanes)) for _ in ious]
    return match_counts(iou_matrix(gt_lanes, pred_lanes, width, size), ious)


def summarize(counts: Iterable[Counts]) -> Scores:
    """Sum the counts of images and form precision, recall and F1."""
    rows = list(counts)
    tp, fp, fn = (sum(column) for column in zip(*rows)) if rows else (0, 0, 0)
    return Scores(len(rows), tp, fp, fn, *precision_recall(tp, fp, fn), f1(tp, fp, fn))


def read_list(path: str | Path) -> list[str]:
    """Read an image list: one path a line, with or without a leading ``/``; what follows a blank is ignored.

    Returns:
        Result files relative to the data root, ``driver_x/y.lines.txt``.

    Raises:
        InputError: No such file, or an entry that leaves the root.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(path, "", "an image list", error.strerror or str(error)) from None
    return list(_entries(lines, path))


def _entries(lines: Iterable[str], path: str | Path) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            name = PurePosixPath(line.split()[0].lstrip("/"))
            if ".." in name.parts:
                raise InputError(path, f"line {number}", "an image path below the data root", repr(line.strip()))
            yield str(name.with_suffix(SUFFIX)) if name.suffix != ".txt" else str(name)


def default_lists(gt: str | Path) -> dict[str, list[str]]:
    """Return category -> result files of a ground-truth folder.

    The nine official lists when ``list/test_split`` has them, else ``list/test.txt``, else one list of every
    ``.lines.txt``.

    Raises:
        InputError: Nothing of these is there.
    """
    root = Path(gt)
    split = root / "list" / "test_split"
    if split.is_dir():
        return {list_name(path): read_list(path) for path in sorted(split.glob("*.txt"))}
    if (root / "list" / "test.txt").is_file():
        return {"test": read_list(root / "list" / "test.txt")}
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob(f"*{SUFFIX}"))
    if not files:
        raise InputError(gt, "", f"*{SUFFIX} files or list/test_split/*.txt", "none")
    return {"all": files}


def list_name(path: str | Path) -> str:
    """Return the category of a list file: ``test4_noline.txt`` -> ``noline``."""
    return re.sub(r"^test\d+_", "", Path(path).stem)


def evaluate_folders(
    pred: str | Path,
    gt: str | Path,
    lists: Mapping[str, Sequence[str]] | None = None,
    ious: Sequence[float] = (0.5,),
    width: int = WIDTH,
    size: tuple[int, int] = SIZE,
) -> dict[float, dict[str, Scores]]:
    """Score a folder of result files.

    Args:
        pred: Folder of predictions, ``<image>.lines.txt`` in the tree of the ground truth. A missing file means no
            lanes.
        gt: Folder of the ground truth.
        lists: Category -> result files relative to both folders; None takes ``default_lists(gt)``.
        ious: IoU thresholds.
        width: Thickness of a drawn lane in pixels.
        size: (width, height) of the images.

    Returns:
        Threshold -> category -> scores, and ``"total"`` over the distinct images of all lists.

    Raises:
        InputError: A folder or list is missing or a file is malformed.
    """
    for folder in (pred, gt):
        if not Path(folder).is_dir():
            raise InputError(folder, "", "a folder", "a file" if Path(folder).exists() else "nothing")
    categories = dict(lists) if lists is not None else default_lists(gt)
    files = dict.fromkeys(name for names in categories.values() for name in names)
    counts: dict[str, list[Counts]] = {}
    for name in files:
        truth, lanes = read_lanes(Path(gt) / name), read_lanes(Path(pred) / name)
        counts[name] = image_counts_at(lanes, truth, ious, width, size)
    categories["total"] = list(files)
    return {
        iou: {category: summarize(counts[name][i] for name in names) for category, names in categories.items()}
        for i, iou in enumerate(ious)
    }


def report_to_dict(report: Mapping[float, Mapping[str, Scores]]) -> dict[str, dict[str, dict[str, float]]]:
    """Turn the result of ``evaluate_folders`` into plain dictionaries for JSON: threshold -> category -> numbers."""
    return {f"{iou:g}": {name: asdict(scores) for name, scores in rows.items()} for iou, rows in report.items()}
