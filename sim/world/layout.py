"""Random cross-sections in the manner of several countries: which lanes, which lines, what lies beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from perception.sim.world.section import (
    ASPHALT,
    CONCRETE,
    GRASS,
    GRAVEL,
    KERB,
    PAVING,
    SOIL,
    Lane,
    LineMark,
    Section,
    Strip,
)  # fmt: skip

FAMILIES = ("highway_us", "highway_cn", "highway_eu", "rural", "city_us", "city_sg", "wild")
REACH = 70.0
"""Offset to which ground strips extend on both sides, metres."""

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """How the lines of one road are painted."""

    white: Color
    yellow: Color
    width: float
    edge_width: float
    paint: float
    gap: float
    wear: float
    opacity: float
    dots: bool


def _style(rng: np.random.Generator, family: str, pavement: float) -> Style:
    """Dash lengths and colours of a family; paint is brighter than the ``pavement`` under it, if only a little."""
    dashes = {
        "highway_us": [(3.0, 9.0)] * 5 + [(2.4, 7.3)],
        "highway_cn": [(6.0, 9.0)] * 3 + [(4.0, 6.0), (2.0, 4.0)],
        "highway_eu": [(3.0, 6.0), (6.0, 12.0), (4.0, 8.0), (3.0, 9.0)],
        "rural": [(3.0, 9.0), (3.0, 6.0), (4.0, 8.0), (2.0, 4.0)],
        "city_us": [(3.0, 9.0), (3.0, 6.0), (1.5, 1.5), (2.0, 4.0)],
        "city_sg": [(2.75, 2.75), (2.0, 4.0), (1.0, 1.0), (2.75, 5.5)],
        "wild": [(1.0, 1.0), (0.6, 0.6), (2.0, 2.0), (3.0, 9.0), (6.0, 9.0), (5.0, 10.0), (8.0, 4.0)],
    }[family]
    paint, gap = dashes[rng.integers(len(dashes))]
    tone = rng.uniform(0.55, 0.95) if rng.random() < 0.75 else rng.uniform(0.28, 0.55)
    tone = max(tone, min(1.5 * pavement + 0.08, 0.95))
    warm = rng.uniform(0.88, 1.0)
    hue = rng.uniform(0, 1)
    yellow = (rng.uniform(0.5, 0.8), rng.uniform(0.26, 0.45), 0.02 + 0.12 * hue)
    width = rng.uniform(0.10, 0.18)
    return Style(
        (tone, tone * (0.5 + warm / 2), tone * warm),
        (yellow[0] * (0.6 + 0.4 * tone), yellow[1] * (0.6 + 0.4 * tone), yellow[2]),
        width,
        width * rng.choice([1.0, 1.0, 1.3, 1.8]),
        paint,
        gap,
        float(np.clip(rng.beta(1.0, 3.5), 0, 0.65)),
        rng.uniform(0.75, 1.0) if rng.random() < 0.75 or pavement > 0.25 else rng.uniform(0.4, 0.75),
        family == "highway_us" and rng.random() < 0.2,
    )


def _mark(
    rng: np.random.Generator, style: Style, offset: float, kind: str, yellow: bool = False, edge: bool = False
) -> LineMark:
    """One line; wear and phase vary from line to line."""
    common: dict[str, Any] = {
        "color": style.yellow if yellow else style.white,
        "width": style.edge_width if edge else style.width,
        "phase": rng.uniform(0, style.paint + style.gap),
        "wear": float(np.clip(style.wear * rng.uniform(0.5, 1.4), 0, 0.6)),
        "opacity": style.opacity * rng.uniform(0.85, 1.0),
        "space": rng.uniform(0.08, 0.22),
        "paint": style.paint,
        "gap": style.gap,
    }
    if kind == "dots":  # groups of dots stand for the dashes
        common |= {"width": 0.1, "paint": 4.0 if style.paint < 5 else 0.2, "gap": 8.0 if style.paint < 5 else 0.6}
    return LineMark(offset, kind, **common)


def random_section(rng: np.random.Generator, family: str) -> Section:
    """A cross-section of a family with the ego lane's centre at offset 0 (before mirroring for left-hand traffic)."""
    tone = _pavement(rng, family)
    style = _style(rng, family, tone[1])
    highway = family.startswith("highway") or (family == "wild" and rng.random() < 0.5)
    divided = highway or (family == "city_sg" and rng.random() < 0.6)
    count = (
        int(rng.choice([1, 2, 3, 4, 5], p=[0.06, 0.34, 0.32, 0.2, 0.08]))
        if divided
        else int(rng.choice([1, 2, 3], p=[0.55, 0.35, 0.1]))
    )
    width = rng.uniform(3.3, 3.95) if highway else rng.uniform(2.7, 3.7)
    ego = int(rng.integers(count))
    edges = [(i - ego - 0.5) * width for i in range(count + 1)]  # from right to left
    lanes = [Lane((i - ego) * width, width) for i in range(count)]
    marks = _own_marks(rng, style, family, edges, divided)
    shoulder = rng.uniform(1.5, 3.5) if highway and rng.random() < 0.75 else rng.uniform(0.15, 0.8)
    if not highway and rng.random() < 0.35:
        shoulder = rng.uniform(2.0, 2.6)  # parking lane
    right, left = edges[0] - shoulder, edges[-1]
    if divided:
        left += rng.uniform(0.3, 3.0)
        inner, more_lanes, more_marks, outer = _median(rng, style, left)
    else:
        opposing = int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])) if count < 3 else 2
        more_lanes = tuple(Lane(left + (i + 0.5) * width, width, -1) for i in range(opposing))
        more_marks = _opposing_marks(rng, style, family, left, width, opposing)
        inner, outer = (), left + opposing * width + (shoulder if rng.random() < 0.7 else rng.uniform(0.2, 2.5))
    material = CONCRETE if max(tone) > 0.27 else ASPHALT
    road_right, road_left = right, (left if divided else outer)
    strips = _verge(rng, right, family, -1)
    strips += _carriageway(rng, road_right, road_left, edges, material, tone)
    strips += [replace(strip, color=strip.color if strip.material != ASPHALT else tone) for strip in inner]
    strips += _verge(rng, outer, family, +1)
    marks += _ghosts(rng, style, edges, tone)
    tags = {
        "shoulder": shoulder,
        "right": right,
        "left": road_left,
        "outer": outer,
        "divided": float(divided),
        "tone": tone[0],
    }
    if inner:
        flat = all(strip.material == ASPHALT for strip in inner)
        tags |= {"median0": inner[0].d0, "median1": inner[-1].d0, "median_flat": float(flat)}
    section = Section((*lanes, *more_lanes), (*marks, *more_marks), tuple(strips), ego, tags=tags)
    keep_left = family == "city_sg" or (family in ("rural", "wild", "highway_eu") and rng.random() < 0.3)
    return section.mirrored() if keep_left else section


