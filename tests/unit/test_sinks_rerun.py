"""The Rerun recording, judged by rerun's own tool and reader."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from rerun.chunk import RrdReader

from perception.sinks.rerun_rrd import RerunSink
from tests.fixtures.all_results import START_NS, STEP_NS, feed, results, write


def rerun_tool(home, *arguments):
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "CI": "1"}
    command = [sys.executable, "-m", "rerun", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    write(RerunSink(out, copy_inputs=True, part_frames=5), 12)
    return out / "recording.rrd"


def rows(path, entity, component):
    """Frame -> (batch, row) of a component of an entity."""
    chunks = RrdReader(str(path)).stream().to_chunks()
    batches = [chunk.to_record_batch() for chunk in chunks if chunk.entity_path == entity]
    batches = [batch for batch in batches if component in batch.schema.names]
    return {batch["frame"][i].as_py(): (batch, i) for batch in batches for i in range(batch.num_rows)}


def test_the_official_tool_verifies_the_joined_file_and_each_whole_part(recording, tmp_path):
    sink = RerunSink(tmp_path / "killed", part_frames=5, flush_every=1)
    sink.open()
    feed([sink], 0, 8)
    parts = sorted((tmp_path / "killed" / "recording").glob("part-*.rrd"))
    verified = rerun_tool(tmp_path, "rrd", "verify", recording, parts[0])
    assert verified.returncode == 0 and "2 files verified" in verified.stdout + verified.stderr, verified
    printed = rerun_tool(tmp_path, "rrd", "stats", parts[1])  # the part in work: readable, only its end is missing
    assert printed.returncode == 0 and "num_rows" in printed.stdout + printed.stderr, printed
    sink.abort()


def test_every_kind_of_result_is_logged_natively(recording):
    entities = {chunk.entity_path for chunk in RrdReader(str(recording)).stream().to_chunks()}
    camera = "/world/ego/camera/front"
    assert entities >= {
        *(f"{camera}/{name}" for name in ("image", "lanes", "signs", "crowd", "graph")),
        *(f"/world/ego/{name}" for name in ("lidar/top", "objects", "objects/velocity", "graph/joins")),
        *(f"/world/ego/segments/{name}" for name in ("centerlines", "boundaries", "areas", "direction")),
        *("/bev/ground/semantics", "/bev/ground/occupied", "/density/crowd", "/graph/graph", "/faults"),
        *(f"/count/{stage}" for stage in results()),
    }
    assert [entry.kind for entry in RrdReader(str(recording)).blueprints()] == ["blueprint"]


def test_numbers_and_times_are_those_of_the_results(recording):
    batch, i = rows(recording, "/world/ego/objects", "Boxes3D:centers")[2]
    assert batch["drive"][i].value == START_NS + 2 * STEP_NS
    assert np.allclose(batch["Boxes3D:centers"][i].as_py()[0], [8, 2, 0.5])
    assert np.allclose(batch["Boxes3D:half_sizes"][i].as_py()[0], [2, 1, 0.75])
    assert np.allclose(batch["Boxes3D:quaternions"][i].as_py()[0], [0, 0, 0.5**0.5, 0.5**0.5])
    grid, j = rows(recording, "/bev/ground/semantics", "SegmentationImage:buffer")[2]
    cells = np.array(grid["SegmentationImage:buffer"][j].as_py()[0]).reshape(4, 6)
    assert np.array_equal(cells[::-1, ::-1], results(2)["ground"].layers["semantics"] + 1)


def test_a_stage_that_failed_shows_nothing_old(recording):
    batch, i = rows(recording, "/world/ego/camera/front/lanes", "Clear:is_recursive")[3]
    assert batch["Clear:is_recursive"][i].as_py() == [True]
