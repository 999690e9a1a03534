"""What a patch and a report were made with: versions and hashes, and which pictures an attacker has seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from perception.attack import AttackSample
from perception.errors import PerceptionError
from perception.version import __version__

from .victim import fingerprint

__all__ = ["check_held_out", "plain", "provenance", "sample_digests"]


def plain(value: Any) -> Any:
    """The value as what a JSON file gives back."""
    return json.loads(json.dumps(value, default=str))


def provenance(config: Config, target: Any) -> dict[str, str]:
    """Versions, and sha256 of a config and of the victim's weights."""
    module = getattr(target, "module", None)
    content = json.dumps(config.to_dict(), sort_keys=True, default=str)
    return {
        "version": __version__,
        "torch": torch.__version__,
        "config_sha256": hashlib.sha256(content.encode()).hexdigest(),
        **({} if module is None else {"victim_sha256": fingerprint(module)}),
    }


def sample_digests(samples: Iterable[AttackSample]) -> dict[str, str]:
    """Name -> digest of the pixels of each sample."""
    return {s.name: hashlib.sha256(np.ascontiguousarray(s.image).tobytes()).hexdigest()[:16] for s in samples}


def check_held_out(seen: Mapping[str, str], samples: Iterable[AttackSample]) -> None:
    """Refuse to evaluate a patch on pictures that it was made on.

    Args:
        seen: What ``sample_digests`` said of the samples the patch was made on.
        samples: To evaluate on.

    Raises:
        PerceptionError: A picture is among both; names some.
    """
    known = set(seen.values())
    both = [name for name, digest in sample_digests(samples).items() if digest in known]
    if both:
        text = f"{len(both)} samples of eval_data are among those the patch was made on ({', '.join(both[:3])})"
        raise PerceptionError(f"attack eval: {text}; use held-out data")
