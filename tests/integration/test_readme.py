"""The README's commands run as they stand there."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from perception.engine.config import load_config, parse_options
from perception.structures import Frame

COMMAND = re.compile(r"<!-- run -->\n```sh\n(.*?)```", flags=re.S)


@pytest.mark.timeout(600)
def test_marked_commands_of_the_readme_succeed(repository: Path, tmp_path: Path):
    blocks = COMMAND.findall((repository / "README.md").read_text())
    assert blocks, "the README marks no commands to run"
    script = "set -euo pipefail\n" + "".join(blocks)
    script = re.sub(r"^perception ", f"{sys.executable} -m perception ", script, flags=re.M)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("results.jsonl", "overlay.mp4", "predictions.mcap", "report.json", "report.html"):
        assert (tmp_path / "out/mine" / name).stat().st_size > 0


def test_files_named_in_the_docs_exist(repository: Path):
    for page in [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def code_lines(text: str) -> list[str]:
    """Lines of fenced and of indented code, joined where they are continued, without comments behind commands."""
    text = re.sub(r"\\\n\s*", "", text)
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.S | re.M)
    lines = "\n".join(fenced).splitlines() + [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [line.partition("  #")[0].strip() for line in lines]


def test_commands_in_the_docs_have_the_options_and_configs_they_show(repository: Path):
    pages = [repository / "README.md", *sorted((repository / "docs").glob("*.md")), *repository.glob("plugins/*/*.md")]
    commands = {line for page in pages for line in code_lines(page.read_text()) if line.startswith("perception ")}
    for line in sorted(commands):
        name, *arguments = shlex.split(line)[1:]
        module = importlib.import_module(f"perception.cli.{name}")
        parser = argparse.ArgumentParser(prog=f"`{line}`", exit_on_error=False)
        module.add_arguments(parser)
        try:
            options = parser.parse_args(arguments)
        except (SystemExit, argparse.ArgumentError) as error:
            pytest.fail(f"{line}: {error}")
        if (getattr(options, "config", None) or "CONFIG") != "CONFIG":  # CONFIG stands for any
            load_config(options.config, parse_options(getattr(options, "cfg_options", None)))
    assert {line.split()[1] for line in commands} >= {"simulate", "run", "train", "test", "info", "doctor"}


def test_the_plugin_of_the_tutorial_works(repository: Path):
    blocks = re.findall(
        r"^```python\n(.*?)^```", (repository / "docs/write-a-plugin.md").read_text(), flags=re.S | re.M
    )
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert names["PLUGIN"].name == names["pipeline"]["stages"][0]["plugin"]
    lanes = names["MiddleLineStage"]()(Frame(0, 0, {"front": np.zeros((90, 160, 3), np.uint8)}), {})
    assert lanes.lanes[0][0].tolist() == [80, 89] and lanes.image_size == (160, 90)
