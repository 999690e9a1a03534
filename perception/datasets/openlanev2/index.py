"""Our own index: one npz a segment that opens a frame in a moment, and one json that names them. No pickles."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perception.datasets.openlanev2.annotation import Annotation
from perception.datasets.openlanev2.frame import RoadFrame, read_frame
from perception.errors import InputError
from perception.jobs import run_jobs
from perception.metrics.openlanev2.io import SEGMENT_SUFFIX, read_object
from perception.metrics.openlanev2.scene import LANE_SEGMENT, Scene
from perception.ops.polyline_distance import join
from perception.sinks.storage import write_file
from perception.structures import Camera

__all__ = ["INDEX", "build_index", "load_frame", "read_index"]

INDEX = "openlanev2_index.json"
FORMAT = 1
_BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged npz raises."""
Key = tuple[str, str, int]


def build_index(root: Path, out: Path, track: str, workers: int = 1) -> Iterator[tuple[int, int]]:
    """Write the index of one track of a raw json tree.

    Segments whose files have not changed since an earlier or interrupted call are not read again.

    Args:
        root: Root of the dataset.
        out: Folder of the index; may hold that of the other track.
        track: ``"centerline"`` or ``"lane_segment"``.
        workers: Processes.

    Yields:
        Segments done and their number.

    Raises:
        InputError: A frame is malformed; names file, frame, object and field.
    """
    segments: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(root.glob("*/*/info/*.json")):
        if file.stem.endswith(SEGMENT_SUFFIX) == (track == LANE_SEGMENT):
            segments.setdefault((file.parents[2].name, file.parents[1].name), []).append(file)
    jobs = [
        (files, out / f"{track}/{split}_{segment}.npz", track, split) for (split, segment), files in segments.items()
    ]
    rows = []
    for done, (job, stamps) in enumerate(zip(jobs, run_jobs(_index_segment, jobs, workers)), start=1):
        name = job[1].relative_to(out).as_posix()
        segment = job[0][0].parents[1].name
        rows.append({"split": job[3], "segment": segment, "file": name, "timestamps": stamps})
        yield done, len(jobs)
    known = read_object(out / INDEX) if (out / INDEX).is_file() else {}
    tracks = dict(known.get("tracks", {})) if known.get("format") == FORMAT else {}
    tracks[track] = {"root": str(root.resolve()), "segments": rows}
    write_file(
        out / INDEX, json.dumps({"format": FORMAT, "dataset": "openlanev2", "tracks": tracks}, indent=1).encode()
    )


def read_index(folder: Path, track: str, root: Path) -> tuple[dict[Key, Path], Path]:
    """Frames of an index.

    Args:
        folder: Of the index.
        track: Which one.
        root: What the caller takes for the root of the pictures; replaced by the root that was indexed if `folder`.

    Returns:
        (split, segment, timestamp) -> npz, and the root of the pictures.

    Raises:
        InputError: Another format, no such track, a file outside of the folder.
    """
    path = folder / INDEX
    content = read_object(path)
    if content.get("format") != FORMAT:
        raise InputError(path, "format", str(FORMAT), f"{content.get('format')!r}; make the index anew")
    tracks = content.get("tracks", {})
    if track not in tracks:
        raise InputError(path, "tracks", f"the track {track}", ", ".join(tracks) or "none")
    found: dict[Key, Path] = {}
    for row in tracks[track]["segments"]:
        file = folder / str(row["file"])
        if not file.resolve().is_relative_to(folder.resolve()):
            raise InputError(path, str(row["file"]), "a file below the index", "one outside")
        found |= {(str(row["split"]), str(row["segment"]), int(stamp)): file for stamp in row["timestamps"]}
    return found, Path(tracks[track]["root"]) if root == folder else root


