"""Every example of conventions.md runs."""

import re
from importlib.resources import files

import pytest

EXAMPLES = re.findall(r"```python\n(.*?)```", files("perception").joinpath("conventions.md").read_text(), flags=re.S)


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code):
    assert "assert" in code
    exec(compile(code, "conventions.md", "exec"), {})


def test_there_are_examples():
    assert len(EXAMPLES) >= 4
