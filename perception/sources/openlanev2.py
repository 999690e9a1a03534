"""A segment of an OpenLane-V2 tree: ``<split>/<segment>/info/*.json`` and ``image/<camera>/*.jpg``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from perception.datasets.openlanev2.annotation import to_result
from perception.datasets.openlanev2.frame import RoadFrame, read_frame
from perception.datasets.openlanev2.names import FRONT
from perception.errors import InputError
from perception.geometry import Camera
from perception.metrics.openlanev2.io import SEGMENT_SUFFIX, read_object
from perception.metrics.openlanev2.scene import CENTERLINE, LANE_SEGMENT
from perception.registry import SOURCES
from perception.sources.dataset import DatasetSource, Layout, image_track
from perception.sources.log import END_OF_TIME
from perception.sources.pixels import picture_size
from perception.sources.transforms import PoseTrack
from perception.sources.wire import MessageError
from perception.structures import Calibration, Fault, Result

__all__ = ["OpenLaneV2Source"]


@SOURCES.register_module()
class OpenLaneV2Source(DatasetSource):
    """Key frames of one segment in the order of their times; annotations of both tracks are truth.

    Cameras keep their names. Each frame has its own calibration, as the files say, with the lens (k1, k2, k3) that
    models leave out. Where a frame has the files of both tracks, ``<time>.json`` gives cameras and pose.

    Raises:
        InputError: A frame file is damaged or names pictures outside the data set.
    """

    KIND = "OpenLane-V2 segment"

    @classmethod
    def probe(cls, path: Path) -> float:
        """Score a path, see :meth:`DriveSource.probe`."""
        return 0.95 if (path / "info").is_dir() and any((path / "info").glob("*.json")) else 0

    def read_layout(self) -> Layout:
        """See :meth:`DatasetSource.read_layout`."""
        by_stem: dict[str, dict[str, Path]] = {}
        for file in (self.path / "info").glob("*.json"):
            stem = file.stem.removesuffix(SEGMENT_SUFFIX)
            if stem.isdecimal():
                by_stem.setdefault(stem, {})[LANE_SEGMENT if stem != file.stem else CENTERLINE] = file
        if not by_stem:
            raise InputError(self.path / "info", "", "frames named <time>.json", "none")
        self._files = [by_stem[stem] for stem in sorted(by_stem, key=int)]
        self._root = self.path.parent.parent
        self._rigs: dict[int, Calibration] = {}
        pictures: dict[str, dict[int, Path]] = {}
        times, poses = [], []
        for number in range(len(self._files)):
            frame = self._frame_of(number)
            if frame.timestamp_ns >= END_OF_TIME:
                raise InputError(self.path / "info", frame.name, "a time that fits into 64 bits", str(frame.timestamp))
            times.append(frame.timestamp_ns)
            poses.append(frame.world_from_ego)
            for name, image in frame.images.items():
                pictures.setdefault(name, {})[frame.timestamp_ns] = self._root / image
        tracks = {name: image_track(name, list(found.values()), list(found)) for name, found in pictures.items()}
        names = {name: name for name in tracks}
        layout = Layout(tracks, names, self._rig_of, PoseTrack.of(times, poses), "frame files")
        layout.reference = next((name for name in FRONT.values() if name in tracks), "")
        layout.truth = self._truth
        missing = sum(not path.is_file() for found in pictures.values() for path in found.values())
        if missing:
            total = sum(map(len, pictures.values()))
            layout.faults.append(Fault("images", "missing", f"expected {total} pictures, found {total - missing}"))
        return layout

    def _frame_of(self, number: int, track: str = "") -> RoadFrame:
        """Cameras and pose; with a track its annotation too."""
        files = self._files[number]
        file = files[track] if track else files.get(CENTERLINE) or files[LANE_SEGMENT]
        record = {"segment_id": self.path.name, **read_object(file)}
        record["timestamp"] = file.stem.removesuffix(SEGMENT_SUFFIX)
        if not track:
            record["annotation"] = None
        return read_frame(record, file, track or CENTERLINE, self.path.parent.name)

    def _rig_of(self, number: int) -> Calibration:
        if number not in self._rigs:
            self._rigs.clear()
            frame = self._frame_of(number)
            self._rigs[number] = Calibration({name: self._camera(frame, name) for name in frame.cameras})
        return self._rigs[number]

    def _camera(self, frame: RoadFrame, name: str) -> Camera:
        """The camera with its lens, in the size of its picture; where that is missing, as the frame guesses it."""
        camera = frame.cameras[name]
        try:
            width, height = picture_size(self._root / frame.images[name])
        except (OSError, MessageError):
            width, height = camera.size
        k1, k2, k3 = frame.distortions[name]
        if k1 or k2 or k3:
            camera = replace(camera, lens="plumb_bob", distortion=np.array([k1, k2, 0, 0, k3]))
        return replace(camera, width=width, height=height)

    def _truth(self, track: str, number: int) -> list[Result]:
        cameras = self._rig_of(number).cameras
        front = next((name for name in FRONT.values() if name in cameras), track)
        frames = [self._frame_of(number, flavour) for flavour in sorted(self._files[number])]
        annotations = [frame.annotation for frame in frames if frame.annotation is not None]
        return [to_result(annotation, front, cameras[front].size) for annotation in annotations]
