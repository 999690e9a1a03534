"""The README's commands run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
