"""Signs, lights and vehicles of towns as COCO files, and the signs as a REAP table: keypoints and the light on each.

OUT/images/<seed>/<frame>.jpg
OUT/annotations/signs_{train,val,test}.json      the eleven sign shapes of REAP
OUT/annotations/objects_{train,val,test}.json    vehicles, people, lights, signs, boards
OUT/masks/<seed>/<frame>.png                     white where something stands in front of a sign
OUT/reap_annotations.csv                         filename, object_id, final_shape, tgt_points, percentile_coeffs
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from perception.errors import PerceptionError, UnknownNameError
from perception.geometry import make_pose, rotation_from_euler
from perception.geometry.camera import Camera
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.held_out import HELD_OUT_SEED
from perception.jobs import run_jobs
from perception.sim import presets
from perception.sim.city.drive import TownDrive, TownSample
from perception.sim.city.faces import SHAPES
from perception.sim.city.layout import TownConfig
from perception.sim.city.model import Town
from perception.sim.city.truth_objects import CLASSES, SignView, boxes_in_picture, hidden_pixels, signs_in_picture
from perception.sim.writers import Request, check_request
from perception.sim.writers.sign_stops import sign_stops
from perception.sinks.storage import write_file

JPEG_QUALITY = 92
SPLITS = ("train", "val", "test")
SIZE = (512, 384)
PATHS = ("stops", "drive")
_PERCENT = 20
"""Percentile that counts as black on a sign, 100 minus it as white (method ``percentile`` of REAP)."""
_UNCOVERED = 0.9
"""Signs of which less can be seen get no light in the table: a patch on them would cover what is in front of them."""


class _Job(NamedTuple):
    root: str
    seed: int
    preset: str
    frames: int
    rate_hz: float
    size: tuple[int, int]
    view: float
    smallest: float
    path: str


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format signs``.

    Options: ``view`` horizontal field of view in degrees (55), ``smallest`` side in pixels of a labelled sign (12),
    ``path``: ``stops`` looks at a sign in every picture, ``drive`` gives consecutive frames of a drive, few of them
    with signs. Seeds from :data:`perception.held_out.HELD_OUT_SEED` on all go to ``test``; of the others every tenth.

    Raises:
        PerceptionError: Numbers out of range, an unknown preset, or the disk cannot be written.
    """
    frames = 8 if request.frames is None else request.frames
    check_request(request.scenes, frames, request.seed)
    if request.world == "road" or request.rig or request.lidar:
        raise PerceptionError(
            "simulate: --format signs shows towns with one camera; --world road, --rig, --lidar do not fit"
        )
    presets.get(request.preset)
    options = request.option({"view": "55", "smallest": "12", "path": "stops"})
    if options["path"] not in PATHS:
        raise UnknownNameError("path", options["path"], PATHS)
    try:
        view, smallest = float(options["view"]), float(options["smallest"])
    except ValueError as error:
        raise PerceptionError(f"simulate: --format signs: expected numbers, found {options}") from error
    if not 20 <= view <= 120 or smallest < 4:
        raise PerceptionError(f"simulate: --format signs: expected view 20..120 and smallest >= 4, found {options}")
    size = request.size if request.size and all(request.size) else SIZE
    rate = min(request.rate_hz, 2.0)  # the signs of consecutive frames at 10 Hz hardly differ
    jobs = [
        _Job(
            str(request.out), request.seed + scene, request.preset, frames, rate, size, view, smallest, options["path"]
        )
        for scene in range(request.scenes)
    ]
    records: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for number, scene in enumerate(run_jobs(_write_scene, jobs, request.workers)):
        records[_split(number, jobs[number].seed)] += scene
        yield f"{request.out}/images/{jobs[number].seed:07d}: {sum(len(r['signs']) for r in scene)} signs"
    _write_files(Path(request.out), records)
    yield f"{request.out}: {sum(len(r) for r in records.values())} pictures"


def _split(number: int, seed: int) -> str:
    return "test" if seed >= HELD_OUT_SEED else {8: "val", 9: "test"}.get(number % 10, "train")


def sign_camera(size: tuple[int, int], view: float) -> Camera:
    """A dash camera of (width, height) pixels and a field of view in degrees that looks to where signs stand."""
    focal = size[0] / 2 / np.tan(np.radians(view) / 2)
    matrix = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
    turn = rotation_from_euler(0.0, -0.03, -0.08)  # a little up and to the right, where signs stand
    pose = make_pose(turn @ CAMERA_AXES_IN_EGO, np.array([1.5, 0.0, 1.5]))
    return Camera("front", size[0], size[1], matrix, ego_from_camera=pose)


