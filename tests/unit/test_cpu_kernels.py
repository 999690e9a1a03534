"""The instruction set of golden comparisons."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perception.cpu_kernels import SETTINGS, use_avx2_kernels


def test_only_avx512_is_turned_down_and_only_where_nobody_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in SETTINGS:
        monkeypatch.setenv(name, "mine")  # restored afterwards
        monkeypatch.delenv(name)
    info = tmp_path / "cpuinfo"
    assert not use_avx2_kernels(info)
    info.write_text("flags\t\t: fpu sse2 avx2\n")
    assert not use_avx2_kernels(info)
    assert not any(name in os.environ for name in SETTINGS)
    info.write_text("flags\t\t: fpu sse2 avx2 avx512f avx512bw\n")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert use_avx2_kernels(info)
    assert os.environ["ATEN_CPU_CAPABILITY"] == "default" and os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
