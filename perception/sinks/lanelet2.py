"""Lane segments as the raw material of a Lanelet2 map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from perception.errors import PerceptionError
from perception.registry import SINKS
from perception.sinks.parts_sink import PartsSink
from perception.sinks.storage import storage_errors, write_file
from perception.sinks.world import Earth, in_world, world_items
from perception.structures import Fault, Frame, LaneSegments, Result

__all__ = ["Lanelet2Sink"]

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<osm version="0.6" generator="perception">\n'
_TAIL = "</osm>\n"
_LINES = (
    {"type": "virtual"},
    {"type": "line_thin", "subtype": "solid"},
    {"type": "line_thin", "subtype": "dashed"},
)
_TAGS = {
    "pedestrian_crossing": {"type": "pedestrian_marking"},
    "road_boundary": {"type": "road_border"},
    "lane": {"type": "line_thin"},
    "centerline": {"type": "virtual", "subtype": "centerline"},
}
"""Tags of lines that are no side of a lane segment; others are left out."""


@SINKS.register_module()
class Lanelet2Sink(PartsSink):
    """``map.osm``: lanelets, painted lines, crossings and road borders in OSM format, to edit into a map.

    A frame is exported when the vehicle is ``spacing_m`` from where the last one was, so that lanelets follow each
    other instead of lying on each other; they are not merged. Each segment of a ``LaneSegments`` result becomes a
    lanelet of two ways; other results give single ways. Nodes carry ``local_x``, ``local_y`` and ``ele`` in metres of
    the world frame, and the latitude and longitude that Lanelet2 wants: true ones where the drive or ``origin`` tells
    the world's origin, else around 0, 0, which the local projector undoes. Frames without an ego pose give nothing.

    Args:
        out: Folder of the run.
        origin: Latitude, longitude[, height] of the world's origin, whose x points east and y north; None takes that of
            the drive.
        spacing_m: Way from one exported frame to the next, metres.
        min_score: Leave out what is less certain.
        part_frames: Frames in a part: what a killed run has to compute again at most.
    """

    def __init__(
        self,
        out: str | Path,
        origin: Sequence[float] | None = None,
        spacing_m: float = 40.0,
        min_score: float = 0.3,
        part_frames: int = 100,
    ) -> None:
        super().__init__(out, "map.osm", part_frames)
        if not spacing_m >= 0:
            raise PerceptionError(f"spacing_m: expected a length of 0 or more, found {spacing_m}")
        self.earth, self._given = Earth(origin or (0.0, 0.0)), origin is not None
        self.spacing_m, self.min_score = spacing_m, min_score
        self._path = self.path
        self._lines: list[str] = []
        self._state: dict[str, Any] = {}

    def _start(self) -> None:
        super()._start()
        self._state = self._parts.state or {"last_id": 0, "at": None, "origin": None}
        self._place(self._state.get("origin"))

    def _place(self, origin: Sequence[float] | None) -> None:
        """Take over the origin of the drive, unless the user gave one."""
        if not self._given and origin is not None and tuple(origin) != self.earth.origin:
            self.earth, self._state["origin"] = Earth(origin), list(origin)

    def _begin_part(self, path: Path) -> None:
        self._path, self._lines = path, []

    def _write(self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault]) -> None:
        if frame.ego_pose is None or not results:
            return
        here, last = frame.ego_pose[:3, 3].tolist(), self._state["at"]
        if last is not None and np.linalg.norm(np.subtract(here, last)) < self.spacing_m:
            return
        self._state["at"] = here
        self._place(frame.world_origin)
        for stage, result in results.items():
            about = {"perception:stage": stage, "perception:frame": str(frame.index)}
            if isinstance(result, LaneSegments):
                self._lanelets(frame, result, about)
            for _, item, points in world_items(frame, result):
                if item.label in _TAGS and (item.score is None or item.score >= self.min_score):
                    self._way(points, {**_TAGS[item.label], **about})

    def _lanelets(self, frame: Frame, result: LaneSegments, about: Mapping[str, str]) -> None:
        for i, score in enumerate(result.scores.tolist()):
            if score < self.min_score:
                continue
            ways = []
            for lines, side in ((result.left, 0), (result.right, 1)):
                points = in_world(frame, result.frame_id, lines[i])
                kind = int(result.line_types[i, side])
                ways.append(None if points is None else self._way(points, _LINES[kind if kind in (1, 2) else 0]))
            if None in ways:
                continue
            members = "".join(
                f'<member type="way" ref="{way}" role="{role}"/>' for way, role in zip(ways, ("left", "right"))
            )
            tags = {"type": "lanelet", "subtype": "road", "location": "urban", "one_way": "yes", **about}
            self._lines.append(f'<relation id="{self._next()}" version="1">{members}{_tags(tags)}</relation>\n')

    def _way(self, points: np.ndarray, tags: Mapping[str, str]) -> int | None:
        if len(points) < 2:
            return None
        nodes = [self._next() for _ in points]
        for node, (lat, lon, _), (x, y, z) in zip(nodes, self.earth.geodetic(points).tolist(), points.tolist()):
            local = _tags({"local_x": f"{x:.4f}", "local_y": f"{y:.4f}", "ele": f"{z:.4f}"})
            self._lines.append(f'<node id="{node}" version="1" lat="{lat:.11f}" lon="{lon:.11f}">{local}</node>\n')
        way = self._next()
        references = "".join(f'<nd ref="{node}"/>' for node in nodes)
        self._lines.append(f'<way id="{way}" version="1">{references}{_tags(tags)}</way>\n')
        return way

    def _next(self) -> int:
        self._state["last_id"] += 1
        return int(self._state["last_id"])

    def _end_part(self) -> dict[str, Any]:
        lines, self._lines = self._lines, []
        write_file(self._path, "".join([_HEAD, *lines, _TAIL]).encode())
        return self._state

    def _abandon_part(self) -> None:
        self._lines = []

    def _join(self, parts: Sequence[Path], target: Path) -> None:
        with storage_errors(target), open(target, "w") as file:
            file.write(_HEAD)
            file.writelines(line for part in parts for line in _content(part))
            file.write(_TAIL)


def _tags(tags: Mapping[str, str]) -> str:
    return "".join(f"<tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in tags.items())


def _content(part: Path) -> Iterator[str]:
    with storage_errors(part), open(part) as file:
        for line in file:
            if line.startswith(("<node", "<way", "<relation")):
                yield line