def _own_marks(
    rng: np.random.Generator, style: Style, family: str, edges: list[float], divided: bool
) -> list[LineMark]:
    """Lines of the ego's carriageway, right to left; a boundary may stay unpainted."""
    marks = []
    dash = "dots" if style.dots else "dashed"
    city = family.startswith("city")
    for i, d in enumerate(edges):
        if 0 < i < len(edges) - 1:
            kind = dash if rng.random() < 0.82 else rng.choice(["solid", "double", "solid_dashed", "dashed_solid"])
            if rng.random() < 0.03:
                continue
            marks.append(_mark(rng, style, d, str(kind), yellow=family == "wild" and rng.random() < 0.15))
        elif i == 0:
            missing = {"city_us": 0.55, "city_sg": 0.3, "rural": 0.25}.get(family, 0.06)
            if rng.random() < missing:
                continue
            kind = "solid" if rng.random() < 0.93 else "dashed"
            yellow = (family == "city_sg" and rng.random() < 0.6) or (family == "wild" and rng.random() < 0.2)
            if family == "city_sg" and rng.random() < 0.4:
                kind = "double"
            marks.append(_mark(rng, style, d - rng.uniform(0, 0.25) * (not city), kind, yellow, edge=True))
        elif divided:
            if rng.random() < (0.3 if city else 0.05):
                continue
            yellow = rng.random() < {"highway_us": 0.92, "highway_cn": 0.4, "wild": 0.4}.get(family, 0.05)
            marks.append(_mark(rng, style, d + rng.uniform(0, 0.25), "solid", yellow, edge=True))
        else:
            yellow = rng.random() < {"highway_eu": 0.05, "city_sg": 0.2, "rural": 0.65, "wild": 0.5}.get(family, 0.9)
            kinds = ["double", "solid", "dashed", "solid_dashed", "dashed_solid"]
            kind = rng.choice(kinds, p=[0.42, 0.16, 0.3, 0.06, 0.06])
            if rng.random() < 0.05:
                continue
            marks.append(_mark(rng, style, d, str(kind), yellow))
    if len(edges) > 2 and rng.random() < 0.12:  # an exit or a lane that ends: the outer line swings away
        begin, length = rng.uniform(5, 60), rng.uniform(25, 60)
        outer = [m for m in marks if m.offset <= edges[0] + 0.3]
        for mark in outer:
            marks[marks.index(mark)] = replace(mark, taper=(begin, length, -rng.uniform(1.0, 3.4)))
    return marks


