"""OpenLane-V2, both subsets and both tracks: frames, truth, result files, our index, drawings."""

from perception.datasets.openlanev2.annotation import Annotation, from_result, read_block, to_result
from perception.datasets.openlanev2.dataset import EXPECTED_TREE, OpenLaneV2
from perception.datasets.openlanev2.frame import RoadFrame, read_frame, read_picture
from perception.datasets.openlanev2.index import build_index
from perception.datasets.openlanev2.submission import read_submission, write_submission

__all__ = [
    "EXPECTED_TREE",
    "Annotation",
    "OpenLaneV2",
    "RoadFrame",
    "build_index",
    "from_result",
    "read_block",
    "read_frame",
    "read_picture",
    "read_submission",
    "to_result",
    "write_submission",
]
