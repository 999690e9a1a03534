from __future__ import annotations

import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def make(repository, tmp_path):
    """Runs make with an environment that does not exist yet; returns exit code and all output."""

    def run(*arguments):
        command = ["make", "-C", str(repository), f"VENV={tmp_path / 'venv'}", *arguments]
        outside = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        done = subprocess.run(command, env=outside, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_help_lists_the_targets(make):
    code, text = make("help")
    assert code == 0
    assert {"demo", "test", "test-all", "test-gpu", "check", "bench"} <= {
        line.split()[1] for line in text.splitlines() if line.startswith("  make ")
    }


@pytest.mark.parametrize(
    ("target", "installs", "runs"),
    [
        ("demo", "-e .", "bin/perception demo"),
        ("test", "-e '.[dev]'", 'bin/python -m pytest -m "not slow and not gpu"'),
        ("test-all", "-e '.[dev]'", 'bin/python -m pytest -m "not gpu"'),
        ("check", "-e '.[dev]'", "bin/mypy perception plugins"),
        ("bench", "-e .", "bin/perception bench"),
    ],
)
def test_a_target_makes_its_own_environment_with_the_pins(make, target, installs, runs):
    code, text = make("--dry-run", target)
    lines = text.splitlines()
    (install,) = [number for number, line in enumerate(lines) if " install " in line and "-e " in line]
    headless = next(n for n, line in enumerate(lines) if line.endswith("opencv-python-headless"))
    venv = next(n for n, line in enumerate(lines) if "-m venv" in line)
    command = next(n for n, line in enumerate(lines) if runs in line)
    assert code == 0 and venv < install < headless < command
    assert "-c constraints.txt" in lines[install] and lines[install].endswith(f" {installs}")


def test_an_environment_that_is_up_to_date_is_reused(make, tmp_path):
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / ".stamps").mkdir()
    for name in ("bin/python", ".stamps/core", ".stamps/dev"):
        (tmp_path / "venv" / name).touch()
    code, text = make("--dry-run", "test")
    assert code == 0 and " install " not in text and "-m venv" not in text


def test_an_old_python_is_refused_with_the_way_out(make, tmp_path):
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.8.1'\nexit 1\n")
    old.chmod(0o755)
    code, text = make(f"PYTHON={old}", "demo")
    assert code != 0 and "Python >= 3.10 is needed, found: Python 3.8.1" in text and "make PYTHON=" in text
