"""The commands that look at data, predictions, runs and models, on a handful of drawn roads."""

from __future__ import annotations

import io
import json
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from perception.cli import main
from perception.engine.config import load_config
from perception.engine.hooks import ProgressBar
from perception.engine.results import read_results
from perception.errors import InputError
from perception.plugins.lane_detection import tiny_data

CONFIG = "lane_detection/ganet_tiny_sim.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("roads")
    tiny_data.write(root, load_config(CONFIG), count=5)
    return root


def options(data: Path) -> list[str]:
    return ["--cfg-options", *(f"{part}_dataloader.dataset.data_root={data}" for part in ("train", "val"))]


@pytest.fixture(scope="module")
def results(data, tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("results")
    command = ["test", CONFIG, "ganet_tiny_sim.safetensors", "--save-results", str(folder)]
    command += ["--json", str(folder / "scores.json"), "--work-dir", str(folder / "log"), *options(data)]
    assert main(command) == 0
    return folder, folder / "scores.json"


def test_saved_results_score_to_the_same_digits_without_the_model(data, results, tmp_path, monkeypatch):
    folder, scores = results
    monkeypatch.setattr("perception.engine.evaluate.load_weights", None)
    command = ["test", CONFIG, "--from-results", str(folder), "--json", str(tmp_path / "again.json")]
    assert main(command) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert again == json.loads(scores.read_text())
    header, samples = read_results(folder)
    assert header["weights"] == "ganet_tiny_sim.safetensors" and len(header["sha256"]) == 64
    first = next(samples)
    assert first["name"] == "img/0.jpg"
    assert isinstance(first["lanes"], list) and isinstance(first["image_size"], tuple)


def test_results_that_end_in_the_middle_are_refused_by_line(results, tmp_path):
    lines = (results[0] / "results.jsonl").read_text().splitlines()
    (tmp_path / "results.jsonl").write_text("\n".join([*lines[:2], lines[2][:50]]))
    with pytest.raises(InputError, match="line 3"):
        list(read_results(tmp_path)[1])
    with pytest.raises(InputError, match="line 1"):
        read_results(tmp_path / "nothing")


def test_test_wants_weights_or_results(capsys):
    assert main(["test", CONFIG]) == 2
    assert "either WEIGHTS or --from-results" in capsys.readouterr().err


def test_browse_draws_truth_on_what_is_stored_and_what_is_seen(data, tmp_path):
    out = tmp_path / "sheet.png"
    assert main(["browse", CONFIG, "--count", "3", "--out", str(out), *options(data)]) == 0
    sheet = cv2.imread(str(out))
    assert sheet.shape[1] == 1920
    spread = sheet.max(axis=2).astype(int) - sheet.min(axis=2)
    assert (spread > 60).sum() > 500, "coloured lanes on grey roads"


def test_browse_draws_written_drives_as_their_reader_reads_them(tmp_path, capsys):
    frames = ["--scenes", "1", "--frames", "2", "--size", "96x64"]
    assert main(["simulate", str(tmp_path / "n"), "--format", "nuscenes", "--rig", "dash", *frames]) == 0
    for show in ([], ["--show", "boxes_3d"], ["--show", "cloud"]):
        out = tmp_path / f"{len(show)}{show[-1:]}.jpg"
        assert main(["browse", str(tmp_path / "n"), "--count", "2", "--out", str(out), *show]) == 0
    everything, boxes, points = (cv2.imread(str(file)).astype(int) for file in sorted(tmp_path.glob("*.jpg")))
    assert (abs(everything - boxes).max(2) > 40).mean() > 0.01, "points are drawn unless others are asked for"
    assert everything.shape == boxes.shape == points.shape
    assert main(["browse", str(tmp_path / "n"), "--out", str(tmp_path / "sheet.gif")]) == 2
    assert ".jpg or .png" in capsys.readouterr().err


def test_worst_samples_come_first(data, results, tmp_path):
    command = ["analyze", "worst", CONFIG, str(results[0]), "--out", str(tmp_path), "--count", "2", *options(data)]
    assert main(command) == 0
    rows = json.loads((tmp_path / "samples.json").read_text())
    assert [row["lane/F1"] for row in rows] == sorted(row["lane/F1"] for row in rows)
    assert len(rows) == 5
    assert (tmp_path / "worst.png").stat().st_size > 1000


def test_curves_of_two_runs_are_compared(tmp_path, capsys):
    for name, losses in (("a", (3.0, 1.0)), ("b", (2.0, 1.5))):
        (tmp_path / name).mkdir()
        rows = [f"{10 * i},0,train,loss,{loss}" for i, loss in enumerate(losses)]
        (tmp_path / name / "metrics.csv").write_text("\n".join(["iteration,epoch,split,name,value", *rows]))
    assert main(["analyze", "curves", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "out")]) == 0
    (row,) = json.loads((tmp_path / "out/curves.json").read_text())
    assert (row["a/last"], row["b/last"], row["a/max"]) == (1.0, 1.5, 3.0)
    assert (tmp_path / "out/curves.png").stat().st_size > 1000
    assert main(["analyze", "curves", str(tmp_path)]) == 2


