"""Frames of OpenLane-V2 on disk, in order: from the raw json tree, a split list, a collection, or our own index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from perception.datasets.openlanev2.frame import RoadFrame, read_frame
from perception.datasets.openlanev2.index import INDEX, load_frame, read_index
from perception.errors import InputError, UnknownNameError
from perception.metrics.openlanev2.io import SEGMENT_SUFFIX, read_object
from perception.metrics.openlanev2.pickles import plain, read_pickle
from perception.metrics.openlanev2.scene import CENTERLINE, LANE_SEGMENT, TRACKS

__all__ = ["EXPECTED_TREE", "OpenLaneV2", "split_lists"]

EXPECTED_TREE = """\
  {train,val,test}/<segment>/info/<timestamp>.json       centerlines
  {train,val,test}/<segment>/info/<timestamp>-ls.json    lane segments
  {train,val,test}/<segment>/image/<camera>/<timestamp>.jpg
  data_dict_*.json                                       optional: {split: {segment: [<timestamp>.json, ...]}}
"""


@dataclass(frozen=True, order=True)
class _Name:
    split: str
    segment: str
    timestamp: int


class OpenLaneV2:
    """A sequence of frames, sorted by split, segment and time; a frame is read when it is asked for.

    Args:
        source: Root folder; a split list ``data_dict_*.json`` in it; a collection ``.pkl``; or a folder with our index.
        track: ``"centerline"`` or ``"lane_segment"``.
        split: Only this split; None takes all.
        root: Where the pictures are; by default the root folder, or the folder of the list or collection.
        trust: Open pickles.

    Raises:
        InputError: No frame, a listed file that does not exist, a path that leaves the root.
    """

    def __init__(
        self,
        source: str | Path,
        track: str = CENTERLINE,
        split: str | None = None,
        root: str | Path | None = None,
        trust: bool = False,
    ) -> None:
        if track not in TRACKS:
            raise UnknownNameError("OpenLane-V2 track", track, TRACKS)
        self.source, self.track = Path(source), track
        self.root = Path(root) if root else self.source if self.source.is_dir() else self.source.parent
        entries = self._entries(trust)
        if split is not None:
            known = {name.split for name in entries}
            entries = {name: entry for name, entry in entries.items() if name.split == split}
            if not entries:
                raise UnknownNameError("split", split, known)
        if not entries:
            raise InputError(self.source, "", f"frames of the track {track}:\n{EXPECTED_TREE.rstrip()}", "none")
        self._names = sorted(entries)
        self._entries_by_name = entries
        starts: dict[tuple[str, str], int] = {}
        for index, name in enumerate(self._names):
            starts.setdefault((name.split, name.segment), index)
        self._starts = starts

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """``<split>/<segment>/<timestamp>``."""
        name = self._names[index]
        return f"{name.split}/{name.segment}/{name.timestamp}"

    def position(self, index: int) -> int:
        """Number of the frame in its segment, from 0."""
        name = self._names[index]
        return index - self._starts[name.split, name.segment]

    def history(self, index: int, count: int) -> list[int]:
        """Indices of up to `count` frames before a frame, of the same segment, oldest first."""
        return list(range(index - min(count, self.position(index)), index))

    def __getitem__(self, index: int) -> RoadFrame:
        """Read a frame.

        Raises:
            InputError: It is malformed; names file, frame, object and field.
        """
        name = self._names[index]
        entry = self._entries_by_name[name]
        if isinstance(entry, Path) and entry.suffix == ".npz":
            return load_frame(entry, name.timestamp)
        record = read_object(entry) if isinstance(entry, Path) else entry
        return read_frame(record, entry if isinstance(entry, Path) else self.source, self.track, name.split)

    def _entries(self, trust: bool) -> Mapping[_Name, Path | Mapping[str, Any]]:
        source = self.source
        if source.suffix == ".pkl":
            return _collection(source, trust)
        if source.is_dir() and (source / INDEX).is_file():
            found, self.root = read_index(source, self.track, self.root)
            return {_Name(*key): file for key, file in found.items()}
        if source.is_dir():
            pattern = f"*/*/info/*{SEGMENT_SUFFIX if self.track == LANE_SEGMENT else ''}.json"
            files = [file for file in source.glob(pattern) if _is_of(file, self.track)]
            return {_name_of(file): file for file in files}
        return {_name_of(file): file for file in listed_files(source, self.track, must_exist=True)}


def split_lists(root: Path) -> list[Path]:
    """Split lists in a root folder."""
    return sorted(root.glob("data_dict_*.json"))


@lru_cache(maxsize=16)
def listed_files(path: Path, track: str, must_exist: bool = False) -> Sequence[Path]:
    """Files that a split list names; its timestamps are those of centerline files.

    Raises:
        InputError: The list has another form, a name leaves the root, or (if asked for) a file does not exist.
    """
    content, files = read_object(path), []
    for split, segments in content.items():
        if not isinstance(segments, Mapping) or not all(isinstance(names, list) for names in segments.values()):
            raise InputError(path, split, "a split list {split: {segment: [<timestamp>.json, ...]}}", "another form")
        for segment, names in segments.items():
            for name in names:
                stem = str(name).removesuffix(".json").removesuffix(SEGMENT_SUFFIX)
                if any(PurePosixPath(part).name != part or part == ".." for part in (split, segment, stem)):
                    raise InputError(path, f"{split}/{segment}/{name}", "a file below the list's folder", "one outside")
                ending = f"{SEGMENT_SUFFIX}.json" if track == LANE_SEGMENT else ".json"
                file = path.parent / split / segment / "info" / f"{stem}{ending}"
                if must_exist and not file.is_file():
                    raise InputError(path, f"{split}/{segment}/{name}", f"the file {file}", "nothing")
                files.append(file)
    return files


def _collection(path: Path, trust: bool) -> dict[_Name, Mapping[str, Any]]:
    found = {}
    for key, record in read_pickle(path, trust).items():
        if not isinstance(key, tuple) or len(key) != 3 or not isinstance(record, Mapping):
            raise InputError(path, repr(key), "(split, segment, timestamp) and an object", type(record).__name__)
        split, segment, stamp = map(str, key)
        if not stamp.isdecimal():
            raise InputError(path, repr(key), "a whole number as timestamp", repr(stamp))
        found[_Name(split, segment, int(stamp))] = plain(record)
    return found


def _is_of(file: Path, track: str) -> bool:
    return file.stem.endswith(SEGMENT_SUFFIX) == (track == LANE_SEGMENT)


def _name_of(file: Path) -> _Name:
    stem = file.stem.removesuffix(SEGMENT_SUFFIX)
    if not stem.isdecimal():
        raise InputError(file, "", "a name <timestamp>.json or <timestamp>-ls.json", file.name)
    return _Name(file.parents[2].name, file.parents[1].name, int(stem))
