"""The training loop: mmengine's epochs, begun anywhere, with errors that say what to do."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from perception.engine.seeding import EpochSampler, seed_all
from perception.errors import PerceptionError

__all__ = ["EpochLoop", "IterationLoop", "explain_step_errors"]

_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\).*(exited unexpectedly|killed by signal)")


@LOOPS.register_module()
class EpochLoop(EpochBasedTrainLoop):
    """Epochs in which every iteration draws its random numbers from (seed, rank, iteration).

    A run resumed from a checkpoint made within an epoch goes on with the batch that comes next.
    """

    def run(self) -> Any:
        """Train to the end; a validation that an interruption cut off is made up for first."""
        self.runner.call_hook("before_train")
        if self._epoch and self.runner.message_hub.runtime_info.get("scored_iteration") != self._iter:
            self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Run the rest of the current epoch: all of it, unless a run was resumed in its middle.

        Raises:
            PerceptionError: Memory ran out or a data worker died; says what to change.
        """
        runner = self.runner
        begin = self._iter - self._epoch * len(self.dataloader)
        runner.call_hook("before_train_epoch")
        runner.model.train()
        if 0 < begin < len(self.dataloader):
            self._skip(begin)
        with explain_step_errors(runner.cfg):
            batches = iter(self.dataloader) if begin < len(self.dataloader) else iter(())
            for index in range(begin, len(self.dataloader)):
                seed_all(runner.seed, runner.rank, self._iter)
                self.run_iter(index, next(batches))
        runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        whole = self._iter == self._epoch * len(self.dataloader)
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due and whole:
            with explain_step_errors(self.runner.cfg, "val"):
                self.runner.val_loop.run()

    def _skip(self, batches: int) -> None:
        begin_within(self.dataloader, self._epoch, batches)


@LOOPS.register_module()
class IterationLoop(IterBasedTrainLoop):
    """A given number of iterations over as many passes of the data as it takes, resumable exactly anywhere."""

    def run(self) -> Any:
        """Train to the end; a validation that an interruption cut off is made up for first."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        if self._iter and runner.message_hub.runtime_info.get("scored_iteration") != self._iter:
            self._validate_if_due()
        with explain_step_errors(runner.cfg):
            batches = self._batches()
            while self._iter < self._max_iters and not self.stop_training:
                runner.model.train()
                batch = next(batches)
                seed_all(runner.seed, runner.rank, self._iter)
                self.run_iter(batch)
                self._validate_if_due()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def _batches(self) -> Iterator[Any]:
        """Batches from where the run is, pass after pass."""
        passes, begin = divmod(self._iter, len(self.dataloader))
        while True:
            if begin:
                begin_within(self.dataloader, passes, begin)
            elif hasattr(self.dataloader.sampler, "set_epoch"):
                self.dataloader.sampler.set_epoch(passes)
            yield from self.dataloader
            passes, begin = passes + 1, 0

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
            with explain_step_errors(self.runner.cfg, "val"):
                self.runner.val_loop.run()


def begin_within(dataloader: Any, epoch: int, batches: int) -> None:
    """Let the next pass over a dataloader be the rest of an epoch, without loading what comes before.

    Raises:
        PerceptionError: Its sampler cannot do that.
    """
    sampler = dataloader.sampler
    if not isinstance(sampler, EpochSampler) or dataloader.batch_size is None:
        raise PerceptionError(
            f"this run stopped after {batches} batches of an epoch; going on from there needs "
            f"train_dataloader.sampler.type=EpochSampler without a batch sampler, found {type(sampler).__name__}"
        )
    sampler.set_epoch(epoch)
    sampler.skip(batches * dataloader.batch_size)


@contextmanager
def explain_step_errors(config: Any, part: str = "train") -> Iterator[None]:
    """Turn the errors of loading and stepping that users can mend into `PerceptionError`.

    Args:
        config: Of the run.
        part: Whose batches these are: ``train``, ``val`` or ``test``.
    """
    try:
        try:
            yield
        except PerceptionError as error:
            found = re.search(r"^perception\.errors\.\w+: (.*)", str(error), re.DOTALL | re.MULTILINE)
            if found is None:
                raise
            raise PerceptionError(found.group(1).strip()) from error  # a worker's traceback came along
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise PerceptionError(_memory_advice(config, part, error)) from error
        except (OSError, EOFError) as error:
            if _between_processes(error):
                time.sleep(1)  # a worker died while it handed over a batch: a signal is about to raise what follows
                raise PerceptionError(_worker_advice(config, part, error)) from error
            raise
    except RuntimeError as error:  # may also rise from within the handlers above
        if any(text in str(error) for text in _MEMORY):
            raise PerceptionError(_memory_advice(config, part, error)) from error
        if _WORKER.search(str(error)):
            raise PerceptionError(_worker_advice(config, part, error)) from error
        raise


def _between_processes(error: BaseException) -> bool:
    """Tell whether an error rose in this process while it spoke to another."""
    frames = traceback.extract_tb(error.__traceback__)
    return any("multiprocessing" in Path(frame.filename).parts for frame in frames)


def _memory_advice(config: Any, part: str, error: BaseException) -> str:
    batch = int(config[f"{part}_dataloader"].get("batch_size") or 1)
    first = (str(error).splitlines() or [type(error).__name__])[0]
    where = f"a {part} step ran out of memory ({first}) at batch size {batch}"
    if batch == 1:
        return f"{where}: reduce the input size" + " or try --amp" * (part == "train")
    options = f"{part}_dataloader.batch_size={(batch + 1) // 2}"
    if part == "test":
        return f"{where}: try --cfg-options {options}"
    if part == "train":
        count = int(config.optim_wrapper.get("accumulative_counts", 1))
        options += f" optim_wrapper.accumulative_counts={2 * count} (the same effective batch), or --amp"
    return f"{where}: try --cfg-options {options}; --resume goes on from the last checkpoint"


def _worker_advice(config: Any, part: str, error: BaseException) -> str:
    workers = int(config[f"{part}_dataloader"].get("num_workers", 0))
    advice = (
        f"a data worker died ({str(error).splitlines()[0]}). Usually the system killed it for lack of memory or of "
        f"space in /dev/shm: try --cfg-options {part}_dataloader.num_workers={max(0, workers // 2)} "
        "(0 loads in the main process and shows errors as they are)"
    )
    return advice + "; --resume goes on from the last checkpoint" * (part != "test")
