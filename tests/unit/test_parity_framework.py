"""``perception parity``: discovery, status and exit codes, safe reading, every kind of tolerance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception import parity, plugin
from perception.cli import main
from perception.errors import InputError
from perception.parity import GoldenCase, ParityRow, UncoveredError, compare
from perception.parity.runner import plugin_runners


def write_set(folder: Path, manifest: dict[str, Any], **arrays: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if arrays:
        np.savez(folder / "a.npz", **arrays)
    return folder


def double(case: GoldenCase) -> Iterator[ParityRow]:
    stored = case.npz("a.npz")
    yield compare(case, "y", 2 * stored["x"], stored["y"], rtol=1e-6)


def statuses(root: Path, runner: Any = double, **kwargs: Any) -> dict[str, str]:
    return {result.case: result.status for result in parity.run(root, runners={"toy": runner}, **kwargs)}


X = np.arange(6, dtype=np.float32).reshape(2, 3)
ONE = {"family": "toy", "cases": [{"name": "one"}]}


# --- discovery --------------------------------------------------------------------------------------------------------


def test_sets_are_found_by_family_and_never_by_name(tmp_path: Path):
    write_set(tmp_path / "deep" / "anything", ONE, x=X, y=2 * X)
    write_set(tmp_path / "toy", {"cases": [{"name": "not ours"}]})
    write_set(tmp_path / "list", [1, 2])
    assert statuses(tmp_path) == {"deep/anything/one": "ok"}
    assert statuses(tmp_path / "deep" / "anything") == {"one": "ok"}


@pytest.mark.parametrize(
    ("manifest", "names", "kinds"),
    [
        ({"cases": [{"name": "b", "kind": "k"}, {"name": "a"}]}, ["b", "a"], ["k", "toy/a"]),
        ({"cases": {"b": {"file": "b.npz"}, "a": {}}}, ["b", "a"], ["toy/b", "toy/a"]),
        ({"files": {"b.npz": {"what": "x"}}}, ["b.npz"], ["toy/b.npz"]),
        (
            {"g": {"m": {"file": "m.npz"}, "n": {"runs": []}}, "other": {"k": {}}},
            ["g/m", "g/n"],
            ["toy/g/m", "toy/g/n"],
        ),
        ({"note": "one case"}, ["s"], ["toy/s"]),
    ],
)
def test_all_ways_to_list_cases(tmp_path: Path, manifest: dict, names: list[str], kinds: list[str]):
    root = write_set(tmp_path / "s", {"family": "toy", **manifest})
    cases = [found.case for found in parity.find(root) if found.case]
    assert [case.name for case in cases] == names
    assert [case.kind for case in cases] == kinds


def test_expected_file_lists_the_cases_that_are_present(tmp_path: Path):
    root = write_set(tmp_path, {"family": "toy", "expected": "e.json"}, x=X)
    (root / "e.json").write_text('{"cases": {"a": {"score": 1}, "absent": {}}, "bench": {}}')
    (found,) = parity.find(root)
    assert found.case is not None and found.case.entry["expected"] == {"score": 1}


def test_only_selects_by_name_label_or_family(tmp_path: Path):
    write_set(tmp_path / "s", {"family": "toy", "cases": [{"name": "one"}, {"name": "two"}]}, x=X, y=2 * X)
    for glob in ("one", "s/one", "toy/on*"):
        assert list(statuses(tmp_path, only=glob)) == ["s/one"]
    assert statuses(tmp_path, only="three") == {}


# --- status -----------------------------------------------------------------------------------------------------------


def test_miss_when_a_tensor_differs(tmp_path: Path):
    write_set(tmp_path, ONE, x=X, y=3 * X)
    assert statuses(tmp_path) == {"one": "miss"}


def test_uncovered_without_a_runner_or_for_an_unknown_kind(tmp_path: Path):
    write_set(tmp_path, ONE)

    def refuse(case: GoldenCase) -> list[ParityRow]:
        raise UncoveredError(f"kind {case.kind}")

    assert [r.status for r in parity.run(tmp_path, runners={})] == ["uncovered"]
    assert statuses(tmp_path, refuse) == {"one": "uncovered"}


def test_unreadable_manifest_and_files(tmp_path: Path):
    write_set(tmp_path / "a", ONE)
    write_set(tmp_path / "b", ONE)
    (tmp_path / "b" / "a.npz").write_bytes(b"PK\x03\x04 cut off")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "manifest.json").write_text('{"family": "toy", "cases"')
    write_set(tmp_path / "d", {"family": 3})
    write_set(tmp_path / "e", {"family": "toy", "cases": [{"kind": "nameless"}]})
    found = statuses(tmp_path)
    assert set(found.values()) == {"unreadable"}
    assert list(found) == ["a/one", "b/one", *(f"{name}/manifest.json" for name in "cde")]


def test_a_broken_or_silent_runner_is_a_miss_and_hides_nothing(tmp_path: Path):
    write_set(tmp_path, {"family": "toy", "cases": [{"name": "one"}, {"name": "two"}]})

    def broken(case: GoldenCase) -> Iterator[ParityRow]:
        yield compare(case, "first", 1, 1)
        raise ZeroDivisionError("in the model")

    first, second = parity.run(tmp_path, runners={"toy": broken})
    assert (first.status, second.status, len(first.rows)) == ("miss", "miss", 1)
    assert "ZeroDivisionError: in the model" in first.note
    assert set(statuses(tmp_path, lambda case: []).values()) == {"miss"}
    assert set(statuses(tmp_path, "json:nothing").values()) == {"miss"}


def test_several_runners_share_a_family(tmp_path: Path):
    names = ("first", "second", "both", "nobody", "broken")
    root = write_set(tmp_path, {"family": "toy", "cases": [{"name": name} for name in names]})

    def runner(own: str) -> Any:
        def run(case: GoldenCase) -> Iterator[ParityRow]:
            if case.name not in (own, "both", "broken"):
                raise UncoveredError(f"{own} does not know {case.name}")
            yield compare(case, own, 1, 2 if (case.name, own) == ("broken", "second") else 1)

        return run

    found = {r.case: r for r in parity.run(root, runners={"toy": (runner("first"), runner("second"))})}
    assert [found[name].status for name in names] == ["ok", "ok", "ok", "uncovered", "miss"]
    assert [row.tensor for row in found["both"].rows] == ["first", "second"]
    assert found["nobody"].note == "first does not know nobody; second does not know nobody"


def test_two_plugins_may_declare_a_family(monkeypatch: pytest.MonkeyPatch):
    specs = {name: plugin.PluginSpec(name=name, task="t", parity={"toy": f"{name}:run"}) for name in ("a", "b")}
    monkeypatch.setattr(plugin, "discover", lambda: plugin.PluginIndex(specs))
    assert plugin_runners() == {"toy": ("a:run", "b:run")}


def results(*names: str) -> list[parity.CaseResult]:
    return [parity.CaseResult("c", "f", "k", name) for name in names]


def test_exit_codes():
    assert parity.exit_code([]) == 2
    assert parity.exit_code(results("ok", "ok")) == 0
    assert parity.exit_code(results("ok", "uncovered")) == 3
    assert parity.exit_code(results("ok", "uncovered"), allow_uncovered=True) == 0
    assert parity.exit_code(results("uncovered", "miss"), allow_uncovered=True) == 1
    assert parity.exit_code(results("ok", "unreadable")) == 1


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    spec = plugin.PluginSpec(name="toy", task="toy", parity={"toy": f"{__name__}:double"})
    monkeypatch.setattr(plugin, "discover", lambda: plugin.PluginIndex({"toy": spec}))
    monkeypatch.setattr("perception.parity.runner._resolve", lambda target: double)
    assert plugin_runners() == {"toy": (f"{__name__}:double",)}
    write_set(tmp_path / "s", ONE, x=X, y=2 * X)
    out = tmp_path / "out" / "rows.json"
    assert main(["parity", str(tmp_path), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["summary"] == {"ok": 1, "miss": 0, "uncovered": 0, "unreadable": 0}
    assert report["cases"][0]["rows"][0] == {
        "case": "one", "tensor": "y", "max_error": 0.0, "tolerance": "rtol 1e-06", "ok": True, "note": "",
    }  # fmt: skip
    assert "s/one: ok" in capsys.readouterr().out
    write_set(tmp_path / "t", {"family": "unknown"})
    assert main(["parity", str(tmp_path)]) == 3
    assert main(["parity", str(tmp_path), "--allow-uncovered"]) == 0
    assert main(["parity", str(tmp_path), "--only", "nothing"]) == 2
    assert main(["parity", str(tmp_path / "nowhere")]) == 2


# --- reading ----------------------------------------------------------------------------------------------------------


def make_case(folder: Path) -> GoldenCase:
    return GoldenCase(folder, {"family": "toy", "tolerance": 1e-3}, {"name": "one"})


@pytest.mark.parametrize("name", ["../secret.json", "/etc/hostname", "sub/../../secret.json"])
def test_files_may_not_leave_the_folder(tmp_path: Path, name: str):
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "set" / "sub").mkdir(parents=True)
    with pytest.raises(InputError, match="inside its folder"):
        make_case(tmp_path / "set").json(name)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(InputError, match="inside its folder"):
        make_case(tmp_path / "set").json("x.json")


def test_pickled_arrays_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="plain arrays"):
        make_case(tmp_path).npz("a.npz")


def test_stored_forms(tmp_path: Path):
    values = np.array([[-1.0, 0.5, 1.25]], np.float32)
    mask = np.random.default_rng(0).random((3, 5, 7)) > 0.5
    np.savez(
        tmp_path / "a.npz",
        **{"img_x32_int8": (values * 32).astype(np.int8), "f64_pose": np.eye(4), "c2_ch::8": values, "d::3": values},
        mask_packed=np.packbits(mask),
    )
    stored = make_case(tmp_path).npz("a.npz")
    np.testing.assert_array_equal(stored.real("img"), values)
    assert stored.real("img").dtype == np.float32
    np.testing.assert_array_equal(stored.real("pose"), np.eye(4))
    np.testing.assert_array_equal(stored.bits("mask_packed", (3, 5, 7)), mask)
    assert {(name, step) for name, step, _ in stored.strided()} >= {("c2", 8), ("d", 3), ("f64_pose", 1)}
    with pytest.raises(KeyError, match="nothing"):
        stored.real("nothing")


def test_tolerance_falls_back_to_the_manifest(tmp_path: Path):
    case = make_case(tmp_path)
    assert case.tolerance == 1e-3
    assert GoldenCase(tmp_path, case.manifest, {"name": "one", "tolerance": {"rtol": 1}}).tolerance == {"rtol": 1}


# --- comparison -------------------------------------------------------------------------------------------------------


def test_exact_is_the_default():
    assert compare("c", "t", [1, 2], [1, 2]).ok
    assert not compare("c", "t", [1.0], [1.0 + 1e-15]).ok
    assert compare("c", "t", np.array(["a", "b"]), np.array(["a", "b"])).ok
    assert compare("c", "t", np.array(["a", "b"]), np.array(["a", "c"])).max_error == 1
    big = np.array([2**60], np.int64)
    assert not compare("c", "t", big + 1, big).ok
    assert compare("c", "t", np.zeros((0, 2)), np.zeros((0, 2))).ok


def test_rtol_and_atol_add_up():
    assert compare("c", "t", 100.2, 100.0, rtol=1e-3, atol=0.11).ok
    assert not compare("c", "t", 100.2, 100.0, rtol=1e-3).ok
    row = compare("c", "t", [1.0, 3.0], [1.0, 2.0], atol=0.5)
    assert (row.ok, row.max_error, row.note) == (False, 1.0, "1 of 2 differ")


def test_atol_relative_to_the_maximum():
    assert compare("c", "t", [0.009, 100.0], [0.0, 100.0], atol_of_max=1e-4).ok
    assert not compare("c", "t", [0.011, 100.0], [0.0, 100.0], atol_of_max=1e-4).ok


def test_a_share_of_outliers():
    ours = np.zeros(100)
    ours[3] = 1
    assert compare("c", "t", ours, np.zeros(100), outliers=0.01).ok
    assert not compare("c", "t", ours, np.zeros(100), outliers=0.009).ok


def test_shape_and_nan():
    row = compare("c", "t", np.zeros(3), np.zeros((3, 1)), atol=1)
    assert (row.ok, row.note) == (False, "shape (3,), expected (3, 1)")
    assert compare("c", "t", [np.nan, np.inf], [np.nan, np.inf]).ok
    assert not compare("c", "t", [np.nan], [1.0], atol=10).ok
    assert not compare("c", "t", [1.0], [np.nan], atol=10).ok
    assert not compare("c", "t", [np.inf], [-np.inf], atol=10, rtol=1).ok


def test_to_max_and_scaled():
    assert parity.compare_to_max("c", "t", [0.1, 10.0], [0.0, 10.0], 0.01).ok
    assert not parity.compare_to_max("c", "t", [0.11, 10.0], [0.0, 10.0], 0.01).ok
    assert parity.compare_scaled("c", "t", [0.11, 10.0], [0.0, 10.0], 0.01).max_error == pytest.approx(0.01)
    assert not parity.compare_scaled("c", "t", [0.12, 10.0], [0.0, 10.0], 0.01).ok
    assert not parity.compare_scaled("c", "t", [3, 4], [3, 5], 0.9).ok
    assert parity.compare_to_max("c", "t", [0.0], [0.0], 0.01).ok
    assert not parity.compare_to_max("c", "t", [1e-9], [0.0], 0.01).ok


def test_sets_under_margins():
    rows = np.array([[1, 2], [3, 4]])
    assert parity.compare_sets("c", "t", rows[::-1], rows).ok
    changed = np.array([[1, 2], [3, 5]])
    assert not parity.compare_sets("c", "t", changed, rows, allowed=1).ok
    row = parity.compare_sets("c", "t", changed, rows, allowed=2)
    assert (row.ok, row.max_error, row.note) == (True, 2.0, "1 extra, 1 missing")


def test_arrays_that_must_not_match():
    assert parity.compare_differs("c", "t", [1.0, 2.0], [1.0, 2.1]).ok
    row = parity.compare_differs("c", "t", [1.0, 2.0], [1.0, 2.0])
    assert (row.ok, row.note) == (False, "reproduces the defect")
    assert not parity.compare_differs("c", "t", [1.0], [1.0, 2.0]).ok


def test_torch_tensors_are_accepted():
    torch = pytest.importorskip("torch")
    assert compare("c", "t", torch.ones(2, requires_grad=True), np.ones(2)).ok
