"""Write docs/ops.md: do the forms of every op agree, and do the CUDA kernels compile, and to what?

Needs the extra ``cuda``; registers and shared memory also need ``ptxas``, of a CUDA toolkit or the wheel
``nvidia-cuda-nvcc``, on PATH. No GPU is needed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from perception.ops.verify import checks

ARCHITECTURES = ((8, 0), (9, 0))
HEADER = """# Ops

Every op in `perception/ops` has a definition in plain torch or numpy (`reference.py`), a numba kernel for the CPU
(`cpu.py`), numba kernels for CUDA (`cuda.py`) and one `torch.library.custom_op` that chooses by the device of its
arguments; on CUDA without the package numba-cuda (`pip install 'perception-stack[cuda]'`) and on other devices the
definition is used. The figures are largest absolute differences from the definition over all cases of `check.py`:
random input, nothing, one point, duplicates, NaN and infinities, values on a threshold. CUDA kernels ran in numba's
simulator, not on a GPU. `python tools/ops_table.py` writes this page.

| op | cases | CPU | CUDA, simulated |
| --- | --- | --- | --- |
"""
KERNELS = """
Kernels compiled without a GPU; registers a thread and bytes of shared memory a block by ptxas{version}:

| op | kernel | {titles} |
| --- | --- | {rules} |
"""


def simulate() -> dict[str, dict[str, dict[str, float]]]:
    """Compare all ops in numba's simulator; differences by op, case and form."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-m", "perception.ops.verify"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not run.stdout:
        sys.exit(f"{' '.join(command)} failed:\n{run.stderr}")
    return json.loads(run.stdout)


def compile_kernel(kernel: Any, signature: tuple, architecture: tuple[int, int]) -> str:
    """Compile one kernel to PTX and, when possible, on to machine code; returns a cell of the table."""
    from numba import cuda

    ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=architecture)
    target = f"sm_{architecture[0]}{architecture[1]}"
    if f".target {target}" not in ptx:
        sys.exit(f"expected PTX for {target}, found {re.findall('.target .*', ptx)}")
    if not shutil.which("ptxas"):
        return "PTX"
    command = ["ptxas", "-v", f"-arch={target}", "-o", os.devnull, "-"]
    log = subprocess.run(command, input=ptx, capture_output=True, text=True, check=True).stderr
    registers, shared = re.search(r"Used (\d+) registers", log), re.search(r"(\d+) bytes smem", log)
    return f"PTX, {registers[1] if registers else '?'} registers, {shared[1] if shared else 0} B"


def ptxas_version() -> str:
    """Return `` 13.0.88``-like text, or a note that there is none."""
    if not shutil.which("ptxas"):
        return " (not found)"
    text = subprocess.run(["ptxas", "--version"], capture_output=True, text=True, check=True).stdout
    return " " + "".join(re.findall(r"V([\d.]+)", text))


def page() -> str:
    """Return the whole page."""
    text = HEADER
    for op, cases in simulate().items():
        worst = [max(case[form] for case in cases.values()) for form in ("cpu", "cuda")]
        text += (
            f"| `{op}` | {len(cases)} | " + " | ".join("equal" if gap == 0 else f"{gap:.2g}" for gap in worst) + " |\n"
        )
    titles = [f"sm_{major}{minor}" for major, minor in ARCHITECTURES]
    text += KERNELS.format(version=ptxas_version(), titles=" | ".join(titles), rules=" | ".join("---" for _ in titles))
    for op in checks():
        for name, (kernel, signature) in importlib.import_module(f"perception.ops.{op}.cuda").KERNELS.items():
            cells = [compile_kernel(kernel, signature, architecture) for architecture in ARCHITECTURES]
            text += f"| `{op}` | `{name}` | " + " | ".join(cells) + " |\n"
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[1] / "docs" / "ops.md"
    parser.add_argument("--out", type=Path, default=default, help="file to write")
    parser.parse_args().out.write_text(page(), encoding="utf-8")
