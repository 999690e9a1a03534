"""The types everything speaks: frames in, results out. Arrays have fixed shapes, checked at the border."""

from perception.geometry.camera import Camera
from perception.structures.boxes2d import Boxes2D
from perception.structures.boxes3d import Boxes3D
from perception.structures.frame import Calibration, Fault, Frame, PointCloud, Provenance
from perception.structures.grids import BevGrid, DensityMap
from perception.structures.lanes2d import GroundLane, Lanes2D
from perception.structures.result import Result, result_from_dict
from perception.structures.road import LINE_TYPES, LaneGraph, LaneSegments

__all__ = [
    "LINE_TYPES",
    "BevGrid",
    "Boxes2D",
    "Boxes3D",
    "Calibration",
    "Camera",
    "DensityMap",
    "Fault",
    "Frame",
    "GroundLane",
    "LaneGraph",
    "LaneSegments",
    "Lanes2D",
    "PointCloud",
    "Provenance",
    "Result",
    "result_from_dict",
]
