"""Adversarial training: patches crafted against the detector while it learns, on signs of its batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from perception.engine.defaults import data_path
from perception.errors import PerceptionError
from perception.geometry.homography import apply_homography
from perception.registry import HOOKS

from .reap_table import SignRow, read_table
from .render import render
from .signs import BACKGROUND, patch_mask
from .surfaces import Surface

__all__ = ["PatchTraining"]


@HOOKS.register_module()
class PatchTraining(Hook):
    """Render patches that hide signs into a share of every training batch.

    A pool of patches is kept for each class. Each sign of a batch takes one of its class, which lowers the detector's
    loss against "there is nothing here" by a few signed steps; the patched pictures stay in the batch with their true
    labels. Most of the work of crafting is so spread over the training, and the signs of a batch wear different
    patches. For models that take ``boxes`` and ``labels`` in the training samples, with ``file_name``, ``matrix`` and
    ``truth`` of ``CocoBoxes``.

    Args:
        table: REAP table of the training data, below ``data_root``.
        data_root: Folder of the dataset.
        method: Lighting method.
        sizes: Stickers; each batch takes one of them.
        share: Of the pictures with signs that are patched.
        steps: Steps a batch.
        step_size: Of a step; pixels are in [0, 1].
        pool: Number of patches of a class.
        fresh: Odds that a patch starts anew instead of going on.
        width: Side of the patches' canvas in pixels.
        min_side: Smaller signs, in input pixels, carry no patch.

    Raises:
        PerceptionError: Numbers out of range.
        InputError: The table cannot be read.
    """

    priority = "LOW"

    def __init__(
        self,
        table: str,
        data_root: str = "",
        method: str = "percentile",
        sizes: Sequence[str] = ("1_10x10_bottom", "1_10x10_middle", "1_10x10_top"),
        share: float = 0.5,
        steps: int = 2,
        step_size: float = 0.1,
        pool: int = 8,
        fresh: float = 0.05,
        width: int = 32,
        min_side: float = 14.0,
    ) -> None:
        if not (0 < share <= 1 and steps >= 0 and step_size > 0 and pool >= 1 and 0 <= fresh <= 1 and sizes):
            raise PerceptionError("patch training: expected share in (0, 1], steps >= 0, step_size > 0, pool >= 1")
        self.rows: dict[str, dict[str, SignRow]] = {}
        for row in read_table(Path(data_path(data_root)) / table):
            if row.label != BACKGROUND and method in row.lights:
                self.rows.setdefault(row.filename, {})[row.object_id] = row
        self.method, self.sizes, self.share = method, tuple(sizes), share
        self.steps, self.step_size, self.fresh, self.min_side = steps, step_size, fresh, min_side
        self.labels = sorted({row.label for rows in self.rows.values() for row in rows.values()})
        shape = (len(self.labels), pool, 3, width, width)
        self.pool = torch.rand(shape, generator=torch.Generator().manual_seed(0))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the patches, so that a resumed training goes on with them."""
        checkpoint["patch_training"] = self.pool

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take them back."""
        self.pool = checkpoint.get("patch_training", self.pool)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Patch a share of the batch."""
        samples, images = data_batch["data_samples"], data_batch["inputs"]
        found = {index: self.surfaces(sample, images.shape[2:]) for index, sample in enumerate(samples)}
        able = [index for index, surfaces in found.items() if surfaces]
        chosen = [able[k] for k in torch.randperm(len(able)).tolist()[: max(round(self.share * len(able)), 1)]]
        if not chosen:
            return
        device = next(runner.model.parameters()).device
        part = images[chosen].to(device).float() / 255
        attacked = self.attacked(runner.model, part, [samples[k] for k in chosen], [found[k] for k in chosen])
        data_batch["inputs"] = images.index_copy(0, torch.tensor(chosen), (attacked * 255).to(images))

    def surfaces(self, sample: Mapping[str, Any], size: Sequence[int]) -> list[Surface]:
        """Signs of a training sample that can carry a patch, in pixels of its input of (height, width)."""
        rows = self.rows.get(sample["file_name"], {})
        matrix = torch.as_tensor(sample["matrix"]).float()[None]
        out = []
        for key in sample["truth"]["ids"]:
            row = rows.get(key)
            if row is None:
                continue
            surface = row.surface(self.method)
            surface = surface.moved(apply_homography(matrix, surface.quad[None])[0])
            low, high = surface.quad.amin(0), surface.quad.amax(0)
            seen = bool((high > 2).all() and low[0] < size[1] - 2 and low[1] < size[0] - 2)
            if seen and surface.size_px >= self.min_side:
                out.append(surface)
        return out

    def attacked(
        self, model: torch.nn.Module, images: Tensor, samples: Sequence[Mapping[str, Any]], found: list[list[Surface]]
    ) -> Tensor:
        """(B, 3, h, w) pictures in [0, 1] with a patch of the pool on each sign; they are improved on the way."""
        surfaces = [surface for part in found for surface in part]
        owners = torch.tensor([index for index, part in enumerate(found) for _ in part], dtype=torch.int64)
        width = self.pool.shape[-1]
        size = self.sizes[int(torch.randint(len(self.sizes), ()))]
        masks = [patch_mask(size, (s.size_m[0] * 1000, s.size_m[1] * 1000), width) for s in surfaces]
        stickers = torch.stack(masks)[:, None]
        kinds = torch.tensor([self.labels.index(surface.label) for surface in surfaces])
        places = torch.randint(self.pool.shape[1], (len(surfaces),))
        patch = self.pool[kinds, places]
        anew = torch.rand(len(surfaces)) < self.fresh
        patch[anew] = torch.rand(int(anew.sum()), 3, width, width)

        def shown(picture: Tensor) -> Tensor:
            return render(images, picture.to(images), surfaces, patch_masks=stickers, owners=owners)

        blank = [{**s, "boxes": s["boxes"][:0], "labels": s["labels"][:0]} for s in samples]
        modes = [(module, module.training) for module in model.modules()]
        wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        model.eval().requires_grad_(False)
        try:
            with torch.enable_grad():
                for _ in range(self.steps):
                    free = patch.clone().requires_grad_()
                    losses = model(shown(free) * 255, blank, mode="loss")
                    (slope,) = torch.autograd.grad(_total(losses), free)
                    patch = (patch - self.step_size * slope.sign()).clamp(0, 1)
        finally:
            for module, training in modes:
                module.training = training
            for parameter, flag in wanted:
                parameter.requires_grad_(flag)
        self.pool[kinds, places] = patch.detach().cpu()
        with torch.no_grad():
            return shown(patch)


def _total(losses: Mapping[str, Any]) -> Tensor:
    terms = [part for value in losses.values() for part in (value if isinstance(value, (list, tuple)) else [value])]
    return torch.stack([term.sum() for term in terms if term.requires_grad]).sum()
