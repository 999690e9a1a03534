"""Object truth of a moment: boxes in space and in pictures, heads, and the outlines of signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from perception.geometry.camera import Camera
from perception.geometry.transforms import invert_pose
from perception.sim.city.actors import KINDS
from perception.sim.city.faces import ATTRIBUTES
from perception.sim.city.model import Element, Town
from perception.sim.city.sensors.camera import View
from perception.structures import Boxes2D, Boxes3D, DensityMap

CLASSES = (*KINDS, "traffic_light", "traffic_sign", "billboard")
"""Class names of 2-D boxes; those of 3-D boxes are the first of them."""

_ELEMENT_LABELS = {
    kind: CLASSES.index(name)
    for kind, name in (("light", "traffic_light"), ("sign", "traffic_sign"), ("billboard", "billboard"))
}


def boxes_in_space(town: Town, ego: np.ndarray, time: float, reach: float = 100.0) -> Boxes3D:
    """Vehicles and people around the ego, in its frame, with velocities over ground and identities.

    Args:
        town: The town.
        ego: (4, 4) ``world_from_ego`` at ``time``.
        time: Seconds since the world began.
        reach: Largest distance of their middle, metres.
    """
    position, yaw = town.actors.at(time)
    near = np.flatnonzero(np.linalg.norm(position[:, :2] - ego[:2, 3], axis=1) < reach)
    actors = town.actors.pick(near)
    middle = position[near] + np.c_[np.zeros((len(near), 2)), actors.size[:, 2] / 2]
    boxes = np.concatenate([middle, actors.size, yaw[near, None]], axis=1)
    kinds = CLASSES[: len(KINDS)]
    world = Boxes3D(
        "world", boxes, np.ones(len(near)), actors.kind, kinds, actors.velocities(time), actors.instance
    )  # fmt: skip
    return world.moved(invert_pose(ego), "ego")


@dataclass(frozen=True, eq=False)
class Seen:
    """Labelled things in a picture, with what boxes alone do not tell.

    Attributes:
        boxes: Tight boxes around what can be seen of them.
        instances: (N,) int32 instance of each box.
        pixels: (N,) int64 pixels that can be seen.
    """

    boxes: Boxes2D
    instances: np.ndarray
    pixels: np.ndarray


def boxes_in_picture(town: Town, camera: Camera, view: View, smallest: int = 12) -> Seen:
    """What an annotator would box: everything of which ``smallest`` pixels or more can be seen.

    Args:
        town: The town.
        camera: The camera.
        view: Its labels.
        smallest: Pixels.
    """
    instances, low, high, pixels = extents(view.instance)
    labels = np.full(town.instances, -1, np.int64)
    labels[town.actors.instance] = town.actors.kind
    for element in town.elements:
        labels[element.instance] = _ELEMENT_LABELS[element.kind]
    keep = (labels[instances] >= 0) & (pixels >= smallest)
    boxes = np.concatenate([low - 0.5, high + 0.5], axis=1)[keep]
    result = Boxes2D(camera.name, camera.size, boxes, np.ones(len(boxes)), labels[instances[keep]], CLASSES)
    return Seen(result, instances[keep].astype(np.int32), pixels[keep])


def elements_in_picture(
    town: Town, camera: Camera, ego: np.ndarray, view: View, smallest: int = 12, share: float = 0.35
) -> tuple[Boxes2D, np.ndarray]:
    """Traffic lights and signs with an OpenLane-V2 attribute, and their ids in ``Town.elements``.

    Those of which less than ``share`` of the face can be seen are left out, so are those seen from behind.
    """
    instances, low, high, pixels = extents(view.instance)
    row = {int(instance): i for i, instance in enumerate(instances)}
    boxes, labels, ids = [], [], []
    for element in town.elements:
        i = row.get(element.instance)
        if element.kind == "billboard" or (element.kind == "sign" and not element.attribute) or i is None:
            continue
        outline = face_pixels(element.corners, camera, ego)
        if pixels[i] < smallest or outline is None or pixels[i] < share * 0.7 * abs(_area(outline)):
            continue
        boxes.append(np.concatenate([low[i] - 0.5, high[i] + 0.5]))
        labels.append(element.attribute)
        ids.append(element.id)
    count = len(ids)
    found = Boxes2D(
        camera.name, camera.size, np.array(boxes).reshape(-1, 4), np.ones(count), np.array(labels, int), ATTRIBUTES
    )
    return found, np.array(ids, np.int64)


@dataclass(frozen=True, eq=False)
class SignView:
    """One sign face in a picture.

    Attributes:
        element: The sign.
        keypoints: (K, 2) float64 pixels of its annotated corners, see :data:`perception.sim.city.faces.SHAPES`.
        visible: Share of the face that can be seen, 0 to 1.
        box: (4,) x0, y0, x1, y1 around the keypoints' face, not cut at the border of the picture.
    """

    element: Element
    keypoints: np.ndarray
    visible: float
    box: np.ndarray


def signs_in_picture(
    town: Town, camera: Camera, ego: np.ndarray, view: View, share: float = 0.3, smallest: int = 12
) -> list[SignView]:
    """Signs whose face, corner by corner, projects into the picture and can mostly be seen."""
    instances, _, _, pixels = extents(view.instance)
    row = {int(instance): i for i, instance in enumerate(instances)}
    out = []
    for element in town.elements:
        i = row.get(element.instance)
        if element.kind != "sign" or i is None or pixels[i] < smallest:
            continue
        keypoints = face_pixels(element.keypoints, camera, ego)
        outline = face_pixels(element.outline, camera, ego)
        if keypoints is None or outline is None:
            continue
        visible = min(float(pixels[i] / max(abs(_area(outline)), 1e-6)), 1.0)
        if visible >= share:
            box = np.concatenate([outline.min(0), outline.max(0)])
            out.append(SignView(element, keypoints, visible, box))
    return out


def hidden_pixels(view: View, signs: Sequence[SignView], margin: float = 0.1) -> np.ndarray:
    """(H, W) bool of the pixels around some signs in which something else stands in front of them.

    Args:
        view: What the camera sees.
        signs: Signs in it; none of them hides another here.
        margin: Metres nearer than the nearest pixel of the sign from which something stands in front of it.
    """
    hidden = np.zeros(view.instance.shape, bool)
    for sign in signs:
        (x0, y0), (x1, y1) = np.floor(sign.box[:2]).astype(int), np.ceil(sign.box[2:]).astype(int) + 1
        part = np.s_[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        own = view.instance[part] == sign.element.instance
        if own.any():
            hidden[part] |= view.depth[part] < view.depth[part][own].min() - margin
    return hidden & ~np.isin(view.instance, [sign.element.instance for sign in signs])


def face_pixels(points: np.ndarray, camera: Camera, ego: np.ndarray) -> np.ndarray | None:
    """(K, 2) pixels of (K, 3) world points, inside the picture or not; None when one is behind or far beside it."""
    uv, _ = camera.project_ego((points - ego[:3, 3]) @ ego[:3, :3])
    reach = 2 * np.array(camera.size)
    usable = len(points) > 0 and np.isfinite(uv).all() and (uv > -reach).all() and (uv < 2 * reach).all()
    return uv if usable else None


def heads_in_picture(
    town: Town, camera: Camera, ego: np.ndarray, view: View, time: float, slack: float = 0.25
) -> np.ndarray:
    """(N, 2) float64 pixels of the middles of heads that can be seen.

    A head counts when the picture is within ``slack`` metres of its depth, or nearer to its own body, at its middle.
    """
    people = town.actors.pick(np.flatnonzero(town.actors.person))
    position, _ = people.at(time)
    position = position + np.c_[np.zeros((len(people), 2)), people.head]
    pose = invert_pose(ego @ camera.ego_from_camera)
    local = position @ pose[:3, :3].T + pose[:3, 3]
    uv, valid = camera.project(local)
    keep = np.flatnonzero(valid & (local[:, 2] > 0.3))
    column, line = np.rint(uv[keep]).astype(np.int64).T
    inside = (column >= 0) & (column < camera.width) & (line >= 0) & (line < camera.height)
    keep, column, line = keep[inside], column[inside], line[inside]
    open_ = view.depth[line, column] > local[keep, 2] - slack
    own = view.instance[line, column] == people.instance[keep]
    return uv[keep[open_ | own]]


def density(camera: Camera, points: np.ndarray, stride: float = 8.0) -> DensityMap:
    """A density map whose every head weighs one, with the heads as points."""
    rows, columns = int(np.ceil(camera.height / stride)), int(np.ceil(camera.width / stride))
    grid = np.zeros((rows, columns), np.float32)
    cell = np.clip((points + 0.5) // stride, 0, (columns - 1, rows - 1)).astype(int).reshape(-1, 2)
    np.add.at(grid, (cell[:, 1], cell[:, 0]), 1.0)
    return DensityMap(camera.name, camera.size, grid, stride, points)


def extents(instance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids (N,), first (N, 2) and last (N, 2) column and row, and pixels (N,) of all instances in an (H, W) image."""
    low, high, pixels = _extents(instance)
    ids = np.flatnonzero(pixels)
    return ids, low[ids], high[ids], pixels[ids]


@njit(cache=True)
def _extents(instance):  # type: ignore[no-untyped-def]
    count = instance.max() + 1
    low, high = np.full((count, 2), 1 << 30), np.full((count, 2), -1)
    pixels = np.zeros(count, np.int64)
    for y in range(instance.shape[0]):
        for x in range(instance.shape[1]):
            i = instance[y, x]
            if i <= 0:
                continue
            pixels[i] += 1
            low[i, 0], high[i, 0] = min(low[i, 0], x), max(high[i, 0], x)
            low[i, 1], high[i, 1] = min(low[i, 1], y), max(high[i, 1], y)
    return low, high, pixels


def _area(outline: np.ndarray) -> float:
    """Signed area of a polygon."""
    x, y = outline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
