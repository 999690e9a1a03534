"""Contact sheets: varied pictures of towns with their truth drawn on them, to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from perception.errors import PerceptionError, UnknownNameError
from perception.jobs import run_jobs
from perception.sim import presets
from perception.sim.city import truth_objects as objects
from perception.sim.city.drive import TownDrive, TownSample
from perception.sim.city.layout import TownConfig
from perception.sim.city.sensors.rigs import make_rig
from perception.sim.writers import Request, check_request
from perception.sinks.storage import write_file
from perception.structures import Boxes3D
from perception.viz import dots, draw_result, grid, heat_colors, polylines, text

SHOWN = ("lanes", "boxes", "lidar", "heads", "elements", "nothing")
"""What a picture can show of its truth; ``all`` goes through them in turn, ``nothing`` aside."""

_SKIES = ("day", "random", "rain", "night", "day", "random")
_COLUMNS = 4


class _Job(NamedTuple):
    seed: int
    preset: str
    show: str
    rig: str
    camera: int
    size: tuple[int, int]


def write(request: Request) -> Iterator[str]:
    """Serve ``perception simulate --format sheet``: ``--frames`` pictures (24) on each of ``--scenes`` sheets.

    The option ``show`` is one of :data:`SHOWN` or ``all``; every picture is of another town, and with the preset
    ``random`` of another weather.
    """
    show = request.option({"show": "all"})["show"]
    if show not in (*SHOWN, "all"):
        raise UnknownNameError("thing to show", show, (*SHOWN, "all"))
    frames = 24 if request.frames is None else request.frames
    check_request(request.scenes, frames, request.seed)
    presets.get(request.preset)
    if request.world == "road" or request.lidar:
        raise PerceptionError("simulate: --format sheet shows towns; --world road and --lidar are for others")
    size = request.size if request.size and any(request.size) else (480, 300)
    for scene in range(request.scenes):
        jobs = []
        for index in range(frames):
            number = scene * frames + index
            sky = _SKIES[number % len(_SKIES)] if request.preset == "random" else request.preset
            shown = SHOWN[index * (len(SHOWN) - 1) // frames] if show == "all" else show
            rig = request.rig or ("dash" if shown == "heads" else "nuscenes6")
            camera = number % 3 if shown in ("boxes", "lidar") else 0
            jobs.append(_Job(request.seed + number, sky, shown, rig, camera, size))
        pictures = []
        for index, picture in enumerate(run_jobs(_picture, jobs, request.workers)):
            pictures.append(picture)
            request.progress(scene * frames + index + 1, request.scenes * frames)
        sheet = grid(pictures, _COLUMNS, size[0] * _COLUMNS)
        path = request.out / f"sheet_{request.seed + scene * frames:07d}.jpg"
        _, code = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
        write_file(path, code.tobytes())
        yield str(path)


def _picture(job: _Job) -> np.ndarray:
    """One picture with its caption."""
    cameras = list(make_rig(job.rig, job.size).values())
    camera = cameras[job.camera % len(cameras)]
    config = TownConfig(blocks=(2, 2), crowd=250 if job.show == "heads" else 0, signs=0.6)
    lidar = 64 if job.show == "lidar" else None
    index = 4 + job.seed % 9
    drive = TownDrive(job.seed, job.preset, index + 1, 2.0, {camera.name: camera}, lidar, job.size, config)
    sample = drive.sample(index)
    image = _drawn(drive, sample, camera.name, job.show)
    return text(image, f"{job.seed} {job.preset}", (5, image.shape[0] - 7), scale=0.4)


def _drawn(drive: TownDrive, sample: TownSample, name: str, show: str) -> np.ndarray:
    frame, camera, view = sample.frame, drive.cameras[name], sample.views[name]
    image = frame.images[name]
    if show == "lanes":
        return draw_result(image, frame.truth["ego/lane_segments"], camera)
    if show == "elements":
        image = draw_result(image, frame.truth["ego/lane_graph"], camera)
        signs = objects.signs_in_picture(drive.town, camera, sample.ego, view)
        return polylines(image, [s.keypoints[[*range(len(s.keypoints)), 0]] for s in signs], [(255, 0, 255)], 1)
    if show == "heads":
        heads = objects.heads_in_picture(drive.town, camera, sample.ego, view, sample.time)
        return text(dots(image, heads, (255, 40, 40), 1), f"{len(heads)} heads", (5, 18), scale=0.5)
    if show == "boxes":
        boxes = frame.truth["ego/boxes_3d"]
        assert isinstance(boxes, Boxes3D)
        seen = np.isin(boxes.track_ids, view.instance)
        kept = (boxes.boxes[seen], boxes.scores[seen], boxes.labels[seen], boxes.class_names)
        return draw_result(image, Boxes3D("ego", *kept), camera)
    if show == "lidar":
        return _points(image, sample, name)
    return image


def _points(image: np.ndarray, sample: TownSample, name: str) -> np.ndarray:
    """The sweep on the picture, coloured by distance; what the camera cannot see is left out."""
    frame, view = sample.frame, sample.views[name]
    camera, pose = frame.calibration.cameras[name], frame.calibration.sensors["lidar"]
    ego = frame.clouds["lidar"].points @ pose[:3, :3].T + pose[:3, 3]
    uv, inside = camera.project_ego(ego)
    depth = ((ego - camera.ego_from_camera[:3, 3]) @ camera.ego_from_camera[:3, :3])[:, 2]
    column, row = np.rint(uv[inside]).astype(int).T
    near = depth[inside] < view.depth[row, column] + 0.5
    out = image.copy()
    closeness = 1 - np.clip(depth[inside][near] / 50, 0, 1)
    for shift in (0, 1):
        across = np.minimum(column[near] + shift, image.shape[1] - 1)
        out[row[near], across] = heat_colors(closeness[:, None], 1.0)[:, 0]
    return out
