"""Simulated folders say which worlds they show, and training refuses the held-out ones."""

import pytest
from mmengine.config import Config

from perception.cli import main
from perception.engine.defaults import refuse_held_out
from perception.errors import InputError, PerceptionError
from perception.held_out import held_out_seeds, note_seeds


def training(folder, **more):
    return Config({"train_dataloader": {"dataset": {"data_root": str(folder)}}, **more})


def test_a_note_gathers_runs_once_and_tells_held_out_seeds(tmp_path):
    note_seeds(tmp_path, 5, 9)
    assert held_out_seeds(tmp_path) == []
    for _ in range(2):
        note_seeds(tmp_path, 899_990, 900_003, format="culane")
    assert held_out_seeds(tmp_path) == [(900_000, 900_003)]
    assert held_out_seeds(tmp_path / "part_S_final") == [(900_000, 900_003)]
    assert (tmp_path / "simulation.json").read_text().count("seeds") == 2


def test_training_on_held_out_worlds_is_refused_unless_asked_for(tmp_path):
    refuse_held_out(training(tmp_path))
    note_seeds(tmp_path, 0, 900_000)
    with pytest.raises(PerceptionError, match=r"900000 to 900000.*allow_held_out=True"):
        refuse_held_out(training(tmp_path))
    refuse_held_out(training(tmp_path, allow_held_out=True))


@pytest.mark.parametrize("text", ["", "[]", '{"runs": [{"seeds": "ab"}]}', '{"runs": [{"seeds": [1]}]}', '{"runs": 3}'])
def test_a_damaged_note_is_an_error(tmp_path, text):
    (tmp_path / "simulation.json").write_text(text)
    with pytest.raises(InputError, match=r"simulation\.json"):
        held_out_seeds(tmp_path)


def test_simulate_notes_the_seed_of_every_picture(tmp_path):
    command = ["simulate", str(tmp_path), "--format", "culane", "--scenes", "1", "--frames", "2", "--seed", "899999"]
    assert main([*command, "--size", "64x48"]) == 0
    assert held_out_seeds(tmp_path) == [(900_000, 900_000)]
