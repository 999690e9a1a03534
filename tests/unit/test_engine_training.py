"""The engine on a toy model: guarded steps, kills, the run folder, early stop, and errors that say what to do."""

from __future__ import annotations

import json
import os
import random
import signal
from multiprocessing.connection import Client
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import PARAM_SCHEDULERS

from perception.engine.atomic import AtomicBackend
from perception.engine.checkpoint import load_state, save_weights, weights_meta
from perception.engine.config import load_config
from perception.engine.defaults import data_path
from perception.engine.hooks import DataWait, EarlyStop, newest_checkpoint
from perception.engine.loop import explain_step_errors
from perception.engine.train import TrainOptions, prepare
from perception.errors import PerceptionError, UnknownNameError
from perception.registry import DATASETS, METRICS
from tests.fixtures.toy_training import ToyDataset, ToyModel, config, plain_configs, run, same, weights  # noqa: F401


def test_a_batch_of_nan_is_skipped_and_leaves_no_trace(tmp_path, caplog):
    runner = run(tmp_path, **{"train_dataloader.dataset.bad": [5]})
    assert runner.optim_wrapper.skipped == 3, "once per epoch"
    assert all(torch.isfinite(value.float()).all() for value in weights(runner)), "statistics of batch norm included"
    rows = (tmp_path / "metrics.csv").read_text()
    assert "skipped_steps,3.0" in rows and "loss,nan" in rows
    assert json.loads((tmp_path / "metrics.json").read_text())["train/loss"]["not_finite"] == 3


def test_only_bad_batches_end_the_training(tmp_path):
    with pytest.raises(PerceptionError, match=r"not finite in 4 steps in a row.*lower optim_wrapper\.optimizer\.lr"):
        run(tmp_path, **{"train_dataloader.dataset.bad": list(range(12)), "optim_wrapper.max_skips": 4})


def test_nan_under_accumulation_spoils_one_step_only(tmp_path):
    changes = {"train_dataloader.dataset.bad": [5], "optim_wrapper.accumulative_counts": 2}
    runner = run(tmp_path, **changes)
    assert runner.optim_wrapper.skipped == 3
    assert all(torch.isfinite(value.float()).all() for value in weights(runner))


def test_bfloat16_trains_on_the_cpu_and_differs_from_full_precision(tmp_path):
    full, half = run(tmp_path / "a"), run(tmp_path / "b", amp="bf16")
    assert not same(full, half)
    assert torch.allclose(full.model.last.weight, half.model.last.weight, atol=0.05)
    assert half.model.last.weight.dtype == torch.float32
    if not torch.cuda.is_available():
        with pytest.raises(PerceptionError, match="--amp bf16"):
            run(tmp_path / "c", amp="fp16")


def test_samples_do_not_depend_on_the_number_of_workers(tmp_path):
    assert same(run(tmp_path / "a"), run(tmp_path / "b", **{"train_dataloader.num_workers": 2}))


def test_another_seed_is_another_run(tmp_path):
    assert not same(run(tmp_path / "a"), run(tmp_path / "b", **{"randomness.seed": 4}))


