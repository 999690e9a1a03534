"""Towns in the layout of OpenLane-V2 (spec openlanev2_metrics section 1): pictures, both kinds of truth, lists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from perception.datasets.openlanev2.annotation import Annotation
from perception.datasets.openlanev2.names import category_of
from perception.errors import PerceptionError
from perception.jobs import run_jobs
from perception.metrics.openlanev2.scene import TRACKS, Scene
from perception.ops.polyline_distance import Polylines, join, pack, resample
from perception.sim import presets
from perception.sim.city.drive import TownDrive, TownSample
from perception.sim.city.sensors.rigs import DEFAULT_SIZES
from perception.sim.city.truth import lanes_in
from perception.sim.city.truth_objects import elements_in_picture
from perception.sim.drive import START_NS
from perception.sim.writers import Request, check_request
from perception.sinks.storage import write_file
from perception.structures import Camera, LaneGraph, LaneSegments

__all__ = ["write", "write_openlanev2"]

RIGS = {"ring7": ("A", 1), "nuscenes6": ("B", 1000)}
"""Rig -> subset, and nanoseconds in a unit of its time stamps."""
RAW_POINTS = 201
DECIMALS = 4
JPEG_QUALITY = 92
SPLITS = ("train", "val", "test")


class _Job(NamedTuple):
    root: str
    split: str
    segment: str
    seed: int
    frames: int
    preset: str
    rig: str
    size: tuple[int, int]
    rate_hz: float


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format openlanev2``.

    Options: ``split`` (``auto``: of ten scenes eight are for training, two for validation; or one of train, val,
    test), ``rate``: frames a second, 2 as in the original.
    """
    if request.world == "road" or request.lidar:
        raise PerceptionError("simulate: --format openlanev2 shows towns through cameras: no --world road, no --lidar")
    options = request.option({"split": "auto", "rate": "2"})
    try:
        rate = float(options["rate"])
    except ValueError:
        raise PerceptionError(f"simulate: --option rate: expected a number, found {options['rate']!r}") from None
    yield from write_openlanev2(
        request.out,
        request.scenes,
        10 if request.frames is None else request.frames,
        request.seed,
        request.preset,
        request.rig or "ring7",
        request.size,
        rate,
        options["split"],
        request.workers,
    )


def write_openlanev2(
    out: str | Path,
    scenes: int,
    frames: int = 10,
    seed: int = 0,
    preset: str = "random",
    rig: str = "ring7",
    size: tuple[int, int] | None = None,
    rate_hz: float = 2.0,
    split: str = "auto",
    workers: int = 1,
) -> Iterator[str]:
    """Write ``scenes`` segments, named by their seed; frames that exist are kept.

    Cameras carry ``image_size`` beside the official keys, because pictures are smaller than the original ones.

    Args:
        out: Root folder of the dataset.
        scenes: Number of segments; segment ``i`` is the town of seed ``seed + i``.
        frames: Frames a segment.
        seed: First seed.
        preset: ``day``, ``night``, ``rain`` or ``random``.
        rig: ``ring7`` makes subset A, ``nuscenes6`` the camera names and microseconds of subset B.
        size: (width, height) of landscape pictures; None takes that of the rig.
        rate_hz: Frames a second.
        split: ``auto``, ``train``, ``val`` or ``test``; test frames have no annotation.
        workers: Processes; files do not depend on it.

    Yields:
        The folder of each segment as soon as it is complete, then the split list.

    Raises:
        PerceptionError: Numbers out of range, unknown names, or the disk cannot be written.
    """
    check_request(scenes, frames, seed)
    presets.get(preset)
    if rig not in RIGS:
        raise PerceptionError(f"simulate: --format openlanev2: expected the rig {' or '.join(RIGS)}, found {rig!r}")
    if split not in ("auto", *SPLITS):
        raise PerceptionError(f"simulate: --option split: expected auto, {', '.join(SPLITS)}, found {split!r}")
    if not 0 < rate_hz <= 1000 or size == (0, 0):
        raise PerceptionError(f"simulate: expected rate > 0 and one size, found {rate_hz} and {size}")
    jobs = []
    for index in range(scenes):
        part = ("val" if index % 10 >= 8 else "train") if split == "auto" else split
        name = f"{seed + index:05d}"
        jobs.append(_Job(str(out), part, name, seed + index, frames, preset, rig, size or DEFAULT_SIZES[rig], rate_hz))
    for job, _ in zip(jobs, run_jobs(_write_segment, jobs, workers)):
        yield str(Path(job.root) / job.split / job.segment)
    target = Path(out) / f"data_dict_subset_{RIGS[rig][0]}.json"
    write_file(target, json.dumps(_split_list(Path(out), RIGS[rig][0]), indent=1).encode())
    yield str(target)


