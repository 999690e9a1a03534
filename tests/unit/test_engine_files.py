"""Configs and checkpoints: finding, reading, overriding, and refusing what is wrong or unsafe."""

import pickle

import pytest
import torch
from mmengine.config import Config

from perception.engine.checkpoint import load_state, load_weights, save_weights, weights_meta
from perception.engine.config import apply_options, find_config, load_config, packaged_configs, parse_options
from perception.errors import InputError, PerceptionError, UnknownNameError


class Exploit:
    """Unpickling it would run code."""

    def __reduce__(self):
        return (print, ("executed",))


def net():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def test_shipped_configs_are_found_by_name_with_or_without_suffix():
    names = packaged_configs()
    assert "pipelines/lanes_front.py" in names and not any("_base_" in name for name in names)
    assert find_config("pipelines/lanes_front").samefile(find_config("configs/pipelines/lanes_front.py"))
    with pytest.raises(UnknownNameError, match="lanes_front"):
        find_config("pipelines/lane_front.py")


def test_a_broken_config_names_file_and_line(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("a = 1\nb = = 2\n")
    with pytest.raises(InputError, match="bad"):
        load_config(path)


def test_options_reach_nested_keys_and_lists():
    config = Config({"a": {"type": "X", "b": [1, {"c": 2}]}, "d": 1})
    apply_options(config, parse_options(["a.b.1.c=5", "a.new=(1, 2)", "d=text"]))
    assert config.a.b[1].c == 5 and config.a.new == (1, 2) and config.d == "text"


@pytest.mark.parametrize(
    "option", ["batch_sise=2", "loader.batch_sise=2", "lodaer.x=2", "steps.7=1", "none.x=1", "loader.batch_size.x=1"]
)
def test_a_misspelt_option_is_refused(option):
    config = Config({"loader": {"batch_size": 1}, "batch_size": 3, "steps": [1], "none": None})
    with pytest.raises(UnknownNameError):
        apply_options(config, parse_options([option]))


def test_an_option_without_value_is_refused():
    with pytest.raises(PerceptionError, match="expected key=value"):
        parse_options(["seed"])


def test_weights_round_trip_with_meta(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, net().state_dict(), {"seed": 3}, half=True)
    other = torch.nn.Linear(3, 2)
    load_weights(other, path)
    assert weights_meta(path) == {"seed": 3}
    torch.testing.assert_close(other.weight, net().weight, atol=1e-3, rtol=1e-3)
    assert other.weight.dtype == torch.float32
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "meta": {"epoch": 1}}, lambda s: {"model": s}]
)
def test_foreign_layouts_are_read(tmp_path, wrap):
    path = tmp_path / "w.pth"
    torch.save(wrap({f"module.{key}": value for key, value in net().state_dict().items()}), path)
    assert load_state(path).keys() == net().state_dict().keys()


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": net().state_dict(), "meta": Exploit()}, path)
    with pytest.raises(InputError, match="--trust"):
        load_state(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps([1, 2])])
def test_garbage_is_refused(tmp_path, content):
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_state(path)


def test_weights_of_another_architecture_name_the_keys(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"weight": torch.zeros(2, 4), "extra": torch.zeros(1)})
    with pytest.raises(PerceptionError) as error:
        load_weights(net(), path)
    text = str(error.value)
    assert "weight: expected (2, 3), found (2, 4)" in text and "missing key(s): bias" in text and "extra" in text
    save_weights(path, {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "extra": torch.zeros(1)})
    lenient = net()
    lenient.optional_keys = ("extra",)
    load_weights(lenient, path)


def test_a_name_that_other_keys_were_made_from_changes_everywhere_or_is_refused():
    config = load_config("lane_detection/ganet_tiny_sim.py", {"data_root": "elsewhere"})
    assert config.train_dataloader.dataset.data_root == config.val_dataloader.dataset.data_root == "elsewhere"
    config = load_config("lane_detection/ganet_small_culane.py", {"data_root": "elsewhere"})
    assert config.train_dataloader.dataset.data_root == "elsewhere"
    with pytest.raises(PerceptionError, match=r"epochs.*change these: .*train_cfg\.max_epochs"):
        load_config("lane_detection/ganet_tiny_sim.py", {"epochs": 3})
    assert load_config("lane_detection/ganet_tiny_sim.py", {"base_batch_size": 8}).base_batch_size == 8
