"""The sinks by name. A new sink is one file and one line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from perception.errors import PerceptionError, UnknownNameError
from perception.registry import SINKS
from perception.sinks.base import Sink

__all__ = ["SINK_TABLE", "SinkEntry", "missing_package", "sink_class"]


@dataclass(frozen=True)
class SinkEntry:
    """One line of the table.

    Attributes:
        module: Module below ``perception.sinks``; imported when the sink is used.
        name: Registered name of the class.
        writes: What it leaves in the run's folder.
        extra: Extra of the distribution that brings what it needs, or empty.
    """

    module: str
    name: str
    writes: str
    extra: str = ""


SINK_TABLE = {
    "jsonl": SinkEntry("jsonl", "JsonLinesSink", "results.jsonl, timings.jsonl"),
    "video": SinkEntry("video", "OverlayVideoSink", "overlay.mp4"),
    "mcap": SinkEntry("mcap_sink", "McapSink", "predictions.mcap, foxglove_layout.json"),
    "png": SinkEntry("png", "PngSink", "frames/"),
    "csv": SinkEntry("csv_files", "CsvSink", "csv/frames.csv, csv/items.csv, csv/points.csv"),
    "geojson": SinkEntry("geojson", "GeoJsonSink", "lanes.geojson"),
    "lanelet2": SinkEntry("lanelet2", "Lanelet2Sink", "map.osm"),
    "openlanev2": SinkEntry("openlanev2_results", "OpenLaneV2Sink", "openlanev2.json or .pkl"),
    "ros2": SinkEntry("ros2_sink", "Ros2Sink", "ros2.mcap"),
    "rrd": SinkEntry("rerun_rrd", "RerunSink", "recording.rrd", "viz"),
    "parquet": SinkEntry("parquet", "ParquetSink", "parquet/results, parquet/frames", "arrow"),
}
"""Short name, as in configs and ``--sinks`` -> sink."""


def sink_class(name: str) -> type[Sink]:
    """The class of a sink by its short or registered name; imports only its module.

    Raises:
        UnknownNameError: There is none; suggests close matches.
    """
    entry = SINK_TABLE.get(name) or next((entry for entry in SINK_TABLE.values() if entry.name == name), None)
    if entry is not None:
        importlib.import_module(f"perception.sinks.{entry.module}")
        name = entry.name
    if name not in SINKS.module_dict:
        registered = {entry.name for entry in SINK_TABLE.values()}
        raise UnknownNameError("sink", name, {*SINK_TABLE, *registered, *SINKS.module_dict})
    return SINKS.module_dict[name]


def missing_package(what: str, package: str, extra: str) -> PerceptionError:
    """The error of a sink whose optional package is not installed."""
    return PerceptionError(f"{what} needs the package {package}: pip install 'perception-stack[{extra}]'")
