"""Networks: tiles equal the whole, gradients reach the pixels, pictures of any kind are counted."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from perception.cli import main
from perception.engine.checkpoint import load_weights
from perception.engine.inference import ready_to_run
from perception.errors import InputError, PerceptionError
from perception.plugins.crowd_counting import components  # noqa: F401
from perception.plugins.crowd_counting.blocks import ASPP, BaseConv
from perception.plugins.crowd_counting.images import read_image, to_rgb8
from perception.plugins.crowd_counting.stage import CrowdCountingStage
from perception.plugins.crowd_counting.tiles import spans, tiled_maps
from perception.registry import MODELS


def build(kind: str, **settings: Any):
    torch.manual_seed(0)
    return MODELS.build({"type": kind, **settings}).eval()


ENLARGED = 1.25
"""By how much the light network's config enlarges pictures."""


@pytest.fixture(scope="module")
def stage() -> CrowdCountingStage:
    torch.manual_seed(0)
    return CrowdCountingStage("crowd_counting/crowd_light_sim.py", camera="front")


def test_spans_cover_a_side_once():
    found = spans(1600, 512, 100, 16)
    assert [s.keep_begin for s in found[1:]] == [s.keep_end for s in found[:-1]]
    assert found[0].keep_begin == 0 and found[-1].keep_end == 1600
    assert all(s.begin % 16 == 0 and s.end - s.begin <= 512 + 32 for s in found)
    assert all(s.keep_begin - s.begin >= 100 or s.begin == 0 for s in found)
    with pytest.raises(PerceptionError, match="tile"):
        spans(1600, 200, 100, 16)


