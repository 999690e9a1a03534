"""The two networks: key layout, wiring, any input size."""

from __future__ import annotations

import pytest
import torch

from perception.errors import PerceptionError
from perception.plugins.lidar_bev.networks import WIDTHS, AutoencoderNet, MapEncoder, PyramidNet, fit, stack_maps

SMALL = (4, 6, 8, 8, 10, 12)


def touched(network: MapEncoder, size: tuple[int, int] = (104, 168)) -> set[str]:
    """Parameters that receive a gradient."""
    network.train()(torch.rand(1, network.frames, *size)).sum().backward()
    return {name for name, parameter in network.named_parameters() if parameter.grad is not None}


def test_published_layout():
    with torch.device("meta"):
        pyramid, autoencoder = PyramidNet(), AutoencoderNet()
    counts = [sum(p.numel() for p in network.parameters()) for network in (pyramid, autoencoder)]
    assert counts == [46_482_099, 27_607_363], "the figures of the published files"
    assert [len(network.state_dict()) for network in (pyramid, autoencoder)] == [252, 168]
    assert pyramid.widths == WIDTHS


def test_only_the_chained_decoder_uses_all_of_its_weights():
    network = PyramidNet(widths=SMALL, decoder="unchained")
    assert len(touched(network)) == 24
    assert touched(PyramidNet(widths=SMALL)) == {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize("size", [(64, 96), (128, 128), (200, 77), (104, 168)])
@pytest.mark.parametrize("skip", [False, True])
def test_any_size_of_at_least_64_keeps_its_size(size: tuple[int, int], skip: bool):
    x = torch.rand(2, 3, *size)
    for network in (PyramidNet(3, SMALL, 4), AutoencoderNet(3, SMALL, 2, skip=skip)):
        out = network.eval()(x)
        assert out.shape == (2, network.outputs, *size) and torch.isfinite(out).all()


def test_the_original_size_of_the_autoencoder_is_still_to_be_had():
    network = AutoencoderNet(widths=SMALL).eval()
    assert network(torch.rand(1, 16, 64, 96), raw_size=True).shape[2:] == (104, 104)
    legal = torch.rand(1, 16, 104, 168)
    assert torch.equal(network(legal), network(legal, raw_size=True))


def test_heads_and_norms():
    logits = PyramidNet(2, SMALL, 3, norm="group", head="logits")
    assert "upbn1_1.weight" not in logits.state_dict() and "bn1.running_mean" not in logits.state_dict()
    x = torch.rand(2, 2, 64, 64)
    torch.testing.assert_close(logits(x)[1:], logits(x[1:]), rtol=1e-4, atol=1e-5), "group norm ignores the batch"


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 3, 64, 64), "16, H, W"), ((16, 64, 64), "16, H, W"), ((1, 16, 63, 64), "at least 64")]
)
def test_wrong_inputs_are_named(shape: tuple[int, ...], message: str):
    with pytest.raises(PerceptionError, match=message):
        AutoencoderNet(widths=SMALL)(torch.zeros(shape))
    with pytest.raises(PerceptionError, match="unchained"):
        PyramidNet(widths=SMALL, decoder="sideways")  # type: ignore[arg-type]


def test_fit_crops_and_pads_and_lists_become_a_batch():
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert fit(x, (3, 2))[0, 0].tolist() == [[0, 1], [3, 4], [0, 0]]
    batch = stack_maps([torch.zeros(2, 2), torch.ones(2, 2)], torch.full((2, 2), 2.0))
    assert batch.shape == (1, 3, 2, 2) and batch[0, :, 0, 0].tolist() == [0, 1, 2]