def load_frame(path: Path, timestamp: int) -> RoadFrame:
    """Read one frame of a segment's npz.

    Raises:
        InputError: Missing, broken, or without that frame.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            prefix = f"{timestamp}/"
            arrays = {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}
    except _BROKEN as error:
        raise InputError(path, f"frame {timestamp}", "an npz file of our index", str(error)) from error
    if not arrays:
        raise InputError(path, f"frame {timestamp}", "the frame", "nothing")
    return _unpack(arrays)


def _index_segment(job: tuple[list[Path], Path, str, str]) -> list[int]:
    files, target, track, split = job
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((FORMAT, track, stats)).encode()).hexdigest()
    stamps = [int(file.stem.removesuffix(SEGMENT_SUFFIX)) for file in files]
    if target.is_file() and _key_of(target) == key:
        return stamps
    arrays: dict[str, np.ndarray] = {"key": np.array(key)}
    for file, stamp in zip(files, stamps):
        frame = read_frame(read_object(file), file, track, split)
        arrays |= {f"{stamp}/{name}": array for name, array in _pack(frame).items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_file(target, buffer.getvalue())
    return stamps


def _key_of(path: Path) -> str:
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["key"])
    except _BROKEN:
        return ""


def _pack(frame: RoadFrame) -> dict[str, np.ndarray]:
    """A frame as arrays; points in float32 as in the official collections, poses and cameras in float64."""
    cameras = list(frame.cameras.values())
    meta: dict[str, Any] = {
        "split": frame.split,
        "segment": frame.segment,
        "timestamp": frame.timestamp,
        "track": frame.track,
        "source": frame.source,
        "cameras": [[camera.name, camera.width, camera.height, frame.images[camera.name]] for camera in cameras],
        "annotated": frame.annotation is not None,
    }
    arrays = {
        "world_from_ego": frame.world_from_ego,
        "intrinsics": np.array([camera.intrinsics for camera in cameras]).reshape(-1, 3, 3),
        "poses": np.array([camera.ego_from_camera for camera in cameras]).reshape(-1, 4, 4),
        "distortions": np.array([frame.distortions[camera.name] for camera in cameras]).reshape(-1, 3),
    }
    if (annotation := frame.annotation) is not None:
        scene = annotation.scene
        meta["ids"] = [annotation.lane_ids, annotation.element_ids, annotation.area_ids]
        for side, lines in enumerate((*scene.lanes, scene.areas)):
            arrays[f"points{side}"] = lines.points.astype(np.float32)
            arrays[f"lengths{side}"] = np.diff(lines.offsets).astype(np.int32)
        arrays |= {
            "lane_lane": scene.lane_lane.astype(np.int8),
            "lane_element": scene.lane_element.astype(np.int8),
            "boxes": scene.boxes.astype(np.float32),
            "box_labels": scene.box_labels.astype(np.int16),
            "area_labels": scene.area_labels.astype(np.int16),
            "intersections": annotation.intersections,
            "line_types": annotation.line_types.astype(np.int8),
            "categories": annotation.categories.astype(np.int8),
        }
    arrays["meta"] = np.array(json.dumps(meta))
    return arrays


def _unpack(arrays: Mapping[str, np.ndarray]) -> RoadFrame:
    meta = json.loads(str(arrays["meta"]))
    cameras, images = {}, {}
    for (name, width, height, image), matrix, pose in zip(meta["cameras"], arrays["intrinsics"], arrays["poses"]):
        cameras[name], images[name] = Camera(name, width, height, matrix, ego_from_camera=pose), image
    return RoadFrame(
        meta["split"],
        meta["segment"],
        int(meta["timestamp"]),
        cameras,
        dict(zip(cameras, arrays["distortions"])),
        images,
        arrays["world_from_ego"],
        meta["track"],
        _annotation(arrays, meta) if meta["annotated"] else None,
        {},
        meta["source"],
    )


def _annotation(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Annotation:
    sides = 3 if meta["track"] == LANE_SEGMENT else 1
    lines = [join(arrays[f"points{i}"], arrays[f"lengths{i}"]) for i in range(sides + 1)]
    count, boxes, areas = len(lines[0]), len(arrays["boxes"]), len(lines[-1])
    scene = Scene(
        tuple(lines[:-1]),
        np.ones(count),
        arrays["lane_lane"],
        arrays["boxes"],
        arrays["box_labels"],
        np.ones(boxes),
        arrays["lane_element"],
        lines[-1],
        arrays["area_labels"],
        np.ones(areas),
    )
    lane_ids, element_ids, area_ids = (tuple(ids) for ids in meta["ids"])
    types, categories = arrays["line_types"].astype(np.int64), arrays["categories"].astype(np.int64)
    return Annotation(scene, lane_ids, arrays["intersections"], types, element_ids, categories, area_ids)
