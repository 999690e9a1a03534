"""Where results go: json lines, overlay video and pictures, MCAP for Foxglove, and the report of a run."""

from perception.sinks.base import Sink, resume_all
from perception.sinks.jsonl import JsonLinesSink, read_json_lines
from perception.sinks.mcap_inputs import McapFrameWriter
from perception.sinks.mcap_sink import McapSink
from perception.sinks.png import PngSink
from perception.sinks.video import OverlayVideoSink

__all__ = [
    "JsonLinesSink",
    "McapFrameWriter",
    "McapSink",
    "OverlayVideoSink",
    "PngSink",
    "Sink",
    "read_json_lines",
    "resume_all",
]
