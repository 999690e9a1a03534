"""What lies across a road: lanes, painted lines and strips of surface, as data at offsets ``d`` (left positive)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from perception.errors import PerceptionError

ASPHALT, CONCRETE, GRASS, SOIL, GRAVEL, PAVING, KERB, STEEL = range(8)
"""Materials of ground strips, read by :mod:`perception.sim.sensors.ground`."""

STYLES = ("solid", "dashed", "double", "dots", "solid_dashed", "dashed_solid")


@dataclass(frozen=True)
class LineMark:
    """One painted line of the road; a double line is one mark whose offset is its middle.

    Attributes:
        offset: Offset d of its middle, metres.
        style: One of :data:`STYLES`.
        color: Linear reflectance of the paint.
        width: Width of one stripe, metres.
        paint: Painted length of a dash, metres.
        gap: Gap between dashes, metres.
        phase: Station at which a dash begins.
        wear: 0 (new) to 1 (nearly gone).
        opacity: Contrast of what is left, 0 to 1.
        space: Clear space between the stripes of a double line, metres.
        taper: ``(station, length, shift)``: the line moves by ``shift`` metres over ``length`` from ``station`` on.
        labelled: Whether it belongs to the lane truth (ghost lines and lines across a median do not).
    """

    offset: float
    style: str = "solid"
    color: tuple[float, float, float] = (0.75, 0.75, 0.72)
    width: float = 0.12
    paint: float = 3.0
    gap: float = 9.0
    phase: float = 0.0
    wear: float = 0.0
    opacity: float = 1.0
    space: float = 0.12
    taper: tuple[float, float, float] = (1e6, 1.0, 0.0)
    labelled: bool = True

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise PerceptionError(f"line mark: unknown style {self.style!r}, expected one of {', '.join(STYLES)}")
        if self.width <= 0 or self.paint <= 0 or self.gap < 0 or not 0 <= self.wear <= 1:
            raise PerceptionError(f"line mark: expected positive sizes and wear within [0, 1], found {self}")

    def at(self, s: np.ndarray) -> np.ndarray:
        """Offset d of the middle at stations ``s``."""
        begin, length, shift = self.taper
        t = np.clip((np.asarray(s, float) - begin) / length, 0, 1)
        return self.offset + shift * t * t * (3 - 2 * t)

    def stripes(self) -> list[LineMark]:
        """The single stripes that are painted: one, or two for double styles."""
        if self.style in ("solid", "dashed", "dots"):
            return [self]
        aside = (self.width + self.space) / 2
        left, right = {"double": ("solid", "solid")}.get(self.style, tuple(self.style.split("_")))
        return [
            replace(self, offset=self.offset + aside, style=left),
            replace(self, offset=self.offset - aside, style=right),
        ]


@dataclass(frozen=True)
class Strip:
    """A band of ground between two offsets.

    Attributes:
        d0: Right border, metres.
        d1: Left border, metres.
        z0: Height at ``d0`` above the road surface, metres.
        z1: Height at ``d1``.
        material: One of the constants of this module.
        color: Linear reflectance.
    """

    d0: float
    d1: float
    z0: float
    z1: float
    material: int
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Lane:
    """A traffic lane: centre offset and width in metres; ``direction`` +1 along the road, -1 against it."""

    center: float
    width: float
    direction: int = 1


@dataclass(frozen=True)
class Section:
    """The cross-section of a road, constant along it apart from tapers.

    Attributes:
        lanes: Lanes of the road, the ego's direction and the other.
        marks: Painted lines.
        strips: Ground strips ordered from right to left without gaps.
        ego_lane: Index into ``lanes``.
        left_hand: Whether traffic keeps left.
        tags: Offsets the builder wants to remember: ``right`` and ``left`` borders of the ego's pavement, ``outer``
            border of the whole road, ``median0`` and ``median1``; and what else describes the section.
    """

    lanes: tuple[Lane, ...]
    marks: tuple[LineMark, ...]
    strips: tuple[Strip, ...]
    ego_lane: int = 0
    left_hand: bool = False
    tags: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.lanes:
            raise PerceptionError("road section: expected at least one lane, found zero lanes")
        if not 0 <= self.ego_lane < len(self.lanes):
            raise PerceptionError(f"road section: ego lane {self.ego_lane} of {len(self.lanes)} lanes")
        narrow = [lane.width for lane in self.lanes if not 1.5 <= lane.width <= 8]
        if narrow:
            raise PerceptionError(f"road section: expected lane widths of 1.5 to 8 m, found {narrow}")
        if not self.strips or any(b.d0 < a.d1 - 1e-6 for a, b in zip(self.strips, self.strips[1:])):
            raise PerceptionError("road section: expected ground strips ordered from right to left")

    def mirrored(self) -> Section:
        """The same section for traffic on the other side."""
        lanes = tuple(replace(lane, center=-lane.center) for lane in self.lanes)
        swap = {"solid_dashed": "dashed_solid", "dashed_solid": "solid_dashed"}
        marks = tuple(
            replace(
                mark,
                offset=-mark.offset,
                style=swap.get(mark.style, mark.style),
                taper=(mark.taper[0], mark.taper[1], -mark.taper[2]),
            )
            for mark in self.marks
        )
        strips = tuple(
            Strip(-strip.d1, -strip.d0, strip.z1, strip.z0, strip.material, strip.color) for strip in self.strips[::-1]
        )
        offsets = ("right", "left", "outer", "median0", "median1")
        tags = {key: -value if key in offsets else value for key, value in self.tags.items()}
        left_hand = not self.left_hand
        return replace(self, lanes=lanes, marks=marks, strips=strips, left_hand=left_hand, tags=tags)


def simple_section(lanes: int = 3, width: float = 3.5, ego_lane: int = 1, gray: float = 0.12) -> Section:
    """A plain carriageway for tests and examples: solid edges, dashed lane lines, shoulders and grass.

    Raises:
        PerceptionError: Zero lanes, or an ego lane that does not exist.
    """
    centers = [(i - ego_lane) * -width for i in range(lanes)]  # from left to right
    edges = [c + width / 2 for c in centers] + ([centers[-1] - width / 2] if centers else [])
    marks = [LineMark(d, "solid" if i in (0, lanes) else "dashed") for i, d in enumerate(edges)]
    right, left = (edges[-1], edges[0]) if edges else (0.0, 0.0)
    strips = (
        Strip(right - 60, right - 2, 0, 0, GRASS, (0.06, 0.12, 0.03)),
        Strip(right - 2, left + 2, 0, 0, ASPHALT, (gray, gray, gray)),
        Strip(left + 2, left + 60, 0, 0, GRASS, (0.06, 0.12, 0.03)),
    )
    return Section(tuple(Lane(c, width) for c in centers), tuple(marks), strips, ego_lane)
