"""Making a patch: gradient attacks with EoT, square and random search under a query budget, and the controls."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from perception.attack import AttackSample, AttackTarget, check_appear, check_goal
from perception.errors import PerceptionError, UnknownNameError

from .eot import EOT
from .losses import smoothness
from .optimize import OPTIMIZERS, initial_patch, mean_trace, optimize_patch
from .render import render
from .settings import read_settings
from .signs import parse_patch_size, patch_mask
from .surfaces import Surface, check_surfaces
from .victim import unchanged

__all__ = [
    "METHODS",
    "SCOPES",
    "AttackConfig",
    "Crafted",
    "PatchSet",
    "attacked_images",
    "check_victim",
    "control_patch",
    "craft",
]

BLACK_BOX = ("square", "random_search")
METHODS = (*OPTIMIZERS, *BLACK_BOX)
SCOPES = ("universal", "per_class", "per_instance")


@dataclass(frozen=True)
class AttackConfig:
    """How a patch is made.

    Attributes:
        goal: See ``perception.attack.GOALS``.
        method: ``pgd``, ``adam``, ``sgd``, ``rmsprop`` (need a gradient), ``square`` or ``random_search`` (do not).
        scope: ``universal``: one patch; ``per_class``: one for each label of surfaces; ``per_instance``: one for each
            surface, of an attacker who has seen it: such patches are evaluated on the samples they were made on.
        steps: Gradient steps, or queries of a black-box attack, for each patch.
        step_size: Step of ``pgd``, learning rate of the others.
        batch: Samples a step.
        width: Side of the patch's canvas in pixels.
        size: Sticker on signs, ``1_10x10_bottom``; empty covers the whole surface (or its ``region``).
        smooth: Weight of the total variation.
        eot: Random disturbances that the gradient methods average over; the others do without.
        draws: Disturbances averaged in a step.
        seed: Of everything random.

    Raises:
        UnknownNameError: An unknown method, scope or disturbance.
        PerceptionError: Numbers out of range, or a ``size`` that is none.
    """

    goal: str = "hide"
    method: str = "adam"
    scope: str = "universal"
    steps: int = 200
    step_size: float = 0.03
    batch: int = 4
    width: int = 64
    size: str = "1_10x10_bottom"
    smooth: float = 1e-3
    eot: EOT = field(default_factory=EOT)
    draws: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.eot, dict):
            object.__setattr__(self, "eot", read_settings(EOT, self.eot, "EOT"))
        if self.method not in METHODS:
            raise UnknownNameError("attack method", self.method, METHODS)
        if self.scope not in SCOPES:
            raise UnknownNameError("scope", self.scope, SCOPES)
        for name in ("steps", "batch", "width", "draws"):
            if int(getattr(self, name)) < 1:
                raise PerceptionError(f"attack {name}: expected 1 or more, found {getattr(self, name)}")
        if not (0 < self.step_size < math.inf and 0 <= self.smooth < math.inf):
            raise PerceptionError(
                f"attack: expected step_size > 0 and smooth >= 0, found {self.step_size}, {self.smooth}"
            )
        if self.size:
            parse_patch_size(self.size)


def patch_key(scope: str, sample: AttackSample, index: int) -> str:
    """Which patch of a ``PatchSet`` belongs on surface ``index`` of a sample."""
    if scope == "universal":
        return ""
    return str(sample.surfaces[index].label) if scope == "per_class" else f"{sample.name}#{index}"


@dataclass(frozen=True, eq=False)
class PatchSet:
    """Patches by class or by instance.

    Attributes:
        patches: (P, 3, w, w) in [0, 1].
        keys: Of each, see ``patch_key``; one empty key: the patch is for every surface.
    """

    patches: Tensor
    keys: tuple[str, ...] = ("",)

    def of(self, samples: Sequence[AttackSample], scope: str) -> Tensor:
        """(N, 3, w, w) the patch of each surface of the samples, in their order.

        Raises:
            PerceptionError: A surface without a patch.
        """
        if self.keys == ("",):
            return self.patches.expand(sum(len(sample.surfaces) for sample in samples), -1, -1, -1)
        wanted = [patch_key(scope, sample, index) for sample in samples for index in range(len(sample.surfaces))]
        if missing := sorted(set(wanted) - set(self.keys)):
            raise PerceptionError(f"attack: no patch was made for {', '.join(missing[:3])} ({scope.replace('_', ' ')})")
        return self.patches[[self.keys.index(key) for key in wanted]]


@dataclass(frozen=True, eq=False)
class Crafted:
    """Patches and how they came about.

    Attributes:
        patch: (P, 3, w, w) in [0, 1]; P = 1 of the scope ``universal``.
        losses: Loss of every step, mean over patches; of black-box attacks the best so far.
        seconds: Time it took.
        queries: Forward passes of the victim on one image.
        stopped: Why it ended early.
        keys: Of each patch, see ``PatchSet``.
    """

    patch: Tensor
    losses: tuple[float, ...]
    seconds: float
    queries: int
    stopped: str = ""
    keys: tuple[str, ...] = ("",)

    @property
    def patches(self) -> PatchSet:
        """What ``evaluate`` takes."""
        return PatchSet(self.patch, self.keys)


def masks_of(surfaces: Sequence[Surface], config: AttackConfig) -> Tensor | None:
    """(N, 1, w, w) sticker masks on each surface, None where patches cover whole surfaces or regions."""
    if not config.size:
        return None
    sizes = [(surface.size_m[0] * 1000, surface.size_m[1] * 1000) for surface in surfaces]
    return torch.stack([patch_mask(config.size, size, config.width) for size in sizes])[:, None]


def image_shape(samples: Sequence[AttackSample]) -> tuple[int, ...]:
    """The shape that the images of all samples have.

    Raises:
        PerceptionError: They have several.
    """
    shapes = {sample.image.shape for sample in samples}
    if len(shapes) != 1:
        raise PerceptionError(f"attack: expected samples of one size, found {sorted(shapes)[:3]}")
    return shapes.pop()


def as_images(samples: Sequence[AttackSample]) -> Tensor:
    """(B, 3, H, W) float32 in [0, 1]; (B, V, 3, H, W) of samples with several views.

    Raises:
        PerceptionError: Images of several sizes.
    """
    image_shape(samples)
    stack = torch.from_numpy(np.stack([sample.image for sample in samples]))
    return stack.movedim(-1, -3).float() / 255


def attacked_images(
    images: Tensor,
    samples: Sequence[AttackSample],
    patch: Tensor | PatchSet,
    config: AttackConfig,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Render one patch, or each its own, on every surface of every sample; with a generator also ``config.eot``.

    Pixels that a sample says are ``hidden`` keep what stands there.
    """
    surfaces = [surface for sample in samples for surface in sample.surfaces]
    views = 1 if images.ndim == 4 else images.shape[1]
    owned = [
        index * views + (s.view if views > 1 else 0) for index, sample in enumerate(samples) for s in sample.surfaces
    ]
    owners = torch.tensor(owned, dtype=torch.int64)
    if not surfaces:
        return images.clone()
    patches = (patch if isinstance(patch, PatchSet) else PatchSet(patch)).of(samples, config.scope)
    augment = None
    if generator is not None:
        patches = config.eot.patch(patches, generator)

        def augment(canvas: Tensor) -> Tensor:
            return config.eot.canvas(canvas, generator)

    flat = images.flatten(0, -4)
    masks = masks_of(surfaces, config)
    shown = render(flat, patches, surfaces, patch_masks=masks, owners=owners, augment=augment).reshape(images.shape)
    if all(sample.hidden is None for sample in samples):
        return shown
    hidden = [np.zeros(s.image.shape[:-1], bool) if s.hidden is None else s.hidden for s in samples]
    return torch.where(torch.from_numpy(np.stack(hidden)).unsqueeze(-3).to(images.device), images, shown)


