from __future__ import annotations

import argparse
import builtins
import importlib
import json
import sys
from types import SimpleNamespace

import pytest

from perception import plugin
from perception.cli import doctor, main


@pytest.fixture
def project(repository):
    tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture
def broken_import(monkeypatch):
    """Makes the import of some modules raise the given errors."""

    def install(errors):
        real = importlib.import_module

        def load(name, package=None):
            if name in errors:
                raise errors[name]
            return real(name, package)

        monkeypatch.setattr(importlib, "import_module", load)

    return install


def finding(check, name):
    return next(found for found in check() if found.name == name)


def test_the_core_works_here(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["works"] is True
    by_name = {found["name"]: found for found in report["findings"]}
    assert {"python", "torch", "devices", "opencv", "open3d", "mmcv operators", "numba", "memory"} <= set(by_name)
    assert by_name["torch"]["status"] == "ok" and "cpu" in by_name["devices"]["text"]
    assert all(found["fix"] for found in report["findings"] if found["status"] == "missing")


def test_a_broken_core_is_exit_code_1_and_every_other_line_still_appears(broken_import, capsys):
    broken_import({"torch": ImportError("libgomp.so.1: cannot open shared object file")})
    assert doctor.run(argparse.Namespace(json=False)) == 1
    text = capsys.readouterr().out
    assert "FAIL  torch" in text and "libgomp1" in text and "numba" in text
    assert text.rstrip().endswith("see the lines marked FAIL.")


def test_a_check_that_crashes_is_a_finding(monkeypatch):
    def _disk():
        raise OSError("no such device")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (_disk,))
    assert doctor.examine() == [doctor.Finding("disk", "failed", "OSError: no such device")]


def test_opencv_without_libgl_is_explained(broken_import):
    broken_import({"cv2": ImportError("libGL.so.1: cannot open shared object file: No such file or directory")})
    found = finding(doctor._opencv, "opencv")
    assert found.status == "failed" and found.fix == doctor.HEADLESS_FIX
    assert "share the folder cv2" in found.text


@pytest.mark.parametrize(("headless", "status"), [(True, "ok"), (False, "warning")])
def test_the_build_of_opencv_is_told(monkeypatch, headless, status):
    monkeypatch.setitem(sys.modules, "cv2.version", SimpleNamespace(headless=headless))
    found = finding(doctor._opencv, "opencv")
    assert found.status == status and bool(found.fix) == (not headless)


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("libusb-1.0.so.0: cannot open shared object file", "pip install libusb-package"),
        ("libEGL.so.1: cannot open shared object file", "libegl1"),
        ("something else", ""),
    ],
)
def test_open3d_errors_name_the_cure(broken_import, message, part):
    broken_import({"open3d": ImportError(message)})
    found = finding(doctor._open3d, "open3d")
    assert found.status == "failed" and part in found.fix and bool(found.fix) == bool(part)


def test_a_missing_package_says_how_to_get_it(broken_import):
    broken_import({"mcap": ModuleNotFoundError("No module named 'mcap'")})
    found = finding(doctor._core_modules, "mcap")
    assert found.status == "failed" and found.fix == doctor.REINSTALL


def test_a_missing_extra_says_how_to_get_it(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    found = finding(doctor._extras, "extra ray")
    assert found.status == "missing" and found.fix == "pip install 'ray>=2.40'"


def test_extras_are_those_of_the_project(project):
    assert set(doctor.EXTRAS) == set(project["optional-dependencies"])
    for extra, modules in doctor.EXTRAS.items():
        assert set(modules.values()) <= set(project["optional-dependencies"][extra]), extra


def test_core_modules_belong_to_the_dependencies(project):
    names = {"yaml": "pyyaml", "foxglove": "foxglove-sdk"}
    stated = " ".join(project["dependencies"])
    assert [module for module in doctor.CORE_MODULES if names.get(module, module) not in stated] == []


def test_skipped_plugins_are_reported(monkeypatch):
    failure = plugin.PluginFailure("lost", "entry point lost:PLUGIN", "ImportError: no such thing")
    monkeypatch.setattr(plugin, "discover", lambda: plugin.PluginIndex({}, (failure,)))
    warning = [found for found in doctor._plugins() if found.status == "warning"]
    assert len(warning) == 1 and "lost" in warning[0].text and "no such thing" in warning[0].text


def test_nothing_else_is_printed_beside_the_json(monkeypatch, capsys):
    def _talkative():
        builtins.print("chatter")
        yield doctor.Finding("x", "ok", "y")

    monkeypatch.setattr(doctor, "CHECKS", (_talkative,))
    assert doctor.run(argparse.Namespace(json=True)) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == [{"name": "x", "status": "ok", "text": "y", "fix": ""}]