def test_kill_while_writing_checkpoints_loses_at_most_one_interval(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    folder, rng = tmp_path / "killed", random.Random(0)
    changes = {
        "default_hooks.checkpoint": {"type": "Checkpoints", "interval": 1, "by_epoch": False, "max_keep_ckpts": 1}
    }
    reached = []
    for number in range(20):
        before = newest_checkpoint(folder) if folder.is_dir() else None
        child = os.fork()
        if child == 0:
            die_while_writing(monkeypatch, share=rng.random(), keep=number % 2)
            run(folder, resume=True, **changes)
            os._exit(0)
        rng.random()
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or number >= 18, "the child was killed while it wrote"
        after = newest_checkpoint(folder)
        assert before is None or after is not None, "a checkpoint was lost"
        reached.append(0 if after is None else int(after.stem.split("_")[1]))
    assert reached == sorted(reached) and reached[-1] >= 8, reached
    assert same(run(folder, resume=True, **changes), whole)
    assert not list(folder.glob(".*.tmp"))


def die_while_writing(monkeypatch, share: float, keep: int) -> None:
    """Let this process write `keep` files, and kill it in the middle of the next one."""
    left = [keep]
    original = AtomicBackend.put

    def put(self, obj: bytes, filepath) -> None:
        if left[0] == 0:
            write = Path.write_bytes
            monkeypatch.setattr(
                Path, "write_bytes", lambda path, data: (write(path, data[: int(share * len(data))]), kill_self())
            )
        left[0] -= 1
        original(self, obj, filepath)

    monkeypatch.setattr(AtomicBackend, "put", put)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    whole = run(tmp_path)
    newest = newest_checkpoint(tmp_path)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(content)
    (tmp_path / "last_checkpoint").write_text("")
    assert newest_checkpoint(tmp_path).name == "epoch_2.pth"
    assert same(run(tmp_path, resume=True), whole)


def test_nothing_to_resume_starts_anew(tmp_path, capsys):
    assert run(tmp_path / "new", resume=True).iter == 12
    assert "no checkpoint to resume" in capsys.readouterr().out


def test_the_run_folder_tells_everything(tmp_path):
    run(tmp_path, **{"train_cfg.max_epochs": 1})
    run(tmp_path, resume=True, **{"train_cfg.max_epochs": 2})
    starts = json.loads((tmp_path / "run.json").read_text())["starts"]
    assert [start["from_iteration"] for start in starts] == [0, 4]
    assert starts[0]["environment"]["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert Config.fromfile(tmp_path / "config.py").base_batch_size == 3
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == "iteration,epoch,split,name,value"
    assert [line.split(",")[0] for line in lines if ",loss," in line] == ["4", "8"]


# --- errors that say what to do ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.type": "ToyModle"}, "toy_training.py 'ToyModle': did you mean 'ToyModel'"),
        ({"train_dataloader.dataset.type": "ToyDatset"}, "did you mean 'ToyDataset'"),
        ({"model.wdith": 3}, "toy_training.py: ToyModel: got an unexpected keyword argument 'wdith'"),
        ({"train_dataloader.dataset.sise": 3}, "ToyDataset: got an unexpected keyword argument 'sise'"),
        ({"param_schedulers": []}, "unknown key 'param_schedulers': did you mean 'param_scheduler'"),
    ],
)
def test_typos_in_a_config_name_the_intention(tmp_path, changes, message):
    with pytest.raises(PerceptionError) as error:
        run(tmp_path, **changes)
    assert message in str(error.value)


def test_a_config_that_cannot_train_names_what_is_missing(tmp_path):
    with pytest.raises(
        PerceptionError, match=r"engine_training\.py: not a training config: missing model, train_dataloader"
    ):
        prepare(Config({"base_batch_size": 1}, filename=__file__), TrainOptions(work_dir=tmp_path))


def test_memory_running_out_suggests_a_batch_of_the_same_effect(tmp_path):
    with pytest.raises(PerceptionError) as error:
        run(tmp_path, **{"model.fail": "memory", "train_dataloader.batch_size": 4})
    assert "train_dataloader.batch_size=2 optim_wrapper.accumulative_counts=2" in str(error.value)


def test_memory_running_out_in_a_validation_names_its_batch(tmp_path):
    loader = {"batch_size": 4, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False}}
    loader |= {"collate_fn": {"type": "default_collate"}, "dataset": {"type": "ToyDataset"}}
    changes = {
        "val_dataloader": loader,
        "val_cfg": {},
        "val_evaluator": {"type": "DumpResults", "out_file_path": str(tmp_path / "x.pkl")},
    }
    with pytest.raises(PerceptionError, match=r"a val step ran out of memory .*val_dataloader\.batch_size=2; --resume"):
        run(tmp_path, **changes, **{"model.fail": "val"})


def test_a_dead_data_worker_is_explained(tmp_path):
    with pytest.raises(PerceptionError, match=r"a data worker died .*num_workers=1 .*--resume"):
        run(tmp_path, **{"train_dataloader.num_workers": 2, "train_dataloader.dataset.kill": 7})


