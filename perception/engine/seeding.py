"""Random numbers that depend on where training is, never on how it got there.

Every batch and every sample draws from streams derived from (seed, position). So a run that was interrupted and
resumed, or that has another number of loader workers, sees the same numbers, and no generator state has to be saved.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Dataset, Sampler

from perception.registry import DATASETS

__all__ = ["EpochSampler", "SampleKey", "SeededDataset", "sample_rng", "seed_all"]

_current = threading.local()


class SampleKey(int):
    """Index of a sample that also says for which epoch and seed it is drawn; travels to loader workers.

    Attributes:
        epoch: Epoch, from 0.
        seed: Seed of the run.
    """

    epoch: int
    seed: int

    def __new__(cls, index: int, epoch: int, seed: int) -> SampleKey:
        """Make the key of sample `index`."""
        key = super().__new__(cls, index)
        key.epoch, key.seed = epoch, seed
        return key

    def __reduce__(self) -> tuple:
        return SampleKey, (int(self), self.epoch, self.seed)


def seed_all(*entropy: int) -> np.random.Generator:
    """Seed python, numpy and torch from non-negative integers; returns a generator of the same origin."""
    sequence = np.random.SeedSequence(entropy)
    first, second, third = (int(value) for value in sequence.generate_state(3, np.uint64))
    random.seed(first)
    np.random.seed(second % 2**32)  # noqa: NPY002 - third-party transforms draw from it
    torch.manual_seed(third % 2**63)
    return np.random.default_rng(sequence.spawn(1)[0])


def sample_rng() -> np.random.Generator:
    """Generator of the sample that is being made; outside of `SeededDataset` one per thread, seeded by torch's seed."""
    rng = getattr(_current, "sample", None) or getattr(_current, "thread", None)
    if rng is None:
        rng = _current.thread = np.random.default_rng(torch.initial_seed() % 2**63)
    return rng


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Makes every sample of another dataset a function of (seed, epoch, index), in any worker.

    Args:
        dataset: Config of the dataset, or the dataset.
    """

    def __init__(self, dataset: Mapping[str, Any] | Dataset) -> None:
        self.dataset: Any = DATASETS.build(dict(dataset)) if isinstance(dataset, Mapping) else dataset
        self.metainfo = getattr(self.dataset, "metainfo", {})

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int) -> Any:
        """Sample `key`; a plain int counts as epoch 0 and seed 0."""
        outer = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
        _current.sample = seed_all(getattr(key, "seed", 0), getattr(key, "epoch", 0), int(key))
        try:
            return self.dataset[int(key)]
        finally:
            _current.sample = None
            torch.set_rng_state(outer[0])
            np.random.set_state(outer[1])  # noqa: NPY002
            random.setstate(outer[2])


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """The order of mmengine's ``DefaultSampler``, as `SampleKey`, which can begin in the middle of an epoch.

    Args:
        dataset: What is sampled.
        shuffle: A new order every epoch, from seed + epoch.
        seed: The same on all ranks; drawn and synchronised when None.
        round_up: Repeat samples so that all ranks get equally many.
    """

    def __init__(self, dataset: Any, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        self.dataset, self.shuffle, self.round_up = dataset, shuffle, round_up
        self.rank, self.world_size = get_dist_info()
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.epoch = 0
        self._skip = 0

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        size = len(self.dataset)
        if self.round_up:
            return -(-size // self.world_size)
        return -(-(size - self.rank) // self.world_size)

    def __iter__(self) -> Iterator[SampleKey]:
        """Keys of the rest of this epoch; the next call gives a whole epoch again."""
        skip, self._skip = self._skip, 0
        size = len(self.dataset)
        if self.shuffle:
            order = torch.randperm(size, generator=torch.Generator().manual_seed(self.seed + self.epoch)).tolist()
        else:
            order = list(range(size))
        count = len(self)
        mine = [order[i % size] for i in range(self.rank, self.rank + count * self.world_size, self.world_size)]
        return iter([SampleKey(index, self.epoch, self.seed) for index in mine[skip:]])

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def skip(self, samples: int) -> None:
        """Leave out the first `samples` of the next pass, which an interrupted run has seen."""
        self._skip = samples
