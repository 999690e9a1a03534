"""Several processes: how they find each other, and that together they do what one does alone."""

from __future__ import annotations

import json
import os

import pytest
import torch
from mmengine.evaluator import BaseMetric
from torch.utils.data import Dataset

from perception.engine.checkpoint import save_weights
from perception.engine.distributed import first_host, join_group, world_size
from perception.engine.evaluate import evaluate, score_results
from perception.engine.hooks import newest_checkpoint
from perception.engine.results import read_results
from perception.engine.train import TrainOptions, prepare, run_training
from perception.errors import PerceptionError
from perception.registry import DATASETS, METRICS, MODELS
from tests.fixtures.toy_training import ToyModel, config, plain_configs, run  # noqa: F401


@DATASETS.register_module()
class Numbers(Dataset):
    """The numbers 0..6; seven samples do not divide by two processes."""

    def __init__(self) -> None:
        self.metainfo = {"unit": "one"}

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index):
        return {"inputs": torch.full((4,), float(index))}


@MODELS.register_module()
class Echo(ToyModel):
    """Predicts the first number of its input."""

    def forward(self, inputs, mode="tensor", **_):
        return [{"value": float(row[0])} for row in inputs]


@METRICS.register_module()
class ValueSum(BaseMetric):
    """Sum and number of predictions."""

    def process(self, data_batch, data_samples) -> None:
        self.results += [sample["value"] for sample in data_samples]

    def compute_metrics(self, results):
        return {"sum": sum(results), "count": len(results)}


def test_first_host_of_slurm_lists():
    assert [first_host(text) for text in ("gpu[07-09,12],login1", "node3,node4", "one", "rack2-n[1,4]")] == [
        "gpu07",
        "node3",
        "one",
        "rack2-n1",
    ]
    with pytest.raises(PerceptionError, match="SLURM_NODELIST"):
        first_host("")


@pytest.mark.parametrize(("launcher", "start"), [("pytorch", "torchrun"), ("slurm", "srun")])
def test_a_launcher_that_did_not_launch_is_explained(launcher, start, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM", "RANK", "WORLD_SIZE", "MASTER_"))]:
        monkeypatch.delenv(name)
    assert world_size(launcher) == 1
    with pytest.raises(PerceptionError, match=f"not set: start it with `{start}"):
        join_group(config(launcher=launcher))


@pytest.mark.parametrize("launcher", ["pytorch", "slurm"])
def test_two_processes_train_as_one_with_the_double_batch(tmp_path, in_processes, launcher):
    changes = {"model.plain": True, "optim_wrapper.clip_grad": {"max_norm": 0.5}, "base_batch_size": 6}
    single = run(tmp_path / "one", **changes, **{"train_dataloader.batch_size": 6})

    def work() -> None:
        if launcher == "slurm":
            task = os.environ.pop("RANK")
            os.environ |= {"SLURM_PROCID": task, "SLURM_NTASKS": "2", "SLURM_NODELIST": "localhost"}
            del os.environ["WORLD_SIZE"], os.environ["LOCAL_RANK"], os.environ["MASTER_ADDR"]
        options = TrainOptions(work_dir=tmp_path / "two", launcher=launcher, trackers=())
        run_training(prepare(config(experiment_name="two", **changes), options))

    in_processes(2, work)
    double = torch.load(newest_checkpoint(tmp_path / "two"), weights_only=False)
    assert double["meta"]["iter"] == 6
    for key, value in single.model.state_dict().items():
        torch.testing.assert_close(double["state_dict"][key], value, rtol=1e-5, atol=1e-7)


def test_two_processes_score_every_sample_once_and_save_them_in_order(tmp_path, in_processes):
    loader = {"batch_size": 2, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False}}
    loader |= {"collate_fn": {"type": "default_collate"}, "dataset": {"type": "Numbers"}}
    changes = {"model.type": "Echo", "test_dataloader": loader, "test_evaluator": {"type": "ValueSum"}, "test_cfg": {}}
    save_weights(tmp_path / "echo.safetensors", Echo().state_dict())

    def score(folder: str, launcher: str) -> None:
        options = TrainOptions(work_dir=tmp_path / folder, launcher=launcher)
        scores = evaluate(
            config(experiment_name=folder, **changes), tmp_path / "echo.safetensors", options, tmp_path / folder
        )
        (tmp_path / f"{folder}{os.environ.get('RANK', 0)}.json").write_text(json.dumps(scores))

    score("one", "none")
    in_processes(2, lambda: score("two", "pytorch"))
    for name in ("one0", "two0", "two1"):
        assert json.loads((tmp_path / f"{name}.json").read_text()) == {"sum": 21.0, "count": 7.0}
    for folder in ("one", "two"):
        header, samples = read_results(tmp_path / folder)
        assert [sample["value"] for sample in samples] == [0, 1, 2, 3, 4, 5, 6]
        assert header["dataset_meta"] == {"unit": "one"}
        assert not list((tmp_path / folder).glob("results.part*"))
    assert score_results(config(**changes), tmp_path / "two") == {"sum": 21.0, "count": 7.0}
