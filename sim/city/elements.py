"""Traffic lights, signs and boards of a town: where they stand, what they show, which lanes they rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from perception.sim.city import faces
from perception.sim.city.layout import Plan, TownConfig
from perception.sim.city.model import Category, Element, GroundMap, Lane
from perception.sim.city.terrain import sample_height
from perception.sim.world.mesh import MATTE, METAL, Mesh, box, cylinder, make

_STEEL = (0.30, 0.31, 0.32)


@dataclass
class Furniture:
    """Static triangles with category and instance, collected part by part; instance numbers are given out here."""

    meshes: list[Mesh] = field(default_factory=list)
    categories: list[np.ndarray] = field(default_factory=list)
    instances: list[np.ndarray] = field(default_factory=list)
    textures: dict[int, np.ndarray] = field(default_factory=dict)
    elements: list[Element] = field(default_factory=list)
    count: int = 0

    def new_instance(self) -> int:
        """The next free instance number."""
        self.count += 1
        return self.count

    def add(self, mesh: Mesh, category: Category, instance: int = 0) -> None:
        """Take in a mesh in world coordinates."""
        self.meshes.append(mesh)
        self.categories.append(np.full(len(mesh.triangles), int(category), np.uint8))
        self.instances.append(np.full(len(mesh.triangles), instance, np.int32))

    def add_face(
        self,
        kind: str,
        picture: np.ndarray,
        center: np.ndarray,
        yaw: float,
        size: tuple[float, float],
        attribute: int = 0,
        shape: str = "",
        emits: bool = False,
    ) -> int:
        """Put up a flat face.

        Args:
            kind: As in :class:`Element`.
            picture: (H, W, 4) uint8.
            center: (3,) world.
            yaw: Direction that it faces, radians.
            size: (height, width) metres.
            attribute: OpenLane-V2 attribute.
            shape: Name of a sign's shape.
            emits: It shines by itself.

        Returns:
            Id of the element.
        """
        height, width = size
        if kind != "light":  # in front of its post
            center = center + 0.09 * np.array([np.cos(yaw), np.sin(yaw), 0.0])
        right = np.array([-np.sin(yaw), np.cos(yaw), 0.0])  # of who looks at it: against the facing direction
        up = np.array([0.0, 0.0, 1.0])
        corners = center + np.array([u * width / 2 * right + v * height / 2 * up for u, v in _QUAD])
        instance = self.new_instance()
        outline, points = _CORNERS, np.zeros((0, 3))
        if shape:
            form = faces.SHAPES[shape]
            outline = form.outline
            points = np.array([_at(corners, x, y) for x, y in form.keypoints])
        category = {"light": Category.TRAFFIC_LIGHT, "sign": Category.TRAFFIC_SIGN}.get(kind, Category.BILLBOARD)
        vertices = np.array([_at(corners, x, y) for x, y in outline])
        fan = np.stack(
            [np.zeros(len(outline) - 2, int), np.arange(1, len(outline) - 1), np.arange(2, len(outline))], -1
        )
        mesh = make(vertices, fan, (1.0, 1.0, 1.0) if emits else (0.8, 0.8, 0.8), MATTE)
        mesh.texture[:] = outline
        self.add(mesh, category, instance)
        depth = np.array([np.cos(yaw), np.sin(yaw), 0.0]) * 0.03
        back = make(vertices - depth, fan[:, ::-1], (0.25, 0.25, 0.26), METAL)
        self.add(back, Category.POLE)
        self.textures[instance] = picture
        self.elements.append(Element(len(self.elements), kind, attribute, shape, corners, vertices, points, instance))
        return len(self.elements) - 1


_QUAD = ((-1, 1), (1, 1), (1, -1), (-1, -1))
_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)


def _at(corners: np.ndarray, x: float, y: float) -> np.ndarray:
    """Point of a face at unit coordinates, x right, y down."""
    return corners[0] + x * (corners[1] - corners[0]) + y * (corners[3] - corners[0])


def put_up_elements(
    rng: np.random.Generator, config: TownConfig, plan: Plan, lanes: Sequence[Lane], ground: GroundMap, parts: Furniture
) -> tuple[Lane, ...]:
    """Lights and signs at the arms of intersections and along roads; returns the lanes with their elements."""
    ruled: dict[int, list[int]] = {lane.id: [] for lane in lanes}
    signalled = rng.random(len(plan.nodes)) < config.signals
    phase = rng.integers(0, 2, len(plan.nodes))
    for group in _approaches(lanes):
        node = lanes[lanes[group[0]].successors[0]].intersection
        if signalled[node]:
            _light(rng, lanes, group, ground, parts, int(phase[node]), ruled)
        if rng.random() < 0.6:
            _sign(rng, lanes, group, ground, parts, ruled)
    for lane in lanes:
        if lane.intersection < 0 and lane.right_type == 1:
            for index in range(12, len(lane.right) - 12, 25):
                if rng.random() < config.signs:
                    _plain_sign(rng, lane, ground, parts, index)
    return tuple(replace(lane, elements=tuple(ruled[lane.id])) for lane in lanes)


def _approaches(lanes: Sequence[Lane]) -> list[list[int]]:
    """Lanes that enter an intersection side by side, from left to right."""
    entering = [
        lane for lane in lanes
        if lane.intersection < 0 and lane.successors and lanes[lane.successors[0]].intersection >= 0
    ]  # fmt: skip
    beside = {
        lane.id: other.id
        for lane in entering
        for other in entering
        if other is not lane and np.linalg.norm(lane.right[-1] - other.left[-1]) < 0.1
    }
    groups = []
    for lane in entering:
        if lane.id in beside.values():
            continue
        group = [lane.id]
        while group[-1] in beside and beside[group[-1]] not in group:
            group.append(beside[group[-1]])
        groups.append(group)
    return groups


def _across(lanes: Sequence[Lane], group: list[int]) -> np.ndarray:
    """(2,) from the end of an approach to the far side of the intersection; zero where no road goes straight on."""
    outer = lanes[group[-1]]
    for k in outer.successors:
        if lanes[k].turn == "straight":
            beyond = lanes[lanes[k].successors[0]].right
            return beyond[min(2, len(beyond) - 1), :2] - outer.right[-1, :2]
    return np.zeros(2)


def _frame(lane: Lane, index: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Point of the right border, heading and right-hand unit vector there."""
    step = lane.right[index] - lane.right[index - 1]
    heading = float(np.arctan2(step[1], step[0]))
    return lane.right[index, :2], heading, np.array([np.sin(heading), -np.cos(heading)])


