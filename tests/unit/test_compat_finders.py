from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import subprocess
import sys

import pytest

import perception
from perception.compat import finders


def run(code, repository, *path):
    """Runs code in a fresh interpreter; the last line of its output is JSON."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, repository]))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_perception_stays_cheap(repository):
    heavy = run(
        "import sys, json, perception\n"
        "print(json.dumps([n for n in ('torch', 'mmcv', 'mmengine', 'cv2', 'numpy', 'open3d') if n in sys.modules]))",
        repository,
    )
    assert heavy == []


def test_installing_twice_adds_nothing():
    before = list(sys.meta_path)
    perception._install_compat()
    assert sys.meta_path == before
    kinds = [type(finder) for finder in before]
    assert kinds.count(finders.MmcvExtensionFinder) == kinds.count(finders.Open3dFinder) == 1


def test_the_supplied_extension_has_a_proper_spec():
    pytest.importorskip("mmcv")
    spec = importlib.util.find_spec("mmcv._ext")
    assert spec is not None and spec.name == "mmcv._ext" and spec.parent == "mmcv" and spec.loader is not None


def test_a_real_extension_is_never_shadowed(repository, tmp_path):
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_ext.py").write_text("def nms(): return 'real'\n")
    found = run(
        "import json, perception, mmcv._ext\n"
        "print(json.dumps([mmcv._ext.nms(), mmcv._ext.__spec__.origin, hasattr(mmcv._ext, 'softnms')]))",
        repository,
        tmp_path,
    )
    assert found == ["real", str(package / "_ext.py"), False]


def test_nothing_else_is_claimed():
    finder = finders.MmcvExtensionFinder()
    assert finder.find_spec("mmcv.ops", None) is None
    assert finder.find_spec("other._ext", None) is None


def test_open3d_imports_after_perception(repository):
    pytest.importorskip("open3d")
    if not sys.platform.startswith("linux"):
        pytest.skip("libusb is preloaded on Linux only")
    loaded = run(
        "import json, perception, open3d\n"
        "print(json.dumps([open3d.__version__, 'libusb-1.0' in open('/proc/self/maps').read()]))",
        repository,
    )
    assert loaded[0] and loaded[1]


def test_libusb_of_the_system_is_preferred(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name, mode: loaded.append(name))
    loaded = []
    assert finders.preload_libusb() == "system"
    assert loaded == [finders.LIBUSB]


def test_the_packaged_libusb_is_the_second_choice(monkeypatch):
    package = pytest.importorskip("libusb_package")

    def only_packaged(name, mode):
        if name == finders.LIBUSB:
            raise OSError("not found")
        assert mode == ctypes.RTLD_GLOBAL

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", only_packaged)
    assert finders.preload_libusb() == str(package.get_library_path())


def test_without_any_libusb_the_import_goes_on(monkeypatch):
    def nowhere(name, mode):
        raise OSError("not found")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", nowhere)
    assert finders.preload_libusb() is None
    assert finders.Open3dFinder().find_spec("open3d", None) is None


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert finders.preload_libusb() is None
