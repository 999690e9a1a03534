"""The queries of docs/results.md run, give rows, and its table is that of the sinks."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from perception.sinks.parquet import ParquetSink
from perception.sinks.table import SINK_TABLE
from perception.structures import Lanes2D
from tests.fixtures.all_results import SIZE, faults, found, frame


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "results.md").read_text()


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory, page: str) -> duckdb.DuckDBPyConnection:
    root = tmp_path_factory.mktemp("week")
    for name in ("a", "b"):
        with ParquetSink(root / name, dataset=root / "parquet", part_frames=8) as sink:
            for index in range(20):
                results = found(index)
                if index == 9:
                    results["lanes"] = Lanes2D("front", SIZE)
                sink.append(frame(index), results, faults(index), {"lanes": 3.0})
    base = duckdb.connect()
    for statement in queries(page)[0].split(";"):
        if statement.strip():
            base.execute(statement.replace("out/week", str(root)))
    return base


def queries(page: str) -> list[str]:
    return re.findall(r"```sql\n(.*?)```", page, flags=re.S)


@pytest.mark.parametrize("number", range(1, 7))
def test_every_query_gives_rows(page: str, connection: duckdb.DuckDBPyConnection, number: int) -> None:
    rows = connection.execute(queries(page)[number]).fetchall()
    assert rows and all(value == value for row in rows for value in row if isinstance(value, float))


def test_there_are_as_many_queries_as_tests(page: str) -> None:
    assert len(queries(page)) == 7


def test_answers_are_those_of_the_results(page: str, connection: duckdb.DuckDBPyConnection) -> None:
    near = connection.execute(queries(page)[4]).fetchall()
    assert {row[2] for row in near} == {"car", "person"} and near[0][4] == pytest.approx(68**0.5)
    wrong = connection.execute(queries(page)[3]).fetchall()
    assert ("a", "top", "missing", 3, "no cloud") in wrong
    jumps = connection.execute(queries(page)[5]).fetchall()
    assert ("a", 4, 2.0, 0.0) in jumps  # frame 3 has no lanes at all, frame 4 has none found


def test_the_table_of_the_page_is_the_table_of_the_sinks(page: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .*? \| (?:`(\w+)`)? ?\|$", page, flags=re.M)
    assert {name: extra for name, _, extra in rows} == {name: entry.extra for name, entry in SINK_TABLE.items()}
    for name, files, _ in rows:
        told = set(re.findall(r"`([^`]+)`", files))
        written = set(re.split(r", | or ", SINK_TABLE[name].writes))
        assert {item.rstrip("/") for item in told} == {item.rstrip("/") for item in written}, name