def control_patch(kind: str, width: int, seed: int = 0) -> Tensor:
    """(1, 3, w, w) ``grey``, or ``random`` uniform pixels.

    Raises:
        UnknownNameError: Another kind.
    """
    if kind == "grey":
        return torch.full((1, 3, width, width), 0.5)
    if kind == "random":
        return torch.rand(1, 3, width, width, generator=torch.Generator().manual_seed(seed))
    raise UnknownNameError("control patch", kind, ("grey", "random"))


def check_victim(target: AttackTarget, config: AttackConfig) -> None:
    """Refuse a victim that an attack cannot work on, before samples are read.

    Raises:
        PerceptionError: Unsupported goal, a gradient method for a victim without gradient, or one in training mode.
    """
    check_goal(target, config.goal)
    if config.goal == "appear":
        check_appear(target)
    if config.method not in BLACK_BOX and not target.differentiable:
        text = f"attack method {config.method!r} needs a gradient, which this victim does not have"
        raise PerceptionError(f"{text}; use {' or '.join(BLACK_BOX)}")
    module = getattr(target, "module", None)
    if module is not None and any(part.training for part in module.modules()):
        raise PerceptionError("attack: the victim, or a part of it, is in training mode; call eval() first")


@contextmanager
def of_sample(sample: AttackSample) -> Iterator[None]:
    """Name a sample in errors about it."""
    try:
        yield
    except PerceptionError as error:
        raise PerceptionError(f"sample {sample.name}: {error}") from error


def check_attack(target: AttackTarget, samples: Sequence[AttackSample], config: AttackConfig) -> None:
    """Refuse what cannot work, before work starts.

    Raises:
        PerceptionError: Unsupported goal, a gradient method for a victim without gradient, no sample, samples of
            several sizes in one batch, a surface that is degenerate, outside its image, behind the camera, or too
            large for the sticker to have a pixel of its canvas, or a victim in training mode.
    """
    check_victim(target, config)
    if not samples:
        raise PerceptionError("attack: expected at least one sample, found none")
    for sample in samples:
        with of_sample(sample):
            check_surfaces(sample.surfaces, [view.shape[:2] for view in sample.views])
        masks = masks_of(sample.surfaces, config)
        if masks is not None and not bool(masks.flatten(1).any(1).all()):
            text = f"sample {sample.name}: the sticker {config.size} has no pixel on a canvas of {config.width}"
            raise PerceptionError(f"{text}; use a larger width")
    if config.batch > 1:
        image_shape(samples)


