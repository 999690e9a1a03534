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
from perception.metrics.box_match import box_ious, matched_scores
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

    Raises:
        PerceptionError: Goals other than ``hide`` without a loss: what is detected says nothing about them.
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
        if loss is None and tuple(goals) != ("hide",):
            raise PerceptionError(f"victim: goals {', '.join(goals)}: without a loss only 'hide' can be attacked")
        self.own_loss, self.module, self.goals, self.iou = loss, module, tuple(goals), iou
        self.differentiable = loss is not None

    def loss(self, images: Tensor, samples: Sequence[AttackSample], goal: str) -> Tensor:
        """(B,) own loss, or what is still detected."""
        if self.own_loss is not None:
            return self.own_loss(images, samples, goal)
        found = self.predict(images, samples)
        return torch.tensor([float(self.instance_scores(p, s).sum()) for p, s in zip(found, samples)])

    def predict(self, images: Tensor, samples: Sequence[AttackSample]) -> list[Boxes2D]:
        """Call ``detect`` on each image, rounded to 8 bits.

        Raises:
            PerceptionError: It gives something else than ``Boxes2D``.
        """
        arrays = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        found = [self.detect(np.ascontiguousarray(array)) for array in arrays]
        for result in found:
            if not isinstance(result, Boxes2D):
                raise PerceptionError(f"victim: expected Boxes2D from its function, found {type(result).__name__}")
        return found

    def instance_scores(self, prediction: Boxes2D, sample: AttackSample) -> np.ndarray:
        """(G,) best score of a same-class detection at ``iou`` for each true box, each detection used once."""
        return matched_scores(prediction, sample.truth, self.iou)

    def surface_scores(self, prediction: Boxes2D, sample: AttackSample) -> np.ndarray:
        """(S,) best score of a detection on the box around each surface that is on no true box, 0 for none."""
        quads = [torch.cat([surface.quad.amin(0), surface.quad.amax(0)]).tolist() for surface in sample.surfaces]
        good = box_ious(prediction.boxes, np.array(quads, np.float32)) >= self.iou
        known: np.ndarray = np.any(box_ious(prediction.boxes, sample.truth.boxes) >= self.iou, axis=1)
        good &= ~known[:, None]
        scores: np.ndarray = np.where(good, prediction.scores[:, None], 0.0).max(0, initial=0.0)
        return scores

    def task_metric(self, predictions: Sequence[Any], samples: Sequence[AttackSample]) -> dict[str, float]:
        """Share of true boxes with a detection."""
        scores = np.concatenate([self.instance_scores(p, s) for p, s in zip(predictions, samples)] or [np.zeros(0)])
        return {"recall": float((scores > 0).mean()) if len(scores) else float("nan")}


@ATTACK_TARGETS.register_module()
class OnnxTarget(CallableTarget):
    """An ONNX file as a black box.

    Args:
        path: The file; one input (1, 3, H, W) float32. Images must have its H and W where those are fixed.
        decode: (list of output arrays, (width, height) of the image) -> ``Boxes2D``; or its name,
            ``package.module:function``.
        scale: Images in [0, 1] are multiplied by this.

    Raises:
        PerceptionError: onnxruntime is missing (extra ``export``).
        InputError: The file cannot be read, or has other inputs.
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
        name, shape = _image_input(path, session.get_inputs())

        def detect(image: np.ndarray) -> Boxes2D:
            batch = image.transpose(2, 0, 1)[None].astype(np.float32) / 255 * scale
            if any(isinstance(want, int) and want != got for want, got in zip(shape, batch.shape)):
                raise PerceptionError(f"{path}: expected an image {list(shape)}, found {list(batch.shape)}")
            return read(session.run(None, {name: batch}), (image.shape[1], image.shape[0]))

        super().__init__(detect)


def _image_input(path: str | Path, inputs: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Name and shape of the only input of a network; free sizes are names or None.

    Raises:
        InputError: Not one float32 input (1, 3, H, W).
    """
    found = "; ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise InputError(path, "inputs", "one of float32 (1, 3, H, W)", found or "none")
    batch, channels = inputs[0].shape[:2]
    if (isinstance(batch, int) and batch != 1) or (isinstance(channels, int) and channels != 3):
        raise InputError(path, "inputs", "one of float32 (1, 3, H, W)", found)
    return inputs[0].name, tuple(inputs[0].shape)
