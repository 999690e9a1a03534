"""OpenLane-V2 metrics on frames whose scores are known by hand, and what holds for every frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.bench.groups.openlanev2 import naive_total_cost, synthetic_frame
from perception.errors import PerceptionError, UnknownNameError
from perception.metrics.openlanev2 import CENTERLINE, LANE_SEGMENT, TRACKS, Scene, evaluate
from perception.metrics.openlanev2.distances import box_distances, lane_distances, relaxation
from perception.metrics.openlanev2.fscore import _costs, frame_counts, sample
from perception.metrics.openlanev2.matching import average_precision, match
from perception.metrics.openlanev2.topology import sweep_cuts, vertex_precision
from perception.ops.polyline_distance import pack


def lane(y: float, start: float = 0.0, x: float = 1.0) -> np.ndarray:
    along = np.linspace(start, start + 10, 11)
    return np.stack([along * x, np.full(11, y), np.zeros(11)], axis=1)


def centerlines(lines: list[np.ndarray], **fields) -> Scene:
    count = len(lines)
    return Scene(
        (pack(lines),),
        **{
            "lane_scores": np.linspace(1, 0.5, count),
            "lane_lane": np.zeros((count, count)),
            "lane_element": np.zeros((count, 0)),
            **fields,
        },
    )


def test_relaxation_falls_from_one_at_the_car_to_a_half():
    lines = pack([np.array([[0.0, 0, 0], [50, 0, 0]]), np.array([[40.0, 0, 30]]), np.array([[500.0, 0, 0]])])
    assert relaxation(lines).tolist() == [1.0, 0.75, 0.5]


def test_a_lane_segment_counts_half_a_frechet_and_half_both_chamfers():
    def segment(shift: float) -> Scene:
        lines = tuple(pack([lane(y + shift)]) for y in (0.0, 2.0, -2.0))
        empty = {"lane_scores": np.ones(1), "lane_lane": np.zeros((1, 1)), "lane_element": np.zeros((1, 0))}
        return Scene(lines, **empty)

    assert lane_distances(segment(0), segment(1)) == pytest.approx(1.5)  # 0.5 * (1 + 1 + 1)
    assert lane_distances(segment(0), segment(3)).tolist() == [[1024.0]]  # masked: Chamfer of the centerlines is 3


def test_boxes_match_above_a_quarter_overlap_and_empty_ones_never():
    boxes = np.array([[0.0, 0, 2, 2], [5, 5, 5, 5]])
    distance = box_distances(boxes, np.array([[1.0, 0, 3, 2], [5, 5, 5, 5]]))
    assert distance[0].tolist() == pytest.approx([2 / 3, 1.0])
    assert np.isnan(distance[1, 1])
    assert match(distance, np.ones(2), (0.75,)).matched.tolist() == [[0, -1]]


def test_there_is_no_second_choice_and_the_limit_is_strict():
    distance = np.array([[0.1, 0.2, 9.0], [0.5, 0.3, 1.0]])
    matched = match(distance, np.array([0.1, 0.9, 0.5]), (1.0, 2.0)).matched
    assert matched.tolist() == [[-1, 0, -1], [-1, 0, 1]]


def test_classes_are_matched_among_themselves():
    labels, truth_labels = np.array([2, 1]), np.array([1, 2])
    matched = match(np.array([[0.0, 0.5], [0.5, 0.0]]), np.ones(2), (1.0,), truth_labels, labels).matched
    assert matched.tolist() == [[1, 0]]


@pytest.mark.parametrize(("true", "truths", "expected"), [(7, 10, 8 / 11), (9, 10, 10 / 11), (10, 10, 1.0)])
def test_average_precision_reaches_a_recall_point_exactly(true: int, truths: int, expected: float):
    hits = np.ones(true, bool)
    assert average_precision(hits, np.linspace(1, 0, true), truths) == pytest.approx(expected, abs=1e-7)


def test_average_precision_of_what_is_absent():
    nothing, one = np.zeros(0), np.zeros(1, bool)
    assert average_precision(nothing.astype(bool), nothing, 0) == 1.0
    assert average_precision(nothing.astype(bool), nothing, 3) == 0.0
    assert average_precision(one, np.ones(1), 0) == 0.0


def test_an_edge_of_exactly_a_half_is_none():
    truth, both = np.array([[0.0, 1], [0, 0]]), np.arange(2)
    edges = np.array([[0.0, 0.5], [0, 0]])
    assert vertex_precision(truth, edges, both, both) == (2.0, 4)  # two vertices lack a neighbour, two have none
    edges[0, 1] = np.nextafter(0.5, 1)
    assert vertex_precision(truth, edges, both, both) == (4.0, 4)
    assert vertex_precision(truth, np.full((2, 2), np.nan), both, both)[0] == 0.0


def test_unmatched_vertices_cost_less_since_release_1_1():
    truth = np.zeros((3, 3))
    truth[0, 1] = 1
    rows = np.array([0, 1, -1])
    new, old = (vertex_precision(truth, truth, rows, rows, unknown)[0] for unknown in (0.5 + 2**-23, 1.0))
    assert (new, old) == (2.0, 2 * 1.0)  # ties of 1.0 keep their order: the true edge comes first
    rows = np.array([-1, 1, 2])
    assert vertex_precision(truth, truth, rows, rows)[0] == 0.0
    assert vertex_precision(np.zeros((0, 3)), truth, rows[:0], rows) == (0.0, 0)


def test_sweep_of_release_1_0():
    assert sweep_cuts(np.array([0.5])).tolist() == [0.5] * 10
    assert sweep_cuts(np.array([5.0, 4, 3, 2, 1])).tolist() == [5, 5, 5, 4, 3, 3, 3, 2, 1, 1]
    assert np.isinf(sweep_cuts(np.zeros(0))).all()


def test_f_score_counts_lanes_along_the_road_only():
    across = np.array([[0.2, -5.0, 0], [0.7, 5, 0]])
    truth = pack([lane(0), lane(4), across])
    assert frame_counts(truth, pack([lane(1.0), lane(20)])) == (1, 1, 2, 2, 1)  # the far pair costs too much
    assert frame_counts(truth, pack([])) == (0, 0, 2, 0, 0)
    doubled = np.array([[3.0, 0, 0], [3, 1, 0], [9, 1, 0]])
    assert frame_counts(pack([doubled]), pack([doubled])) == (0, 0, 1, 1, 0)  # undefined at x = 3: not matchable


def test_f_score_costs_agree_with_a_plain_computation():
    truth, pred = synthetic_frame(CENTERLINE, seed=3)
    from scipy.optimize import linear_sum_assignment

    costs = _costs(*sample(truth.lanes[0]), *sample(pred.lanes[0]))
    assert costs[linear_sum_assignment(costs)].sum() == naive_total_cost(truth.lanes[0], pred.lanes[0])


@pytest.mark.parametrize("track", TRACKS)
def test_truth_against_itself_is_perfect_and_says_its_version(track: str):
    truth, _ = synthetic_frame(track)
    report = evaluate([(truth, truth)], track)
    assert (report["version"], report["track"], report["frames"]) == ("v2.1", track, 1)
    assert report["scores"] == pytest.approx(dict.fromkeys(report["scores"], 1.0), abs=1e-7)
    assert list(report["scores"])[-1] == ("OLS" if track == CENTERLINE else "UniScore")
    assert report["extra"]["DET_t_present"] == 1.0


@pytest.mark.parametrize("track", TRACKS)
def test_scores_depend_neither_on_threads_nor_on_the_order_of_predictions(track: str):
    frames = [synthetic_frame(track, seed) for seed in range(3)]
    report = evaluate(frames, track)
    assert evaluate(frames, track, threads=3) == report
    shuffled = [(truth, reordered(pred)) for truth, pred in frames]
    assert evaluate(shuffled, track)["scores"] == pytest.approx(report["scores"], abs=1e-9)
    assert 0.1 < report["scores"]["DET_l"] < 0.9


def reordered(scene: Scene) -> Scene:
    order = np.arange(len(scene))[::-1]
    lines = tuple(pack([lines[int(index)] for index in order]) for lines in scene.lanes)
    graphs = {"lane_lane": scene.lane_lane[np.ix_(order, order)], "lane_element": scene.lane_element[order]}
    return replace(scene, lanes=lines, lane_scores=scene.lane_scores[order], **graphs)


def test_releases_differ_in_topology_only():
    frames = [synthetic_frame(CENTERLINE, seed) for seed in range(2)]
    old, middle, new = (evaluate(frames, CENTERLINE, version) for version in ("v1.0", "v1.1", "v2.1"))
    assert (old["version"], middle["version"]) == ("v1.0", "v1.1")
    assert old["scores"]["DET_l"] == new["scores"]["DET_l"]
    assert old["scores"]["TOP_ll"] < new["scores"]["TOP_ll"]
    assert middle["scores"] == new["scores"]


def test_empty_sets_and_frames():
    nothing = centerlines([])
    report = evaluate([(nothing, nothing)], CENTERLINE)
    assert (report["scores"]["OLS"], report["extra"]["DET_t_present"]) == (0.5, None)
    missed = evaluate([(centerlines([lane(0)]), nothing)], CENTERLINE)
    assert (missed["scores"]["DET_l"], missed["scores"]["TOP_ll"]) == (0.0, 0.0)


def test_wrong_use_is_refused():
    center, segments = synthetic_frame(CENTERLINE), synthetic_frame(LANE_SEGMENT)
    with pytest.raises(UnknownNameError, match=r"v2\.1"):
        evaluate([center], CENTERLINE, "v2.2")
    with pytest.raises(PerceptionError, match=r"does not define the track 'lane_segment'; use v2\.1"):
        evaluate([segments], LANE_SEGMENT, "v1.1")
    with pytest.raises(PerceptionError, match="expected frames of track 'centerline'"):
        evaluate([segments], CENTERLINE)
    with pytest.raises(PerceptionError, match="prediction of 'lane_segment'"):
        evaluate([(center[0], segments[1])], CENTERLINE)
    with pytest.raises(ValueError, match=r"lane_lane: expected shape \(1, 1\), found \(2, 2\)"):
        centerlines([lane(0)], lane_lane=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="finite"):
        centerlines([lane(np.nan)])
