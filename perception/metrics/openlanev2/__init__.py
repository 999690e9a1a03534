"""OpenLane-V2 metrics of both tracks, equal to the official evaluator's (spec openlanev2_metrics)."""

from perception.metrics.openlanev2.io import Frames, evaluate_paths, open_frames
from perception.metrics.openlanev2.scene import ATTRIBUTES, CENTERLINE, LANE_SEGMENT, TRACKS, Scene
from perception.metrics.openlanev2.scoring import VERSIONS, Evaluator, FrameScore, evaluate, score_frame

__all__ = [
    "ATTRIBUTES",
    "CENTERLINE",
    "LANE_SEGMENT",
    "TRACKS",
    "VERSIONS",
    "Evaluator",
    "FrameScore",
    "Frames",
    "Scene",
    "evaluate",
    "evaluate_paths",
    "open_frames",
    "score_frame",
]
