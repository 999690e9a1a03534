"""Victims: any callable and any ONNX file behind the attack protocol, and the proof that a victim was not changed."""

from __future__ import annotations

import hashlib
import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from perception.attack import ATTACK_TARGETS, AttackSample
from perception.errors import InputError, PerceptionError
from perception.structures import Boxes2D

__all__ = ["CallableTarget", "OnnxTarget", "fingerprint", "unchanged"]


def fingerprint(module: nn.Module) -> str:
    """Digest of all weights, statistics and modes of a module."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    digest.update(bytes(part.training for part in module.modules()))
    return digest.hexdigest()


def _random_states() -> tuple[bytes, str, Any]:
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002


@contextmanager
def unchanged(target: Any) -> Iterator[None]:
    """Run something with a victim and make sure that it, and the global random state, are as before.

    Gradients of the victim's parameters are switched off inside, which also makes attacks faster.

    Raises:
        PerceptionError: Weights, statistics, mode or a global random generator changed.
    """
    module = getattr(target, "module", None)
    wanted: list[bool] = []
    if isinstance(module, nn.Module):
        before = fingerprint(module)
        wanted = [parameter.requires_grad for parameter in module.parameters()]
        module.requires_grad_(False)
    states = _random_states()
    try:
        yield
    finally:
        if isinstance(module, nn.Module):
            for parameter, flag in zip(module.parameters(), wanted):
                parameter.requires_grad_(flag)
    if isinstance(module, nn.Module) and fingerprint(module) != before:
        raise PerceptionError("attack: the victim was changed (weights, statistics or mode)")
    if states != _random_states():
        raise PerceptionError("attack: the victim used a global random generator; its results cannot be repeated")


def named(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """A function, or the one that ``package.module:function`` names.

    Raises:
        PerceptionError: There is no such function.
    """
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PerceptionError(f"victim: expected package.module:function, found {function!r}: {error}") from error
    if not callable(found):
        raise PerceptionError(f"victim: expected a function, found {type(found).__name__} {function!r}")
    return found


@ATTACK_TARGETS.register_module()
class CallableTarget:
    """Your own detector in a few lines: a function of one image, and a loss if it has a gradient.

    Args:
        detect: (H, W, 3) uint8 RGB -> ``Boxes2D``; or its name, ``package.module:function``.
        loss: (images (B, 3, H, W) in [0, 1], samples, goal) -> (B,); None for a black box, whose score is then the sum
            of the instance scores.
        module: The network, so that it can be checked for changes.
        goals: What it supports.
        iou: A detection is right from this IoU on.
    """

    def __init__(
        self,
        detect: Callable[[np.ndarray], Boxes2D] | str,
        loss: Callable[[Tensor, Sequence[AttackSample], str], Tensor] | None = None,
        module: nn.Module | None = None,
        goals: tuple[str, ...] = ("hide",),
        iou: float = 0.5,
    ) -> None:
        self.detect: Callable[[np.ndarray], Boxes2D] = named(detect)
        self.own_loss, self.module, self.goals, self.iou = loss, module, tuple(goals), iou
        self.differentiable = loss is not None

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) own loss, or what is still detected."""
        if self.own_loss is not None:
            return self.own_loss(images, samples, goal)
        found = self.predict(images, samples)
        return torch.tensor([float(self.instance_scores(p, s).sum()) for p, s in zip(found, samples)])

    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[Boxes2D]:
        """Call ``detect`` on each image, rounded to 8 bits."""
        arrays = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return [self.detect(np.ascontiguousarray(array)) for array in arrays]

    def instance_scores(self, prediction: Boxes2D, sample: AttackSample) -> np.ndarray:
        """(G,) best score of a same-class detection at ``iou`` for each true box, each detection used once."""
        truth: Boxes2D = sample.truth
        scores, taken = np.zeros(len(truth)), np.zeros(len(truth), bool)
        for k in np.argsort(-prediction.scores, kind="stable"):
            low = np.maximum(prediction.boxes[k, :2], truth.boxes[:, :2])
            high = np.minimum(prediction.boxes[k, 2:], truth.boxes[:, 2:])
            common = np.clip(high - low, 0, None).prod(1)
            own = (prediction.boxes[k, 2:] - prediction.boxes[k, :2]).prod()
            overlap = common / np.maximum((truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(1) + own - common, 1e-9)
            overlap[taken | (truth.labels != prediction.labels[k])] = 0
            if len(overlap) and overlap.max() >= self.iou:
                best = int(overlap.argmax())
                scores[best], taken[best] = prediction.scores[k], True
        return scores

    def task_metric(self, predictions: Sequence[Any], samples: Sequence[AttackSample]) -> dict[str, float]:
        """Share of true boxes with a detection."""
        scores = np.concatenate([self.instance_scores(p, s) for p, s in zip(predictions, samples)] or [np.zeros(0)])
        return {"recall": float((scores > 0).mean()) if len(scores) else float("nan")}


@ATTACK_TARGETS.register_module()
class OnnxTarget(CallableTarget):
    """An ONNX file as a black box.

    Args:
        path: The file; one input (1, 3, H, W) float32.
        decode: (list of output arrays, (width, height) of the image) -> ``Boxes2D``; or its name,
            ``package.module:function``.
        scale: Images in [0, 1] are multiplied by this.

    Raises:
        PerceptionError: onnxruntime is missing (extra ``export``).
        InputError: The file cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        decode: Callable[[list[np.ndarray], tuple[int, int]], Boxes2D] | str,
        scale: float = 1.0,
    ) -> None:
        read = named(decode)
        try:
            import onnxruntime
        except ImportError as error:
            raise PerceptionError("ONNX targets need onnxruntime: pip install 'perception-stack[export]'") from error
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InputError(path, "", "an ONNX model", f"{type(error).__name__}: {error}") from error
        name = session.get_inputs()[0].name

        def detect(image: np.ndarray) -> Boxes2D:
            batch = image.transpose(2, 0, 1)[None].astype(np.float32) / 255 * scale
            return read(session.run(None, {name: batch}), (image.shape[1], image.shape[0]))

        super().__init__(detect)
