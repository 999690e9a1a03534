"""Pipeline configs and graphs: order, and errors that name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception.engine.config import load_config
from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.runtime.config import parse_pipeline, topological_order
from perception.runtime.graph import build_graph, resolve_device
from perception.runtime.outputs import build_sinks, sink_options
from perception.sinks.table import SINK_TABLE
from tests.fixtures.toy_pipeline import graph, pipeline, stage

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "pipelines").glob("*.py"))


def test_stages_run_after_their_inputs_and_otherwise_in_config_order():
    built = graph(stage("c", inputs=["a"]), stage("b"), stage("a"), stage("d", inputs=["c", "b"]))
    assert [node.name for node in built.nodes] == ["b", "a", "c", "d"]


def test_cycle_is_named():
    with pytest.raises(PerceptionError, match=r"a -> b -> a|b -> a -> b"):
        topological_order({"x": ["a"], "a": ["b"], "b": ["a"]})
    with pytest.raises(InputError, match=r"test\.py: pipeline\.stages: .*toy -> toy"):
        pipeline(stage(inputs=["toy"]))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([stage("a"), stage("a")], "two stages of that name"),
        ([stage("a", every=0)], r"stages\[0\]\.every: expected a whole number from 1, found 0"),
        ([stage("a", every=True)], "a whole number from 1"),
        ([stage("a", every=2), stage("b", every=3, inputs=["a"])], "a multiple of 2"),
        ([stage("a", inputs="b")], "a list of stage names"),
        ([stage("a b")], "letters, digits"),
        ([{"name": "a"}], "the registered name of a stage"),
        ([3], "expected a dict, found int 3"),
        ([], "at least one stage"),
    ],
)
def test_bad_stages(stages, message):
    with pytest.raises(InputError, match=message):
        pipeline(*stages)


def test_unknown_names_come_with_suggestions():
    with pytest.raises(UnknownNameError, match="did you mean 'lanes'"):
        pipeline(stage("lanes"), stage("b", inputs=["lane"]))
    with pytest.raises(UnknownNameError, match="did you mean 'ToyStage'"):
        graph({"name": "a", "type": "ToyStag"})
    with pytest.raises(UnknownNameError, match="unknown plugin 'lane_detektion'"):
        graph({"name": "a", "type": "ToyStage", "plugin": "lane_detektion"})
    with pytest.raises(UnknownNameError, match="did you mean 'every'"):
        graph({"name": "a", "type": "ToyMemoryStage", "evry": 2})
    with pytest.raises(UnknownNameError, match="did you mean 'sinks'"):
        parse_pipeline({"pipeline": {"stages": [stage()], "sink": []}})
    with pytest.raises(UnknownNameError, match="did you mean 'jsonl'"):
        build_sinks([{"type": "json"}], None)


def test_sinks_take_options_of_the_command_line_before_those_of_the_config(tmp_path):
    options = sink_options({"png.every": 7, "mcap.part_frames": 9})
    entries = [{"type": "png", "every": 2, "width": 64}, {"type": "McapSink"}, {"type": "jsonl"}]
    png, mcap = build_sinks(entries, tmp_path, ["png", "mcap"], options=options)
    assert (png.every, png.width, mcap.part_frames) == (7, 64, 9)
    with pytest.raises(UnknownNameError, match="did you mean 'every'"):
        build_sinks(entries, tmp_path, options={"png": {"ever": 1}})
    with pytest.raises(PerceptionError, match="CsvSink, which is not among the sinks"):
        build_sinks(entries, tmp_path, options={"csv": {}})
    with pytest.raises(PerceptionError, match=r"expected sink\.option=value, found 'png'"):
        sink_options({"png": 3})


@pytest.mark.parametrize("name", SINK_TABLE)
def test_every_sink_of_the_table_is_what_it_says(name, tmp_path):
    entry = SINK_TABLE[name]
    by_name, by_class = build_sinks([{"type": name}], tmp_path)[0], build_sinks([{"type": entry.name}], tmp_path)[0]
    assert type(by_name) is type(by_class) and type(by_name).__name__ == entry.name and entry.writes
    assert by_name.resume(0) == 0  # clears, also without the optional packages
    assert not list(tmp_path.rglob("*.*"))


def test_missing_pipeline_and_failing_constructor_are_named():
    with pytest.raises(InputError, match="pipeline: expected a dict with name, stages and sinks, found nothing"):
        parse_pipeline({"model": 3}, "x.py")
    with pytest.raises(PerceptionError, match=r"stage 'a' .ToyStage. cannot be built: TypeError"):
        graph(stage("a", raise_on=5))


def test_device_and_weights_overrides():
    built = build_graph(pipeline(stage("a", device="auto")), device="cpu")
    assert built.nodes[0].device == "cpu" == built.nodes[0].stage.device
    with pytest.raises(PerceptionError, match="CUDA device"):
        resolve_device("cuda:99")
    with pytest.raises(PerceptionError, match="expected auto, cpu"):
        resolve_device("gpu")
    stages = [stage("a", weights="toy.bin"), stage("b")]
    for chosen in ({"": "other.bin"}, {"a": "other.bin"}):
        assert build_graph(pipeline(*stages), weights=chosen).nodes[0].stage.weights == "other.bin"
    with pytest.raises(PerceptionError, match="0 stages have weights"):
        build_graph(pipeline(stage("a")), weights={"": "x.bin"})
    with pytest.raises(UnknownNameError, match="did you mean 'lanes'"):
        build_graph(pipeline(stage("lanes")), weights={"lane": "x.bin"})


def test_rectified_image_grids_are_refused(monkeypatch):
    from tests.fixtures.toy_pipeline import ToyStage

    monkeypatch.setattr(ToyStage, "kind", "density_map")
    with pytest.raises(PerceptionError, match="density_map"):
        graph(stage("crowd", rectified=True))


def test_digest_depends_on_stages_and_on_the_model_configs_they_name(tmp_path):
    model = tmp_path / "model.py"
    digests = []
    for width in (8, 8, 16):
        model.write_text(f"width = {width}")
        digests.append(pipeline(stage(config=str(model))).digest())
    assert digests[0] == digests[1] != digests[2]
    assert len(pipeline(stage(config="no/such.py")).digest()) == 64
    assert pipeline(stage()).digest() == pipeline(stage(), sinks=()).digest()
    assert pipeline(stage()).digest() != pipeline(stage(every=2)).digest()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_pipelines_are_valid(path):
    config = parse_pipeline(load_config(path), path.name)
    assert config.stages
    assert {sink["type"] for sink in config.sinks} <= set(SINK_TABLE)
