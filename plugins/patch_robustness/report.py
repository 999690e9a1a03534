"""The report of an evaluation: ``report.json``, ``instances.csv`` and one self-contained HTML page."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perception.sinks.storage import write_file

from .evaluate import Evaluation, summary
from .report_page import report_page

__all__ = ["finite", "write_report"]

SCHEMA = 1


def write_report(folder: str | Path, evaluation: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write all files and return what ``report.json`` holds.

    Args:
        folder: To write to; made when missing.
        evaluation: Of one set of samples.
        about: Plain data: threat model, victim, data, hashes, times.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "threshold": evaluation.threshold, **about, **summary(evaluation)}
    write_file(root / "report.json", json.dumps(finite(content), indent=1, sort_keys=True, allow_nan=False).encode())
    write_file(root / "instances.csv", _csv(evaluation.rows).encode())
    write_parquet(root / "instances.parquet", evaluation.rows)
    write_file(root / "report.html", report_page(content, evaluation).encode())
    return content


def finite(value: Any) -> Any:
    """The value with None for numbers that are not finite, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> bool:
    """Write rows as Parquet; False, and no file, where pyarrow (extra ``arrow``) is missing or there is no row."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return False
    if not rows:
        return False
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pydict({name: [row.get(name) for row in rows] for name in names}), buffer)
    write_file(path, buffer.getvalue())
    return True


def _csv(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return buffer.getvalue()
