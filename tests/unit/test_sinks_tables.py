"""CSV and Parquet: what is stored of every kind of result, read back by other programs."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.dataset
import pytest

from perception.errors import PerceptionError, UnknownNameError
from perception.sinks.csv_files import CSV_COLUMNS, CsvSink
from perception.sinks.items import count_of, items_of
from perception.sinks.parquet import ParquetSink
from perception.structures import BevGrid, Boxes2D, Fault, Result, result_from_dict
from tests.fixtures.all_results import START_NS, STEP_NS, empty_results, feed, frame, results, write

KINDS = {result.KIND for result in results().values()}


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / "csv" / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_fixture_has_every_kind_of_result():
    kinds = {cls.KIND for cls in Result.__subclasses__() if cls.__module__.startswith("perception.")}
    assert KINDS == kinds == {result.KIND for result in empty_results().values()}


def test_items_of_every_kind():
    found = {stage: items_of(result) for stage, result in results().items()}
    car, person = found["objects"]
    assert (car.label, car.position, car.size, car.track_id) == ("car", (8, 2, 0.5), (4, 2, 1.5), 7)
    assert car.yaw == pytest.approx(np.pi / 2) and person.track_id is None and car.velocity == (5, 0)
    stop = found["signs"][0]
    assert (stop.label, stop.frame_id, stop.position, stop.size) == ("stop", "front", (10, 16), (None, 10, 20))
    assert [(item.label, item.value) for item in found["ground"]] == [("road", 8), ("car", 8), ("occupied", 0.25)]
    assert [item.label for item in found["segments"]] == [
        *("lane_segment", "lane_segment", "pedestrian_crossing", "stop", "go")
    ]
    assert found["segments"][0].links == (1, 4) and found["segments"][1].links == ()
    assert [(item.label, item.links) for item in found["graph"]] == [
        *(("centerline", (1, 2)), ("centerline", ())),
        *(("stop", ()), ("go", ())),
    ]
    assert [item.position for item in found["crowd"]] == [(3, 4), (20, 21)]
    assert count_of(results()["crowd"]) == pytest.approx(0.05 * 12 * 16)
    assert all(not items_of(result) for result in empty_results().values())

    class Strange(Result):
        KIND = "strange"
        frame_id = "ego"

    with pytest.raises(UnknownNameError, match="strange"):
        items_of(Strange())


def test_csv_tables(tmp_path):
    write(CsvSink(tmp_path), 22)
    frames, items, points = (table(tmp_path, name) for name in ("frames", "items", "points"))
    assert [int(row["position"]) for row in frames] == list(range(22))
    assert frames[0]["stages"].startswith("lanes=2 signs=2 objects=2 crowd=9.6 ground=1")
    assert frames[3]["faults"] == "top: missing; lanes: exception"
    assert (frames[2]["ego_x"], frames[2]["timestamp_ns"]) == ("2.0", str(START_NS + 2 * STEP_NS))
    assert frames[21]["stages"] == "" and not [row for row in items if row["position"] == "21"]
    assert {row["kind"] for row in items} == KINDS
    stop = next(row for row in items if row["stage"] == "signs")
    assert [stop[key] for key in ("label", "score", "x", "y", "z", "length", "width", "height")] == [
        *("stop", "0.9", "10.0", "16.0", "", "", "10.0", "20.0")
    ]
    lane = [row for row in points if row["stage"] == "lanes" and row["position"] == "0" and row["item"] == "1"]
    assert [(row["x"], row["y"], row["z"]) for row in lane] == [("50.0", "47.0", ""), ("40.0", "30.0", "")]


def test_csv_text_stays_on_one_line_and_numbers_are_finite_or_empty(tmp_path):
    sink = CsvSink(tmp_path, points=False)
    nasty = Boxes2D("front", (9, 9), [[np.nan, 0, 1, 1]], [np.inf], [0], ('a "b",\n7,8',))
    with sink:
        sink.append(frame(0), {"signs": nasty}, [Fault("x\r\ny", "missing")], {})
    assert not (tmp_path / "csv" / "points.csv").exists()
    (row,) = table(tmp_path, "items")
    assert (row["label"], row["x"], row["score"]) == ('a "b", 7,8', "", "")
    assert CsvSink(tmp_path, points=False).resume() == 1


def test_csv_rows_of_a_torn_frame_are_cut_off(tmp_path):
    sink = CsvSink(tmp_path)
    sink.open()
    feed([sink], 0, 4)
    sink.abort()
    whole = {name: (tmp_path / "csv" / f"{name}.csv").read_bytes() for name in CSV_COLUMNS}
    with open(tmp_path / "csv" / "items.csv", "ab") as file:
        file.write(b"4,4,17,lanes,lanes_2d,0\n4,4,1")
    again = CsvSink(tmp_path)
    assert again.resume() == 4
    assert {name: (tmp_path / "csv" / f"{name}.csv").read_bytes() for name in CSV_COLUMNS} == whole
    assert again.resume(2) == 2 and len(table(tmp_path, "frames")) == 2
    assert max(int(row["position"]) for row in table(tmp_path, "points")) == 1


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("two drives")
    for name, frames in (("a", 23), ("b c", 7)):
        write(ParquetSink(root / name, dataset=root / "parquet", part_frames=5), frames)
    return root / "parquet"


def test_parquet_is_partitioned_by_drive_and_reads_back_without_loss(dataset):
    files = sorted(str(path.relative_to(dataset)) for path in dataset.rglob("*.parquet"))
    assert files[0] == "frames/drive=a/part-00000000.parquet" and len(files) == 2 * (5 + 2)
    stored = pyarrow.dataset.dataset(dataset / "results", partitioning="hive").to_table().to_pylist()
    rows = [row for row in stored if row["drive"] == "a" and row["position"] == 0]
    assert {row["stage"]: row["kind"] for row in rows} == {stage: r.KIND for stage, r in results().items()}
    for row in rows:
        assert result_from_dict(json.loads(row["data"])).to_dict() == results(0)[row["stage"]].to_dict()
    frames = pyarrow.dataset.dataset(dataset / "frames", partitioning="hive").to_table().to_pylist()
    assert sorted({row["drive"] for row in frames}) == ["a", "b%20c"] or {row["drive"] for row in frames} == {
        "a",
        "b c",
    }
    third = next(row for row in frames if row["drive"] == "a" and row["position"] == 3)
    assert third["faults"][0] == {"where": "top", "kind": "missing", "message": "no cloud"}
    assert (third["time_s"], third["ego_x"], third["record"]) == (pytest.approx(0.3), 3.0, "3")
    assert np.array_equal(np.reshape(third["world_from_ego"], (4, 4)), frame(3).ego_pose)


def test_duckdb_queries_the_dataset(dataset):
    source = f"read_parquet('{dataset}/results/*/*.parquet', hive_partitioning=true)"
    counted = duckdb.sql(
        f"select item.label, count(*) from (select unnest(items) as item from {source} where kind = 'boxes_3d') "
        "group by 1 order by 1"
    ).fetchall()
    full = sum(index % 5 != 4 and index % 11 != 10 for drive in (23, 7) for index in range(drive))
    full += sum(index % 7 == 3 and (index % 5 == 4 or index % 11 == 10) for drive in (23, 7) for index in range(drive))
    assert counted == [("car", full), ("person", full)]
    frames = f"read_parquet('{dataset}/frames/*/*.parquet', hive_partitioning=true)"
    assert duckdb.sql(f"select drive, count(*), max(time_s) from {frames} group by 1 order by 1").fetchall()[0] == (
        *("a", 23),
        pytest.approx(2.2),
    )


def test_parquet_holds_no_number_that_is_not_finite(tmp_path):
    grid = BevGrid("ego", (0.0, 1.0), (0.0, 1.0), 1.0, {"p": np.full((1, 1), np.nan)})
    with ParquetSink(tmp_path, data=False, compression="none") as sink:
        sink.append(frame(0), {"g": grid}, [], {"g": float("nan")})
    (row,) = duckdb.sql(
        f"select items[1].value, latency_ms, data from '{tmp_path}/parquet/results/*/*.parquet'"
    ).fetchall()
    assert row == (None, None, None)


def test_parquet_parts_of_a_killed_run_are_whole_and_the_rest_is_removed(tmp_path):
    sink = ParquetSink(tmp_path, part_frames=4)
    sink.open()
    feed([sink], 0, 11)
    folder = sink.folders["results"]
    (folder / "part-00000008.parquet").write_bytes(b"results without their frames")
    (sink.folders["frames"] / "part-00000008.parquet.tmp").write_bytes(b"torn")
    again = ParquetSink(tmp_path, part_frames=4)
    assert again.resume() == 8
    assert sorted(path.name for path in folder.iterdir()) == ["part-00000000.parquet", "part-00000004.parquet"]
    assert again.resume(6) == 6
    query = f"select count(distinct position), max(position) from '{tmp_path}/parquet/%s/*/*.parquet'"
    assert [duckdb.sql(query % name).fetchall()[0] for name in ("frames", "results")] == [(6, 5), (6, 5)]
    (sink.folders["frames"] / "part-00000000.parquet").write_bytes(b"damaged")
    assert ParquetSink(tmp_path).resume() == 0 and not list(folder.iterdir())


def test_a_missing_package_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PerceptionError, match=r"parquet sink needs the package pyarrow: pip install .*\[arrow\]"):
        ParquetSink(tmp_path).open()
    monkeypatch.setitem(sys.modules, "rerun", None)
    from perception.sinks.rerun_rrd import RerunSink

    with pytest.raises(PerceptionError, match=r"rrd sink needs the package rerun-sdk: pip install .*\[viz\]"):
        RerunSink(tmp_path).open()