def test_cost_counts_by_hand(capsys):
    assert main(["analyze", "cost", CONFIG, "--repeats", "0"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    expected = sum(int(np.prod(shape)) for name, shape in _shapes().items() if "running" not in name)
    assert f"{expected:,}" in line and "1x3x160x400" in line


def _shapes() -> dict[str, list[int]]:
    from perception.engine.keys import expected_keys

    return {name: shape for name, shape in expected_keys(CONFIG).items() if "num_batches" not in name}


def test_weights_list_names_origin_licence_and_keys(capsys):
    assert main(["weights", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert any(row["file"] == "ganet_tiny_sim.safetensors" for row in listed["shipped"])
    for row in listed["published"]:
        assert row["source"] and row["tensors"] > 50 and len(row["keys"]) >= 12
    assert main(["weights", "keys", "lane_detection/ganet_small_culane.py"]) == 0
    assert "backbone.conv1.weight  (64, 3, 7, 7)" in capsys.readouterr().out


class _Hub:
    def __init__(self) -> None:
        self.log_scalars = {"train/data_wait": types.SimpleNamespace(current=lambda: 0.25)}


def test_progress_shows_iterations_loss_and_waiting_in_a_terminal_only():
    for terminal in (True, False):
        text = io.StringIO()
        bar = ProgressBar(Console(file=text, force_terminal=terminal, width=120))
        runner = types.SimpleNamespace(rank=0, iter=3, epoch=0, max_iters=8, message_hub=_Hub())
        bar.before_train(runner)
        bar.after_train_iter(runner, 3, outputs={"loss": torch.tensor(1.5)})
        bar.after_train(runner)
        assert ("4/8" in text.getvalue() and "loss 1.5" in text.getvalue() and "25%" in text.getvalue()) == terminal


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_trackers_receive_the_curves(tracker, data, tmp_path, monkeypatch):
    """With stand-ins for the packages: what a run sends, not whether their servers take it."""
    module = MagicMock()
    monkeypatch.setitem(sys.modules, tracker, module)
    small = load_config(CONFIG).tiny_overrides
    changes = [f"{key}={value!r}" for key, value in small.items() if not isinstance(value, tuple)]
    sizes = [f"{key}=({','.join(map(str, value))})" for key, value in small.items() if isinstance(value, tuple)]
    command = ["train", CONFIG, "--work-dir", str(tmp_path), "--tracker", tracker, *options(data)]
    command += [*changes, *sizes, "train_cfg.max_epochs=1", "default_hooks.logger.interval=1"]
    assert main(command) == 0
    calls = [*module.log.call_args_list, *module.log_metric.call_args_list, *module.log_metrics.call_args_list]
    assert any("loss" in str(call) for call in calls), calls
