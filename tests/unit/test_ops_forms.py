"""The forms of every op agree, in numba's simulator too, and CUDA kernels compile without a GPU."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest
import torch

from perception.ops.forms import form_for, has_numba_cuda
from perception.ops.verify import checks, compare, difference

needs_numba_cuda = pytest.mark.skipif(not has_numba_cuda(), reason="numba-cuda is not installed (extra `cuda`)")
CHECKS = checks()


@pytest.mark.parametrize("op", CHECKS)
def test_the_cpu_kernel_equals_the_definition(op: str):
    gaps = compare(CHECKS[op], forms=("cpu",))
    assert len(gaps) >= 8
    assert {name: gap["cpu"] for name, gap in gaps.items() if gap["cpu"] > CHECKS[op].tolerance} == {}


@needs_numba_cuda
def test_the_simulated_cuda_kernels_equal_the_definitions():
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-m", "perception.ops.verify"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout, run.stderr
    report = json.loads(run.stdout)
    assert report.keys() == CHECKS.keys()
    wrong = [
        (op, name, gap)
        for op, cases in report.items()
        for name, gap in cases.items()
        if gap["cuda"] > CHECKS[op].tolerance
    ]
    assert wrong == []


@needs_numba_cuda
@pytest.mark.parametrize("op", CHECKS)
@pytest.mark.parametrize("architecture", [(8, 0), (9, 0)], ids=["sm_80", "sm_90"])
def test_kernels_compile_to_ptx(op: str, architecture: tuple[int, int]):
    from numba import cuda

    for kernel, signature in importlib.import_module(f"perception.ops.{op}.cuda").KERNELS.values():
        try:
            ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=architecture)
        except Exception as error:
            if "libnvvm" in str(error).lower() or "nvvm" in type(error).__name__.lower():
                pytest.skip(f"no NVVM compiler (wheel nvidia-nvvm or a CUDA toolkit): {error}")
            raise
        assert f".target sm_{architecture[0]}{architecture[1]}" in ptx


def test_differences_see_shapes_values_and_nan():
    ones, nan = torch.ones(2).numpy(), torch.tensor([1.0, torch.nan]).numpy()
    assert difference((ones,), (ones,)) == 0
    assert difference((ones,), (ones + 0.5,)) == 0.5
    assert difference((ones,), (ones[:1],)) == difference((ones,), (nan,)) == float("inf")


def test_devices_without_kernels_use_the_definition():
    assert form_for(torch.device("cpu")) == "cpu"
    assert form_for(torch.device("meta")) == "reference"
    assert form_for(torch.device("cuda")) == ("cuda" if has_numba_cuda() else "reference")
