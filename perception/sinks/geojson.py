"""Lanes and objects as GeoJSON, for GIS programs and maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from perception.registry import SINKS
from perception.sinks.items import Item, finite
from perception.sinks.parts_sink import PartsSink
from perception.sinks.storage import dump_json, storage_errors, write_file
from perception.sinks.world import Earth, world_items
from perception.structures import Fault, Frame, Result

__all__ = ["GeoJsonSink"]

_FEATURE = '{"type":"Feature"'


@SINKS.register_module()
class GeoJsonSink(PartsSink):
    """``lanes.geojson``: a FeatureCollection in the world frame, a feature a line: lanes, areas, outlines of boxes.

    Where the world's origin is known, from satellite fixes of the drive or as ``origin``, the coordinates are
    longitude, latitude and height as the standard (RFC 7946) has it. Else they are x, y and z of the world frame in
    metres, and the collection says so in ``coordinates``; programs then show them as a plan. Frames without an ego pose
    have no place in the world and give nothing.

    Properties: ``index``, ``timestamp_ns``, ``stage``, ``kind``, ``item``, ``label``, ``score``, ``track_id``,
    ``links``.

    Args:
        out: Folder of the run.
        origin: Latitude, longitude[, height] of the world's origin, whose x points east and y north; None takes that of
            the drive.
        part_frames: Frames in a part: what a killed run has to compute again at most.
    """

    def __init__(self, out: str | Path, origin: Sequence[float] | None = None, part_frames: int = 100) -> None:
        super().__init__(out, "lanes.geojson", part_frames)
        self.earth, self._given = None if origin is None else Earth(origin), origin is not None
        self._path = self.path
        self._features: list[str] = []

    def _start(self) -> None:
        super()._start()
        state = self._parts.state or {}
        if not self._given and state.get("origin"):
            self.earth = Earth(state["origin"])

    def _begin_part(self, path: Path) -> None:
        self._path, self._features = path, []

    def _write(self, frame: Frame, results: Mapping[str, Result], faults: Sequence[Fault]) -> None:
        if self.earth is None and frame.world_origin is not None:
            self.earth = Earth(frame.world_origin)
        for stage, result in results.items():
            for number, item, points in world_items(frame, result):
                about = {"index": frame.index, "timestamp_ns": frame.timestamp_ns, "stage": stage, "kind": result.KIND}
                self._features.append(dump_json(self._feature({**about, "item": number}, item, points)))

    def _feature(self, about: dict[str, Any], item: Item, points: np.ndarray) -> dict[str, Any]:
        if self.earth is not None:
            degrees = self.earth.geodetic(points)
            places = [[round(lon, 9), round(lat, 9), round(up, 3)] for lat, lon, up in degrees.tolist()]
        else:
            places = [[round(value, 3) for value in point] for point in points.tolist()]
        closed = len(places) > 3 and places[0] == places[-1]
        geometry = (
            {"type": "Polygon", "coordinates": [places]} if closed else {"type": "LineString", "coordinates": places}
        )
        properties = {**about, "label": item.label, "score": finite(item.score)}
        if item.track_id is not None:
            properties["track_id"] = item.track_id
        if item.links:
            properties["links"] = list(item.links)
        return {"type": "Feature", "geometry": geometry, "properties": properties}

    def _end_part(self) -> dict[str, Any]:
        lines, self._features = self._features, []
        write_file(self._path, "".join(self._collection(lines)).encode())
        return {"origin": None if self.earth is None else list(self.earth.origin)}

    def _abandon_part(self) -> None:
        self._features = []

    def _join(self, parts: Sequence[Path], target: Path) -> None:
        with storage_errors(target), open(target, "w") as file:
            file.writelines(self._collection(line for part in parts for line in _features_in(part)))

    def _collection(self, features: Iterable[str]) -> Iterator[str]:
        local = "" if self.earth is not None else '"coordinates":"x, y, z of the world frame in metres",'
        yield f'{{"type":"FeatureCollection",{local}"features":[\n'
        for i, feature in enumerate(features):
            yield (",\n" if i else "") + feature
        yield "\n]}\n"


def _features_in(part: Path) -> Iterator[str]:
    file: IO[str]
    with storage_errors(part), open(part) as file:
        for line in file:
            if line.startswith(_FEATURE):
                yield line.rstrip("\n").removesuffix(",")
