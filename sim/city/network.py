"""Lanes of a planned town with their boundaries and connections."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from perception.sim.city.layout import Plan, RoadPlan
from perception.sim.city.model import Lane, LineType


@dataclass
class _Draft:
    """A lane that is still being connected; arrays are (N, 2)."""

    center: np.ndarray
    left: np.ndarray
    right: np.ndarray
    left_type: LineType
    right_type: LineType
    width: float
    road: int
    arm: tuple[int, int]
    """Node where it begins and node where it ends; -1 within a road or at the border."""
    slot: int
    """Place from the middle of the road, 0 is the inner lane."""
    intersection: int = -1
    turn: str = "straight"
    joins: int = 0
    successors: list[int] = field(default_factory=list)


def make_lanes(plan: Plan) -> tuple[Lane, ...]:
    """All lanes of a plan, z = 0; connected ones share their end points and headings exactly."""
    drafts: list[_Draft] = []
    for index, road in enumerate(plan.roads):
        _add_direction(drafts, road, index, forward=True)
        _add_direction(drafts, road, index, forward=False)
    for node in range(len(plan.nodes)):
        _connect(drafts, node)
    return _finished(drafts)


def offset_line(line: np.ndarray, offset: np.ndarray | float) -> np.ndarray:
    """(N, 2) line moved to its left by ``offset`` metres, a number or (N,)."""
    step = np.gradient(line, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], -1) / np.linalg.norm(step, axis=1, keepdims=True)
    return line + normal * np.reshape(offset, (-1, 1))


def line_length(line: np.ndarray) -> float:
    """Length of a polyline on the ground, metres."""
    return float(np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1).sum())


def _add_direction(drafts: list[_Draft], road: RoadPlan, index: int, forward: bool) -> None:
    """Add both halves of one direction; where a lane is gained or lost, it splits off or merges."""
    line, ends = road.line, road.ends
    counts = road.forward if forward else road.backward[::-1]
    if not forward:
        line, ends = line[::-1], ends[::-1]
    if counts[0] == 0:
        return
    opposite = max(road.backward if forward else road.forward)
    middle = len(line) // 2
    halves = (slice(0, middle + 1), slice(middle, None))
    first = [_lane(road, index, line, halves[0], slot, counts[0], opposite, (ends[0], -1)) for slot in range(counts[0])]
    second = [
        _lane(road, index, line, halves[1], slot, counts[1], opposite, (-1, ends[1])) for slot in range(counts[1])
    ]
    base = len(drafts)
    if counts[0] > counts[1]:  # the outer lane ends: it swings into the inner one
        first[1] = _swing(first[1], second[0], road, end=True)
        first[1].arm = (ends[0], -1)
    if counts[1] > counts[0]:
        second[1] = _swing(second[1], first[0], road, end=False)
        second[1].arm = (-1, ends[1])
    drafts += first + second
    for slot in range(counts[0]):
        first[slot].successors.append(base + counts[0] + min(slot, counts[1] - 1))
    if counts[1] > counts[0]:
        first[0].successors.append(base + counts[0] + 1)


def _lane(
    road: RoadPlan,
    index: int,
    line: np.ndarray,
    part: slice,
    slot: int,
    count: int,
    opposite: int,
    arm: tuple[int, int],
) -> _Draft:
    """Lane ``slot`` from the middle, to the right of a part of ``line``."""
    w = road.width
    inner = LineType.SOLID if slot == 0 else LineType.DASHED
    outer = LineType.DASHED if slot < count - 1 else LineType.SOLID
    if slot == 0 and not opposite:
        inner = LineType.SOLID
    center, left, right = (offset_line(line, -(slot + share) * w)[part] for share in (0.5, 0.0, 1.0))
    return _Draft(center, left, right, inner, outer, w, index, arm, slot)


def _swing(lane: _Draft, target: _Draft, road: RoadPlan, end: bool) -> _Draft:
    """A lane whose last (or first) 30 m move sideways into its inner neighbour."""
    reference = lane.left  # the border towards the inner lane, parallel to the road
    count = len(reference)
    span = min(30, count - 2)
    t = np.clip((np.arange(count) - (count - 1 - span)) / span, 0, 1)
    share = t**3 * (10 - 15 * t + 6 * t * t)
    if not end:
        share = share[::-1]
    shift = share * road.width
    lines = [offset_line(reference, -side * road.width + shift) for side in (0.5, 0.0, 1.0)]
    at, joint = (-1, 0) if end else (0, -1)
    for line, other in zip(lines, (target.center, target.left, target.right)):
        line[at] = other[joint]
    return replace(
        lane, center=lines[0], left=lines[1], right=lines[2], left_type=LineType.DASHED, joins=1 if end else -1
    )


def _connect(drafts: list[_Draft], node: int) -> None:
    """Add connecting lanes through an intersection."""
    incoming = [i for i, lane in enumerate(drafts) if lane.arm[1] == node and lane.intersection < 0]
    outgoing = [i for i, lane in enumerate(drafts) if lane.arm[0] == node and lane.intersection < 0]
    for i in incoming:
        lane = drafts[i]
        count = sum(drafts[k].road == lane.road for k in incoming)
        for j in outgoing:
            other = drafts[j]
            if other.road == lane.road:
                continue
            turn = _turn(lane, other)
            exits = sum(drafts[k].road == other.road for k in outgoing)
            if not _allowed(turn, lane.slot, count, other.slot, exits):
                continue
            connection = _curve(lane, other, node, turn)
            connection.successors.append(j)
            lane.successors.append(len(drafts))
            drafts.append(connection)


def _heading(line: np.ndarray, end: bool) -> np.ndarray:
    step = line[-1] - line[-2] if end else line[1] - line[0]
    return step / np.linalg.norm(step)


def _turn(lane: _Draft, other: _Draft) -> str:
    a, b = _heading(lane.center, True), _heading(other.center, False)
    angle = np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)
    return "straight" if abs(angle) < np.deg2rad(40) else "left" if angle > 0 else "right"


def _allowed(turn: str, slot: int, count: int, exit_slot: int, exits: int) -> bool:
    """Left from the inner lane to the inner one, right from the outer to the outer, straight on in the same place."""
    if turn == "left":
        return slot == 0 and exit_slot == 0
    if turn == "right":
        return slot == count - 1 and exit_slot == exits - 1
    return min(slot, exits - 1) == exit_slot if slot < count else False


def _curve(lane: _Draft, other: _Draft, node: int, turn: str) -> _Draft:
    """A cubic between the ends of two lanes, tangential at both."""
    p, q = lane.center[-1], other.center[0]
    a, b = _heading(lane.center, True), _heading(other.center, False)
    chord = float(np.linalg.norm(q - p))
    reach = chord * (0.36 if turn == "straight" else 0.40)
    t = np.linspace(0, 1, max(int(chord * 2.5), 12) + 1)[:, None]
    t = t - 0.7 * np.sin(2 * np.pi * t) / (2 * np.pi)  # short steps at both ends, so that headings agree there
    points = np.stack([p, p + a * reach, q - b * reach, q])
    weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    center = weights @ points
    half = (lane.width + (other.width - lane.width) * t[:, 0]) / 2
    left, right = offset_line(center, half), offset_line(center, -half)
    for line, before, after in ((left, lane.left, other.left), (right, lane.right, other.right)):
        line[0], line[-1] = before[-1], after[0]
    return _Draft(
        center, left, right, LineType.NONE, LineType.NONE, lane.width, -1, (-1, -1), lane.slot, node, turn
    )  # fmt: skip


def _finished(drafts: list[_Draft]) -> tuple[Lane, ...]:
    predecessors: list[list[int]] = [[] for _ in drafts]
    for index, draft in enumerate(drafts):
        for successor in draft.successors:
            predecessors[successor].append(index)
    lanes = []
    for index, draft in enumerate(drafts):
        lines: dict[str, Any] = {
            name: np.c_[getattr(draft, name), np.zeros(len(draft.center))] for name in ("center", "left", "right")
        }
        lanes.append(
            Lane(
                id=index,
                centerline=lines["center"],
                left=lines["left"],
                right=lines["right"],
                left_type=draft.left_type,
                right_type=draft.right_type,
                successors=tuple(draft.successors),
                predecessors=tuple(predecessors[index]),
                intersection=draft.intersection,
                turn=draft.turn,
                joins=draft.joins,
                speed=8.0 if draft.turn in ("left", "right") else 13.9,
            )
        )
    return tuple(lanes)