@pytest.mark.parametrize("told", [True, False])
def test_a_worker_that_dies_while_it_hands_over_a_batch_is_explained(tmp_path, monkeypatch, told: bool):
    def wait(seconds: float) -> None:
        if told:
            raise RuntimeError("DataLoader worker (pid 25707) is killed by signal: Killed. ")

    monkeypatch.setattr("perception.engine.loop.time.sleep", wait)
    settings = config(**{"train_dataloader.num_workers": 2})
    with pytest.raises(PerceptionError, match=r"a data worker died .*num_workers=1 "), explain_step_errors(settings):
        Client(str(tmp_path / "socket of a dead process"), family="AF_UNIX")
    with pytest.raises(FileNotFoundError), explain_step_errors(settings):
        (tmp_path / "weights").read_bytes()


def test_errors_in_a_worker_come_without_its_traceback(tmp_path):
    @DATASETS.register_module(force=True)
    class BrokenDataset(ToyDataset):
        def __getitem__(self, index):
            raise PerceptionError(f"/data/{index}.jpg: expected an image, found no file")

    with pytest.raises(PerceptionError) as error:
        run(tmp_path, **{"train_dataloader.dataset.type": "BrokenDataset", "train_dataloader.num_workers": 1})
    assert str(error.value).startswith("/data/") and "Traceback" not in str(error.value)


def test_missing_data_shows_where_it_was_looked_for_and_the_expected_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyDataset, "expected_tree", "  list/train.txt   one path a line\n", raising=False)
    changes = {"train_dataloader.dataset.data_root": "data/toy"}
    monkeypatch.delenv("PERCEPTION_DATA", raising=False)
    with pytest.raises(PerceptionError, match=r"data/toy is not a folder\n.*\n  list/train\.txt.*(?s:.)*is not set"):
        run(tmp_path, **changes)
    monkeypatch.setenv("PERCEPTION_DATA", str(tmp_path))
    with pytest.raises(PerceptionError, match=str(tmp_path / "toy")):
        run(tmp_path, **changes)
    (tmp_path / "toy").mkdir()
    prepared = prepare(config(**changes), TrainOptions(work_dir=tmp_path, trackers=()))
    assert prepared.train_dataloader.dataset.dataset.data_root == str(tmp_path / "toy")


def test_data_roots_are_taken_below_the_variable(monkeypatch):
    monkeypatch.setenv("PERCEPTION_DATA", "/srv/sets")
    assert data_path("data/culane") == Path("/srv/sets/culane")
    assert data_path("culane") == Path("/srv/sets/culane")
    assert data_path("/mnt/culane") == Path("/mnt/culane")
    monkeypatch.delenv("PERCEPTION_DATA")
    assert data_path("data/culane") == Path("data/culane")


