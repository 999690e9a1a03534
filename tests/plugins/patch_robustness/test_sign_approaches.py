"""Cars that come up to a sign: one object, ever larger and nearer, and what a report says of it over time."""

from __future__ import annotations

import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.plugins.patch_robustness.sequences import sequence_summary
from perception.plugins.patch_robustness.sign_approaches import SignApproaches


def test_one_sign_comes_nearer():
    samples = SignApproaches(seeds=(900_002,), frames=4, rate_hz=5.0).samples
    assert len(samples) >= 2 and len({sample.meta["track"] for sample in samples}) == 1
    distances = [sample.meta["distance_m"] for sample in samples]
    times = [sample.meta["time_s"] for sample in samples]
    speeds = -np.diff(distances) / np.diff(times)
    assert speeds == pytest.approx(14.0, abs=1.5), "the car drives at the sign"
    sizes = [sample.surfaces[0].size_px for sample in samples]
    assert sizes == sorted(sizes)
    for sample in samples:
        [surface] = sample.surfaces
        box, quad = sample.truth.boxes[surface.instance], surface.quad.numpy()
        assert sample.truth.class_names[sample.truth.labels[surface.instance]] == surface.label
        assert (quad >= box[:2] - 1).all() and (quad <= box[2:] + 1).all()
    rows = [
        {**sample.meta, "scene": sample.scene, "instance": 0, "score_clean": 0.9 * (k > 0)}
        for k, sample in enumerate(samples)
    ]
    found = sequence_summary(rows, "clean", 0.3)
    assert found["objects"] == 1 and found["first_distance_m"] == distances[1] and found["longest_miss"] == 1


def test_numbers_that_do_not_fit():
    for wrong in ({"seeds": ()}, {"frames": 0}, {"speed": 0.0}, {"min_side": 1.0}):
        with pytest.raises(PerceptionError, match="sign approaches: expected"):
            SignApproaches(**wrong)
