"""The supplied operators, called the way mmcv calls them, against naive formulas and numerical derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import perception  # noqa: F401  (installs the finder before mmcv)
from perception.compat.mmcv_ops import OPERATORS, MissingOperatorError

ops = pytest.importorskip("mmcv.ops")
extension = pytest.importorskip("mmcv._ext")
if extension.__spec__.origin != "perception.compat.mmcv_ops":
    pytest.skip("a compiled mmcv._ext is installed and wins", allow_module_level=True)


def iou(a, b, offset=0):
    sides = [max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + offset) for k in (0, 1)]
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])


def random_boxes(count, size=40.0):
    corner = torch.rand(count, 2) * size
    return torch.cat([corner, corner + 1 + torch.rand(count, 2) * size / 2], dim=1), torch.rand(count)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_nms_keeps_what_the_greedy_definition_keeps(offset, threshold):
    boxes, scores = random_boxes(60)
    kept = []
    for index in scores.argsort(descending=True).tolist():
        if all(iou(boxes[index].tolist(), boxes[k].tolist(), offset) <= threshold for k in kept):
            kept.append(index)
    dets, indices = ops.nms(boxes, scores, threshold, offset=offset)
    assert indices.tolist() == kept
    assert torch.equal(dets, torch.cat([boxes[kept], scores[kept, None]], dim=1))


def test_nms_accepts_empty_input_numpy_half_precision_and_limits():
    dets, indices = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5) and indices.shape == (0,)
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]], dtype=np.float32)
    _, indices = ops.nms(boxes, np.array([0.6, 0.9, 0.7], dtype=np.float32), 0.5)
    assert indices.tolist() == [1, 2]
    boxes = torch.from_numpy(boxes)
    _, indices = ops.nms(boxes.half(), torch.tensor([0.6, 0.9, 0.7]).half(), 0.5, score_threshold=0.65, max_num=1)
    assert indices.tolist() == [1]


def test_batched_nms_separates_classes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 9]])
    dets, keep = ops.batched_nms(
        boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 1, 0]), {"type": "nms", "iou_threshold": 0.5}
    )
    assert keep.tolist() == [0, 1]
    assert torch.allclose(dets[:, 4], torch.tensor([0.9, 0.8]))


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("offset", [0, 1])
def test_soft_nms_decays_like_the_definition(method, offset):
    boxes, scores = random_boxes(25)
    left, expected, current = list(range(25)), [], scores.tolist()
    while left:
        best = max(left, key=lambda index: current[index])
        left.remove(best)
        expected.append((best, current[best]))
        for other in left:
            overlap = iou(boxes[best].tolist(), boxes[other].tolist(), offset)
            if method == "gaussian":
                current[other] *= math.exp(-(overlap**2) / 0.5)
            elif overlap >= 0.3:
                current[other] *= 0.0 if method == "naive" else 1 - overlap
        left = [index for index in left if current[index] >= 1e-3]
    dets, indices = ops.soft_nms(boxes, scores, 0.3, 0.5, 1e-3, method, offset)
    assert indices.tolist() == [index for index, _ in expected]
    assert torch.allclose(dets[:, 4], torch.tensor([score for _, score in expected]), atol=1e-6)
    assert torch.equal(dets[:, :4], boxes[indices])


def test_roi_align_of_a_plane_is_the_plane_at_the_bin_centres():
    ys, xs = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    rois = torch.tensor([[0, 8.0, 6.0, 24.0, 18.0], [0, 4.0, 20.0, 12.0, 28.0]])
    pooled = ops.roi_align((2 * xs + 3 * ys)[None, None], rois, (3, 4), 0.5, 2, "avg", True)
    for roi, values in zip(rois.tolist(), pooled[:, 0]):
        _, x0, y0, x1, y1 = roi
        centre_x = 0.5 * (x0 + (torch.arange(4) + 0.5) * (x1 - x0) / 4) - 0.5
        centre_y = 0.5 * (y0 + (torch.arange(3) + 0.5) * (y1 - y0) / 3) - 0.5
        assert torch.allclose(values, 2 * centre_x[None] + 3 * centre_y[:, None], atol=1e-4)


@pytest.mark.parametrize(("sampling_ratio", "aligned"), [(2, True), (0, False)])
def test_roi_align_gradient(sampling_ratio, aligned):
    features = torch.rand(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 1.0, 2.0, 9.0, 8.0], [1, 0.0, 0.0, 12.0, 11.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: ops.roi_align(x, rois, (2, 2), 0.5, sampling_ratio, "avg", aligned), features
    )


def test_roi_align_by_maximum_names_itself():
    with pytest.raises(MissingOperatorError, match="pool_mode='max'"):
        ops.roi_align(torch.rand(1, 1, 4, 4), torch.tensor([[0, 0.0, 0, 2, 2]]), (2, 2), 1.0, 2, "max", True)


def test_deform_conv_without_offsets_is_a_convolution():
    x, weight = torch.rand(2, 4, 8, 9), torch.rand(6, 2, 3, 3)
    offset = torch.zeros(2, 2 * 2 * 9, 4, 5)
    out = ops.deform_conv2d(x, offset, weight, (2, 2), (2, 2), (2, 2), 2, 2)
    assert torch.allclose(out, F.conv2d(x, weight, None, 2, 2, 2, 2), atol=1e-5)


def test_deform_conv_reads_y_before_x():
    x = torch.arange(20.0).reshape(1, 1, 4, 5)
    offset = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 4, 5).contiguous()  # one cell down, two right
    out = ops.deform_conv2d(x, offset, torch.ones(1, 1, 1, 1))
    assert torch.equal(out[0, 0, :3, :3], x[0, 0, 1:, 2:])
    assert not out[0, 0, 3].any() and not out[0, 0, :, 3:].any()


def test_deform_conv_gradient():
    x = torch.rand(2, 4, 4, 5, dtype=torch.float64, requires_grad=True)
    offset = (0.2 + 0.5 * torch.rand(2, 2 * 2 * 6, 4, 5, dtype=torch.float64)).requires_grad_()
    weight = torch.rand(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)

    def call(*inputs):
        return ops.deform_conv2d(*inputs, (1, 1), (1, 1), (2, 1), 2, 2)

    assert torch.autograd.gradcheck(call, (x, offset, weight), fast_mode=True)


@pytest.mark.parametrize("with_bias", [True, False])
def test_modulated_deform_conv(with_bias):
    x, weight = torch.rand(2, 3, 6, 6), torch.rand(4, 3, 3, 3)
    bias = torch.rand(4) if with_bias else None
    offset, mask = torch.zeros(2, 18, 6, 6), torch.full((2, 9, 6, 6), 0.5)
    out = ops.modulated_deform_conv2d(x, offset, mask, weight, bias, 1, 1)
    assert torch.allclose(out, F.conv2d(x, weight * 0.5, bias, padding=1), atol=1e-5)
    inputs = [tensor.double().requires_grad_() for tensor in (x, 0.2 + 0.5 * torch.rand_like(offset), mask, weight)] + (
        [bias.double().requires_grad_()] if with_bias else []
    )
    assert torch.autograd.gradcheck(
        lambda *given: ops.modulated_deform_conv2d(*given[:4], given[4] if with_bias else None, 1, 1),
        inputs,
        fast_mode=True,
    )


def attention_inputs(dtype=torch.float32):
    shapes = torch.tensor([[4, 5], [2, 3]])
    value = torch.rand(2, 26, 2, 4, dtype=dtype)
    locations = torch.rand(2, 3, 2, 2, 4, 2, dtype=dtype) * 1.4 - 0.2  # some outside
    weights = torch.rand(2, 3, 2, 2, 4, dtype=dtype).flatten(-2).softmax(-1).unflatten(-1, (2, 4))
    return value, shapes, torch.tensor([0, 20]), locations, weights


def test_deformable_attention_reads_the_cell_at_its_centre():
    value, shapes, starts, locations, _ = attention_inputs()
    locations[..., 0, :, :] = torch.tensor([(2 + 0.5) / 5, (1 + 0.5) / 4])  # level 0, column 2, row 1
    weights = torch.zeros(2, 3, 2, 2, 4)
    weights[..., 0, 1] = 1.0
    out = extension.ms_deform_attn_forward(value, shapes, starts, locations, weights, im2col_step=64)
    assert torch.allclose(out, value[:, 1 * 5 + 2].flatten(1)[:, None].expand(2, 3, 8), atol=1e-6)


def test_deformable_attention_equals_the_version_of_mmcv_for_cpu():
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch,
    )

    value, shapes, starts, locations, weights = attention_inputs()
    out = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)
    assert torch.allclose(out, multi_scale_deformable_attn_pytorch(value, shapes, locations, weights), atol=1e-6)


def test_deformable_attention_gradient():
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    value, shapes, starts, locations, weights = attention_inputs(torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    assert torch.autograd.gradcheck(
        lambda v, xy, w: MultiScaleDeformableAttnFunction.apply(v, shapes, starts, xy, w, 64), inputs, fast_mode=True
    )


def test_focal_loss_equals_its_definition():
    logits, target = torch.randn(6, 3) * 3, torch.tensor([0, 1, 2, 3, 3, 0])  # 3 is background
    truth = F.one_hot(target, 4)[:, :3].float()
    p = logits.sigmoid()
    distance = torch.where(truth > 0, 1 - p, p)
    alpha = torch.where(truth > 0, 0.25, 0.75)
    expected = alpha * distance**2 * F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    assert torch.allclose(ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "none"), expected, atol=1e-6)
    rows = torch.tensor([0.5, 1.0, 2.0, 1.0])[target][:, None]  # background rows weigh 1
    weighted = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, torch.tensor([0.5, 1.0, 2.0]), "sum")
    assert torch.allclose(weighted, (expected * rows).sum(), atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_gradient(gamma):
    logits, target = torch.randn(5, 3, dtype=torch.float64, requires_grad=True), torch.tensor([0, 1, 2, 3, 1])
    weight = torch.rand(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: ops.sigmoid_focal_loss(x, target, gamma, 0.25, weight, "mean"), logits)


def test_focal_loss_stays_finite_at_the_ends():
    logits = torch.tensor([[200.0, -200.0]], dtype=torch.float16, requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([1]), 2.0, 0.25, None, "sum")
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def test_an_operator_that_is_not_supplied_names_itself_and_the_cure():
    with pytest.raises(MissingOperatorError, match=r"'box_iou_rotated'.*pip install .*onedl-mmcv") as caught:
        ops.box_iou_rotated(torch.rand(2, 5), torch.rand(3, 5))
    assert caught.value.operator == "box_iou_rotated"
    with pytest.raises(AttributeError, match="_private"):
        extension._private  # noqa: B018


def test_the_module_has_every_operator_we_claim():
    assert {name for name in OPERATORS if getattr(extension, name) is not OPERATORS[name]} == set()
    assert ops.get_compiler_version().startswith("none")