def test_an_unknown_tracker_is_named(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'wandb'"):
        prepare(config(), TrainOptions(work_dir=tmp_path, trackers=("wandbb",)))


# --- hooks ---


def fake_runner(**times) -> SimpleNamespace:
    scalars = {f"train/{name}": SimpleNamespace(current=lambda value=value: value) for name, value in times.items()}
    info: dict = {}
    hub = SimpleNamespace(runtime_info=info, get_scalar=scalars.get, update_scalar=lambda name, value: None)
    hub.update_info = info.__setitem__
    said: list[str] = []
    logger = SimpleNamespace(info=said.append, warning=said.append)
    return SimpleNamespace(
        message_hub=hub, logger=logger, said=said, train_loop=SimpleNamespace(stop_training=False), iter=0
    )


def test_early_stop_waits_and_survives_a_resume():
    runner = fake_runner()
    for number, value in enumerate([0.1, 0.5, 0.4, float("nan")]):
        assert not runner.train_loop.stop_training, number
        EarlyStop(monitor="f1", patience=3).after_val_epoch(runner, {"f1": value})
    EarlyStop(monitor="f1", patience=3).after_val_epoch(runner, {"f1": 0.5})
    assert runner.train_loop.stop_training
    with pytest.raises(UnknownNameError, match="f1"):
        EarlyStop(monitor="f2").after_val_epoch(runner, {"f1": 0.5})


@pytest.mark.parametrize(("data_time", "warned"), [(0.29, False), (0.31, True)])
def test_waiting_for_data_warns_above_30_percent(data_time: float, warned: bool):
    hook, runner = DataWait(), fake_runner(data_time=data_time, time=1.0)
    hook.before_train_epoch(runner)
    for _ in range(20):
        hook.after_train_iter(runner, 0)
    hook.after_train_epoch(runner)
    assert hook.share == pytest.approx(data_time)
    assert any("waiting for data" in text for text in runner.said) == warned


def test_our_parts_take_the_place_of_mmengines(tmp_path):
    prepared = prepare(config(early_stop={"patience": 2}), TrainOptions(work_dir=tmp_path))
    assert prepared.default_hooks.checkpoint.type == "Checkpoints"
    assert prepared.optim_wrapper.type == "GuardedOptimWrapper"
    assert prepared.train_cfg.type == "EpochLoop" and "by_epoch" not in prepared.train_cfg
    assert prepared.train_dataloader.sampler.type == "EpochSampler"
    added = ["DataWait", "RunFolder", "ProgressBar", "FrozenGuard", "EarlyStop"]
    assert [hook.type for hook in prepared.custom_hooks] == added
    assert [backend.type for backend in prepared.visualizer.vis_backends] == [
        "LocalVisBackend",
        "TensorboardVisBackend",
    ]


def test_the_best_weights_are_kept(tmp_path):
    scores = iter([0.2, 0.6, 0.4])

    @METRICS.register_module(force=True)
    class ToyMetric(BaseMetric):
        def process(self, data_batch, data_samples):
            self.results.append(0)

        def compute_metrics(self, results):
            return {"score": next(scores)}

    loader = {"batch_size": 4, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False}}
    loader |= {"collate_fn": {"type": "default_collate"}, "dataset": {"type": "ToyDataset"}}
    runner = run(tmp_path, val_dataloader=loader, val_evaluator={"type": "ToyMetric"}, val_cfg={"type": "ValLoop"})
    meta = weights_meta(tmp_path / "best.safetensors")
    assert (meta["epoch"], meta["score"]) == (2, 0.6)
    second = torch.load(tmp_path / "epoch_2.pth", weights_only=False)["state_dict"]
    best = load_state(tmp_path / "best.safetensors")
    assert all(torch.equal(best[key], second[key]) for key in second)
    assert runner.message_hub.get_info("best_score") == 0.6


# --- schedules ---


def learning_rates(name: str, iterations: list[int], batches: int) -> list[float]:
    """Learning rate before each iteration of a shipped config, for epochs of `batches` iterations."""
    content = load_config(name)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=content.optim_wrapper.optimizer.lr)
    schedulers = []
    for item in content.param_scheduler:
        keywords = dict(item)
        kind = PARAM_SCHEDULERS.get(keywords.pop("type"))
        schedulers.append(kind(optimizer, **keywords))
    found = []
    for iteration in range(max(iterations) + 1):
        if iteration in iterations:
            found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or (iteration + 1) % batches == 0:
                scheduler.step()
    return found


@pytest.mark.parametrize(("data", "epochs"), [("culane", 60), ("tusimple", 300)])
def test_learning_rate_follows_the_published_schedule_of_ganet(data: str, epochs: int):
    """Spec ganet section 2: linear warm-up over 100 iterations from a tenth, then per epoch 1 - e / epochs to 1e-5."""
    batches = 110
    iterations = [0, 1, 10, 50, 99, 100, 109, 110, 5 * 110 + 7, 20 * 110]
    expected = []
    for iteration in iterations:
        epoch = iteration // batches
        regular = (1e-3 - 1e-5) * (1 - epoch / epochs) + 1e-5
        expected.append(regular * (1 - (1 - iteration / 100) * 0.9) if iteration < 100 else regular)
    found = learning_rates(f"lane_detection/ganet_small_{data}.py", iterations, batches)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_training_starts_from_given_weights(tmp_path):
    start = ToyModel().state_dict()
    save_weights(tmp_path / "start.safetensors", start)
    still = {"train_cfg.max_epochs": 1, "optim_wrapper.optimizer.lr": 0.0}
    runner = run(tmp_path / "run", load_from=str(tmp_path / "start.safetensors"), **still)
    assert all(torch.equal(value, start[name]) for name, value in runner.model.named_parameters())


def test_weights_of_another_model_are_no_start(tmp_path):
    save_weights(tmp_path / "other.safetensors", {"layers.0.weight": torch.zeros(2, 2)})
    with pytest.raises(PerceptionError, match="do not fit ToyModel"):
        run(tmp_path / "run", load_from=str(tmp_path / "other.safetensors"))