def _write_scene(job: _Job) -> list[dict[str, Any]]:
    """Write the pictures of one town; the record of a picture that exists is read back."""
    folder = Path(job.root) / "images" / f"{job.seed:07d}"
    paths = [folder / f"{frame:05d}.jpg" for frame in range(job.frames)]
    if all(path.is_file() and path.with_suffix(".json").is_file() for path in paths):
        return [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    drive = _drive(job)
    records = []
    for path, sample in zip(paths, _samples(drive, job)):
        name = f"{folder.name}/{path.name}"
        view, camera = sample.views["front"], drive.cameras["front"]
        signs = signs_in_picture(drive.town, camera, sample.ego, view)
        record = _record(name, drive.town, camera, sample, signs, job.smallest)
        mask = hidden_pixels(view, signs).astype(np.uint8) * 255
        write_file(Path(job.root) / "masks" / folder.name / f"{path.stem}.png", cv2.imencode(".png", mask)[1].tobytes())
        _, code = cv2.imencode(
            ".jpg", sample.frame.images["front"][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        write_file(path.with_suffix(".json"), json.dumps(record).encode())
        write_file(path, code.tobytes())
        records.append(record)
    return records


def _drive(job: _Job) -> TownDrive:
    rig = {"front": sign_camera(job.size, job.view)}
    town = TownConfig(blocks=(2, 2), signs=0.8) if job.path == "stops" else None
    return TownDrive(job.seed, job.preset, job.frames, job.rate_hz, rig=rig, lidar=None, truth=(), config=town)


def _samples(drive: TownDrive, job: _Job) -> Iterator[TownSample]:
    if job.path == "drive":
        return drive.samples()
    rng = np.random.default_rng([job.seed, 7])
    times = [drive.time(index) for index in range(job.frames)]
    poses = sign_stops(drive.town, drive.cameras["front"], times, rng)
    return (drive.sample(index, pose) for index, pose in enumerate(poses or [None] * job.frames))


def _record(
    name: str, town: Town, camera: Camera, sample: TownSample, found: list[SignView], smallest: float
) -> dict[str, Any]:
    view, image = sample.views["front"], sample.frame.images["front"]
    seen = boxes_in_picture(town, camera, view)
    objects = [
        {"label": CLASSES[label], "box": [float(v) for v in box], "instance": int(instance)}
        for label, box, instance in zip(seen.boxes.labels, seen.boxes.boxes, seen.instances)
    ]
    signs = []
    for sign in found:
        box = np.clip(sign.box, 0, [camera.width - 1, camera.height - 1] * 2)
        if min(box[2:] - box[:2]) < smallest:
            continue
        values = image[view.instance == sign.element.instance].reshape(-1) / 255
        low, high = np.percentile(values, [_PERCENT, 100 - _PERCENT])
        signs.append(
            {
                "label": sign.element.shape,
                "box": [float(v) for v in box],
                "instance": int(sign.element.instance),
                "keypoints": [[float(x), float(y)] for x, y in sign.keypoints],
                "light": [float(high - low), float(low)],
                "visible": float(sign.visible),
            }
        )
    return {"file_name": name, "width": camera.width, "height": camera.height, "objects": objects, "signs": signs}


def _write_files(root: Path, records: dict[str, list[dict[str, Any]]]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["filename", "object_id", "final_shape", "tgt_points", "percentile_coeffs"])
    image_id = sign_id = object_id = 0
    for split in SPLITS:
        images: list[dict[str, Any]] = []
        found: dict[str, list[dict[str, Any]]] = {"signs": [], "objects": []}
        for record in records[split]:
            image_id += 1
            images.append({"id": image_id, **{key: record[key] for key in ("file_name", "width", "height")}})
            for sign in record["signs"]:
                sign_id += 1
                found["signs"].append(_annotation(sign_id, image_id, sign, tuple(SHAPES)))
                light = [[round(value, 6) for value in sign["light"]]] if sign["visible"] >= _UNCOVERED else []
                writer.writerow([record["file_name"], sign_id, sign["label"], sign["keypoints"], light])
            for thing in record["objects"]:
                object_id += 1
                found["objects"].append(_annotation(object_id, image_id, thing, CLASSES))
        for kind, names in (("signs", tuple(SHAPES)), ("objects", CLASSES)):
            categories = [{"id": index + 1, "name": name} for index, name in enumerate(names)]
            content = {"images": images, "annotations": found[kind], "categories": categories}
            write_file(root / "annotations" / f"{kind}_{split}.json", json.dumps(content).encode())
    write_file(root / "reap_annotations.csv", table.getvalue().encode())


def _annotation(number: int, image: int, thing: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(value, 2) for value in thing["box"])
    box = [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)]
    return {
        "id": number,
        "image_id": image,
        "category_id": names.index(thing["label"]) + 1,
        "bbox": box,
        "area": round(box[2] * box[3], 2),
        "iscrowd": 0,
        "instance": thing["instance"],
    }
