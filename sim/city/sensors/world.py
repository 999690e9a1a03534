"""Ray casting in a town: the ground and what stands on it once, what moves anew for every instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perception.sim.city.actors import actor_meshes
from perception.sim.city.model import Category, Town, pose_at
from perception.sim.city.sensors.kernels import label_hits
from perception.sim.sensors.raycast import Hits, Movers, free_way, nearest_hits, ray_scene
from perception.sim.world.mesh import Mesh


@dataclass(frozen=True, eq=False)
class TownHits(Hits):
    """Nearest hits of N rays with their labels.

    Attributes:
        category: (N,) uint8 of :class:`Category`.
        instance: (N,) int32, 0 for what is not counted.
    """

    category: np.ndarray
    instance: np.ndarray


class RayTown:
    """The geometry of a town at an instant.

    Args:
        town: The town.
        reach: Actors farther than this from the ego are left out, metres.
    """

    def __init__(self, town: Town, reach: float = 110.0) -> None:
        self.town, self.reach = town, reach
        vertices, triangles = _ground_mesh(town)
        self._static = ray_scene((vertices, triangles), (town.static.vertices, town.static.triangles))
        self.move(0.0)

    def move(self, time: float) -> None:
        """Place the actors as they are at ``time`` seconds."""
        town = self.town
        self.time = time
        ego = pose_at(town.ego, time)[:2, 3]
        near = np.flatnonzero(np.abs(town.actors.at(time)[0][:, :2] - ego).max(1) < self.reach)
        actors = town.actors.pick(near)
        mesh, row = actor_meshes(actors, town.meshes, time, town.ground)
        self.movers = Movers(mesh)
        self.moving_instance = actors.instance[row]
        self.moving_category = np.where(actors.person[row], Category.PERSON, Category.VEHICLE).astype(np.uint8)

    def cast(self, origin: np.ndarray, directions: np.ndarray, near: np.ndarray | None = None) -> TownHits:
        """Nearest hits of rays from (3,) or (N, 3) ``origin`` along (N, 3) ``directions``; ``near`` may hit movers."""
        hits = nearest_hits(self._static, self.movers.scene, origin, directions, near)
        town, ground = self.town, self.town.ground
        start = np.atleast_2d(np.asarray(origin, np.float32))
        category, instance = label_hits(
            hits.kind, hits.depth, hits.triangle, start, directions, town.static_category, town.static_instance,
            self.moving_category, self.moving_instance, ground.category, ground.origin, ground.resolution,
        )  # fmt: skip
        return TownHits(hits.kind, hits.depth, hits.triangle, hits.weights, hits.normal, category, instance)

    @property
    def moving(self) -> Mesh:
        """The mesh of all that moves."""
        return self.movers.mesh

    @property
    def scenes(self) -> tuple[Any, Any]:
        """The static and the moving RaycastingScene (None when nothing moves)."""
        return self._static, self.movers.scene

    def sunlit(self, points: np.ndarray, sun: np.ndarray) -> np.ndarray:
        """(N,) float32: 1 where the way from (N, 3) ``points`` towards unit vector ``sun`` is free, else 0."""
        return free_way(self._static, self.movers.scene, points, sun, self.movers.cells(sun))


def _ground_mesh(town: Town, step: int = 1, beyond: float = 900.0) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of the height field, and a flat skirt around it out to ``beyond`` metres."""
    ground = town.ground
    rows = np.arange(0, ground.height.shape[0], step)
    columns = np.arange(0, ground.height.shape[1], step)
    x = ground.origin[0] + columns * ground.height_step
    y = ground.origin[1] + rows * ground.height_step
    z = ground.height[np.ix_(rows, columns)].astype(np.float64)
    x = np.concatenate([[x[0] - beyond], x, [x[-1] + beyond]])
    y = np.concatenate([[y[0] - beyond], y, [y[-1] + beyond]])
    z = np.pad(z, 1, mode="edge")
    grid_x, grid_y = np.meshgrid(x, y)
    i = np.arange(z.size).reshape(z.shape)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    vertices = np.stack([grid_x.ravel(), grid_y.ravel(), z.ravel()], -1)
    return vertices.astype(np.float32), triangles.astype(np.uint32)
