"""OpenLane-V2 frames from the raw json tree, a split list or one json file, and scoring of one against another."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from perception.errors import InputError, PerceptionError
from perception.metrics.openlanev2.breakdown import write_breakdown
from perception.metrics.openlanev2.lanesegnet import lanesegnet_truth
from perception.metrics.openlanev2.pickles import plain, read_pickle
from perception.metrics.openlanev2.records import LANE_KEY, Place, parse_scene, prepare
from perception.metrics.openlanev2.scene import CENTERLINE, LANE_SEGMENT, Scene
from perception.metrics.openlanev2.scoring import Evaluator, evaluate

SEGMENT_SUFFIX = "-ls"
"""Ends the file names of lane-segment frames, ``<timestamp>-ls.json``."""

Key = tuple[str, str]
Side = Literal["truth", "prediction"]


@dataclass(frozen=True)
class Frames:
    """Frames of one side; files are read when a frame is asked for.

    Attributes:
        path: What was opened.
        track: ``"centerline"`` or ``"lane_segment"``.
        entries: (segment id, timestamp) -> file of the frame, or the frame itself.
        prepare: What makes raw annotation ready for scoring.
    """

    path: Path
    track: str
    entries: Mapping[Key, Path | Mapping[str, Any]]
    prepare: Callable[[Scene], Scene] = prepare

    def scene(self, key: Key, side: Side) -> Scene:
        """Read a frame.

        Args:
            key: Segment id and timestamp.
            side: ``"truth"`` reads the block ``annotation``; ``"prediction"`` reads ``predictions`` or, to score truth
                against itself, ``annotation`` with confidence 1. Raw annotation is thinned out, see ``prepare``.

        Raises:
            InputError: Names file, frame and object.
        """
        entry = self.entries[key]
        place = Place(entry if isinstance(entry, Path) else self.path, "/".join(key))
        record = read_object(entry) if isinstance(entry, Path) else entry
        predicted = side == "prediction" and "predictions" in record
        block = record.get("predictions" if predicted else "annotation")
        if not isinstance(block, Mapping):
            wanted = "annotation (test frames have none)" if side == "truth" else "predictions or annotation"
            raise place.error("the frame", f"an object {wanted}", ", ".join(sorted(record)) or "nothing")
        scene = parse_scene(place, block, self.track, predicted)
        try:
            return scene if predicted else self.prepare(scene)
        except InputError:
            raise
        except PerceptionError as error:
            raise InputError(place.path, f"frame {place.frame}", "", str(error)) from error


def open_frames(path: Path, track: str | None = None, trust: bool = False) -> Frames:
    """Find the frames below a path.

    Args:
        path: A folder that holds ``<split>/<segment>/info/<timestamp>[-ls].json``; a split list
            ``{split: {segment: [file, ...]}}`` that lies in such a folder; or one json file, either a frame or
            ``{"results": {"<split>/<segment>/<timestamp>": {"predictions" or "annotation": ...}}}``; or an official
            pickle, a result file or a collection.
        track: ``"centerline"`` or ``"lane_segment"``; None takes centerlines where there are any.
        trust: Open pickles.

    Raises:
        InputError: No frame there, a listed file that does not exist, a frame that occurs twice.
    """
    if path.is_dir():
        return _tree(path, track)
    content = plain(read_pickle(path, trust)) if path.suffix == ".pkl" else read_object(path)
    results = content.get("results")
    if results is None and content and all(isinstance(key, tuple) for key in content):
        results = content  # a collection
    if isinstance(results, Mapping):
        named = [(result_key(path, name), _mapping(path, name, frame)) for name, frame in results.items()]
        return Frames(path, track or _track(named), _unique(path, named))
    if "annotation" in content or "predictions" in content:
        found = [((str(content.get("segment_id")), str(content.get("timestamp"))), content)]
        return Frames(path, track or _track(found), dict(found))
    return _split_list(path, content, track)


def evaluate_paths(
    pred: Path,
    gt: Path,
    version: str = "v2.1",
    track: str | None = None,
    threads: int = 1,
    per_frame: bool = False,
    trust: bool = False,
    out: Path | None = None,
    lanesegnet: bool = False,
) -> dict[str, Any]:
    """Score predictions against truth, both as :func:`open_frames` takes them.

    Args:
        pred: Predictions.
        gt: Truth.
        version: Release whose definition is used.
        track: ``"centerline"`` or ``"lane_segment"``; None takes centerlines where there are any.
        threads: How many frames are scored side by side.
        per_frame: Add ``per_frame``, the scores of every frame on its own, worst total first.
        trust: Open pickles.
        lanesegnet: Prepare raw truth as LaneSegNet's own evaluator does, see :func:`lanesegnet_truth`.
        out: Folder that receives the report with everything in it, see :func:`write_breakdown`.

    Returns:
        The report of :func:`perception.metrics.openlanev2.evaluate`.

    Raises:
        InputError: A frame of the truth has no prediction, a predicted frame no truth, or one is malformed.
    """
    truths = open_frames(gt, LANE_SEGMENT if lanesegnet else track, trust)
    predictions = open_frames(pred, truths.track, trust)
    if lanesegnet:
        truths, predictions = (replace(frames, prepare=lanesegnet_truth) for frames in (truths, predictions))
    _check_same_frames(truths, predictions)
    keys = sorted(truths.entries)
    alone: list[dict[str, Any]] = []
    evaluator = Evaluator(truths.track, version)
    per_frame = per_frame or out is not None
    report = evaluate(
        ((truths.scene(key, "truth"), predictions.scene(key, "prediction")) for key in keys),
        truths.track,
        version,
        threads,
        alone.append if per_frame else None,
        evaluator,
    )
    if per_frame:
        rows = [{"frame": "/".join(key), **one["scores"], **one["extra"]} for key, one in zip(keys, alone)]
        total = list(report["scores"])[-1]
        report["per_frame"] = sorted(rows, key=lambda row: row[total])
    if out is not None:
        write_breakdown(out, report, evaluator.curves())
    return report


def _check_same_frames(truths: Frames, predictions: Frames) -> None:
    missing, unknown = truths.entries.keys() - predictions.entries, predictions.entries.keys() - truths.entries
    for keys, expected, found in (
        (missing, f"a prediction for each of the {len(truths.entries)} frames of {truths.path}", "none"),
        (unknown, f"only frames of {truths.path}", "a prediction"),
    ):
        if keys:
            others = f" for it and {len(keys) - 1} other frames" if len(keys) > 1 else ""
            raise InputError(predictions.path, f"frame {'/'.join(min(keys))}", expected, found + others)


def read_object(path: Path) -> Mapping[str, Any]:
    """Return the object in a json file.

    Raises:
        InputError: The file cannot be read, is no json, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "", "json", str(error)) from error
    if not isinstance(content, Mapping):
        raise InputError(path, "", "a json object", type(content).__name__)
    return content


