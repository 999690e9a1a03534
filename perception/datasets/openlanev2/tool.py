"""What ``perception data`` knows of OpenLane-V2: whether files are there, well formed and plausible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from perception.datasets.openlanev2.annotation import Annotation
from perception.datasets.openlanev2.dataset import EXPECTED_TREE, listed_files, split_lists
from perception.datasets.openlanev2.frame import RoadFrame, read_frame
from perception.datasets.openlanev2.index import INDEX, build_index
from perception.datasets.openlanev2.names import CAMERAS
from perception.engine.datasets import DatasetTool, Examined, Finding
from perception.errors import InputError
from perception.metrics.openlanev2.io import SEGMENT_SUFFIX, read_object
from perception.metrics.openlanev2.scene import CENTERLINE, LANE_SEGMENT, TRACKS

__all__ = ["OpenLaneV2Tool", "findings"]

RAW_POINTS = 201
AREA_POINTS = 20
CROSSING_POINTS = 5
LARGEST_GAP = 2.0


class OpenLaneV2Tool(DatasetTool):
    """The raw json tree; a record is a file of a frame, ``<split>/<segment>/<timestamp>[-ls]``."""

    name = "openlanev2"
    expected_tree = EXPECTED_TREE

    def records(self, root: Path) -> list[str]:
        """All files below `root`, and those that its split lists name.

        Raises:
            InputError: There are neither files nor lists, or a list is malformed.
        """
        files = {file.relative_to(root) for file in root.glob("*/*/info/*.json")}
        flavours = {file.stem.endswith(SEGMENT_SUFFIX) for file in files} or {False}
        for path in split_lists(root):
            for flavour in flavours:
                listed = listed_files(path, LANE_SEGMENT if flavour else CENTERLINE)
                files |= {file.relative_to(root) for file in listed}
        if not files:
            raise InputError(root, "", f"frames\n{EXPECTED_TREE.rstrip()}", "none")
        return sorted(f"{file.parts[0]}/{file.parts[1]}/{file.stem}" for file in files)

    def files(self, root: Path, record: str) -> list[Path]:
        """The json of the frame."""
        return [_file(root, record)]

    def examine(self, root: Path, record: str) -> Examined:
        """Read one frame."""
        path, track = _file(root, record), _track(record)
        if not path.is_file():
            return Examined((Finding(record, f"the file {path.relative_to(root)} that the split list names", "none"),))
        try:
            frame = read_frame(read_object(path), path, track, record.split("/")[0])
        except InputError as error:
            return Examined((Finding(f"{record}, {error.record}", error.expected, error.found),))
        problems = tuple(
            Finding(f"{record}, {where}", wanted, found, fatal) for where, wanted, found, fatal in findings(frame, root)
        )
        return Examined(problems, _facts(frame))

    def write_index(self, root: Path, out: Path, workers: int) -> Iterator[str]:
        """Write our own index, see :mod:`perception.datasets.openlanev2.index`."""
        for track in TRACKS:
            ending = f"{SEGMENT_SUFFIX}.json" if track == LANE_SEGMENT else ".json"
            if not any(_track(file.stem) == track for file in root.glob(f"*/*/info/*{ending}")):
                continue
            for done, count in build_index(root, out, track, workers):
                yield f"{track}: {done} of {count} segments"
        yield f"index: {out / INDEX}"

    def draw(self, root: Path, record: str) -> np.ndarray:
        """The frame's truth from above and in every camera, (H, W, 3) uint8 RGB."""
        from perception.datasets.openlanev2.draw import draw_frame

        path = _file(root, record)
        return draw_frame(read_frame(read_object(path), path, _track(record), record.split("/")[0]), root=root)


