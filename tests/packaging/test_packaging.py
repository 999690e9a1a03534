"""The wheel, the editable installation and the bare checkout have the same contents and behave the same."""

from __future__ import annotations

import json
import zipfile

import pytest

MAPPED = {
    "perception": "perception",
    **{f"perception/{name}": name for name in ("plugins", "sim", "configs", "weights")},
}
PACKAGED = {".py", ".md", ".yml", ".yaml", ".json", ".html", ".css", ".png", ".safetensors"}
PROBE = """
import importlib, json, pathlib
import perception, perception.sim
from perception.engine.checkpoint import find_weights, weights_meta
from perception.engine.config import load_config, packaged_configs
from perception.plugin import discover
from perception.registry import STAGES
import perception.plugins.lane_detection
index = discover()
for spec in index.specs.values():
    for module in spec.modules:
        importlib.import_module(module)
    for name in spec.configs:
        load_config(name)
    for name in spec.weights:
        weights_meta(find_weights(name))
print(json.dumps({
    "file": perception.__file__,
    "plugins": sorted(index.specs),
    "failures": [failure.reason for failure in index.failures],
    "configs": packaged_configs(),
    "stages": sorted(STAGES.module_dict),
}))
"""


@pytest.fixture(scope="module")
def files(sources):
    """Name inside the package -> file of the sources."""
    found = {}
    for target, folder in MAPPED.items():
        for path in (sources / folder).rglob("*"):
            if (
                path.is_file()
                and "__pycache__" not in path.parts
                and (path.suffix in PACKAGED or path.name == "py.typed")
            ):
                found[f"{target}/{path.relative_to(sources / folder).as_posix()}"] = path
    return found


@pytest.fixture(scope="module")
def in_wheel(installed):
    return json.loads(installed.run("-c", PROBE).splitlines()[-1])


def test_the_wheel_holds_every_file_and_nothing_else(wheel, files):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"perception", "perception_stack"}
    inside = {name for name in names if name.startswith("perception/")}
    assert inside == set(files)


def test_the_wheel_works_outside_the_checkout(in_wheel, installed, repository):
    assert str(repository) not in in_wheel["file"] and "site-packages" in in_wheel["file"]
    assert in_wheel["failures"] == []
    assert "lane_detection" in in_wheel["plugins"]
    assert in_wheel["stages"] and in_wheel["configs"]
    overview = json.loads(installed.run("-m", "perception", "plugins", "--json"))
    assert [entry["name"] for entry in overview["plugins"]] == in_wheel["plugins"]


def test_the_console_command_is_installed(installed):
    assert (installed.python.parent / "perception").is_file()
    assert "perception-stack" in installed.run(str(installed.python.parent / "perception"), "--version")


def test_an_editable_installation_is_equal(in_wheel, new_environment, sources):
    environment = new_environment()
    environment.install("--editable", str(sources))
    found = json.loads(environment.run("-c", PROBE).splitlines()[-1])
    assert found.pop("file") == str(sources / "perception" / "__init__.py")
    assert found == {key: value for key, value in in_wheel.items() if key != "file"}
    leaked = "import importlib.util as u; print([n for n in ('plugins', 'sim', 'configs', 'tools') if u.find_spec(n)])"
    assert environment.run("-c", leaked).strip() == "[]"


def test_a_bare_checkout_is_equal(in_wheel, new_environment, repository):
    found = json.loads(new_environment().run("-c", PROBE, path=repository).splitlines()[-1])
    assert found.pop("file") == str(repository / "perception" / "__init__.py")
    assert found == {key: value for key, value in in_wheel.items() if key != "file"}


def test_constraints_pin_every_dependency_of_the_core(repository):
    tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
    requirements = pytest.importorskip("packaging.requirements")
    utils = pytest.importorskip("packaging.utils")
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {utils.canonicalize_name(pin.name): pin for pin in map(requirements.Requirement, lines)}
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        stated = requirements.Requirement(text)
        name = utils.canonicalize_name(stated.name)
        assert name in pins, f"{name} is not pinned: run `python tools/pin.py`"
        (pin,) = pins[name].specifier
        assert stated.specifier.contains(pin.version), f"{name}: {pin} is not in {stated.specifier}"
        assert pins[name].url is None and pin.operator == "=="