def _mapping(path: Path, name: str, frame: Any) -> Mapping[str, Any]:
    if not isinstance(frame, Mapping):
        raise InputError(path, f"frame {name}", "an object", type(frame).__name__)
    return frame


def result_key(path: Path, name: str | tuple[str, ...]) -> Key:
    """Segment and timestamp of ``"<split>/<segment>/<timestamp>"``, or of a tuple as pickles have.

    Raises:
        InputError: The name has another form.
    """
    parts = [str(part) for part in name] if isinstance(name, tuple) else str(name).split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise InputError(path, "results", "keys <split>/<segment>/<timestamp>", repr(name))
    return parts[-2], parts[-1]


def _track(found: list[tuple[Key, Mapping[str, Any]]]) -> str:
    blocks = [frame.get("predictions", frame.get("annotation")) for _, frame in found[:1]]
    lanes = LANE_KEY[LANE_SEGMENT]
    return LANE_SEGMENT if any(isinstance(block, Mapping) and lanes in block for block in blocks) else CENTERLINE


def _unique(path: Path, found: list[tuple[Key, Any]]) -> dict[Key, Any]:
    entries: dict[Key, Any] = {}
    for key, entry in found:
        if key in entries:
            raise InputError(path, f"frame {'/'.join(key)}", "each segment and timestamp once", "it twice")
        entries[key] = entry
    if not entries:
        raise InputError(path, "", "at least one frame", "none")
    return entries


def _tree(root: Path, track: str | None) -> Frames:
    files = sorted(root.glob("*/*/info/*.json"))
    centerlines = [file for file in files if not file.stem.endswith(SEGMENT_SUFFIX)]
    track = track or (CENTERLINE if centerlines or not files else LANE_SEGMENT)
    if track == LANE_SEGMENT:
        files = [file for file in files if file.stem.endswith(SEGMENT_SUFFIX)]
    else:
        files = centerlines
    if not files:
        ending = f"{SEGMENT_SUFFIX if track == LANE_SEGMENT else ''}.json"
        raise InputError(root, "", f"frames <split>/<segment>/info/<timestamp>{ending}", "none")
    return Frames(root, track, _unique(root, [(_file_key(file), file) for file in files]))


def _file_key(file: Path) -> Key:
    return file.parent.parent.name, file.stem.removesuffix(SEGMENT_SUFFIX)


def _split_list(path: Path, content: Mapping[str, Any], track: str | None) -> Frames:
    """Open the frames of a split list; its timestamps name the centerline files."""
    track = track or CENTERLINE
    found: list[tuple[Key, Path]] = []
    for split, segments in content.items():
        if not isinstance(segments, Mapping) or not all(isinstance(names, list) for names in segments.values()):
            raise InputError(
                path, split, "results, a frame, or a split list {split: {segment: [file, ...]}}", "another"
            )
        for segment, name in ((segment, name) for segment, names in segments.items() for name in names):
            stem = PurePosixPath(str(name)).name.removesuffix(".json").removesuffix(SEGMENT_SUFFIX)
            ending = SEGMENT_SUFFIX if track == LANE_SEGMENT else ""
            file = path.parent / split / segment / "info" / f"{stem}{ending}.json"
            if not file.resolve().is_relative_to(path.parent.resolve()):
                raise InputError(path, f"{split}/{segment}/{name}", "a file below the list's folder", "one outside")
            if not file.is_file():
                raise InputError(path, f"{split}/{segment}/{name}", f"the file {file}", "nothing")
            found.append(((segment, stem), file))
    return Frames(path, track, _unique(path, found))
