"""Weights by rule: each row of the tables, against draws written out here."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError, UnknownNameError
from perception.parity.fill import FAMILIES, fill_state


def rng(key: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(key.encode()))


def one(key: str, shape: list[int], family: str = "ganet", dtype: str = "float32", **more) -> np.ndarray:
    return fill_state([{"key": key, "shape": shape, "dtype": dtype}], family=family, **more)[key]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_common_rules(family: str):
    expected = {
        "bn1.running_var": 0.5 + rng("bn1.running_var").random(5),
        "bn1.running_mean": 0.1 * rng("bn1.running_mean").standard_normal(5),
        "bn1.weight": 1 + 0.1 * rng("bn1.weight").standard_normal(5),
        "conv.bias": 0.02 * rng("conv.bias").standard_normal(5),
        "attn.in_proj_bias": 0.02 * rng("attn.in_proj_bias").standard_normal(5),
        "gamma": rng("gamma").standard_normal(5) * np.sqrt(2 / 5),
    }
    for key, values in expected.items():
        np.testing.assert_array_equal(one(key, [5], family), values.astype(np.float32))
    conv = rng("conv.weight").standard_normal((4, 3, 1, 7)) * np.sqrt(2 / 21)
    np.testing.assert_array_equal(one("conv.weight", [4, 3, 1, 7], family), conv.astype(np.float32))
    tracked = one("bn1.num_batches_tracked", [], family, "int64")
    assert tracked == 0 and tracked.dtype == np.int64 and tracked.shape == ()


def test_ganet_scale_depends_on_the_block():
    scale = [
        [r"\.bn2\.weight$", 0.25, "basic"],
        [r"\.bn3\.weight$", 0.25, "bottleneck"],
        ["hm", 3.0, None],
        ["hm", 2.0],
    ]
    keys = [{"key": f"layer1.0.{name}", "shape": [3]} for name in ("bn2.weight", "hm.bias")]
    plain, scaled = fill_state(keys), fill_state(keys, scale)
    np.testing.assert_allclose(scaled["layer1.0.bn2.weight"], 0.25 * plain["layer1.0.bn2.weight"], rtol=1e-6)
    np.testing.assert_allclose(scaled["layer1.0.hm.bias"], 6 * plain["layer1.0.hm.bias"], rtol=1e-6)
    deep = [*keys, {"key": "layer1.0.bn3.weight", "shape": [3]}]
    plain, scaled = fill_state(deep), fill_state(deep, scale)
    np.testing.assert_array_equal(scaled["layer1.0.bn2.weight"], plain["layer1.0.bn2.weight"])
    np.testing.assert_allclose(scaled["layer1.0.bn3.weight"], 0.25 * plain["layer1.0.bn3.weight"], rtol=1e-6)


@pytest.mark.parametrize(
    ("key", "shape", "values"),
    [
        ("query_embedding.weight", (6, 4), lambda g: g.standard_normal((6, 4))),
        ("layer1.0.bn3.weight", (4,), lambda g: 0.2 * (1 + 0.1 * g.standard_normal(4))),
        ("lclc_gnn_layer.weight_forward", (4, 4), lambda g: 0.01 * g.standard_normal((4, 4))),
        ("lclc_gnn_layer.weight_backward", (4, 4), lambda g: 0.01 * g.standard_normal((4, 4))),
        ("lcte_gnn_layer.weight", (4, 4), lambda g: 0.02 * g.standard_normal((4, 4))),
    ],
)
def test_toponet_deviations(key: str, shape: tuple[int, ...], values):
    np.testing.assert_array_equal(one(key, list(shape), "toponet"), values(rng(key)).astype(np.float32))


@pytest.mark.parametrize("family", ["lanesegnet", "toponet"])
def test_kept_tensors_come_from_the_model(family: str):
    rows = [{"key": "code_weights", "shape": [3], "dtype": "float32"}, {"key": "index", "shape": [2], "dtype": "int64"}]
    assert fill_state(rows, family=family) == {}
    current = {"code_weights": np.ones(3, np.float32), "index": np.array([7, 8])}
    kept = fill_state(rows, family=family, current=current)
    assert kept["code_weights"].tolist() == [1, 1, 1]
    assert kept["index"].tolist() == [7, 8]


def test_order_and_dtype_follow_the_rows():
    rows = [{"key": "b.bias", "shape": [2], "dtype": "float64"}, {"key": "a.bias", "shape": [2], "dtype": "float16"}]
    state = fill_state(rows)
    assert [(key, value.dtype) for key, value in state.items()] == [("b.bias", np.float64), ("a.bias", np.float16)]


def test_errors_name_the_row_and_the_family():
    with pytest.raises(InputError, match="row 1"):
        fill_state([{"key": "a.bias", "shape": [1]}, {"key": "b.bias"}])
    with pytest.raises(UnknownNameError, match="ganet"):
        fill_state([], family="ganett")


def test_fill_check_of_the_golden_set(golden_data: Path):
    manifests = [json.loads(path.read_text()) for path in golden_data.rglob("manifest.json")]
    rows = [row for manifest in manifests for row in manifest.get("fill_check", ()) if manifest.get("family")]
    if not rows:
        pytest.skip(f"no fill_check in {golden_data}")
    state = fill_state(rows, family="ppn_crowd")
    for row in rows:
        values = state[row["key"]]
        assert values.sum(dtype=np.float64) == pytest.approx(row["sum"], abs=1e-6)
        np.testing.assert_array_equal(values.ravel()[:3], np.array(row["first3"], np.float32))