def _write_segment(job: _Job) -> None:
    folder = Path(job.root) / job.split / job.segment
    drive: TownDrive | None = None
    for index in range(job.frames):
        stamp = (START_NS + round(index * 1e9 / job.rate_hz)) // RIGS[job.rig][1]
        if (folder / "info" / f"{stamp}-ls.json").is_file():  # the last file of a frame
            continue
        if drive is None:
            truth = ("lane_segments", "lane_graph")
            drive = TownDrive(job.seed, job.preset, job.frames, job.rate_hz, job.rig, size=job.size, truth=truth)
        _write_frame(job, folder, drive, drive.sample(index), stamp)


def _write_frame(job: _Job, folder: Path, drive: TownDrive, sample: TownSample, stamp: int) -> None:
    """Write pictures first and the json last, so that a frame that is listed is whole."""
    sensors = {}
    for name, image in sample.frame.images.items():
        path = folder / "image" / name / f"{stamp}.jpg"
        _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_file(path, code.tobytes())
        sensors[name] = _sensor(drive.cameras[name], path.relative_to(job.root).as_posix())
    record: dict[str, Any] = {
        "version": "simulated",
        "segment_id": job.segment,
        "meta_data": {"source": "perception simulate", "source_id": f"town {job.preset} {job.seed}"},
        "timestamp": stamp,
        "sensor": sensors,
        "pose": {"rotation": sample.ego[:3, :3].tolist(), "translation": sample.ego[:3, 3].tolist()},
    }
    for track, annotation in zip(TRACKS, annotate(drive, sample)):
        content = record if job.split == "test" else {**record, "annotation": annotation.to_block()}
        ending = "-ls.json" if track == "lane_segment" else ".json"
        write_file(folder / "info" / f"{stamp}{ending}", json.dumps(content).encode())


def annotate(drive: TownDrive, sample: TownSample) -> tuple[Annotation, Annotation]:
    """Centerlines (201 points each) and lane segments of a frame, lanes in the same order and under the same ids."""
    truth = sample.frame.truth
    graph, segments = truth["ego/lane_graph"], truth["ego/lane_segments"]
    assert isinstance(graph, LaneGraph) and isinstance(segments, LaneSegments)
    lanes = [lane for lane, _ in lanes_in(drive.town, sample.ego, drive.region)]
    front = next(iter(drive.cameras))
    found, ids = elements_in_picture(drive.town, drive.cameras[front], sample.ego, sample.views[front])
    common: dict[str, Any] = {
        "lane_ids": tuple(str(lane.id) for lane in lanes),
        "intersections": np.array([lane.intersection >= 0 for lane in lanes], bool),
        "element_ids": tuple(f"element {number}" for number in ids.tolist()),
        "categories": np.array([category_of(label) for label in found.labels.tolist()], np.int64),
    }
    boxes = np.round(found.boxes.astype(np.float64), 2)
    parts: dict[str, Any] = {
        "lane_scores": np.ones(len(lanes)),
        "lane_lane": graph.lane_lane,
        "boxes": boxes,
        "box_labels": found.labels,
        "box_scores": np.ones(len(boxes)),
        "lane_element": graph.lane_element,
    }
    raw = resample(pack(graph.centerlines), RAW_POINTS)
    centerlines = Scene((_rounded(join(raw.reshape(-1, 3), [RAW_POINTS] * len(lanes))),), **parts)
    sides = tuple(_rounded(pack(side)) for side in (segments.centerlines, segments.left, segments.right))
    areas = {"area_labels": segments.area_labels, "area_scores": np.ones(len(segments.areas))}
    scene = Scene(sides, **parts, areas=_rounded(pack(segments.areas)), **areas)
    area_ids = tuple(f"area {number}" for number in range(len(segments.areas)))
    no_types = np.zeros((len(lanes), 2), np.int64)
    return (
        Annotation(centerlines, line_types=no_types, **common),
        Annotation(scene, line_types=np.asarray(segments.line_types), area_ids=area_ids, **common),
    )


def _rounded(lines: Polylines) -> Polylines:
    return Polylines(np.round(lines.points, DECIMALS), lines.offsets)


def _sensor(camera: Camera, path: str) -> dict[str, Any]:
    pose = camera.ego_from_camera
    assert pose is not None  # a drive refuses rigs without
    return {
        "image_path": path,
        "image_size": [camera.width, camera.height],
        "extrinsic": {"rotation": pose[:3, :3].tolist(), "translation": pose[:3, 3].tolist()},
        "intrinsic": {"K": camera.intrinsics.tolist(), "distortion": [0.0, 0.0, 0.0]},
    }


def _split_list(root: Path, subset: str) -> Mapping[str, Mapping[str, list[str]]]:
    """Everything of this subset below the root, earlier calls included."""
    lists: dict[str, dict[str, list[str]]] = {}
    front = "ring_front_center" if subset == "A" else "CAM_FRONT"
    for folder in sorted(root.glob("*/*/image")):
        if (folder / front).is_dir():
            names = sorted(path.name for path in (folder.parent / "info").glob("*.json") if "-ls" not in path.name)
            lists.setdefault(folder.parents[1].name, {})[folder.parent.name] = names
    return lists
