"""The readers of this project with small valid inputs for each; ``python -m perception.fuzz.readers`` runs them."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.fuzz import seeds, seeds_logs
from perception.fuzz.pool import Outcome, Reader, fuzz

__all__ = ["READERS", "main", "read_drive"]

_FRAMES = 40


def read_drive(path: Path) -> None:
    """Everything one can ask of a drive: description, times, frames, a jump into the middle."""
    from perception.sources import open_drive

    with open_drive(path, trust=True) as drive:
        info = drive.info
        info.to_dict()
        drive.stream_times()
        len(drive)
        for _, frame in zip(range(_FRAMES), drive):
            for camera in frame.calibration.cameras.values():
                camera.project(np.ones((2, 3)))
        drive.seek(info.start_ns + (info.end_ns - info.start_ns) // 2)
        next(iter(drive), None)


def _calibration(path: Path) -> None:
    from perception.sources.rig import load_cameras

    load_cameras(path)


def _mapping(path: Path) -> None:
    from perception.sources import DriveMapping

    DriveMapping.from_yaml(path)


def _npz(path: Path) -> None:
    from perception.arrays import load_npz

    load_npz(path)


def _coco(path: Path) -> None:
    from perception.datasets.coco import read_coco

    read_coco(path)


def _result(path: Path) -> None:
    import json

    from perception.errors import InputError
    from perception.sources.messages import result_of

    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(path, "", "json", str(error)) from error
    result_of(data)


READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader("mcap", seeds_logs.mcap, read_drive),
        Reader("mcap_video", seeds_logs.mcap_video, read_drive),
        Reader("rosbag1", seeds_logs.rosbag1, read_drive),
        Reader("rosbag2", seeds_logs.rosbag2, read_drive),
        Reader("velodyne", seeds_logs.velodyne, read_drive, "*.db3"),
        Reader("video", seeds.video, read_drive),
        Reader("images", seeds.images, read_drive),
        Reader("pcd", seeds.clouds, read_drive),
        Reader("nuscenes", seeds.nuscenes, read_drive, "*.json"),
        Reader("openlanev2", seeds.openlanev2, read_drive, "*.json"),
        Reader("kitti", seeds.kitti, read_drive, "*.txt"),
        Reader("argoverse2", seeds.argoverse2, read_drive, "*.feather"),
        Reader("npy", seeds.comma2k19, read_drive, "frame_*"),
        Reader("pickle", seeds.pickles, read_drive, "*.pkl"),
        Reader("calibration_yaml", seeds.calibration, _calibration),
        Reader("mapping_yaml", seeds.mapping, _mapping),
        Reader("npz", seeds.npz, _npz),
        Reader("result_json", seeds.result, _result),
        Reader("coco", seeds.coco, _coco),
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the readers and print a row for each; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m perception.fuzz.readers", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="mutated inputs a reader (default: %(default)s)")
    parser.add_argument("--reader", default="*", help="glob of readers (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to repeat one")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--keep", type=Path, help="folder for inputs that failed")
    args = parser.parse_args(arguments)
    chosen = [reader for name, reader in READERS.items() if fnmatch.fnmatchcase(name, args.reader)]
    if not chosen:
        parser.error(f"no reader matches {args.reader!r}; known: {', '.join(READERS)}")
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has the first ignored, in the background
        signal.signal(number, signal.default_int_handler)
    _warm_up()
    failed = False
    for reader in chosen:
        outcome = _run(reader, args)
        failed = failed or bool(outcome.failures)
        if outcome.stopped:
            return 130
    return int(failed)


def _run(reader: Reader, args: argparse.Namespace) -> Outcome:
    outcome = fuzz(reader, args.count, args.seed, args.first, args.jobs, keep=args.keep)
    print(
        f"{outcome.reader:<18} {outcome.inputs:>6} inputs  {outcome.read:>6} read  {outcome.refused:>6} refused  "
        f"{len(outcome.failures):>4} failed  {outcome.seconds:8.1f} s  slowest {outcome.slowest_s:.2f} s",
        flush=True,
    )
    kinds: dict[tuple[str, str], list[int]] = {}
    for failure in outcome.failures:
        place = failure.text.rpartition("(")[2] or failure.text
        kinds.setdefault((failure.kind, place), []).append(failure.number)
    texts = {failure.number: failure.text for failure in outcome.failures}
    for (kind, _), numbers in sorted(kinds.items(), key=lambda item: -len(item[1]))[:20]:
        print(f"  {len(numbers)} x {kind}, input {numbers[0]}: {texts[numbers[0]]}", flush=True)
    return outcome


def _warm_up() -> None:
    """Import what the workers need once, before they are forked."""
    import perception.structures  # noqa: F401
    from perception.sources import drives_in

    with contextlib.suppress(Exception):
        drives_in(Path("/nonexistent"))
    from perception.sources.wire import _typestore

    for encoding in ("cdr", "ros1"):
        _typestore(encoding)


if __name__ == "__main__":
    sys.exit(main())
