"""Smooth low-polygon people: limbs, clothes, hair and bags as lofted rings, in many poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

SKIN, HAIR, TOP, BOTTOM, SHOE, EXTRA, DARK = range(7)
"""What a triangle is made of: the colour slots of a person's palette."""
SLOTS = 7
HEAD_CENTER = (0.0, 0.0, 1.61)
"""Middle of the head of an adult, metres from between the feet; x is forward."""
HEAD_RADIUS = 0.115
"""Mean radius of a head with hair, metres."""
POOL_SIZE = 150


@dataclass(frozen=True, eq=False)
class Part:
    """A tube of one material.

    Attributes:
        vertices: (R * sides, 3) float64 metres, ring by ring.
        normals: (R * sides, 3) float64 unit, outwards.
        triangles: (T, 3) int64, counterclockwise from outside.
        slot: Colour slot.
        sides: Corners of a ring.
        head: Counts as head.
        shell: Closed, or open only where another part covers it: its inside is never seen.
    """

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    slot: int
    sides: int
    head: bool = False
    shell: bool = True

    def scaled(self, factor: float, about: np.ndarray) -> Part:
        """The part enlarged about a point."""
        return replace(self, vertices=(self.vertices - about) * factor + about)

    def moved(self, way: np.ndarray) -> Part:
        """The part shifted by ``way`` (3,) metres."""
        return replace(self, vertices=self.vertices + way)


def loft(
    centers: ArrayLike | Sequence,
    radii: ArrayLike | Sequence,
    slot: int,
    sides: int = 8,
    head: bool = False,
    shell: bool = True,
) -> Part:
    """A tube through elliptical rings.

    Args:
        centers: (R, 3) middles of the rings, metres.
        radii: (R, 2) radii along x (forward) and y, or what these become when the tube bends.
        slot: Colour slot.
        sides: Corners of a ring.
        head: Counts as head.
        shell: Its inside is never seen.
    """
    vertices, normals, triangles = _tube(np.asarray(centers, float), np.asarray(radii, float), sides)
    return Part(vertices, normals, triangles, slot, sides, head, shell)


@njit(cache=True)
def _faces(rings, sides):  # type: ignore[no-untyped-def]
    """(T, 3) int64 triangles between rings of a tube."""
    quads = (rings - 1) * sides
    triangles = np.empty((2 * quads, 3), np.int64)
    for q in range(quads):
        j = q % sides
        first, second = q, q - j + (j + 1) % sides
        triangles[q, 0], triangles[q, 1], triangles[q, 2] = first, second, second + sides
        triangles[quads + q, 0], triangles[quads + q, 1], triangles[quads + q, 2] = first, second + sides, first + sides
    return triangles


@njit(cache=True)
def _tube(centers, radii, sides):  # type: ignore[no-untyped-def]
    """Vertices (R * sides, 3), unit normals of that shape, and triangles of a tube; arguments as of :func:`loft`."""
    rings = centers.shape[0]
    vertices = np.empty((rings * sides, 3))
    for r in range(rings):
        before, after = max(r - 1, 0), min(r + 1, rings - 1)
        along = (centers[after] - centers[before]) / (after - before)
        along /= max(np.sqrt((along * along).sum()), 1e-9)
        u = np.array([0.0, 0.0, 1.0]) if abs(along[0]) > 0.8 else np.array([1.0, 0.0, 0.0])
        u -= (u * along).sum() * along
        u /= np.sqrt((u * u).sum())
        v = np.cross(along, u)
        for j in range(sides):
            angle = j * (2 * np.pi / sides)
            vertices[r * sides + j] = centers[r] + np.cos(angle) * u * radii[r, 0] + np.sin(angle) * v * radii[r, 1]
    triangles, normals = _faces(rings, sides), np.zeros(vertices.shape)
    for t in range(triangles.shape[0]):
        a, b, c = vertices[triangles[t, 0]], vertices[triangles[t, 1]], vertices[triangles[t, 2]]
        face = np.cross(b - a, c - a)
        for k in range(3):
            normals[triangles[t, k]] += face
    for i in range(normals.shape[0]):
        normals[i] /= max(np.sqrt((normals[i] * normals[i]).sum()), 1e-12)
    return vertices, normals, triangles


