"""Without the compiled extension of mmcv all of mmdet imports, and detectors predict and train on the CPU."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.resources import files

import numpy as np
import pytest
import torch

import perception  # noqa: F401  (installs the finder before mmcv)

mmdet = pytest.importorskip("mmdet")
NEEDS_ANOTHER_PACKAGE = {"mmdet.datasets.onedl": "loguru", "mmdet.datasets.transforms.loading_onedl": "onedl"}


def build(config, **changes):
    """A detector of a shipped config of mmdet, with random weights and what ``changes`` say."""
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules(init_default_scope=True)
    loaded = Config.fromfile(str(files("mmdet") / ".mim" / "configs" / config))
    loaded.merge_from_dict({"model": {**changes, "backbone": {**changes["backbone"], "init_cfg": None}}})
    return MODELS.build(loaded.model)


def batch():
    """One noise image of 96 x 128 pixels, preprocessed as mmdet's test pipeline packs it."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    image = np.random.default_rng(0).integers(0, 255, (3, 96, 128), dtype=np.uint8)
    sample = DetDataSample(
        metainfo={"img_shape": (96, 128), "ori_shape": (96, 128), "scale_factor": (1.0, 1.0), "img_id": 0}
    )
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[10.0, 20, 60, 70]]), labels=torch.tensor([1]))
    return {"inputs": [torch.from_numpy(image)], "data_samples": [sample]}


def assert_predicts(detector):
    detector.eval()
    with torch.no_grad():
        (result,) = detector.test_step(batch())
    found = result.pred_instances
    assert len(found.bboxes) == len(found.scores) == len(found.labels) > 0
    assert torch.isfinite(found.bboxes).all() and torch.isfinite(found.scores).all()
    assert (found.bboxes[:, 2:] >= found.bboxes[:, :2]).all() and (found.bboxes[:, ::2] <= 128).all()


def assert_trains(detector):
    detector.train()
    data = detector.data_preprocessor(batch(), training=True)
    loss, _ = detector.parse_losses(detector(**data, mode="loss"))
    loss.backward()
    gradients = [p.grad for p in detector.parameters() if p.requires_grad and p.grad is not None]
    assert torch.isfinite(loss) and gradients and all(torch.isfinite(grad).all() for grad in gradients)


def test_every_module_of_mmdet_imports():
    failures = {}
    for info in pkgutil.walk_packages(mmdet.__path__, "mmdet.", onerror=lambda name: None):
        try:
            importlib.import_module(info.name)
        except ModuleNotFoundError as error:
            if error.name != NEEDS_ANOTHER_PACKAGE.get(info.name):
                failures[info.name] = repr(error)
        except Exception as error:
            failures[info.name] = repr(error)
    assert failures == {}


@pytest.fixture(scope="module")
def faster_rcnn():
    torch.manual_seed(0)
    detector = build(
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
        backbone={"depth": 18, "base_channels": 16},
        neck={"in_channels": [16, 32, 64, 128], "out_channels": 32},
        rpn_head={"in_channels": 32, "feat_channels": 32},
        roi_head={
            "bbox_roi_extractor": {"out_channels": 32},
            "bbox_head": {"in_channels": 32, "fc_out_channels": 32, "num_classes": 5},
        },
        test_cfg={"rcnn": {"score_thr": 0.0}, "rpn": {"max_per_img": 50}},
    )
    detector.init_weights()
    return detector


@pytest.fixture(scope="module")
def deformable_detr():
    torch.manual_seed(0)
    layer = {"self_attn_cfg": {"embed_dims": 64}, "ffn_cfg": {"embed_dims": 64, "feedforward_channels": 64}}
    detector = build(
        "deformable_detr/deformable-detr_r50_16xb2-50e_coco.py",
        num_queries=10,
        backbone={"depth": 18, "base_channels": 16},
        neck={"in_channels": [32, 64, 128], "out_channels": 64},
        encoder={"num_layers": 1, "layer_cfg": layer},
        decoder={"num_layers": 2, "layer_cfg": {**layer, "cross_attn_cfg": {"embed_dims": 64}}},
        positional_encoding={"num_feats": 32},
        bbox_head={"num_classes": 5, "embed_dims": 64},
        test_cfg={"max_per_img": 10},
    )
    detector.init_weights()
    return detector


def test_faster_rcnn_predicts(faster_rcnn):
    assert_predicts(faster_rcnn)


def test_faster_rcnn_trains(faster_rcnn):
    assert_trains(faster_rcnn)


def test_deformable_detr_predicts(deformable_detr):
    assert_predicts(deformable_detr)


def test_deformable_detr_trains(deformable_detr):
    assert_trains(deformable_detr)