def _opposing_marks(rng, style, family, left, width, count) -> tuple[LineMark, ...]:  # type: ignore[no-untyped-def]
    """Lines of the opposing direction of an undivided road."""
    marks = [_mark(rng, style, left + i * width, "dashed") for i in range(1, count)]
    if rng.random() > (0.6 if family.startswith("city") else 0.2):
        marks.append(_mark(rng, style, left + count * width, "solid", edge=True))
    return tuple(marks)


def _median(rng, style, left):  # type: ignore[no-untyped-def]
    """What divides the directions: strips, opposing lanes and their (unlabelled) lines, and the outer border."""
    wide = rng.random() < 0.4
    gap = rng.uniform(4, 18) if wide else rng.uniform(0.6, 3)
    green = rng.random() < (0.8 if wide else 0.2)
    color = _green(rng) if green else tuple(np.full(3, rng.uniform(0.12, 0.4)))
    kerb = rng.random() < 0.4
    rise = rng.uniform(0.1, 0.2) if kerb else rng.uniform(-0.6, 0.05) if wide else 0.0
    strips = []
    if kerb:
        strips.append(Strip(left, left + 0.01, 0, rise, KERB, (0.4, 0.4, 0.38)))
        strips.append(Strip(left + 0.01, left + 0.2, rise, rise, KERB, (0.42, 0.42, 0.4)))
        left += 0.2
    material = GRASS if green else CONCRETE if kerb else ASPHALT
    strips.append(Strip(left, left + gap / 2, rise if kerb else 0, rise, material, color))
    strips.append(Strip(left + gap / 2, left + gap, rise, 0, material, color))
    begin = left + gap
    count, width = int(rng.integers(1, 5)), rng.uniform(3.3, 3.8)
    lanes = tuple(Lane(begin + 1 + (i + 0.5) * width, width, -1) for i in range(count))
    marks = [
        replace(_mark(rng, style, begin + 1 + i * width, "solid" if i in (0, count) else "dashed"), labelled=False)
        for i in range(count + 1)
    ]
    outer = begin + 2 + count * width
    strips.append(Strip(begin, outer, 0, 0, ASPHALT, (0.1, 0.1, 0.1)))
    return tuple(strips), lanes, tuple(marks), outer


def _pavement(rng: np.random.Generator, family: str) -> Color:
    """Base reflectance of the carriageway, from fresh asphalt to pale concrete."""
    if rng.random() < (0.3 if family.startswith("highway") or family == "wild" else 0.1):
        tone = rng.uniform(0.28, 0.55)
        return (tone, tone * rng.uniform(0.95, 1.0), tone * rng.uniform(0.85, 0.98))
    tone = float(np.exp(rng.uniform(np.log(0.035), np.log(0.28))))
    return (tone * rng.uniform(0.94, 1.03), tone, tone * rng.uniform(0.93, 1.1))


