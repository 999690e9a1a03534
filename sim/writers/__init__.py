"""Files made of simulated worlds, a module a format.

A format is a module here with a function ``write(request: Request) -> Iterator[str]`` that yields a line of text for
every file (or folder) as soon as it is complete, and a line in :data:`FORMATS`. ``perception simulate`` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from perception.errors import PerceptionError, UnknownNameError

__all__ = ["FORMATS", "Format", "Request", "check_request", "writer"]


@dataclass(frozen=True)
class Request:
    """What ``perception simulate`` was asked for. None stands for the default of the format.

    Attributes:
        out: Folder to write to; files that exist are kept.
        scenes: Number of drives or worlds; scene ``i`` has seed ``seed + i``.
        frames: Frames a scene.
        seed: First seed.
        preset: Name of a preset.
        size: (width, height) of the pictures; (0, 0) asks for mixed sizes.
        rate_hz: Frames a second.
        workers: Processes; files do not depend on it.
        world: ``road`` or ``town``.
        rig: Name of a town's rig.
        lidar: Beams of a town's LiDAR; 0 for none.
        options: Settings of the format, ``--option key=value``.
        progress: Called with how much is done and how much there is.
    """

    out: Path
    scenes: int = 1
    frames: int | None = None
    seed: int = 0
    preset: str = "random"
    size: tuple[int, int] | None = None
    rate_hz: float = 10.0
    workers: int = 1
    world: str | None = None
    rig: str | None = None
    lidar: int | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    progress: Callable[[int, int], None] = lambda done, total: None

    def option(self, known: Mapping[str, str]) -> dict[str, str]:
        """The options laid over defaults.

        Raises:
            UnknownNameError: An option that the format does not know.
        """
        for name in self.options:
            if name not in known:
                raise UnknownNameError("option of the format", name, known)
        return {**known, **self.options}


@dataclass(frozen=True)
class Format:
    """An entry of :data:`FORMATS`.

    Attributes:
        module: Module that has ``write``.
        help: A few words.
        frames: Frames a scene unless others are asked for, where every frame has a seed of its own; 0: scenes have.
    """

    module: str
    help: str
    frames: int = 0

    def last_seed(self, request: Request) -> int:
        """The last seed that a request uses."""
        frames = (self.frames if request.frames is None else request.frames) if self.frames else 1
        return request.seed + request.scenes * frames - 1


FORMATS: dict[str, Format] = {
    "drive": Format("perception.sim.writers.mcap", "MCAP drives"),
    "openlanev2": Format("perception.sim.writers.openlanev2", "OpenLane-V2 tree of towns"),
    "sheet": Format("perception.sim.writers.sheet", "contact sheets of towns with their truth"),
    "culane": Format("perception.sim.writers.culane", "CULane tree", 10),
    "tusimple": Format("perception.sim.writers.tusimple", "TuSimple tree", 10),
    "crowd": Format("perception.sim.writers.shanghaitech", "ShanghaiTech tree of crowds", 1),
    "nuscenes": Format("perception.sim.writers.nuscenes", "nuScenes tables with LiDAR"),
    "racecar": Format("perception.sim.writers.racecar", "RACECAR folder"),
    "signs": Format("perception.sim.writers.signs", "COCO boxes and a REAP table of signs"),
}
"""Name -> format; a new one is a module and a line."""


def writer(name: str) -> Callable[[Request], Iterator[str]]:
    """The function that writes a format.

    Raises:
        UnknownNameError: No format of that name.
    """
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    write: Callable[[Request], Iterator[str]] = import_module(FORMATS[name].module).write
    return write


def check_request(scenes: int, frames: int, seed: int) -> None:
    """Refuse numbers that no format can serve.

    Raises:
        PerceptionError: Numbers out of range.
    """
    if scenes < 1 or frames < 1 or seed < 0:
        raise PerceptionError(f"simulate: expected scenes, frames >= 1 and seed >= 0, found {scenes}, {frames}, {seed}")
