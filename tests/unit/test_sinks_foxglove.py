"""The Foxglove file and its layout, for every kind of result."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from perception.sinks.foxglove_layout import foxglove_layout
from perception.sinks.mcap_sink import McapSink
from perception.structures import result_from_dict
from tests.fixtures.all_results import results, write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    write(McapSink(out, copy_inputs=True, part_frames=5), 12)
    return out


@pytest.fixture(scope="module")
def first(run):
    found = {}
    with open(run / "predictions.mcap", "rb") as file:
        for schema, channel, record in make_reader(file).iter_messages():
            if channel.topic in found:
                continue
            decode = DecoderFactory().decoder_for(channel.message_encoding, schema)
            found[channel.topic] = decode(record.data) if decode else json.loads(record.data)
    return found


def test_every_kind_of_result_reads_back_without_loss_and_is_drawn(first):
    for stage, result in results(0).items():
        assert result_from_dict(first[f"/perception/{stage}/{result.KIND}"]).to_dict() == result.to_dict()
    drawn = {topic: type(found).__name__ for topic, found in first.items() if topic.startswith("/perception/")}
    assert {topic.split("/")[2] for topic, kind in drawn.items() if kind == "ImageAnnotations"} >= {
        *("lanes", "signs", "crowd", "graph")
    }
    assert {topic for topic, kind in drawn.items() if kind == "SceneUpdate"} == {
        *("/perception/segments/scene", "/perception/graph/scene", "/perception/objects/scene")
    }
    (entity,) = first["/perception/objects/scene"].entities
    assert np.allclose([cube.size.x for cube in entity.cubes], [4, 0.6])
    grid = first["/perception/ground/grid"]
    assert (grid.column_count, [field.name for field in grid.fields]) == (4, ["semantics", "occupied"])


def leaves(layout):
    if isinstance(layout, str):
        return [layout]
    return leaves(layout["first"]) + leaves(layout["second"])


def test_the_layout_shows_what_the_file_has(run, first):
    layout = json.loads((run / "foxglove_layout.json").read_text())
    panels = layout["configById"]
    shown = leaves(layout["layout"])
    assert shown[0] == "3D!scene" and "Image!front" in shown and shown[-1] == "Tab!raw"
    tabs = [tab["layout"] for tab in panels["Tab!raw"]["tabs"]]
    assert set(shown) | set(tabs) == set(panels)
    image = panels["Image!front"]["imageMode"]
    named = {image["imageTopic"], image["calibrationTopic"], *image["annotations"], *panels["3D!scene"]["topics"]}
    named |= {panels[tab]["topicPath"] for tab in tabs}
    assert named <= set(first)
    assert panels["3D!scene"]["followTf"] == "ego"


@pytest.mark.parametrize("cameras", [0, 1, 3, 7])
def test_layouts_of_all_rigs_are_whole(cameras):
    names = [f"cam{i}" for i in range(cameras)]
    layout = json.loads(foxglove_layout({"lanes": "lanes_2d"}, names))
    shown = leaves(layout["layout"])
    assert len([panel for panel in shown if panel.startswith("Image!")]) == min(cameras, 4)
    assert "3D!scene" not in shown and set(shown) <= set(layout["configById"])