def _carriageway(rng, right, left, edges, material, tone) -> list[Strip]:  # type: ignore[no-untyped-def]
    """Pavement between two offsets; shoulders or single lanes may have another tone."""
    borders, tones = [right], []
    if edges[0] - right > 0.6 and rng.random() < 0.5:
        borders.append(edges[0] - rng.uniform(0.05, 0.5))
        tones.append(tuple(np.array(tone) * rng.uniform(0.55, 1.5)))
    if rng.random() < 0.3:  # one lane resurfaced
        for d in edges[1:-1]:
            borders.append(d + rng.uniform(-0.25, 0.25))
            tones.append(tuple(np.array(tone) * rng.uniform(0.8, 1.25)))
    borders.append(left)
    tones.append(tone)
    return [Strip(a, b, 0, 0, material, color) for a, b, color in zip(borders, borders[1:], tones) if b - a > 0.02]


def _green(rng: np.random.Generator) -> Color:
    """Grass from lush to straw."""
    dry = rng.random()
    tone = rng.uniform(0.6, 1.3)
    return (tone * (0.05 + 0.28 * dry), tone * (0.11 + 0.14 * dry), tone * (0.02 + 0.07 * dry))


def _verge(rng: np.random.Generator, border: float, family: str, side: int) -> list[Strip]:
    """Ground strips from the pavement's border outwards, returned from right to left."""
    bands: list[tuple[float, float, int, Color]] = []  # width, rise, material, colour
    city = family.startswith("city") or (family == "wild" and rng.random() < 0.4)
    if city or rng.random() < 0.1:
        gray = rng.uniform(0.25, 0.5)
        bands.append((0.01, rng.uniform(0.08, 0.2), KERB, (gray, gray, gray)))
        bands.append((0.15, 0.0, KERB, (gray, gray, gray * 0.97)))
        if rng.random() < 0.4:
            bands.append((rng.uniform(0.6, 2.0), 0.0, GRASS, _green(rng)))
        walk = rng.uniform(0.16, 0.4)
        bands.append((rng.uniform(1.5, 5.0), 0.03, PAVING, (walk, walk * 0.97, walk * 0.92)))
    else:
        if rng.random() < 0.5:
            tone = rng.uniform(0.15, 0.4)
            bands.append((rng.uniform(0.3, 2.0), -0.05, GRAVEL, (tone, tone * 0.95, tone * 0.85)))
        if rng.random() < 0.3:
            tone = rng.uniform(0.08, 0.3)
            bands.append((rng.uniform(0.5, 3.0), -0.05, SOIL, (tone, tone * 0.78, tone * 0.55)))
        bands.append((rng.uniform(1.5, 5), rng.uniform(-0.6, 0.15), GRASS, _green(rng)))
    slope = rng.choice([0.0, 0.3, -0.15], p=[0.55, 0.3, 0.15]) * rng.random()
    cover, color = (GRASS, _green(rng)) if rng.random() < 0.75 else (SOIL, (0.22, 0.17, 0.11))
    bands.append((rng.uniform(6, 14), slope * 10, cover, color))
    strips, d, z = [], border, 0.0
    for width, rise, material, tone_ in bands:
        strips.append((d, d + side * width, z, z + rise, material, tone_))
        d, z = d + side * width, z + rise
    far = side * max(REACH, abs(d) + 10)
    strips.append((d, far, z, z - 0.5, cover, color))
    ordered = [Strip(a, b, za, zb, m, c) if side > 0 else Strip(b, a, zb, za, m, c) for a, b, za, zb, m, c in strips]
    return ordered if side > 0 else ordered[::-1]


def _ghosts(rng: np.random.Generator, style: Style, edges: list[float], tone: Color) -> list[LineMark]:
    """Remains of removed lines: visible, but not lanes."""
    if rng.random() > 0.1:
        return []
    gray = tuple(np.array(tone) * rng.choice([0.6, 1.35]))
    return [
        replace(
            _mark(rng, style, d + rng.uniform(0.5, 1.2), str(rng.choice(["solid", "dashed"]))),
            color=gray, opacity=rng.uniform(0.3, 0.7), wear=0.5, labelled=False,
        )
        for d in edges[:2]
    ]  # fmt: skip
