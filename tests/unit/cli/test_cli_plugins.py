from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType

import pytest

from perception import plugin
from perception.cli import main
from perception.registry import STAGES


class LanternStage:
    """Registered by the fake plugin."""


@pytest.fixture
def index(monkeypatch):
    """One plugin with a component, a config and weights that are missing, and one that failed to import."""
    module = ModuleType("lantern.stage")
    monkeypatch.setitem(sys.modules, "lantern", ModuleType("lantern"))
    monkeypatch.setitem(sys.modules, "lantern.stage", module)
    monkeypatch.setattr(LanternStage, "__module__", "lantern.stage")
    monkeypatch.setitem(STAGES.module_dict, "LanternStage", LanternStage)
    spec = plugin.PluginSpec(
        name="lantern",
        task="light spotting",
        summary="Finds lights.",
        result="boxes_2d",
        sensors=("camera:front",),
        modules=("lantern.stage", "lantern.absent"),
        configs=("lantern/none.py",),
        weights=("lantern.safetensors",),
        capabilities=frozenset({"DifferentiableFromImage"}),
    )
    failure = plugin.PluginFailure("broken", "entry point broken:PLUGIN", "ImportError: no module", "Traceback ...")
    monkeypatch.setattr(plugin, "discover", lambda: plugin.PluginIndex({"lantern": spec}, (failure,)))


def test_the_list_shows_plugins_and_failures(index, capsys):
    assert main(["plugins"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split("  ") == ["lantern", "light spotting", "boxes_2d", "Finds lights."]
    assert "broken" in second and "ImportError: no module" in second


def test_the_list_as_json(index, capsys):
    assert main(["plugins", "--json"]) == 0
    overview = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in overview["plugins"]] == ["lantern"]
    assert overview["plugins"][0]["inputs"] == ["camera:front"]
    assert overview["failures"][0]["name"] == "broken"


def test_one_plugin_in_full(index, capsys):
    assert main(["plugins", "lantern"]) == 0
    text = capsys.readouterr().out
    for part in ("light spotting", "boxes_2d", "camera:front", "DifferentiableFromImage", "LanternStage"):
        assert part in text
    assert "lantern/none.py (missing)" in text and "lantern.safetensors (missing)" in text
    assert "lantern.absent: ModuleNotFoundError" in text


def test_one_plugin_as_json(index, capsys):
    assert main(["plugins", "lantern", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["components"] == {"STAGES": ["LanternStage"]}
    assert shown["weights"] == [{"name": "lantern.safetensors", "found": False, "size": 0, "meta": {}}]


def test_a_failed_plugin_shows_its_traceback(index, capsys):
    assert main(["plugins", "broken"]) == 1
    assert "Traceback ..." in capsys.readouterr().out


def test_an_unknown_plugin_suggests_a_name(monkeypatch, capsys):
    known = plugin.PluginIndex({"lane_detection": plugin.PluginSpec("lane_detection", "lanes")})
    monkeypatch.setattr(plugin, "discover", lambda: known)
    assert main(["plugins", "lane_detectio"]) == 2
    assert "did you mean 'lane_detection'" in capsys.readouterr().err


def test_no_plugins_at_all(monkeypatch, capsys):
    monkeypatch.setattr(plugin, "discover", lambda: plugin.PluginIndex({}))
    assert main(["plugins"]) == 0
    assert capsys.readouterr().out == "no plugins\n"


def test_everything_that_the_shipped_plugins_name_exists():
    from perception.cli.plugins import details

    found = plugin.discover()
    assert found.failures == ()
    for spec in found.specs.values():
        shown = details(spec)
        assert shown["problems"] == [], spec.name
        missing = [entry["name"] for entry in shown["configs"] + shown["weights"] if not entry["found"]]
        assert missing == [], spec.name
        for family, runner in shown["parity"].items():
            module, _, function = runner.partition(":")
            assert callable(getattr(importlib.import_module(module), function)), (spec.name, family)
