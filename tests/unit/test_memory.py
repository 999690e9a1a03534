"""Freed memory stays with the process when it is asked to."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
from perception.memory import keep_freed_memory

size = 16_000_000  # 3900 pages

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        b"x" * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert keep_freed_memory() and keep_freed_memory()
b"x" * size
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_arrays_made_again_cost_no_page_faults():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100
