"""Plugin discovery: one broken plugin never stops the others, and names are suggested."""

import types

import pytest

from perception import plugin
from perception.errors import InputError, PerceptionError, UnknownNameError


@pytest.fixture
def index(monkeypatch):
    """Discovery over given (name, resolve) pairs instead of the installed plugins."""

    def use(*candidates):
        monkeypatch.setattr(plugin, "_built_in", lambda: ((name, "test", resolve) for name, resolve in candidates))
        monkeypatch.setattr(plugin, "_entry_points", lambda: iter(()))
        plugin.discover.cache_clear()
        return plugin.discover()

    yield use
    plugin.discover.cache_clear()


def spec(name):
    return plugin.PluginSpec(name, "a task")


def broken():
    raise ImportError("libfoo.so is missing")


def test_a_broken_plugin_is_reported_and_skipped(index):
    found = index(("good", lambda: types.SimpleNamespace(PLUGIN=spec("good"))), ("bad", broken), ("odd", lambda: 3))
    assert list(found.specs) == ["good"]
    assert [(failure.name, failure.reason) for failure in found.failures] == [
        ("bad", "ImportError: libfoo.so is missing"),
        ("odd", "PerceptionError: expected a PluginSpec named PLUGIN, found NoneType"),
    ]
    with pytest.raises(PerceptionError, match=r"'bad' \(test\) failed to import: ImportError: libfoo.so"):
        plugin.get("bad")


def test_the_second_plugin_of_a_name_is_refused(index):
    found = index(("one", lambda: spec("same")), ("two", lambda: spec("same")))
    assert list(found.specs) == ["same"] and "is taken" in found.failures[0].reason


def test_unknown_name_suggests_a_close_one(index):
    index(("lane_detection", lambda: spec("lane_detection")))
    with pytest.raises(UnknownNameError, match=r"unknown plugin 'lane_detektion': did you mean 'lane_detection'\?"):
        plugin.get("lane_detektion")


def test_load_imports_the_modules(index):
    index(("good", lambda: plugin.PluginSpec("good", "a task", modules=("json.tool",))))
    assert plugin.load("good").name == "good"


def test_spec_refuses_one_string_where_a_tuple_belongs():
    with pytest.raises(PerceptionError, match="expected a tuple of strings"):
        plugin.PluginSpec("x", "a task", modules="a.b")
    with pytest.raises(PerceptionError, match="Python identifier"):
        plugin.PluginSpec("not a name", "a task")


def test_error_texts_name_file_record_expected_and_found():
    error = InputError("drive.mcap", "/camera", "jpeg", "nothing")
    assert str(error) == "drive.mcap: /camera: expected jpeg, found nothing"
    assert str(InputError("drive.mcap")) == "drive.mcap"
    assert str(UnknownNameError("colour", "zzz", ["red", "blue"])) == "unknown colour 'zzz': known: blue, red"
