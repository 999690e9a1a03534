"""One frame through the graph: camera slots, what is checked, and what happens when something is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.errors import PerceptionError, UnknownNameError
from perception.runtime.executor import SequentialExecutor, nonfinite, size_faults
from perception.runtime.preflight import obstacles
from perception.runtime.slots import assign_cameras, move_pixels, stage_frame
from perception.runtime.stage import StageNeeds
from perception.structures import Boxes2D, Camera, DensityMap, LaneGraph, Lanes2D
from tests.fixtures.toy_pipeline import SIZE, ToySource, graph, lost, stage

CAMERA = Camera("front", *SIZE, np.array([[40.0, 0, 31.5], [0, 40.0, 17.5], [0, 0, 1]]))
WIDE = replace(CAMERA, lens="plumb_bob", distortion=np.array([-0.2, 0.03, 0.0, 0.0, 0.0]))


def run(source, *stages, chosen=None):
    built = graph(*stages)
    executor = SequentialExecutor(built, built.assign(source.cameras, chosen))
    return list(executor.run(source)), built


def faults(output):
    return [(fault.where, fault.kind) for fault in output.faults]


def test_every_stage_runs_on_its_frames_and_is_timed():
    outputs, built = run(ToySource(7), stage("a", every=2), stage("b", every=4, inputs=["a"]), stage("c"))
    assert [tuple(output.results) for output in outputs[:5]] == [
        ("a", "b", "c"),
        ("c",),
        ("a", "c"),
        ("c",),
        ("a", "b", "c"),
    ]
    assert all(output.latency_ms.keys() == output.results.keys() for output in outputs)
    assert all(value > 0 for output in outputs for value in output.latency_ms.values())
    assert [seen[2] for seen in built.nodes[1].stage.seen] == [("a",), ("a",)]
    assert not any(output.faults for output in outputs)


def test_start_position_shifts_every():
    built = graph(stage("a", every=3))
    executor = SequentialExecutor(built, built.assign(["front"]))
    outputs = list(executor.run(ToySource(4), start=4))
    assert [bool(output.results) for output in outputs] == [False, False, True, False]


def test_raising_stage_is_recorded_and_stages_behind_it_are_skipped():
    source = ToySource(4)
    outputs, _ = run(source, stage("a", raise_on=(1,)), stage("b", inputs=["a"]), stage("c"))
    assert faults(outputs[1]) == [("a", "exception"), ("b", "skipped")]
    assert outputs[1].faults[0].message.startswith("ValueError: cannot do frame 1 (toy_pipeline.py:")
    assert outputs[1].faults[1].message == "its input 'a' failed"
    assert tuple(outputs[1].results) == ("c",)
    assert [len(output.results) for output in outputs] == [3, 1, 3, 3]


def test_nonfinite_output_is_dropped_with_its_place():
    outputs, _ = run(ToySource(3), stage("a", nan_on=(2,)))
    assert faults(outputs[2]) == [("a", "nonfinite")]
    assert outputs[2].faults[0].message == "lanes[0]: 2 of 4 values are not finite"
    assert not outputs[2].results


def test_nonfinite_looks_into_nested_results():
    boxes = Boxes2D("front", SIZE, [[0, 0, np.inf, 1]], [0.5], [0], ("sign",))
    assert nonfinite(LaneGraph("ego", elements=boxes)) == "elements.boxes: 1 of 4 values are not finite"
    assert nonfinite(LaneGraph("ego")) == ""


def test_lost_sensor_is_skipped_with_the_sources_reason_or_reported_missing():
    outputs, _ = run(ToySource(3, changes={1: lost("front"), 2: {"images": {}}}), stage("a"))
    assert faults(outputs[1]) == [("front", "corrupt"), ("a", "skipped")]
    assert outputs[1].faults[1].message == "camera 'front': corrupt jpeg: broken"
    assert faults(outputs[2]) == [("a", "missing")]


def test_size_unlike_the_calibration_is_a_fault_and_stops_only_stages_that_need_it():
    small = {"front": np.zeros((10, 20, 3), np.uint8)}
    source = ToySource(2, camera=CAMERA, changes={1: {"images": small}})
    outputs, _ = run(source, stage("plain"), stage("exact", calibration=True))
    assert faults(outputs[0]) == []
    assert faults(outputs[1]) == [("front", "size"), ("exact", "skipped")]
    assert "expected an image of 64x36 as calibrated, found 20x10" in outputs[1].faults[0].message
    assert tuple(outputs[1].results) == ("plain",)
    assert size_faults(source.frame(0), ["front", "other"]) == []


@pytest.mark.parametrize("need", ["calibration", "lidar", "pose"])
def test_missing_needs_are_known_before_the_start_and_recorded_on_each_frame(need):
    source = ToySource(2)
    outputs, built = run(source, stage("a", **{need: True}), stage("b", inputs=["a"]), stage("c"))
    kind = "calibration" if need == "calibration" else "missing"
    assert faults(outputs[1]) == [("a", kind), ("b", "skipped")]
    reasons = obstacles(built, source.info, built.assign(["front"]))
    assert set(reasons) == {"a", "b"}
    assert "the drive has no" in reasons["a"]


def test_a_camera_without_pictures_is_an_obstacle():
    built = graph(stage("a"), stage("b", inputs=["a"]))
    info, slots = ToySource(1).info, built.assign(["front"])
    assert obstacles(built, info, slots, blind=["rear"]) == {}
    reasons = obstacles(built, info, slots, blind=["front"])
    assert reasons == {"a": "no picture of camera 'front' can be read", "b": "its input 'a' cannot run"}


def test_wrong_kind_of_result_and_failing_warmup_are_faults():
    built = graph(stage("a", warmup_error="no kernel"))
    built.nodes[0].stage.kind = "boxes_2d"
    executor = SequentialExecutor(built, built.assign(["front"]))
    assert [(fault.where, fault.kind) for fault in executor.warmup()] == [("a", "exception")]
    (output,) = executor.run(ToySource(1))
    assert output.faults[0].message == "expected a result of kind 'boxes_2d', found lanes_2d"


def test_slots_default_to_names_and_to_the_only_camera():
    needs = StageNeeds(slots=("front",), optional_slots=("rear",))
    assert assign_cameras("a", needs, ["front", "rear"]) == {"front": "front", "rear": "rear"}
    assert assign_cameras("a", needs, ["cam0"]) == {"front": "cam0"}
    assert assign_cameras("a", needs, ["x", "front"], {"front": "x"}) == {"front": "x"}
    with pytest.raises(UnknownNameError, match="slot 'front' of stage 'a' 'front': did you mean 'front_wide'"):
        assign_cameras("a", needs, ["front_wide", "rear_left"])
    with pytest.raises(UnknownNameError, match="unknown camera 'frnt': did you mean 'front'"):
        assign_cameras("a", needs, ["front"], {"front": "frnt"})
    with pytest.raises(UnknownNameError, match="camera slot of stage 'a'"):
        assign_cameras("a", needs, ["front"], {"fornt": "front"})


def test_choices_of_the_user_go_before_the_config():
    built = graph(stage("a", cameras={"front": "x"}), stage("b", camera="left"))
    cameras = ["x", "y", "left"]
    assert built.assign(cameras) == {"a": {"front": "x"}, "b": {"left": "left"}}
    assert built.assign(cameras, {"front": "y"}) == {"a": {"front": "y"}, "b": {"left": "left"}}
    assert built.assign(cameras, {"": "y"}) == {"a": {"front": "y"}, "b": {"left": "y"}}
    with pytest.raises(UnknownNameError, match="camera slot 'back'"):
        built.assign(cameras, {"back": "x"})
    with pytest.raises(UnknownNameError, match="camera 'z'"):
        built.assign(cameras, {"": "z"})


def test_results_carry_the_drives_camera_and_stages_see_slots_without_truth():
    outputs, built = run(
        ToySource(1, cameras=("cam0",), camera=CAMERA, truth=True), stage("a"), stage("b", inputs=["a"])
    )
    assert outputs[0].results["b"].frame_id == "cam0"
    assert built.nodes[1].stage.seen == [(0, ("front",), ("a",))]
    seen = stage_frame(outputs[0].frame, {"front": "cam0"})
    assert seen.truth == {} and seen.calibration.cameras["front"].name == "front"


def test_stages_that_want_rectified_images_answer_in_recorded_pixels():
    source = ToySource(1, camera=WIDE)
    seen = stage_frame(source.frame(0), {"front": "front"}, rectified=True)
    assert seen.calibration.cameras["front"].lens == "none"
    expected = WIDE.rectify(source.frame(0).images["front"])
    assert np.array_equal(seen.images["front"], expected)

    rectified = WIDE.rectified_camera()
    lanes = Lanes2D("front", SIZE, (np.array([[40.0, 30], [35, 20], [33, 18]]), np.array([[50.0, 30], [30, 10]])))
    there = move_pixels(lanes, WIDE, rectified)
    back = move_pixels(there, rectified, WIDE)
    np.testing.assert_allclose(back.lanes[0], lanes.lanes[0], atol=1e-3)
    assert np.abs(there.lanes[1] - lanes.lanes[1]).max() > 0.5
    outputs, _ = run(source, stage("a", rectified=True), stage("b", rectified=True, inputs=["a"]))
    assert not outputs[0].faults


def test_boxes_move_with_the_lens_and_grids_do_not():
    boxes = Boxes2D("front", SIZE, [[5, 5, 20, 15], [30, 10, 40, 20]], [0.9, 0.8], [0, 0], ("car",))
    moved = move_pixels(boxes, WIDE, WIDE.rectified_camera())
    assert moved.boxes[0, 0] < 5 and (moved.boxes[:, 2:] >= moved.boxes[:, :2]).all()
    assert move_pixels(replace(boxes, boxes=np.zeros((0, 4)), scores=[], labels=[]), WIDE, CAMERA).boxes.shape == (0, 4)
    with pytest.raises(PerceptionError, match="density_map"):
        move_pixels(DensityMap("front", SIZE, np.zeros((2, 2))), WIDE, CAMERA)
