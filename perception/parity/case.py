"""Golden cases: what a ``manifest.json`` lists, and safe access to the files beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perception.arrays import load_npz
from perception.errors import InputError, PerceptionError

_STRIDED = re.compile(r"(?:_ch)?::(\d+)$")


class UncoveredError(PerceptionError):
    """A runner does not know this kind of case; the case counts as uncovered, not as a miss."""


class Arrays(dict[str, np.ndarray]):
    """Arrays of an ``.npz`` by their stored name, and readers for the forms that save space."""

    def real(self, name: str) -> np.ndarray:
        """Return an array by its plain name: stored as it is, as ``f64_<name>`` or as ``<name>_x32_int8`` (32 times
        it).

        Raises:
            KeyError: None of these is stored.
        """
        for key in (name, f"f64_{name}"):
            if key in self:
                return self[key]
        packed = f"{name}_x32_int8"
        if packed in self:
            return self[packed].astype(np.float32) / np.float32(32)
        raise KeyError(f"no array {name!r}, 'f64_{name}' or {packed!r}")

    def strided(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yield (plain name, n, array) of all; ``x::8`` and ``x_ch::8`` hold every 8th channel (axis 1) of ``x``."""
        for name, array in self.items():
            found = _STRIDED.search(name)
            yield (name[: found.start()], int(found[1]), array) if found else (name, 1, array)

    def bits(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a bool array of ``shape`` that was stored row by row with ``numpy.packbits``.

        Raises:
            KeyError: No array of that name.
            ValueError: It holds too few bits.
        """
        return np.unpackbits(self[name], count=int(np.prod(shape))).astype(bool).reshape(shape)


@dataclass(frozen=True)
class GoldenCase:
    """One entry of a manifest.

    Attributes:
        folder: Folder of the manifest; file names are resolved in it.
        manifest: The whole manifest.
        entry: What the manifest says of this case, and always its ``"name"``.
    """

    folder: Path
    manifest: Mapping[str, Any]
    entry: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the case, unique in its manifest."""
        return str(self.entry["name"])

    @property
    def family(self) -> str:
        """Which runner understands it."""
        return str(self.manifest["family"])

    @property
    def kind(self) -> str:
        """Kind of case; ``<family>/<name>`` where the manifest states none."""
        return str(self.entry.get("kind", f"{self.family}/{self.name}"))

    @property
    def tolerance(self) -> Any:
        """What the entry states as tolerance, else the manifest, else None; numbers, text or a mapping."""
        return self.entry.get("tolerance", self.manifest.get("tolerance"))

    def path(self, file: str) -> Path:
        """Return a file or folder beside the manifest.

        Raises:
            InputError: It does not exist, or the name leads out of the folder.
        """
        root = self.folder.resolve()
        path = (root / file).resolve()
        if not path.is_relative_to(root):
            raise InputError(self.folder / "manifest.json", self.name, "file names inside its folder", repr(file))
        if not path.exists():
            raise InputError(path, "", f"a file of case {self.name!r}", "nothing")
        return path

    def json(self, file: str) -> Any:
        """Return the content of a JSON file.

        Raises:
            InputError: See ``path``; also for text that is no JSON.
        """
        return read_json(self.path(file))

    def npz(self, file: str) -> Arrays:
        """Return all arrays of an ``.npz`` file; pickled objects are refused.

        Raises:
            InputError: See ``path``; also for a file that is damaged or holds objects.
        """
        return Arrays(load_npz(self.path(file)))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: The file cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "", "JSON", str(error)) from error


def expand(folder: Path, manifest: Mapping[str, Any]) -> list[GoldenCase]:
    """Return the cases of a manifest, whichever way it lists them.

    ``cases`` is a list of entries or name -> entry; without it ``files`` is file -> entry; without both every other
    mapping whose values name a ``file`` or ``runs`` is a group of cases ``group/name``; ``expected`` names a JSON
    file whose ``cases`` and ``bench`` are those for which ``<name>.npz`` is present. A manifest that fits none of
    this is one case.

    Raises:
        InputError: An entry without a name, or an expected file that cannot be read.
    """
    cases = manifest.get("cases", manifest.get("files"))
    if isinstance(cases, Mapping):
        field = "name" if "cases" in manifest else "file"
        entries = [{field: key, "name": key, **_mapping(value)} for key, value in cases.items()]
    elif isinstance(cases, list):
        entries = cases
    elif isinstance(manifest.get("expected"), str):
        entries = _expected_entries(folder, manifest)
    else:
        entries = list(_grouped_entries(manifest)) or [{"name": folder.name}]
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise InputError(folder / "manifest.json", f"case {index}", "a mapping with a name", repr(entry)[:60])
    return [GoldenCase(folder, manifest, entry) for entry in entries]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"value": value}


def _grouped_entries(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for group, members in manifest.items():
        if not isinstance(members, Mapping):
            continue
        if any(isinstance(value, Mapping) and ("file" in value or "runs" in value) for value in members.values()):
            for name, value in members.items():
                yield {"name": f"{group}/{name}", **_mapping(value)}


def _expected_entries(folder: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    expected = GoldenCase(folder, manifest, {"name": "expected"}).json(manifest["expected"])
    entries: list[dict[str, Any]] = []
    for group in ("cases", "bench"):
        for name, value in _mapping(expected).get(group, {}).items():
            entry = {"name": name, "kind": f"{manifest['family']}/{group}", "file": f"{name}.npz", "expected": value}
            if (folder / str(entry["file"])).is_file():
                entries.append(entry)
    return entries
