"""GeoJSON, Lanelet2 and OpenLane-V2 files, read back by programs that did not write them."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely.geometry

from perception.datasets.openlanev2 import from_result, read_submission
from perception.errors import PerceptionError
from perception.geometry.geodesy import ecef_from_geodetic, geodetic_from_ecef
from perception.sinks.geojson import GeoJsonSink
from perception.sinks.lanelet2 import Lanelet2Sink
from perception.sinks.openlanev2_results import OpenLaneV2Sink
from perception.sinks.world import Earth, world_items
from perception.structures import Fault, LaneGraph, Provenance
from tests.fixtures.all_results import START_NS, feed, frame, results, write


def test_geodetic_inverts_ecef_and_earth_metres_are_metres():
    places = np.array([[49.0, 8.4, 120.0], [-33.9, 151.2, -5.0], [0.0, -180.0, 0.0], [89.9, 10.0, 4000.0]])
    again = geodetic_from_ecef(ecef_from_geodetic(*places.T))
    assert np.allclose(again[:, 0], places[:, 0], atol=1e-10) and np.allclose(again[:, 2], places[:, 2], atol=1e-6)
    north = Earth((49.0, 8.4)).geodetic([[0, 0, 0], [0, 1000, 0], [1000, 0, 0]])
    assert np.allclose(north[0], [49, 8.4, 0], atol=1e-9)
    # a degree of latitude is 111.2 km at 49 degrees, one of longitude 73.2 km (WGS-84 tables)
    assert (north[1, 0] - 49) * 111_209 == pytest.approx(1000, rel=1e-3)
    assert (north[2, 1] - 8.4) * 73_172 == pytest.approx(1000, rel=1e-3)
    for bad in [(91, 0), (1,), (float("nan"), 1), (1, 2, 3, 4)]:
        with pytest.raises(PerceptionError, match="expected latitude, longitude"):
            Earth(bad)


def test_the_vehicle_that_looks_north_has_its_lanes_in_the_north():
    _, item, points = next(world_items(frame(3), results(3)["segments"]))  # at (3, 10), turned left by 90 degrees
    assert item.label == "lane_segment"
    assert np.allclose(points, [[3, 10, 0], [2, 20, 0.5], [3 - 6, 30, 1]])
    (_, _, car), _ = world_items(frame(0), results(0)["objects"])
    assert np.allclose(shapely.geometry.Polygon(car).centroid.coords[0], (-2, 18)) and len(car) == 5
    assert not list(world_items(replace(frame(0), ego_pose=None), results(0)["segments"]))
    assert all(len(lane) for _, _, lane in world_items(frame(0), results(0)["lanes"]))


def test_geojson_is_a_feature_collection_that_others_read(tmp_path):
    write(GeoJsonSink(tmp_path, part_frames=5), 12)
    collection = json.loads((tmp_path / "lanes.geojson").read_text())
    assert collection["type"] == "FeatureCollection" and "metres" in collection["coordinates"]
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in collection["features"]]
    assert all(not shape.is_empty and shape.is_valid for shape in shapes)
    labels = {feature["properties"]["label"]: feature["geometry"]["type"] for feature in collection["features"]}
    assert labels == {
        **dict.fromkeys(("lane", "lane_segment", "centerline"), "LineString"),
        **dict.fromkeys(("pedestrian_crossing", "car", "person"), "Polygon"),
    }
    car = next(feature["properties"] for feature in collection["features"] if feature["properties"]["label"] == "car")
    assert (car["track_id"], car["timestamp_ns"], car["kind"]) == (7, START_NS, "boxes_3d")


def test_geojson_with_an_origin_is_longitude_first(tmp_path):
    write(GeoJsonSink(tmp_path, origin=(49.0, 8.4, 100.0)), 1)
    collection = json.loads((tmp_path / "lanes.geojson").read_text())
    assert "coordinates" not in collection
    line = next(f for f in collection["features"] if f["properties"]["label"] == "lane_segment")["geometry"][
        "coordinates"
    ]
    assert line[0] == pytest.approx([8.4, 49.0 + 10 / 111_209, 100], abs=1e-6)


ORIGIN = (49.0, 8.4, 100.0)


def drive_with_fixes(sink, count):
    """Frames of a drive whose world is tied to the earth; the sink is left open, as a kill leaves it."""
    sink.open()
    for number in range(count):
        sink.append(replace(frame(number), world_origin=ORIGIN), results(number), (), {})


def test_maps_take_the_origin_of_the_drive(tmp_path):
    for name, origin in (("given", ORIGIN), ("found", None)):
        for sink in (GeoJsonSink(tmp_path / name, origin), Lanelet2Sink(tmp_path / name, origin)):
            drive_with_fixes(sink, 4)
            sink.close()
    for file in ("lanes.geojson", "map.osm"):
        assert (tmp_path / "found" / file).read_text() == (tmp_path / "given" / file).read_text()
    other = GeoJsonSink(tmp_path / "other", (10.0, 20.0))  # what the user says counts
    drive_with_fixes(other, 1)
    other.close()
    first = json.loads((tmp_path / "other" / "lanes.geojson").read_text())["features"][0]["geometry"]["coordinates"]
    assert np.allclose(np.ravel(first)[:2], [20, 10], atol=1e-2)


def test_a_continued_run_keeps_the_origin(tmp_path):
    for sink in (GeoJsonSink(tmp_path, part_frames=2), Lanelet2Sink(tmp_path, part_frames=2, spacing_m=0)):
        drive_with_fixes(sink, 2)  # one whole part, and the run is killed
    for sink in (GeoJsonSink(tmp_path, part_frames=2), Lanelet2Sink(tmp_path, part_frames=2, spacing_m=0)):
        assert sink.resume() == 2
        write(sink, 0)
    assert "coordinates" not in json.loads((tmp_path / "lanes.geojson").read_text())
    nodes, _, _ = osm(tmp_path / "map.osm")
    assert {round(float(node.get("lat"))) for node, _ in nodes.values()} == {49}


def osm(path):
    root = ElementTree.parse(path).getroot()
    tags = lambda element: {tag.get("k"): tag.get("v") for tag in element.iter("tag")}  # noqa: E731
    nodes = {node.get("id"): (node, tags(node)) for node in root.iter("node")}
    ways = {way.get("id"): ([nd.get("ref") for nd in way.iter("nd")], tags(way)) for way in root.iter("way")}
    lanelets = [({m.get("role"): m.get("ref") for m in r.iter("member")}, tags(r)) for r in root.iter("relation")]
    return nodes, ways, lanelets


def test_lanelets_refer_to_their_sides_and_frames_keep_their_distance(tmp_path):
    write(Lanelet2Sink(tmp_path, origin=(49, 8.4), spacing_m=5, part_frames=4), 12)
    nodes, ways, lanelets = osm(tmp_path / "map.osm")
    assert len(nodes) == sum(len(members) for members, _ in ways.values())
    assert {tags["perception:frame"] for _, tags in lanelets} == {"0", "5", "10"}
    members, tags = lanelets[0]
    assert (tags["type"], set(members)) == ("lanelet", {"left", "right"})
    assert [ways[members[role]][1].get("subtype") for role in ("left", "right")] == ["solid", "dashed"]
    first, local = nodes[ways[members["left"]][0][0]]
    assert (float(local["local_x"]), float(local["local_y"])) == (-2, 10)  # 2 m to the left of one who looks north
    assert float(first.get("lat")) == pytest.approx(49 + 10 / 111_209, abs=1e-6)
    assert {tags.get("type") for _, tags in ways.values()} == {*("line_thin", "virtual", "pedestrian_marking")}
    with pytest.raises(PerceptionError, match="spacing_m"):
        Lanelet2Sink(tmp_path, spacing_m=float("nan"))


@pytest.mark.parametrize("form", ["json", "pkl"])
def test_submissions_read_back_frame_by_frame(tmp_path, form):
    write(OpenLaneV2Sink(tmp_path, stage="graph", form=form, part_frames=5), 12)
    stored = dict(read_submission(tmp_path / f"openlanev2.{form}", trust=True))
    assert len(stored) == 12
    block = stored[f"{tmp_path.name}/{START_NS}"].to_block(predicted=True)
    expected = from_result(results(0)["graph"]).to_block(predicted=True)
    assert np.allclose(block["topology_lclc"], expected["topology_lclc"])
    for got, want in zip(block["lane_centerline"], expected["lane_centerline"], strict=True):
        assert np.allclose(got["points"], want["points"]) and got["confidence"] == pytest.approx(want["confidence"])


@pytest.mark.parametrize("form", ["json", "pkl"])
def test_a_submission_that_was_complete_is_continued(tmp_path, form):
    whole, again = (OpenLaneV2Sink(tmp_path / name / "run", form=form, part_frames=5) for name in ("whole", "again"))
    whole.out.mkdir(parents=True)
    again.out.mkdir(parents=True)
    write(whole, 12)
    write(again, 7)
    more = OpenLaneV2Sink(again.out, form=form, part_frames=5)
    assert more.resume() == 7
    with more:
        feed([more], 7, 12)
    first, second = (list(read_submission(sink.path, trust=True)) for sink in (whole, more))
    assert [name for name, _ in first] == [name for name, _ in second] and len(second) == 12
    for (_, want), (_, got) in zip(first, second, strict=True):
        assert json.dumps(got.to_block(predicted=True)) == json.dumps(want.to_block(predicted=True))


def test_submissions_name_frames_of_the_dataset_and_count_failed_ones(tmp_path):
    sink = OpenLaneV2Sink(tmp_path)
    found = {"graph": results(0)["graph"]}
    frames = [replace(frame(i), provenance=Provenance("val/00492", "openlanev2", f"31{i}")) for i in range(4)]
    with sink:
        sink.append(frames[0], {}, [Fault("graph", "exception", "boom")], {})
        sink.append(frames[1], found, [], {})
        sink.append(frames[2], {}, [Fault("graph", "skipped", "no camera")], {})
        sink.append(frames[3], {}, [Fault("top", "missing", "not due, and a sensor is gone")], {})
    stored = dict(read_submission(tmp_path / "openlanev2.json"))
    assert {name: len(annotation.scene) for name, annotation in stored.items()} == {
        "00492/310": 0,
        "00492/311": 2,
        "00492/312": 0,
    }
    nothing = OpenLaneV2Sink(tmp_path / "none")
    with nothing:
        nothing.append(frame(0), {"lanes": results(0)["lanes"]}, [], {})
    assert not nothing.path.exists() and OpenLaneV2Sink(tmp_path / "none").resume() == 1
    with pytest.raises(PerceptionError, match="expected 'json' or 'pkl'"):
        OpenLaneV2Sink(tmp_path, form="yaml")
    assert isinstance(found["graph"], LaneGraph)
