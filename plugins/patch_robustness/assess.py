"""Is a defence measured, or only not attacked well enough? Three checks of every attack through a defence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from perception.attack import AttackSample, AttackTarget

from .attacks import AttackConfig, craft
from .evaluate import evaluate, summary
from .surfaces import Surface

__all__ = ["Assessment", "assess", "is_defended", "unbounded"]

NEAR_ALL = 0.95
"""ASR from which an unbounded patch comes near 100 %."""


@dataclass(frozen=True)
class Assessment:
    """What the checks found.

    Attributes:
        loss_start: Mean loss of the first fifth of the steps.
        loss_end: Of the last fifth.
        unbounded_asr: ASR of a patch that covers the whole image; None when nothing was detected clean.
        white_asr: ASR of the gradient attack on the samples it was made on.
        black_asr: ASR of square search with as many queries.
        instances: Instances detected clean.
    """

    loss_start: float
    loss_end: float
    unbounded_asr: float | None
    white_asr: float | None
    black_asr: float | None
    instances: int

    @property
    def checks(self) -> dict[str, bool]:
        """Check -> passed."""
        known = self.white_asr is not None and self.black_asr is not None
        return {
            "loss falls with steps": self.loss_end < self.loss_start,
            "an unbounded patch comes near 100 % ASR": self.unbounded_asr is not None
            and self.unbounded_asr >= NEAR_ALL,
            "black box does not beat white box": bool(known and (self.black_asr or 0) <= (self.white_asr or 0)),
        }

    @property
    def passed(self) -> bool:
        """All checks passed: the defence was attacked as well as we can."""
        return all(self.checks.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a report."""
        return {**vars(self), "checks": self.checks, "assessed": self.passed}

    def lines(self) -> list[str]:
        """The checks with their numbers, to be printed."""
        shown = [
            f"loss {self.loss_start:.4g} -> {self.loss_end:.4g}",
            f"ASR {_percent(self.unbounded_asr)} of {self.instances}",
            f"ASR black {_percent(self.black_asr)}, white {_percent(self.white_asr)}",
        ]
        return [
            f"{'ok  ' if good else 'FAIL'} {name}: {text}" for (name, good), text in zip(self.checks.items(), shown)
        ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def is_defended(target: AttackTarget) -> bool:
    """Whether a target is a victim behind a defence of ours."""
    return hasattr(target, "defence_name")


def unbounded(sample: AttackSample) -> AttackSample:
    """The sample with a surface over each whole image: the patch may be anything, anywhere."""
    height, width = sample.image.shape[-3:-1]
    corners = torch.tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=torch.float32)
    whole = [Surface(corners, "rect", (1.0, 1.0), view=view) for view in range(len(sample.views))]
    return replace(sample, surfaces=tuple(whole))


def assess(
    target: AttackTarget, samples: Sequence[AttackSample], config: AttackConfig, threshold: float = 0.3
) -> Assessment:
    """Attack a defended victim and check the attack.

    Args:
        target: Victim behind its defence.
        samples: A few; attacks are made and measured on the same, as the question is whether they can succeed.
        config: The gradient attack.
        threshold: Score from which an instance counts as detected.

    Raises:
        PerceptionError: See ``craft``.
    """
    white = craft(target, samples, config)
    queries = max(white.queries // len(white.keys), 2 * config.batch)  # for each patch
    black = craft(target, samples, replace(config, method="square", steps=queries))
    whole = [unbounded(sample) for sample in samples]
    free = replace(config, size="", eot=type(config.eot)(), scope="universal")
    most = craft(target, whole, free)
    bounded = summary(evaluate(target, samples, {"white": white.patches, "black": black.patches}, config, threshold))
    open_ = summary(evaluate(target, whole, {"most": most.patches}, free, threshold))
    part = max(len(white.losses) // 5, 1)
    return Assessment(
        float(np.mean(white.losses[:part])),
        float(np.mean(white.losses[-part:])),
        open_["conditions"]["most"]["asr"]["value"],
        bounded["conditions"]["white"]["asr"]["value"],
        bounded["conditions"]["black"]["asr"]["value"],
        bounded["detected_clean"],
    )
