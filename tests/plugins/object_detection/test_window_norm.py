"""Group norm over a window, by definition."""

from __future__ import annotations

import pytest
import torch

from perception.errors import PerceptionError
from perception.plugins.object_detection.window_norm import WindowGroupNorm


def make(window: int) -> tuple[WindowGroupNorm, torch.nn.GroupNorm]:
    torch.manual_seed(0)
    ours, plain = WindowGroupNorm(6, num_groups=2, window=window), torch.nn.GroupNorm(2, 6)
    for norm in (ours, plain):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
        torch.nn.init.uniform_(norm.bias, generator=torch.Generator().manual_seed(2))
    return ours, plain


def test_a_map_that_fits_is_normalised_as_a_whole():
    ours, plain = make(9)
    x = torch.randn(2, 6, 9, 7)
    assert torch.equal(ours(x), plain(x)) and set(ours.state_dict()) == set(plain.state_dict())


def test_each_cell_of_a_larger_map_sees_its_window():
    ours, plain = make(5)
    x = torch.randn(1, 6, 12, 11) * 3 + 1
    found = ours(x)
    for row, column in ((6, 5), (0, 0), (11, 4)):
        top, left = max(row - 2, 0), max(column - 2, 0)
        part = x[:, :, top : row + 3, left : column + 3]
        expected = plain(part)[0, :, row - top, column - left]
        torch.testing.assert_close(found[0, :, row, column], expected, rtol=1e-4, atol=1e-4)


def test_what_is_far_away_does_not_matter():
    ours, _ = make(5)
    x = torch.randn(1, 6, 20, 20)
    y = x.clone()
    y[..., 12:] += 50
    torch.testing.assert_close(ours(x)[..., :9], ours(y)[..., :9])


def test_an_even_window_is_refused():
    with pytest.raises(PerceptionError, match="odd"):
        WindowGroupNorm(6, num_groups=2, window=4)
