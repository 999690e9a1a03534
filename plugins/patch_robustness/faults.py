"""Faults of sensors and weather on samples, as the table beside a patch shows them; see ``corruptions`` for frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perception.attack import AttackSample
from perception.attack_points import PointSample
from perception.errors import PerceptionError, UnknownNameError

from .corruptions import IMAGE_CORRUPTIONS, check_severity, corrupt_image, kept_points, turned_camera
from .desync import lagging_turn

__all__ = ["IMAGE_FAULTS", "LAGS_S", "POINT_FAULTS", "check_faults", "faulty"]

LAGS_S = (0.025, 0.05, 0.1, 0.2, 0.4)
"""Seconds that a sensor lags, by severity."""
IMAGE_FAULTS = (*IMAGE_CORRUPTIONS, "calibration", "camera_lag")
POINT_FAULTS = ("lidar_dropout", "lidar_lag")


def check_faults(kinds: Sequence[str], severities: Sequence[int], points: bool = False) -> None:
    """Refuse faults that there are not, of pictures or of sweeps (``points``).

    Raises:
        UnknownNameError: A kind of fault that is none of these samples.
        PerceptionError: No list, or a severity outside 1 to 5.
    """
    for name, values in (("kinds", kinds), ("severities", severities)):
        if not isinstance(values, (list, tuple)) or not values:
            raise PerceptionError(f"faults: expected a list of {name}, found {values!r}")
    known = POINT_FAULTS if points else IMAGE_FAULTS
    for kind in kinds:
        if kind not in known:
            raise UnknownNameError("fault of sweeps" if points else "fault of pictures", str(kind), known)
        for severity in severities:
            check_severity(kind, severity)


def faulty(
    samples: Sequence[AttackSample | PointSample], kind: str, severity: int, seed: int = 0
) -> list[AttackSample | PointSample]:
    """Samples under one fault; their truth stays.

    Args:
        samples: Clean ones.
        kind: Of pictures one of ``IMAGE_FAULTS``: weather and camera as in ``corruptions``; ``calibration`` turns the
            ``camera`` in ``meta``, which measures in metres feel; ``camera_lag`` shows the picture of the sample of
            the scene that is nearest to ``LAGS_S`` earlier. Of sweeps one of ``POINT_FAULTS``: ``lidar_dropout``
            removes 15 % of the returns a severity; ``lidar_lag`` shows every sweep from where the car was ``LAGS_S``
            earlier (exact for what stands still).
        severity: 1 to 5.
        seed: Sample ``i`` draws from ``seed + i``.

    Raises:
        UnknownNameError: A fault that is none of these samples.
        PerceptionError: Severity outside 1 to 5, or samples without the time or camera that a fault needs.
    """
    points = bool(samples) and isinstance(samples[0], PointSample)
    check_faults([kind], [severity], points)
    if kind == "camera_lag":
        return [_lagging(sample, samples, LAGS_S[severity - 1]) for sample in samples]  # type: ignore[arg-type]
    change: Any = _point_fault if points else _image_fault
    return [change(sample, kind, severity, seed + k) for k, sample in enumerate(samples)]


def _image_fault(sample: AttackSample, kind: str, severity: int, seed: int) -> AttackSample:
    if kind == "calibration":
        camera = sample.meta.get("camera")
        if camera is None or isinstance(camera, str):
            raise PerceptionError(f"fault calibration: sample {sample.name}: expected a camera in meta, found none")
        turned = turned_camera(camera, severity, np.random.default_rng(seed))
        return replace(sample, meta={**sample.meta, "camera": turned})
    views = [corrupt_image(view, kind, severity, seed * 100 + k) for k, view in enumerate(sample.views)]
    return replace(sample, image=np.stack(views) if sample.image.ndim == 4 else views[0])


def _lagging(sample: AttackSample, samples: Sequence[AttackSample], lag_s: float) -> AttackSample:
    if "time_s" not in sample.meta:
        raise PerceptionError(f"fault camera_lag: sample {sample.name}: expected time_s in meta, found none")
    wanted = float(sample.meta["time_s"]) - lag_s
    scene = [one for one in samples if one.scene == sample.scene and "time_s" in one.meta]
    nearest = min(scene, key=lambda one: abs(float(one.meta["time_s"]) - wanted))
    return replace(sample, image=nearest.image)


def _point_fault(sample: PointSample, kind: str, severity: int, seed: int) -> PointSample:
    clouds = []
    rng = np.random.default_rng(seed)
    for number, cloud in enumerate(sample.clouds):
        if kind == "lidar_dropout":
            clouds.append(cloud[kept_points(len(cloud), severity, rng)])
            continue
        turn = lagging_turn(sample.poses, sample.times_ns, number, round(LAGS_S[severity - 1] * 1e9))
        clouds.append((cloud @ turn[:3, :3].T + turn[:3, 3]).astype(np.float32))
    return replace(sample, clouds=tuple(clouds))
