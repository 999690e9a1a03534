"""``report.json``: what ran, on what, how fast, how well, and what went wrong."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.runtime.executor import FrameOutput
from perception.runtime.graph import Graph
from perception.runtime.runlog import RunStatistics
from perception.sinks.storage import storage_errors, write_file
from perception.structures import Fault
from perception.version import __version__

__all__ = ["Thumbnails", "build_report", "describe_stages", "versions"]

PACKAGES = ("torch", "torchvision", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "numpy", "numba")


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of what results depend on."""
    found = {"perception-stack": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe_stages(graph: Graph) -> dict[str, dict[str, Any]]:
    """Stage -> kind, plugin, device and what the stage says about its model and weights."""
    described = {}
    for node in graph.nodes:
        about = node.stage.describe()
        described[node.name] = {
            **about,
            "kind": node.stage.kind,
            "plugin": node.plugin,
            "device": node.device,
            "every": node.every,
            "weights": about.get("weights"),
            "weights_sha256": about.get("weights_sha256"),
            "trained_on": about.get("trained_on"),
        }
    return described


def build_report(
    drive: str,
    pipeline: str,
    stages: Mapping[str, Mapping[str, Any]],
    statistics: RunStatistics,
    total: int,
    warmup_faults: Sequence[Fault] = (),
    **facts: Any,
) -> dict[str, Any]:
    """Put the report together.

    Args:
        drive: Path or URI of the drive.
        pipeline: Name of the pipeline.
        stages: From :func:`describe_stages`.
        statistics: Of all frames of the run.
        total: Frames the run was to have.
        warmup_faults: Stages that failed before the first frame.
        facts: Further entries: ``warmup_s``, ``config_hash``, ``started``, ``finished``.

    Returns:
        A json-able dict; ``scores`` is absent when the drive carried no truth for the pipeline's results.
    """
    rows = [{**fault.to_dict(), "count": 1, "first_index": None} for fault in warmup_faults]
    report: dict[str, Any] = {
        "drive": drive,
        "pipeline": pipeline,
        "frames": {"total": total, "done": statistics.frames - statistics.skipped, "skipped": statistics.skipped},
        "stages": {
            name: {**about, "latency_ms": statistics.latency(name), "results": statistics.results(name)}
            for name, about in stages.items()
        },
        "faults": rows + statistics.fault_rows(),
        "throughput_fps": round(statistics.frames / statistics.wall_s, 3) if statistics.wall_s > 0 else 0.0,
        "versions": versions(),
        "series": statistics.series(),
        **facts,
    }
    scores = statistics.scores({name: about["kind"] for name, about in stages.items()})
    if scores:
        report["scores"] = scores
    return report


class Thumbnails:
    """A dozen small overlay pictures spread over a run, in ``thumbnails/<position>.jpg``.

    Args:
        out: Folder of the run.
        total: Frames of the run.
        number: How many pictures.
        width: Their width in pixels.
    """

    def __init__(self, out: Path, total: int, number: int = 12, width: int = 480) -> None:
        self.folder = out / "thumbnails"
        count = min(number, total)
        self._positions = {int((i + 0.5) * total / count) for i in range(count)}
        self._width = width

    def clear(self) -> None:
        """Remove pictures of an earlier run."""
        with storage_errors(self.folder):
            for path in self._paths():
                path.unlink()

    def add(self, output: FrameOutput) -> None:
        """Keep a picture of this frame if it is one of the dozen and has an image."""
        if output.position not in self._positions or not output.frame.images:
            return
        import cv2

        from perception.viz import draw_frame

        picture = draw_frame(output.frame, output.results, output.faults, None, "", self._width)
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
        write_file(self.folder / f"{output.position:08d}.jpg", data.tobytes())

    def load(self, statistics: RunStatistics) -> list[tuple[str, np.ndarray]]:
        """The pictures so far, in the order of the drive: (caption, (H, W, 3) uint8 RGB)."""
        import cv2

        pictures = []
        for path in self._paths():
            position, picture = int(path.stem), cv2.imread(str(path))
            if picture is not None and position < statistics.frames:
                seconds = (statistics.timestamps[position] - statistics.timestamps[0]) * 1e-9
                caption = f"frame {statistics.indices[position]}, {seconds:.1f} s"
                pictures.append((caption, np.ascontiguousarray(picture[:, :, ::-1])))
        return pictures

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.jpg") if path.stem.isdecimal())
