"""``perception demo`` from the simulated drive to the summary, with random weights and few frames."""

from __future__ import annotations

import json

from perception.cli import main
from perception.engine.checkpoint import save_weights
from perception.engine.config import load_config
from perception.plugin import load
from perception.registry import MODELS


def test_the_demo_runs_again_and_again_and_says_where_to_look(tmp_path, capsys):
    load("lane_detection")
    model = MODELS.build(load_config("lane_detection/ganet_tiny_sim.py").model)
    save_weights(tmp_path / "w.safetensors", model.state_dict(), {"trained_on": "nothing"})
    for frames in ("2", "3"):
        out = tmp_path / "demo"
        assert main(["demo", "--out", str(out), "--frames", frames, "--weights", str(tmp_path / "w.safetensors")]) == 0
        text = capsys.readouterr().out
        assert "culane_f1 on" in text and "w.safetensors (trained on: nothing)" in text
        for name in ("report.html", "overlay.mp4", "predictions.mcap"):
            assert (out / name).is_file() and f"{out / name}\n" in text
        report = json.loads((out / "report.json").read_text())
        assert report["frames"]["total"] == int(frames)
        assert report["scores"]["lanes"]["frames"] == int(frames)