def ball(center: ArrayLike, radii: ArrayLike, slot: int, sides: int = 8, head: bool = False) -> Part:
    """An ellipsoid of ``radii`` (3,) with its poles up and down."""
    centers, rings = _ball_rings(np.asarray(center, float), np.asarray(radii, float), max(sides * 3 // 4, 4))
    return loft(centers, rings, slot, sides, head)


@njit(cache=True)
def _ball_rings(center, radii, rings):  # type: ignore[no-untyped-def]
    """Middles (R, 3) and radii (R, 2) of the rings of a ball; the holes at its poles are smaller than a hair."""
    centers, wide = np.empty((rings, 3)), np.empty((rings, 2))
    for r in range(rings):
        latitude = 0.995 * np.pi * (r / (rings - 1) - 0.5)
        centers[r] = center
        centers[r, 2] += np.sin(latitude) * radii[2]
        wide[r] = np.cos(latitude) * radii[:2]
    return centers, wide


def make_person(rng: np.random.Generator, fine: bool) -> list[Part]:
    """One person about 1.73 m tall in a random pose, in fine or coarse resolution.

    The number of draws from ``rng`` does not depend on ``fine``, so both resolutions show the same person.
    """
    sides = 9 if fine else 5
    look, pose = rng.random(24), rng.random(16)
    parts = [*_torso(look, sides), *_legs(look, pose, sides), *_arms(look, pose, sides), *_bags(look, sides)]
    face = [*_head(look, sides, fine), *_hair(look, sides)]
    if look[23] < 0.12:  # a child: a larger head on the same body, which is scaled down when placed
        face = [part.scaled(1.3, np.array([0, 0, 1.5])) for part in face]
    nod = np.array([0.04 * (pose[15] - 0.3), 0, 0])
    parts += [part.moved(nod) for part in face]
    if pose[0] > 0.9:  # seated
        parts = [part.moved(np.array([0, 0, -0.43])) for part in parts]
    return parts


def is_child(seed: int) -> bool:
    """Whether pool member ``seed`` is a child."""
    return bool(np.random.default_rng([41, seed]).random(24)[23] < 0.12)


def is_seated(seed: int) -> bool:
    """Whether pool member ``seed`` sits."""
    rng = np.random.default_rng([41, seed])
    rng.random(24)
    return bool(rng.random(16)[0] > 0.9)


def _torso(look: np.ndarray, sides: int) -> list[Part]:
    broad, belly, flare = 0.88 + 0.25 * look[0], 0.9 + 0.45 * look[1] ** 2, look[2]
    z = [0.83, 0.94, 1.07, 1.24, 1.36, 1.43, 1.475]
    depth = np.array([0.125, 0.125 * belly, 0.115 * belly, 0.125, 0.11, 0.085, 0.05])
    width = np.array([0.165, 0.172, 0.148 + 0.02 * belly, 0.178 * broad, 0.195 * broad, 0.155 * broad, 0.06])
    lean = 0.06 * (look[3] - 0.3)
    x = lean * np.array([0, 0.1, 0.3, 0.7, 0.9, 1, 1])
    parts = [loft(np.stack([x, 0 * x, z], -1), np.stack([depth, width], -1), TOP, sides)]
    parts.append(loft([[0, 0, 1.43], [0.005, 0, 1.53]], [[0.058, 0.062], [0.05, 0.052]], SKIN, sides))
    if flare > 0.72:  # coat, dress or long shirt
        low = 0.42 + 0.3 * look[4]
        wide = 0.18 + 0.1 * (flare - 0.72) / 0.28
        parts.append(loft([[0, 0, 0.98], [0, 0, low]], [[0.135, 0.18], [wide, wide + 0.03]], TOP, sides, shell=False))
    elif flare > 0.6:  # skirt
        parts.append(loft([[0, 0, 0.98], [0, 0, 0.55]], [[0.13, 0.165], [0.17, 0.21]], BOTTOM, sides, shell=False))
    return parts


def _legs(look: np.ndarray, pose: np.ndarray, sides: int) -> list[Part]:
    seated = pose[0] > 0.9
    stride = 0.5 * max(pose[1] - 0.35, 0) / 0.65
    short = look[5] < 0.25
    loose = 0.9 + 0.35 * look[6]
    parts = []
    for side in (-1, 1):
        swing = side * stride * (1 if pose[2] < 0.5 else -1)
        bend = 0.15 + max(-swing, 0) * 1.2
        if seated:
            swing, bend = 1.45, 1.45
        hip = np.array([0, side * 0.085, 0.88])
        knee = hip + 0.43 * np.array([np.sin(swing), 0.02 * side, -np.cos(swing)])
        ankle = knee + 0.41 * np.array([np.sin(swing - bend), 0, -np.cos(swing - bend)])
        middle = (hip + knee) / 2
        thigh = np.array([[0.095, 0.09], [0.08, 0.078], [0.06, 0.06]]) * loose
        parts.append(loft([hip, middle, knee], thigh, BOTTOM, sides, shell=not seated))
        shin = np.array([[0.06, 0.06], [0.055, 0.055], [0.04, 0.04]]) * (1.0 if short else loose)
        calf = knee * 0.6 + ankle * 0.4
        parts.append(loft([knee, calf, ankle], shin, SKIN if short else BOTTOM, sides))
        parts.append(ball(ankle + [0.055, 0, -0.01], (0.13, 0.048, 0.045), SHOE, max(sides - 2, 5)))
    return parts


def _arms(look: np.ndarray, pose: np.ndarray, sides: int) -> list[Part]:
    sleeve = look[7] < 0.55
    sides = max(sides - 2, 4)
    parts = []
    for number, side in enumerate((-1, 1)):
        kind, amount = pose[4 + number], pose[6 + number]
        upper, elbow, out = 0.5 * (amount - 0.5), 0.25 + 0.3 * amount, 0.12
        if kind > 0.93:  # raised
            upper, elbow, out = 2.3 + 0.7 * amount, 0.2, 0.25
        elif kind > 0.75:  # holding a phone, a child or a bag in front
            upper, elbow, out = 0.25, 1.3 + 0.7 * amount, 0.1
        elif kind > 0.65:  # crossed or in a pocket
            upper, elbow, out = -0.1, 1.2, 0.25
        inward = -0.5 * (kind > 0.65) * (kind < 0.93)
        shoulder = np.array([0, side * (0.19 + 0.02 * look[0]), 1.385])
        bone = np.array([np.sin(upper), side * out, -np.cos(upper)])
        joint = shoulder + 0.28 * bone / np.linalg.norm(bone)
        bone = np.array([np.sin(upper + elbow), side * (0.05 + inward), -np.cos(upper + elbow)])
        wrist = joint + 0.25 * bone / np.linalg.norm(bone)
        thick = 0.055 + 0.012 * look[8]
        rings = [[0.01, 0.01], [thick * 1.15, thick * 1.1], [thick, thick], [thick * 0.85, thick * 0.85]]
        inner = shoulder - [0, side * 0.035, -0.035]
        parts.append(loft([inner, shoulder, (shoulder + joint) / 2, joint], rings, TOP, sides))
        fore = [[thick * 0.8, thick * 0.8], [thick * 0.62, thick * 0.62]]
        parts.append(loft([joint, wrist], fore, SKIN if sleeve else TOP, sides))
        parts.append(ball(wrist + 0.05 * bone, (0.04, 0.035, 0.06), SKIN, 5))
    return parts


def _bags(look: np.ndarray, sides: int) -> list[Part]:
    kind = look[9]
    if kind < 0.16:
        return [ball((-0.19, 0, 1.2), (0.11, 0.16 + 0.03 * look[10], 0.23), EXTRA, sides)]
    if kind < 0.36:
        side = 1 if look[10] < 0.5 else -1
        bag = ball((0.02, side * 0.26, 0.82), (0.15, 0.06, 0.13), EXTRA, sides)
        strap = [[0.0, -side * 0.1, 1.46], [0.12, 0.02 * side, 1.22], [0.03, side * 0.2, 0.92]]
        return [bag, loft(strap, [[0.012, 0.02]] * 3, EXTRA, 4)]
    if kind < 0.44:
        side = 1 if look[10] < 0.5 else -1
        low = [[0, side * 0.3, 0.72], [0, side * 0.3, 0.4]]
        return [loft(low, [[0.16, 0.05], [0.17, 0.06]], EXTRA, 6, shell=False)]
    if kind < 0.455:  # an umbrella hides its owner
        cone = [[0.05, 0, 1.72], [0.05, 0, 1.9], [0.05, 0, 1.97]]
        return [loft(cone, [[0.5, 0.5], [0.28, 0.28], [0.02, 0.02]], EXTRA, 8, shell=False)]
    return []


def _head(look: np.ndarray, sides: int, fine: bool) -> list[Part]:
    long, wide = 0.122 + 0.012 * look[11], 0.075 + 0.01 * look[12]
    parts = [ball((0.008, 0, 1.6), (0.098, wide, long), SKIN, sides + (2 if fine else 0), True)]
    if not fine:
        return parts
    parts.append(ball((0.1, 0, 1.585), (0.022, 0.016, 0.028), SKIN, 5, True))
    parts += [ball((-0.0, side * (wide + 0.002), 1.59), (0.02, 0.012, 0.032), SKIN, 5, True) for side in (-1, 1)]
    thick = 0.006 + 0.006 * look[13]
    for side in (-1, 1):
        parts.append(ball((0.09, side * 0.031, 1.618), (0.014, 0.017, 0.008), DARK, 5, True))
        parts.append(ball((0.09, side * 0.032, 1.641), (0.013, 0.024, thick), HAIR, 5, True))
    parts.append(ball((0.093, 0, 1.54), (0.013, 0.026, 0.006), DARK, 5, True))
    if look[14] < 0.22:  # glasses
        rim = (0.012, 0.03, 0.02) if look[14] < 0.1 else (0.012, 0.028, 0.006)
        parts += [ball((0.1, side * 0.034, 1.616), rim, DARK, 6, True) for side in (-1, 1)]
    if look[15] < 0.05:  # mask
        parts.append(ball((0.055, 0, 1.553), (0.06, 0.066, 0.055), EXTRA, sides, True))
    if look[15] > 0.9:  # beard
        parts.append(ball((0.04, 0, 1.53), (0.065, 0.065, 0.055), HAIR, sides, True))
    return parts


def _hair(look: np.ndarray, sides: int) -> list[Part]:
    style, bulk = look[16], 0.006 + 0.02 * look[17]
    cap = ball((-0.02, 0, 1.628 + bulk / 2), (0.1 + bulk, 0.08 + bulk, 0.108 + bulk), HAIR, sides, True)
    fringe = ball((0.03, 0, 1.672), (0.068 + bulk * 0.5, 0.07 + bulk * 0.5, 0.055), HAIR, sides, True)
    if style < 0.05:  # bald
        return []
    if style < 0.38:
        return [cap, fringe] if look[18] < 0.75 else [cap]
    if style < 0.62:  # long
        low = 1.2 + 0.25 * look[18]
        rings = [[-0.03, 0, 1.66], [-0.05, 0, 1.52], [-0.085, 0, 1.42], [-0.11, 0, low]]
        fall = loft(rings, [[0.085, 0.09], [0.075, 0.097], [0.06, 0.1], [0.03, 0.07]], HAIR, sides, True, False)
        return [cap, fringe, fall] if look[19] < 0.7 else [cap, fall]
    if style < 0.74:  # tail or bun
        if look[18] < 0.35:
            return [cap, ball((-0.12, 0, 1.68), (0.045, 0.05, 0.045), HAIR, 6, True)]
        tail = [[-0.1, 0, 1.66], [-0.15, 0, 1.58], [-0.15, 0, 1.4], [-0.12, 0, 1.25]]
        return [cap, fringe, loft(tail, [[0.03, 0.03], [0.035, 0.035], [0.03, 0.03], [0.01, 0.01]], HAIR, 6, True)]
    if style < 0.84:  # cap with a visor
        crown = ball((-0.01, 0, 1.655), (0.105, 0.088, 0.09), EXTRA, sides, True)
        visor = ball((0.12, 0, 1.655), (0.075, 0.07, 0.012), EXTRA, sides, True)
        return [crown, visor, cap.scaled(0.97, np.array(HEAD_CENTER))]
    if style < 0.89:  # hat with a brim
        rings = [[0, 0, 1.655], [0, 0, 1.66], [0, 0, 1.665], [0, 0, 1.75], [0, 0, 1.77]]
        wide = 0.15 + 0.1 * look[18]
        radii = [[wide, wide], [wide, wide], [0.105, 0.09], [0.09, 0.08], [0.02, 0.02]]
        return [loft(rings, radii, EXTRA, sides + 2, True, False), cap.scaled(0.95, np.array(HEAD_CENTER))]
    if style < 0.94:  # hood or scarf
        slot = TOP if look[18] < 0.5 else EXTRA
        hood = ball((-0.025, 0, 1.61), (0.108, 0.1, 0.145), slot, sides, True)
        drape = loft([[-0.03, 0, 1.56], [-0.03, 0, 1.4]], [[0.1, 0.095], [0.12, 0.15]], slot, sides, shell=False)
        return [hood, drape]
    return [ball((0, 0, 1.65), (0.13, 0.11, 0.11), EXTRA if look[18] < 0.6 else HAIR, sides, True)]  # helmet, curls


@dataclass(frozen=True, eq=False)
class Pool:
    """All pool members in one set of arrays; member ``m`` owns rows ``first_vertex[m] : first_vertex[m + 1]``.

    Attributes:
        vertices: (V, 3) float32 metres, x forward, origin between the feet.
        normals: (V, 3) float32 unit, outwards.
        triangles: (T, 3) int64 rows of the member's own vertices, counterclockwise from outside.
        slot: (T,) uint8 colour slots.
        head: (T,) bool.
        shell: (T,) bool: of parts whose inside is never seen.
        first_vertex, first_triangle: (M + 1,) int64.
        head_center: (M, 3) float32 middle of the visible head.
    """

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    slot: np.ndarray
    head: np.ndarray
    shell: np.ndarray
    first_vertex: np.ndarray
    first_triangle: np.ndarray
    head_center: np.ndarray


@lru_cache(maxsize=2)
def _members(fine: bool, size: int) -> list[list[Part]]:
    return [make_person(np.random.default_rng([41, seed]), fine) for seed in range(size)]


@lru_cache(maxsize=2)
def pool(fine: bool, size: int = POOL_SIZE) -> Pool:
    """Different people, made once per process from fixed seeds."""
    return _pool(_members(fine, size))


@lru_cache(maxsize=1)
def casters(size: int = POOL_SIZE) -> Pool:
    """The same people with two thirds of the triangles of the coarse ones, for rays to the sun.

    They lie within the others, so nobody stands in the shade of their own outline.
    """
    return _pool([[_thinned(part) for part in parts if _casts(part)] for parts in _members(False, size)])


def _casts(part: Part) -> bool:
    """Whether the shadow of a part would be missed: not that of eyes, necks and hands."""
    return bool(np.linalg.norm(np.ptp(part.vertices, axis=0)) > 0.2)


def _thinned(part: Part) -> Part:
    """A part with every second ring; balls keep theirs, which are four."""
    rings = len(part.vertices) // part.sides
    if rings == 4:
        return part
    keep = np.unique([*range(0, rings, 2), rings - 1])
    rows = (keep[:, None] * part.sides + np.arange(part.sides)).ravel()
    triangles = _faces(len(keep), part.sides)
    return replace(part, vertices=part.vertices[rows], normals=part.normals[rows], triangles=triangles)


def _pool(members: list[list[Part]]) -> Pool:
    parts = [part for member in members for part in member]
    rows, faces = [len(part.vertices) for part in parts], [len(part.triangles) for part in parts]
    ends = np.cumsum([0, *(len(member) for member in members)])
    first_vertex, first_triangle = np.cumsum([0, *rows])[ends], np.cumsum([0, *faces])[ends]
    owner = np.repeat(np.arange(len(members)), np.diff(ends))
    base = np.cumsum([0, *rows])[:-1] - first_vertex[owner]
    skulls = [next(part for part in member if part.head and part.slot == SKIN) for member in members]
    return Pool(
        np.concatenate([part.vertices for part in parts]).astype(np.float32),
        np.concatenate([part.normals for part in parts]).astype(np.float32),
        np.concatenate([part.triangles for part in parts]) + np.repeat(base, faces)[:, None],
        np.repeat(np.array([part.slot for part in parts], np.uint8), faces),
        np.repeat([part.head for part in parts], faces),
        np.repeat([part.shell for part in parts], faces),
        first_vertex,
        first_triangle,
        np.array([skull.vertices.mean(0) for skull in skulls], np.float32),
    )