def _stand(ground: GroundMap, spot: np.ndarray) -> np.ndarray:
    return np.array([*spot, float(sample_height(ground, spot[None])[0])])


def _post(parts: Furniture, foot: np.ndarray, height: float, radius: float = 0.05) -> None:
    pose = np.eye(4)
    pose[:3, 3] = foot
    parts.add(cylinder(radius, -0.2, height, _STEEL, 6).moved(pose), Category.POLE)


def _light(
    rng: np.random.Generator, lanes: Sequence[Lane], group: list[int], ground: GroundMap, parts: Furniture, phase: int,
    ruled: dict[int, list[int]],
) -> None:  # fmt: skip
    """A mast beyond the intersection with one head over every lane of the approach, and one beside the stop line."""
    outer, inner = lanes[group[-1]], lanes[group[0]]
    spot, heading, right = _frame(outer, -1)
    along = np.array([np.cos(heading), np.sin(heading)])
    green = (abs(np.cos(heading)) > np.sqrt(0.5)) == bool(phase)
    attribute = 2 if green else (1 if rng.random() < 0.8 else 3)
    if rng.random() < 0.05:
        attribute = 0  # out of order: nobody can tell
    ahead = _across(lanes, group)
    foot = _stand(ground, spot + right * 1.3 + ahead)
    reach = float(np.linalg.norm(outer.right[-1] - inner.left[-1])) + 1.0
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([np.append(along, 0), np.append(-right, 0), (0, 0, 1)])
    pose[:3, 3] = foot
    parts.add(cylinder(0.11, -0.2, 6.2, _STEEL, 8).moved(pose), Category.POLE)
    parts.add(box((-0.06, 0, 5.9), (0.06, reach, 6.05), _STEEL, METAL).moved(pose), Category.POLE)
    places = [(lanes[k].centerline[-1, :2] + ahead, 5.35, [k]) for k in group]
    places.append((spot + right * 0.9, 2.9, list(group)))
    for position, z, ids in places:
        base = _stand(ground, position)
        base[2] = (foot[2] if z > 4 else base[2]) + z
        if z < 4:
            _post(parts, base - (0, 0, z), z)
        element = parts.add_face(
            "light", faces.light_face(attribute), base - np.append(along, 0) * 0.1, heading + np.pi, faces.LIGHT_SIZE,
            attribute, emits=True,
        )  # fmt: skip
        for k in ids:
            ruled[k].append(element)
            for successor in lanes[k].successors:
                ruled[successor].append(element)


def _sign(
    rng: np.random.Generator, lanes: Sequence[Lane], group: list[int], ground: GroundMap, parts: Furniture,
    ruled: dict[int, list[int]],
) -> None:  # fmt: skip
    """An arrow sign that says what the lanes of an approach may do."""
    outer = lanes[group[-1]]
    if len(outer.right) < 14:
        return
    spot, heading, right = _frame(outer, -9)
    turns = {lanes[s].turn for k in group for s in lanes[k].successors}
    options = []
    for turn, allowed, forbidden in (("left", 5, 7), ("right", 6, 8)):
        options.append(allowed if turn in turns else forbidden)
    options += [4] * ("straight" in turns) + [int(rng.choice([9, 10, 11, 12]))]
    attribute = int(rng.choice(options))
    foot = _stand(ground, spot + right * rng.uniform(1.0, 1.8))
    _post(parts, foot, 2.9)
    face = faces.attribute_face(attribute)
    element = parts.add_face(
        "sign", face, foot + (0, 0, 2.6), heading + np.pi + rng.uniform(-0.12, 0.12), (0.75, 0.75), attribute, "circle"
    )
    for k in group:
        ruled[k].append(element)


def _plain_sign(rng: np.random.Generator, lane: Lane, ground: GroundMap, parts: Furniture, index: int) -> None:
    """A sign of a random shape beside a road, or a board."""
    spot, heading, right = _frame(lane, index)
    if rng.random() < 0.12:
        foot = _stand(ground, spot + right * rng.uniform(2.2, 3.2))
        _post(parts, foot, 3.2, 0.1)
        parts.add_face("billboard", faces.board_face(rng), foot + (0, 0, 3.6), heading + np.pi, (1.8, 3.6))
        return
    names = list(faces.SHAPES)
    shape = names[int(rng.integers(len(names)))]
    foot = _stand(ground, spot + right * rng.uniform(0.9, 1.9))
    size = (faces.SHAPES[shape].height, faces.SHAPES[shape].width)
    middle = rng.uniform(2.1, 2.6) + size[0] / 2
    _post(parts, foot, middle)
    yaw = heading + np.pi + rng.uniform(-0.2, 0.2)
    parts.add_face("sign", faces.sign_face(shape, rng), foot + (0, 0, middle), yaw, size, 0, shape)