@torch.inference_mode()
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"calibrate": True},
        {"calibrate": True, "context": ((2, 1), (1, 1), (1,)), "width": 16, "mirror": True},
        {"surround": 3, "width": 16},
    ],
)
def test_tiles_of_the_light_network_equal_the_whole(settings: dict[str, Any]):
    model = build("CrowdLight", **settings)
    if model.gain is not None:
        torch.nn.init.normal_(model.gain[-1].weight)
    if model.surround is not None:
        torch.nn.init.normal_(model.surround.head[-1].weight)
    high, wide = 640, 1344
    image = torch.randn(1, 3, high, wide, generator=torch.Generator().manual_seed(1))
    whole = model.maps(image)
    assert whole.density.shape[2:] == (high // model.stride, wide // model.stride)
    density, attention = tiled_maps(model, lambda t, x, b, r: image[:, :, t:b, x:r], (wide, high), tile=768)
    np.testing.assert_allclose(density, whole.density[0, 0].numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(attention, whole.attention[0, 0].numpy(), rtol=1e-4, atol=1e-6)


@torch.inference_mode()
def test_halo_covers_what_the_shipped_network_looks_at():
    model = CrowdCountingStage("crowd_counting/crowd_light_sim.py", "crowd_light_sim.safetensors").model
    image = torch.randn(1, 3, 64, 2048, generator=torch.Generator().manual_seed(6))

    def density(beyond: int) -> torch.Tensor:  # of pixels 1024 to 1027, when all changes from so far away on
        picture = image.clone()
        picture[..., 1028 + beyond :] = 3.0
        return model.maps(picture).density[0, 0, 8, 256]

    whole = density(1020)
    torch.testing.assert_close(density(model.halo), whole, rtol=1e-6, atol=0)
    assert abs(density(320) - whole) > 1e-4 * whole


@torch.inference_mode()
def test_mirror_averages_both_readings():
    plain, model = build("CrowdLight"), build("CrowdLight", mirror=True)
    model.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    ways = plain.maps(image), plain.maps(image.flip(-1))
    found = model.maps(image)
    for ours, first, second in zip(found, *ways):
        torch.testing.assert_close(ours, (first + second.flip(-1)) / 2)
    torch.testing.assert_close(model.maps(image.flip(-1)).density, found.density.flip(-1))
    for net in (plain, model):
        net.train()
    torch.testing.assert_close(model.maps(image).density, plain.maps(image).density)


def test_context_names_three_strides():
    model = build("CrowdLight", context=((2,), (1, 1), (3,)))
    assert [len(blocks) for blocks in (model.context, model.context8, model.context4)] == [1, 2, 1]
    with pytest.raises(PerceptionError, match="strides 16, 8 and 4"):
        build("CrowdLight", context=(2, 4))


@torch.inference_mode()
def test_gain_multiplies_densities_and_begins_at_one():
    plain, model = build("CrowdLight"), build("CrowdLight", calibrate=True)
    model.load_state_dict(plain.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    before = plain.maps(image).density
    torch.testing.assert_close(model.maps(image).density, before)
    model.gain[-1].bias.fill_(10 * np.log(1.5))
    torch.testing.assert_close(model.maps(image).density, 1.5 * before)


@torch.inference_mode()
def test_surround_is_the_mean_of_features_where_people_are():
    surround = build("CrowdLight", surround=3, width=16).surround
    surround.head = torch.nn.Identity()
    features, people = torch.zeros(1, 32, 3, 5), torch.zeros(1, 1, 3, 5)
    features[..., 1], features[..., 2] = 1.0, 4.0
    people[..., 1], people[0, 0, 1, 2] = 0.1, 0.7
    found = surround(features, people)[0, 0]
    lone = surround.lone
    middle = (3 * (0.1 + lone) * 1 + (0.7 + 3 * lone) * 4) / (3 * (0.1 + lone) + (0.7 + 3 * lone) + 3 * lone)
    assert found[1, 1] == pytest.approx(middle, rel=1e-5)
    assert found[1, 4] == 0
    assert found[0, 0] == pytest.approx((0.1 + lone) / (0.1 + 2 * lone), rel=1e-5)  # nothing beyond the border counts


@torch.inference_mode()
def test_surround_multiplies_densities_and_begins_at_one():
    plain, model = build("CrowdLight", calibrate=True), build("CrowdLight", calibrate=True, surround=5)
    model.load_state_dict(plain.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    before = plain.maps(image).density
    torch.testing.assert_close(model.maps(image).density, before)
    model.gain[-1].bias.fill_(10 * np.log(2.0))
    model.surround.head[-1].bias.fill_(10 * np.log(1.5))
    torch.testing.assert_close(model.maps(image).density, 3 * before)
    with pytest.raises(PerceptionError, match="odd number"):
        build("CrowdLight", surround=4)


@torch.inference_mode()
def test_floor_fades_faint_cells():
    plain, model = build("CrowdLight"), build("CrowdLight", floor=0.01)
    model.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    for net in (plain, model):
        net.conv_out.bias.fill_(-4.0)
    before, after = plain.maps(image).density, model.maps(image).density
    torch.testing.assert_close(after, before / (1 + (0.01 / before) ** 2))
    assert (before < 0.005).any() and (after[before < 0.005] < before[before < 0.005] / 5).all()


@torch.inference_mode()
def test_tiles_of_m_sfanet_see_the_context_of_the_whole_picture():
    """With branches of small dilation, whose reach a small picture can hold; the rest is the published network."""
    model = build("M_SFANet")
    model.spm["assp"] = ASPP((1, 1, 2)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    image = torch.randn(1, 3, 32, 640, generator=torch.Generator().manual_seed(2))
    image[..., 320:] += 2.0  # halves that differ, so that averages of a tile are not those of the picture
    whole = model.maps(image)
    density, attention = tiled_maps(model, lambda t, x, b, r: image[:, :, t:b, x:r], (640, 32), tile=512, halo=176)
    for ours, expected in ((density, whole.density), (attention, whole.attention)):
        expected = expected[0, 0].numpy()
        assert np.abs(ours - expected).max() < 1e-3 * np.abs(expected).max()
    assert abs(density.sum() - whole.density.sum().item()) < 1e-3 * np.abs(density).sum()


@pytest.mark.parametrize("size", [(97, 131), (64, 64), (1, 1), (30, 500)])
def test_pictures_of_any_size(stage: CrowdCountingStage, size: tuple[int, int]):
    result = stage.count(np.full((*size, 3), 90, np.uint8))
    assert result.image_size == size[::-1]
    inside = [max(round(side * ENLARGED), 1) for side in size]  # pixels of the picture that the network sees
    assert result.density.shape == tuple(-(-side // stage.model.stride) for side in inside)
    assert result.attention.shape == result.density.shape
    assert result.stride == pytest.approx(stage.model.stride * size[1] / inside[1])


def test_grey_and_16_bit_pictures_count_like_their_colour_8_bit_form(stage: CrowdCountingStage):
    grey = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)
    expected = stage.count(np.repeat(grey[..., None], 3, axis=2)).density
    for other in (grey, grey[..., None], grey.astype(np.uint16) * 257, (grey / 255).astype(np.float64)):
        np.testing.assert_array_equal(stage.count(other).density, expected)
    with pytest.raises(PerceptionError, match="uint8"):
        stage.count(np.zeros((8, 8, 3), np.int64))
    with pytest.raises(PerceptionError, match="found"):
        to_rgb8(np.zeros((4, 4, 2), np.uint8))


def test_exif_rotation_is_applied(tmp_path):
    image = np.zeros((16, 32, 3), np.uint8)
    image[:8] = (255, 0, 0)
    code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(code[:2] + segment + code[2:])
    turned = read_image(tmp_path / "turned.jpg")  # orientation 6: turn clockwise, so the top goes to the right
    assert turned.shape == (32, 16, 3)
    assert turned[16, 12, 0] > 200 and turned[16, 3, 0] < 50
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 5), 257 * 77, np.uint16))
    assert (read_image(tmp_path / "deep.png") == 77).all()
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="decoded"):
        read_image(tmp_path / "broken.jpg")


def test_gradients_reach_the_pixels_and_agree_with_the_stage(stage: CrowdCountingStage):
    image = np.random.default_rng(3).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float().requires_grad_()
    maps = stage.maps_from_image(pixels)
    maps.density.sum().backward()
    assert pixels.grad.abs().sum() > 0 and torch.isfinite(pixels.grad).all()
    ours = stage.count(image)
    h, w = ours.density.shape
    # The stage rounds the enlarged picture to whole grey levels.
    np.testing.assert_allclose(maps.density[0, 0, :h, :w].detach(), ours.density, rtol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["M_SFANet", "M_SegNet", "M_SFANet_UCF_QNRF", "CrowdLight"])
def test_networks_ready_to_run_give_what_they_gave_before(kind: str):
    model, generator = build(kind), torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.05, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    image = torch.randn(1, 3, 64, 96, generator=generator)
    before = model.maps(image)
    for ours, theirs in zip(ready_to_run(model).maps(image), before):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert not any(module.use_norm for module in model.modules() if isinstance(module, BaseConv))
    assert kind != "CrowdLight" or not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def test_unused_batch_norm_of_published_checkpoints_is_accepted():
    keys = set(build("M_SegNet").state_dict())
    assert {"conv_out.bn.weight", "conv_out.bn.running_mean"} <= keys
    assert not any(".bn." in key for key in build("M_SegNet_UCF_QNRF").state_dict())


@pytest.mark.parametrize(("wrapper", "prefix"), [("model", "module."), ("model_state_dict", "")])
def test_published_files_convert(tmp_path, capsys, wrapper, prefix):
    model = build("M_SegNet")
    state = {f"{prefix}{key}": value for key, value in model.state_dict().items() if "num_batches" not in key}
    torch.save({wrapper: state, "epoch": 3, "mae": 6.8}, tmp_path / "published.pth")
    out = tmp_path / "ours.safetensors"
    assert main(["convert", str(tmp_path / "published.pth"), "--plugin", "crowd_counting", "--out", str(out)]) == 0
    assert "crowd_counting/m_segnet_sh" in capsys.readouterr().out
    copy = build("M_SegNet")
    torch.nn.init.zeros_(copy.conv_out.conv.weight)
    load_weights(copy, out)
    torch.testing.assert_close(copy.conv_out.conv.weight, model.conv_out.conv.weight)