def findings(frame: RoadFrame, root: Path | None = None) -> Iterator[tuple[str, str, str, bool]]:
    """What is doubtful about a readable frame: (where, expected, found, fatal).

    Args:
        frame: A frame as the raw json has it.
        root: Where its pictures should be; None does not look.
    """
    if frame.subset is None:
        yield "sensor", "the cameras of subset A or B", ", ".join(frame.cameras) or "none", False
    elif missing := [name for name in CAMERAS[frame.subset] if name not in frame.cameras]:
        yield "sensor", f"all {len(CAMERAS[frame.subset])} cameras", f"no {', '.join(missing)}", False
    if frame.sd_map:
        yield "sensor", "cameras only", "a map, sd_map; it is left out where cameras are read", False
    if root is not None:
        absent = [path for path in frame.images.values() if not (root / path).is_file()]
        if absent:
            yield "image_path", f"{len(frame.images)} pictures", f"{len(absent)} missing, first {absent[0]}", False
    if frame.annotation is None:
        if frame.split != "test":
            yield "annotation", "truth, which only test frames lack", "none", True
        return
    yield from _lane_findings(frame.annotation)
    yield from _area_findings(frame.annotation)
    yield from _element_findings(frame)


def _lane_findings(annotation: Annotation) -> Iterator[tuple[str, str, str, bool]]:
    scene = annotation.scene
    lines = scene.lanes[0]
    counts = set(np.diff(lines.offsets).tolist())
    if annotation.track == CENTERLINE and counts - {RAW_POINTS}:
        found = ", ".join(map(str, sorted(counts)))
        yield "lane_centerline", f"{RAW_POINTS} points a lane as in raw files", f"{found}: thinned out already?", False
    for i, j in np.argwhere(scene.lane_lane > 0):
        gap = float(np.linalg.norm(lines[i][-1] - lines[j][0]))
        if gap > LARGEST_GAP:
            names = f"lane {annotation.lane_ids[i]!r} to {annotation.lane_ids[j]!r}"
            yield (
                f"topology, {names}",
                f"an end within {LARGEST_GAP:g} m of the next start",
                f"{gap:.1f} m apart",
                False,
            )
    for name, line in zip(annotation.lane_ids, lines):
        if len(line) > 1 and not np.ptp(line, axis=0).any():
            yield f"lane {name!r}", "a line of some length", f"the point {line[0].tolist()} {len(line)} times", False


def _area_findings(annotation: Annotation) -> Iterator[tuple[str, str, str, bool]]:
    scene = annotation.scene
    if not len(scene.areas):
        return
    counts = np.diff(scene.areas.offsets)
    if (counts == AREA_POINTS).all():
        wanted = "raw corners (LaneSegNet's truth of crossings is made from them)"
        yield "area", wanted, f"{AREA_POINTS} points each: resampled already, as in collections *_ls.pkl", False
        return
    for name, label, line in zip(annotation.area_ids, scene.area_labels, scene.areas):
        if label == 1 and (len(line) != CROSSING_POINTS or not np.array_equal(line[0], line[-1])):
            state = "closed" if np.array_equal(line[0], line[-1]) else "open"
            wanted = f"a crossing of {CROSSING_POINTS} points, the last equal to the first"
            yield f"area {name!r}", wanted, f"{len(line)} points, {state}", False


def _element_findings(frame: RoadFrame) -> Iterator[tuple[str, str, str, bool]]:
    annotation = frame.annotation
    if annotation is None or frame.front is None:
        return
    width, height = frame.front.size
    for name, box in zip(annotation.element_ids, annotation.scene.boxes):
        if box[2] <= box[0] or box[3] <= box[1]:
            yield f"traffic_element {name!r}", "top left before bottom right", f"{box.tolist()}", True
        elif box.min() < -1 or box[2] > width + 1 or box[3] > height + 1:
            yield f"traffic_element {name!r}", f"a box in the {width}x{height} picture", f"{box.tolist()}", False


def _facts(frame: RoadFrame) -> dict[str, Any]:
    facts: dict[str, Any] = {"split": frame.split, "track": frame.track, "subset": frame.subset or "?"}
    if (annotation := frame.annotation) is not None:
        scene = annotation.scene
        facts |= {"lanes": len(scene), "lane points": len(scene.lanes[0].points), "elements": len(scene.boxes)}
        facts |= {"lane edges": int(scene.lane_lane.sum()), "element edges": int(scene.lane_element.sum())}
        facts |= {"areas": len(scene.areas), "intersections": int(annotation.intersections.sum())}
    return facts


def _file(root: Path, record: str) -> Path:
    split, segment, stem = record.split("/")
    return root / split / segment / "info" / f"{stem}.json"


def _track(stem: str) -> str:
    return LANE_SEGMENT if stem.endswith(SEGMENT_SUFFIX) else CENTERLINE
