"""Joining the group of processes that torchrun or srun started, with GPUs (NCCL) or without (gloo)."""

from __future__ import annotations

import os
import re

import torch
from mmengine.config import Config
from mmengine.dist import is_distributed

from perception.errors import PerceptionError

__all__ = ["first_host", "join_group", "world_size"]

_STARTERS = {
    "pytorch": ("torchrun --nproc-per-node 2 -m perception ...", ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")),
    "slurm": ("srun --ntasks 2 python -m perception ...", ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST")),
}


def join_group(config: Config) -> None:
    """Become one of the processes of ``config.launcher``; a Runner made from the config then finds the group.

    Without CUDA the group talks through gloo and the config receives a wrapper for models on the CPU; with CUDA the
    Runner itself joins, one GPU for each process.

    Args:
        config: Changed in place; ``launcher`` is ``none``, ``pytorch`` or ``slurm``.

    Raises:
        PerceptionError: The variables that the launcher sets are missing.
    """
    if config.launcher == "none":
        return
    if config.launcher not in _STARTERS:
        raise PerceptionError(f"launcher: expected none, pytorch or slurm, found {config.launcher!r}")
    command, variables = _STARTERS[config.launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise PerceptionError(f"--launcher {config.launcher}: {', '.join(missing)} not set: start it with `{command}`")
    if config.launcher == "slurm":
        _translate_slurm()
        config.launcher = "pytorch"
    if not torch.cuda.is_available():
        _join_on_cpu(config)


def world_size(launcher: str) -> int:
    """Number of processes, before they have joined."""
    if launcher == "none":
        return 1
    return int(os.environ.get("SLURM_NTASKS" if launcher == "slurm" else "WORLD_SIZE") or 1)


def first_host(nodes: str) -> str:
    """First name of a slurm node list: ``gpu[07-09,12],login1`` -> ``gpu07``."""
    found = re.match(r"([^,\[]+)(?:\[(\w+))?", nodes)
    if found is None:
        raise PerceptionError(f"SLURM_NODELIST: expected a list of hosts, found {nodes!r}")
    return found.group(1) + (found.group(2) or "")


def _translate_slurm() -> None:
    """Set the variables of torchrun from those of srun; a job has a port of its own."""
    task, job = os.environ["SLURM_PROCID"], int(os.environ.get("SLURM_JOB_ID") or 0)
    os.environ.setdefault("MASTER_ADDR", first_host(os.environ["SLURM_NODELIST"]))
    os.environ.setdefault("MASTER_PORT", str(20000 + job % 20000))
    os.environ |= {"RANK": task, "WORLD_SIZE": os.environ["SLURM_NTASKS"]}
    os.environ["LOCAL_RANK"] = os.environ.get("SLURM_LOCALID") or str(int(task) % max(1, torch.cuda.device_count()))


def _join_on_cpu(config: Config) -> None:
    """What mmengine does with one GPU for each process, for processes without any."""
    if not is_distributed():
        torch.distributed.init_process_group("gloo")
    unused = bool(config.get("find_unused_parameters", False))
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "device_ids": None}
    config.setdefault("model_wrapper_cfg", {**wrapper, "find_unused_parameters": unused})
