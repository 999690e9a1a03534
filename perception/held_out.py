"""Which worlds simulated data was made of, noted beside it, so that no training sees a held-out one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perception.errors import InputError

__all__ = ["HELD_OUT_SEED", "held_out_seeds", "note_seeds"]

HELD_OUT_SEED = 900_000
"""First seed of simulated worlds that is kept for evaluation."""

NOTE = "simulation.json"
"""File in a folder of simulated data: ``{"runs": [{"seeds": [first, last], ...}, ...]}``."""


def note_seeds(folder: str | Path, first: int, last: int, **about: Any) -> None:
    """Add worlds ``first`` to ``last`` to the note of a folder; a run that is there already is not added again.

    Args:
        folder: Where the data is.
        first: First seed.
        last: Last seed, inclusive.
        about: What else to say of the run, json-able: format, preset.

    Raises:
        InputError: The folder has a note that cannot be read.
        PerceptionError: The disk cannot be written.
    """
    from perception.sinks.storage import write_file

    path = Path(folder) / NOTE
    runs = _runs(path)
    run = {"seeds": [first, last], **about}
    if run not in runs:
        write_file(path, (json.dumps({"runs": [*runs, run]}, indent=1) + "\n").encode())


def held_out_seeds(folder: str | Path) -> list[tuple[int, int]]:
    """Ranges of held-out seeds, both ends inclusive, that the note of a folder or of the one above it tells of.

    Data without a note, recorded data that is, has none.

    Raises:
        InputError: A note that cannot be read.
    """
    folder = Path(folder).resolve()
    runs = _runs(folder / NOTE) or _runs(folder.parent / NOTE)
    ranges = (tuple(run["seeds"]) for run in runs)
    return [(max(first, HELD_OUT_SEED), last) for first, last in ranges if last >= HELD_OUT_SEED]


def _runs(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        runs = json.loads(path.read_bytes())["runs"]
        for run in runs:
            first, last = run["seeds"]
            if not (isinstance(first, int) and isinstance(last, int)):
                raise TypeError(f"seeds {first!r} to {last!r}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(path, "", "runs with seeds [first, last]", f"{type(error).__name__}: {error}") from error
    return list(runs)