def craft(target: AttackTarget, samples: Sequence[AttackSample], config: AttackConfig) -> Crafted:
    """Make one patch for all surfaces of all samples.

    Args:
        target: The victim; it is not changed.
        samples: What the attacker may use.
        config: How.

    Raises:
        PerceptionError: See ``check_attack``; the victim was changed; the first loss or gradient is not finite.
    """
    check_attack(target, samples, config)
    start = time.perf_counter()
    work = _search if config.method in BLACK_BOX else _descend
    parts = []
    groups = _groups(samples, config.scope)
    with unchanged(target):
        for members in groups.values():
            parts.append(work(target, members, config, torch.Generator().manual_seed(config.seed)))
    patches, losses, queries, stopped = zip(*parts)
    reasons = ", ".join(dict.fromkeys(filter(None, stopped)))
    seconds = time.perf_counter() - start
    return Crafted(torch.cat(patches), mean_trace(losses), seconds, sum(queries), reasons, tuple(groups))


def _groups(samples: Sequence[AttackSample], scope: str) -> dict[str, list[AttackSample]]:
    """Key -> samples with only those surfaces that carry its patch."""
    if scope == "universal":
        return {"": list(samples)}
    out: dict[str, list[AttackSample]] = {}
    for sample in samples:
        mine: dict[str, list] = {}
        for index, surface in enumerate(sample.surfaces):
            mine.setdefault(patch_key(scope, sample, index), []).append(surface)
        for key, surfaces in mine.items():
            out.setdefault(key, []).append(replace(sample, surfaces=tuple(surfaces)))
    return dict(sorted(out.items()))


def _batch(samples: Sequence[AttackSample], count: int, generator: torch.Generator) -> list[AttackSample]:
    order = torch.randperm(len(samples), generator=generator)[:count].tolist()
    return [samples[index] for index in order]


def _descend(
    target: AttackTarget, samples: Sequence[AttackSample], config: AttackConfig, generator: torch.Generator
) -> tuple[Tensor, tuple[float, ...], int, str]:
    start = initial_patch(config.method, (1, 3, config.width, config.width), generator)

    def loss(patch: Tensor, _: int) -> Tensor:
        chosen = _batch(samples, config.batch, generator)
        images = as_images(chosen)
        total = config.smooth * smoothness(patch)
        for _draw in range(config.draws):
            shown = attacked_images(images, chosen, patch, config, generator)
            total = total + target.loss(shown, chosen, config.goal).mean() / config.draws
        return total

    trace = optimize_patch(loss, start, config.method, config.steps, config.step_size)
    queries = len(trace.losses) * min(config.batch, len(samples)) * config.draws
    return trace.patch, trace.losses, queries, trace.stopped


@torch.no_grad()
def _search(
    target: AttackTarget, samples: Sequence[AttackSample], config: AttackConfig, generator: torch.Generator
) -> tuple[Tensor, tuple[float, ...], int, str]:
    """Keep a change when the loss over one fixed batch falls; ``steps`` counts the images shown to the victim."""
    chosen = _batch(samples, config.batch, generator)
    images = as_images(chosen)
    width = config.width

    def value(patch: Tensor) -> float:
        return float(target.loss(attacked_images(images, chosen, patch, config), chosen, config.goal).mean())

    stripes = torch.rand(1, 3, 1, width, generator=generator).round()
    best = stripes.expand(1, 3, width, width).clone()
    lowest, queries = value(best), len(chosen)
    losses = [lowest]
    while queries + len(chosen) <= config.steps:
        share = 0.5 * (1 - queries / config.steps) + 0.02
        candidate = _changed(best, share, config.method, generator)
        found, queries = value(candidate), queries + len(chosen)
        if found < lowest:
            best, lowest = candidate, found
        losses.append(lowest)
    return best, tuple(losses), queries, ""


def _changed(patch: Tensor, share: float, method: str, generator: torch.Generator) -> Tensor:
    """One square of a random colour (``square``), or new values for a share of the pixels (``random_search``)."""
    width, candidate = patch.shape[3], patch.clone()
    if method == "square":
        side = max(int(width * share**0.5), 1)
        y, x = torch.randint(0, width - side + 1, (2,), generator=generator).tolist()
        candidate[:, :, y : y + side, x : x + side] = torch.rand(1, 3, 1, 1, generator=generator).round()
        return candidate
    chosen = torch.rand(1, 1, width, width, generator=generator) < share
    return torch.where(chosen, torch.rand(patch.shape, generator=generator), candidate)
