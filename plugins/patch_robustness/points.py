"""Attacks on LiDAR sweeps: returns added to a budget of cells, or a physical board, ray-cast against the sweeps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from perception.attack import check_goal
from perception.attack_points import PointAttackTarget, PointSample
from perception.errors import PerceptionError, UnknownNameError
from perception.geometry.board import cast_on_board

from .optimize import mean_trace
from .victim import unchanged

__all__ = ["KINDS", "CraftedPoints", "PointAttackConfig", "attacked_sample", "control_placement", "craft_points"]

KINDS = ("cells", "board")
SCOPES = ("universal", "per_instance")
Placement = Mapping[str, np.ndarray]
"""Sample name (empty: all samples) -> (M, 3) points in the newest frame, or (3,) ahead, lateral, yaw of a board."""


@dataclass(frozen=True)
class PointAttackConfig:
    """How returns are placed.

    Attributes:
        kind: ``cells`` adds returns in a budget of cells, ``board`` stands a board on the road.
        goal: See ``perception.attack.GOALS``.
        scope: ``universal``: one placement for all samples; ``per_instance``: one for each sample, by an attacker who
            sees the scene.
        steps: Rounds of ``cells``, poses tried of ``board``.
        cells: Budget of cells.
        points: Returns in each cell, between the two ``heights``.
        heights: Metres above the origin of the car's frame.
        spacing: Distance of the places that are considered, metres; the edge of a cell.
        region: x from, y from, x to, y to in the car's frame, metres.
        past: Put returns into all sweeps of a sample, at one place in the world; else into the newest only.
        size_m: Height and width of the board.
        below: Lower edge of the board, metres above the origin of the car's frame.
        yaw: Largest turn of the board in degrees.
        batch: Samples that a placement for all is judged on.
        seed: Of everything random.

    Raises:
        PerceptionError: Numbers out of range.
    """

    kind: str = "cells"
    goal: str = "hide"
    scope: str = "universal"
    steps: int = 10
    cells: int = 20
    points: int = 2
    heights: tuple[float, float] = (0.5, 1.5)
    spacing: float = 0.8
    region: tuple[float, float, float, float] = (-20.0, -20.0, 20.0, 20.0)
    past: bool = False
    size_m: tuple[float, float] = (1.0, 2.0)
    below: float = 0.3
    yaw: float = 45.0
    batch: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for value, name, known in ((self.kind, "point attack", KINDS), (self.scope, "scope", SCOPES)):
            if value not in known:
                raise UnknownNameError(name, value, known)
        for name in ("steps", "cells", "points", "batch"):
            if int(getattr(self, name)) < 1:
                raise PerceptionError(f"point attack {name}: expected 1 or more, found {getattr(self, name)}")
        for name in ("heights", "region", "size_m"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        x0, y0, x1, y1 = self.region
        if not (
            x0 < x1 and y0 < y1 and self.spacing > 0 and min(self.size_m) > 0 and self.heights[0] <= self.heights[1]
        ):
            raise PerceptionError(f"point attack: expected a region, sizes and heights in order, found {self}")

    def places(self) -> np.ndarray:
        """(K, 3) places on a regular grid in the region, at the middle of the heights.

        Raises:
            PerceptionError: Fewer places than the budget of cells.
        """
        x0, y0, x1, y1 = self.region
        half, middle = self.spacing / 2, sum(self.heights) / 2
        x, y = np.meshgrid(
            np.arange(x0 + half, x1, self.spacing), np.arange(y0 + half, y1, self.spacing), indexing="ij"
        )
        found = np.stack([x.ravel(), y.ravel(), np.full(x.size, middle)], 1)
        if len(found) < self.cells:
            raise PerceptionError(
                f"point attack: expected at least {self.cells} places in the region, found {len(found)}"
            )
        return found

    def returns(self, places: np.ndarray) -> np.ndarray:
        """(M, 3) float32 returns at (K, 3) places, ``points`` above each other."""
        heights = np.linspace(*self.heights, self.points) if self.points > 1 else np.array([sum(self.heights) / 2])
        out = np.repeat(np.asarray(places, np.float64).reshape(-1, 3), self.points, 0)
        out[:, 2] = np.tile(heights, len(out) // self.points)
        return out.astype(np.float32)


@dataclass(frozen=True, eq=False)
class CraftedPoints:
    """A placement and how it came about; see ``attacks.Crafted``."""

    placement: Placement
    losses: tuple[float, ...]
    seconds: float
    queries: int
    stopped: str = ""


def board_on_road(pose: np.ndarray, config: PointAttackConfig) -> np.ndarray:
    """(4, 3) corners of a board at ahead, lateral (metres), yaw (degrees; 0 faces the car)."""
    ahead, lateral, yaw = (float(value) for value in pose)
    height, width = config.size_m
    along = np.array([-np.sin(np.radians(yaw)), np.cos(np.radians(yaw)), 0.0]) * width
    base = np.array([ahead, lateral, config.below]) - along / 2
    up = np.array([0.0, 0.0, height])
    return np.stack([base, base + along, base + along + up, base + up])


def attacked_sample(sample: PointSample, placement: Placement, config: PointAttackConfig) -> PointSample:
    """The sample with the returns of its placement; places stand still in the world.

    Added returns do not take away those behind them; a board does.
    """
    value = placement.get(sample.name, placement.get(""))
    if value is None:
        raise PerceptionError(f"point attack: sample {sample.name} has no placement")
    clouds, added = list(sample.clouds), np.zeros((0, 3), np.float32)
    first = 0 if config.past or config.kind == "board" else len(clouds) - 1
    for number in range(first, len(clouds)):
        turn = sample.past_from_newest(number)
        if config.kind == "cells":
            moved = (np.asarray(value, np.float64) @ turn[:3, :3].T + turn[:3, 3]).astype(np.float32)
            clouds[number], added = np.concatenate([clouds[number], moved]), moved
        else:
            corners = board_on_road(value, config) @ turn[:3, :3].T + turn[:3, 3]
            clouds[number], hit = cast_on_board(clouds[number], sample.sensors[number], corners)
            added = clouds[number][hit]
    return sample.changed(clouds, added)


def control_placement(
    kind: str, samples: Sequence[PointSample], config: PointAttackConfig, seed: int = 0
) -> dict[str, np.ndarray]:
    """``grey``: cells spread evenly, a board straight ahead in the middle of the region; ``random``: anywhere in it.

    Raises:
        UnknownNameError: Another kind.
    """
    if kind not in ("grey", "random"):
        raise UnknownNameError("control placement", kind, ("grey", "random"))
    rng = np.random.default_rng(seed)
    keys = [""] if config.scope == "universal" else [sample.name for sample in samples]
    return {key: _control(kind, config, rng) for key in keys}


def _control(kind: str, config: PointAttackConfig, rng: np.random.Generator) -> np.ndarray:
    if config.kind == "board":
        return _random_pose(config, rng) if kind == "random" else _middle(config)
    places = config.places()
    if kind == "random":
        return config.returns(places[rng.choice(len(places), config.cells, replace=False)])
    return config.returns(places[np.linspace(0, len(places) - 1, config.cells).round().astype(int)])


def _middle(config: PointAttackConfig) -> np.ndarray:
    x0, y0, x1, y1 = config.region
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, 0.0])


def _random_pose(config: PointAttackConfig, rng: np.random.Generator) -> np.ndarray:
    x0, y0, x1, y1 = config.region
    return np.array([rng.uniform(x0, x1), rng.uniform(y0, y1), rng.uniform(-config.yaw, config.yaw)])


def craft_points(target: PointAttackTarget, samples: Sequence[PointSample], config: PointAttackConfig) -> CraftedPoints:
    """Find a placement; the victim is not changed.

    Raises:
        PerceptionError: Unsupported goal, cells for a victim without gradient, no sample, or the victim was changed.
    """
    check_goal(target, config.goal)
    if config.kind == "cells" and not target.differentiable:
        raise PerceptionError("point attack 'cells' needs a gradient, which this victim does not have; use 'board'")
    if not samples:
        raise PerceptionError("attack: expected at least one sample, found none")
    start = time.perf_counter()
    search = _search_cells if config.kind == "cells" else _search_board
    groups = {"": list(samples)} if config.scope == "universal" else {s.name: [s] for s in samples}
    placement: dict[str, np.ndarray] = {}
    traces, queries = [], 0
    with unchanged(target):
        for number, (key, members) in enumerate(groups.items()):
            rng = np.random.default_rng([config.seed, number])
            chosen = [members[k] for k in sorted(rng.permutation(len(members))[: config.batch])]
            judge = _Judge(target, chosen, config, key)
            placement[key] = search(judge, config, rng)
            traces.append(judge.losses)
            queries += judge.queries
    return CraftedPoints(placement, mean_trace(traces), time.perf_counter() - start, queries)


@dataclass
class _Judge:
    """Mean loss of placements over a few samples, the best so far, and how often the victim was asked."""

    target: PointAttackTarget
    samples: Sequence[PointSample]
    config: PointAttackConfig
    key: str
    losses: list[float] = field(default_factory=list)
    queries: int = 0

    def shown(self, value: np.ndarray) -> list[PointSample]:
        return [attacked_sample(sample, {"": value}, self.config) for sample in self.samples]

    def __call__(self, value: np.ndarray) -> float:
        self.queries += len(self.samples)
        loss = float(self.target.loss(self.shown(value), self.config.goal).mean())
        if not np.isfinite(loss):
            raise PerceptionError("point attack: the loss is not finite")
        self.losses.append(min([loss, *self.losses[-1:]]))
        return loss


def _search_cells(judge: _Judge, config: PointAttackConfig, rng: np.random.Generator) -> np.ndarray:
    """In every round the places of largest gain are proposed and kept when the loss falls, else fewer are."""
    places = config.places()
    taken = np.zeros(len(places), bool)
    tried = np.zeros(len(places), bool)
    best = judge(config.returns(places[:0]))
    share = max(-(-config.cells // config.steps), 1)
    for _ in range(2 * config.steps):
        room = config.cells - int(taken.sum())
        if room <= 0:
            break
        shown = judge.shown(config.returns(places[taken]))
        gains = sum(judge.target.point_gains(s, places, config.goal, config.past) for s in shown)
        judge.queries += len(shown)
        gains = np.where(taken | tried, -np.inf, np.asarray(gains))
        proposed = np.argsort(-gains, kind="stable")[: min(share, room)]
        proposed = proposed[gains[proposed] > 0]
        if not len(proposed):
            break
        wanted = taken.copy()
        wanted[proposed] = True
        loss = judge(config.returns(places[wanted]))
        if loss < best:
            best, taken = loss, wanted
        else:
            tried[proposed] = True
    return config.returns(places[taken])


def _search_board(judge: _Judge, config: PointAttackConfig, rng: np.random.Generator) -> np.ndarray:
    """Random poses, and from half of the steps on poses near the best."""
    best = _middle(config)
    lowest = judge(best)
    spread = np.array([config.region[2] - config.region[0], config.region[3] - config.region[1], 2 * config.yaw])
    low = np.array([*config.region[:2], -config.yaw])
    for step in range(1, config.steps):
        pose = _random_pose(config, rng)
        if step > config.steps // 2:
            pose = np.clip(best + rng.normal(0, 0.1, 3) * spread, low, low + spread)
        found = judge(pose)
        if found < lowest:
            lowest, best = found, pose
    return best
