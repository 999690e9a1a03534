"""Environments outside the checkout: they see the dependencies of this interpreter, but not its own ``perception``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PARTS = ("perception", "plugins", "sim", "configs", "weights")


@dataclass(frozen=True)
class Environment:
    """A virtual environment and an empty folder to run things in."""

    python: Path
    folder: Path

    def run(self, *command: str, path: Path | None = None) -> str:
        """Runs ``python *command`` outside the checkout; returns what it printed."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        if path is not None:
            variables["PYTHONPATH"] = str(path)
        done = subprocess.run(
            [str(self.python), *command],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self, *what: str) -> None:
        """Installs with pip and without the network: no dependencies, no build isolation."""
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps", "--no-index"]
            + ["--no-build-isolation", "--ignore-installed", *what],
            check=True,
            timeout=240,
            cwd=self.folder,
        )


@pytest.fixture(scope="session")
def sources(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("sources")
    for name in PARTS:
        shutil.copytree(repository / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        if (repository / name).is_file():
            shutil.copy(repository / name, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        + ["--wheel-dir", str(folder), str(sources)],
        check=True,
        timeout=240,
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Environment]:
    """Makes environments that share the dependencies; ``.pth`` files of this interpreter are not read there."""

    def make() -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        venv.EnvBuilder(symlinks=True, with_pip=False).create(folder / "venv")
        python = folder / "venv" / "bin" / "python"
        own = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        )
        shared = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (Path(own.stdout.strip()) / "dependencies.pth").write_text("".join(f"{path}\n" for path in sorted(shared)))
        (folder / "elsewhere").mkdir()
        return Environment(python, folder / "elsewhere")

    return make


@pytest.fixture(scope="session")
def installed(wheel: Path, new_environment: Callable[[], Environment]) -> Environment:
    """An environment with the wheel."""
    environment = new_environment()
    environment.install(str(wheel))
    return environment
