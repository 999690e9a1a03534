"""A graph model as a victim, as `lane_segments` and `topology` will be: two views, two lanes and a sign in each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from perception.attack import AttackSample, check_goal, disconnect_loss, edge_scores

TRUTH = torch.tensor([[True, False], [False, True]])
"""Lane i belongs to the sign of view i."""


class ToyGraph:
    """Edge (i, j) exists when view i is bright where view j is bright, too; lanes and signs are always found."""

    goals = ("disconnect",)
    differentiable = True

    def __init__(self) -> None:
        self.module = torch.nn.Linear(1, 1, bias=False).eval()
        torch.nn.init.constant_(self.module.weight, 20.0)

    def edge_logits(self, images, samples):
        views = images.mean((2, 3, 4)) - 0.3  # (B, V)
        same = torch.eye(2) * 2 - 1
        return [(self.module(row[:, None]) * same, TRUTH) for row in views]

    def loss(self, images, samples, goal):
        check_goal(self, goal)
        return disconnect_loss(self.edge_logits(images, samples))

    def predict(self, images, samples):
        pairs = self.edge_logits(images, samples)
        return [SimpleNamespace(edges=logits.sigmoid().detach().numpy(), found=np.arange(2)) for logits, _ in pairs]

    def instance_scores(self, prediction, sample):
        return edge_scores(prediction.edges, prediction.found, prediction.found, sample.truth)

    def task_metric(self, predictions, samples):
        kept = [self.instance_scores(p, s) >= 0.5 for p, s in zip(predictions, samples)]
        return {"kept": float(np.mean(kept))}


def two_views(surfaces) -> AttackSample:
    image = np.full((2, 32, 32, 3), 150, np.uint8)
    return AttackSample("pair", image, TRUTH.numpy(), "scene", surfaces)
