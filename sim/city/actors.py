"""Vehicles and people of a town as one table, so that thousands are placed without a loop over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from perception.sim.city.terrain import place_many
from perception.sim.world.mesh import Mesh, merge, repeat

KINDS = ("car", "van", "truck", "bus", "motorcycle", "bicycle", "pedestrian")
"""Names of ``Actors.kind``; they are also the first class names of boxes."""

PEDESTRIAN = KINDS.index("pedestrian")


@dataclass(frozen=True, eq=False)
class Actors:
    """A vehicle or a person a row. Meshes: x forward, y left, z up, origin on the ground below the middle.

    Attributes:
        instance: (A,) int32, unique in the town, never 0.
        kind: (A,) int64 index into :data:`KINDS`.
        mesh: (A,) int64 index into ``Town.meshes``.
        size: (A, 3) float64 length, width, height of the box it fills, which stands on the ground.
        scale: (A,) float64 size relative to the mesh.
        head: (A,) float64 height of the middle of a person's head above the ground; 0 for vehicles.
        times: (T,) float64 seconds, ascending; outside of them the first or last pose holds.
        positions: (A, T, 3) float64 world metres on the ground.
        yaws: (A, T) float64 radians, unwrapped.
    """

    instance: np.ndarray
    kind: np.ndarray
    mesh: np.ndarray
    size: np.ndarray
    scale: np.ndarray
    head: np.ndarray
    times: np.ndarray
    positions: np.ndarray
    yaws: np.ndarray

    def __len__(self) -> int:
        return len(self.instance)

    @property
    def person(self) -> np.ndarray:
        """(A,) bool."""
        return self.kind == PEDESTRIAN

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """(A, 3) positions and (A,) yaws at ``time`` seconds."""
        at = float(np.interp(time, self.times, np.arange(len(self.times))))
        first = int(at)
        last, share = min(first + 1, len(self.times) - 1), at - first
        position = self.positions[:, first] * (1 - share) + self.positions[:, last] * share
        return position, self.yaws[:, first] * (1 - share) + self.yaws[:, last] * share

    def velocities(self, time: float, step: float = 0.1) -> np.ndarray:
        """(A, 2) float64 world m/s over ground around ``time``, from poses within the motion."""
        low = max(min(time - step / 2, float(self.times[-1]) - step), float(self.times[0]))
        high = min(low + step, float(self.times[-1]))
        if high <= low:
            return np.zeros((len(self), 2))
        return (self.at(high)[0][:, :2] - self.at(low)[0][:, :2]) / (high - low)

    def pick(self, rows: np.ndarray) -> Actors:
        """These rows only."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "times"}
        return Actors(times=self.times, **{name: value[rows] for name, value in chosen.items()})


def no_actors() -> Actors:
    """An empty table."""
    none = np.zeros(0)
    return Actors(
        none.astype(np.int32), none.astype(int), none.astype(int), np.zeros((0, 3)), none, none, np.zeros(1),
        np.zeros((0, 1, 3)), np.zeros((0, 1)),
    )  # fmt: skip


def join(tables: Sequence[Actors]) -> Actors:
    """One table of all; their times are equal, or a single pose."""
    tables = [table for table in tables if len(table)]
    if not tables:
        return no_actors()
    times = max((table.times for table in tables), key=len)
    shape = len(times)
    joined = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("instance", "kind", "mesh", "size", "scale", "head")
    }
    positions = [np.broadcast_to(table.positions, (len(table), shape, 3)) for table in tables]
    yaws = [np.broadcast_to(table.yaws, (len(table), shape)) for table in tables]
    return Actors(times=times, positions=np.concatenate(positions), yaws=np.concatenate(yaws), **joined)


def actor_meshes(actors: Actors, meshes: Sequence[Mesh], time: float, ground) -> tuple[Mesh, np.ndarray]:  # type: ignore[no-untyped-def]
    """All actors in place as one mesh, and (T,) int64 row of the table for every triangle."""
    position, yaw = actors.at(time)
    poses = place_many(position, yaw, ground, tilted=~actors.person)
    poses[:, :3, :3] *= actors.scale[:, None, None]
    parts, rows = [], []
    order = np.argsort(actors.mesh, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(actors.mesh[order])) + 1):
        if len(group):
            mesh = meshes[int(actors.mesh[group[0]])]
            parts.append(repeat(mesh, poses[group]))
            rows.append(np.repeat(group, len(mesh.triangles)))
    return merge(parts), np.concatenate(rows) if rows else np.zeros(0, np.int64)
