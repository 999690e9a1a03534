"""Small inline SVG charts, without a plotting library and without a script."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from perception.viz.colors import color_of

__all__ = ["MARKS", "Interval", "histogram", "interval_chart", "line_chart"]

MARKS = ("p50", "p95", "p99")
"""Percentiles that a line chart marks."""

_WIDTH, _HEIGHT = 560, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 44, 12, 24
_MAX_BINS = 24


def line_chart(values: Sequence[Any], marks: Mapping[str, float | None], color: int = 0) -> str:
    """Curve over the run with dashed lines at ``marks``.

    Args:
        values: One number a (downsampled) frame; None and non-finite ones leave a gap.
        marks: Name -> height of a dashed line, None for no line.
        color: Number of the colour.

    Returns:
        An ``<svg>`` element.
    """
    numbers = [_finite(value) for value in values]
    levels = {name: level for name, value in marks.items() if (level := _finite(value)) is not None}
    top = _nice(max([number for number in numbers if number is not None] + list(levels.values()), default=1.0))
    parts = _axis(top)
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(numbers) - 1, 1)
    commands, pen_down = [], False
    for index, number in enumerate(numbers):
        if number is not None:
            commands.append(f"{'L' if pen_down else 'M'}{_LEFT + index * step:.1f} {_y(number, top):.1f}")
        pen_down = number is not None
    parts.append(f'<path d="{"".join(commands)}" fill="none" stroke="{_css(color)}" stroke-width="1.5"/>')
    baseline = math.inf
    for name, level in sorted(levels.items(), key=lambda item: item[1]):
        y = _y(level, top)
        baseline = min(y + 4, baseline - 11)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            'stroke-opacity=".45" stroke-dasharray="4 4"/>'
            f'<text x="{_WIDTH - _RIGHT + 5}" y="{baseline:.1f}">{name}</text>'
        )
    return _svg(parts)


def histogram(values: Sequence[Any], color: int = 0) -> str:
    """Bars: how many frames have which value; whole numbers get a bar each, wider ranges up to 24 bins.

    Args:
        values: One number >= 0 a frame; None and non-finite ones are left out.
        color: Number of the colour.

    Returns:
        An ``<svg>`` element.
    """
    numbers = [number for value in values if (number := _finite(value)) is not None]
    low, high = math.floor(min(numbers, default=0)), math.floor(max(numbers, default=0))
    width = max(1, math.ceil((high - low + 1) / _MAX_BINS))
    counts = [0] * ((high - low) // width + 1)
    for number in numbers:
        counts[(math.floor(number) - low) // width] += 1
    top = _nice(max(counts))
    parts = _axis(top)
    slot = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    bar = min(slot * 0.8, 60.0)
    for index, count in enumerate(counts):
        middle, y = _LEFT + (index + 0.5) * slot, _y(count, top)
        parts.append(
            f'<rect x="{middle - bar / 2:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{_HEIGHT - _BOTTOM - y:.1f}" '
            f'fill="{_css(color)}" rx="2"/>'
        )
        if index % max(1, len(counts) // 12) == 0:
            name = str(low + index * width)
            parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{name}</text>')
    return _svg(parts)


Interval = tuple[str, float | None, float, float]
"""Name, value (None: not known), lower and upper end."""


def interval_chart(groups: Mapping[str, Sequence[Interval]], top: float = 100.0, unit: str = " %") -> str:
    """A dot with its interval for each of several values, from 0 to ``top``, below each other in groups.

    Args:
        groups: Heading -> its values. The n-th value of every group has the same colour.
        top: Right end of the scale.
        unit: Behind every number.

    Returns:
        An ``<svg>`` element.
    """
    left, right, row = 150.0, 70.0, 18
    scale = (_WIDTH - left - right) / top
    parts: list[str] = []
    y = 6.0
    for heading, values in groups.items():
        y += row + 6
        parts.append(f'<text x="4" y="{y - 4:.0f}" style="font-weight:600">{html.escape(heading)}</text>')
        for index, (name, value, low, high) in enumerate(values):
            middle = y + row / 2
            y += row
            parts.append(f'<text x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">{html.escape(name)}</text>')
            if (number := _finite(value)) is None:
                parts.append(f'<text x="{left}" y="{middle + 4:.1f}">not known</text>')
                continue
            color, x, ends = _css(index), left + scale * number, [left + scale * end for end in (low, high)]
            parts.append(
                f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}" stroke="{color}" '
                f'stroke-width="3" stroke-opacity=".55"/><circle cx="{x:.1f}" cy="{middle}" r="4.5" '
                f'fill="{color}"/><text x="{ends[1] + 8:.1f}" y="{middle + 4:.1f}">{number:.1f}{unit}</text>'
            )
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + scale * share * top
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="12" y2="{y + 4}" stroke="currentColor" stroke-opacity=".14"/>'
            f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle">{share * top:g}{unit}</text>'
        )
    return _svg(parts, y + 24)


def _axis(top: float) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(share * top, top)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity=".14"/><text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share * top:g}</text>'
        )
    return parts


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * value / top


def _nice(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if value <= factor * power * (1 + 1e-9))


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _css(color: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color_of(color))


def _svg(parts: Sequence[str], height: float = _HEIGHT) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img">{"".join(parts)}</svg>'
