"""What a patch does over time: when an object is first found, and how long it stays lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .rates import bootstrap_interval

__all__ = ["Sighting", "mean_details", "sequence_summary", "sightings"]


@dataclass(frozen=True)
class Sighting:
    """One object over the frames of its scene, in one condition.

    Attributes:
        scene: Scene.
        track: The object.
        frames: Frames that show it.
        first_time_s: Time of its first detection, None when it never is.
        first_distance_m: Its distance then.
        longest_miss: Longest run of frames without a detection.
        longest_miss_s: Time from the first frame of that run to the next detection, or to the last frame.
    """

    scene: str
    track: str
    frames: int
    first_time_s: float | None
    first_distance_m: float | None
    longest_miss: int
    longest_miss_s: float


def sightings(rows: Sequence[Mapping[str, Any]], condition: str, threshold: float) -> list[Sighting]:
    """Follow every object of rows with ``time_s``; ``track`` names it, else its instance.

    Args:
        rows: As in ``evaluate.Evaluation``; those without ``time_s`` are left out.
        condition: ``clean``, ``grey``, ...
        threshold: Score from which an instance counts as detected.
    """
    tracks: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if "time_s" in row:
            tracks.setdefault((str(row["scene"]), str(row.get("track", row["instance"]))), []).append(row)
    return [_followed(*key, members, condition, threshold) for key, members in sorted(tracks.items())]


def _followed(scene: str, track: str, rows: list[Mapping[str, Any]], condition: str, threshold: float) -> Sighting:
    rows = sorted(rows, key=lambda row: float(row["time_s"]))
    times = [float(row["time_s"]) for row in rows]
    seen = [row[f"score_{condition}"] >= threshold and row[f"score_{condition}"] > 0 for row in rows]
    first = seen.index(True) if any(seen) else None
    longest, seconds, start = 0, 0.0, 0
    for k in range(len(rows) + 1):
        if k == len(rows) or seen[k]:
            if k - start > longest:
                longest, seconds = k - start, times[min(k, len(rows) - 1)] - times[start]
            start = k + 1
    distance = None if first is None or "distance_m" not in rows[first] else float(rows[first]["distance_m"])
    return Sighting(scene, track, len(rows), None if first is None else times[first], distance, longest, seconds)


def sequence_summary(rows: Sequence[Mapping[str, Any]], condition: str, threshold: float) -> dict[str, Any] | None:
    """Medians over objects, or None without rows that have a time.

    An object that is never detected counts as later, and nearer, than any other: with those left out, an attack that
    hides near objects for good would seem to help. A median is None when its object is never detected.
    """
    found = sightings(rows, condition, threshold)
    if not found:
        return None

    def median(values: list[float | None], never: float) -> float | None:
        middle = float(np.median([never if value is None else value for value in values]))
        return middle if np.isfinite(middle) else None

    return {
        "objects": len(found),
        "never_detected": sum(one.first_time_s is None for one in found),
        "first_time_s": median([one.first_time_s for one in found], np.inf),
        "first_distance_m": median([one.first_distance_m for one in found], -np.inf),
        "longest_miss": max(one.longest_miss for one in found),
        "longest_miss_s": max(one.longest_miss_s for one in found),
    }


def mean_details(rows: Sequence[Mapping[str, Any]], condition: str, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Mean of every number a target tells about instances (``lateral_m``, ``count``), with an interval over scenes.

    Samples count once, however many instances share the number of their picture.
    """
    ending = f"_{condition}"
    columns = dict.fromkeys(name for row in rows for name in row if name.endswith(ending))
    names = [name.removesuffix(ending) for name in columns]
    out = {}
    for name in names:
        if name in ("score", "outcome"):
            continue
        values: dict[tuple[Any, float], Any] = {}
        for row in rows:
            number = float(row.get(name + ending, np.nan))
            if np.isfinite(number):
                values[row["sample"], number] = row["scene"]
        if values:
            numbers = np.array([number for _, number in values])
            low, high = bootstrap_interval(numbers, np.ones(len(numbers)), list(values.values()), seed)
            out[name] = {"mean": float(numbers.mean()), "low": low, "high": high, "n": len(numbers)}
    return out
