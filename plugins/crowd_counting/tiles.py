"""Density of pictures of any size in bounded memory, equal to that of the whole picture up to rounding.

Tiles overlap by the network's halo, and only the part of a tile that the halo does not reach is kept. Two things depend
on the whole picture and are handled exactly: the averages of M-SFANet's context modules, which a first pass over the
tiles gathers, and the sampling positions of up-sampling with aligned corners, which follow from where a tile lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from perception.errors import PerceptionError

from .base import CrowdMaps, CrowdModel
from .blocks import Context, Window

Reader = Callable[[int, int, int, int], Tensor]
"""(top, left, bottom, right) -> normalised image part (1, 3, h, w)."""


class Span(NamedTuple):
    """One side of a tile: what the network sees, and what of it is kept."""

    begin: int
    end: int
    keep_begin: int
    keep_end: int


def spans(length: int, tile: int, halo: int, multiple: int) -> list[Span]:
    """Cut a side into tiles whose borders are multiples of ``multiple``; ``length`` is one as well."""
    core = tile - 2 * halo
    if core < multiple:
        raise PerceptionError(f"tile: expected more than {2 * halo + multiple} pixels for this network, found {tile}")
    core = core // multiple * multiple
    reach = -(-halo // multiple) * multiple
    if length <= tile:
        return [Span(0, length, 0, length)]
    return [
        Span(max(first - reach, 0), min(first + core + reach, length), first, min(first + core, length))
        for first in range(0, length, core)
    ]


def tiled_maps(
    model: CrowdModel, read: Reader, size: tuple[int, int], tile: int | None = None, halo: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Density and attention of a picture, tile by tile.

    Args:
        model: A network in evaluation mode.
        read: Gives parts of the normalised picture.
        size: (width, height), multiples of ``model.multiple``.
        tile: Largest side of a tile, pixels; the network's own when None.
        halo: Overlap; the network's own when None.

    Returns:
        (h, w) float32 density and attention (None where the network has none).
    """
    halo = model.halo if halo is None else halo
    tile = model.tile if tile is None else tile
    rows, columns = (spans(side, tile, halo, model.multiple) for side in size[::-1])
    if len(rows) == len(columns) == 1:
        maps = model.maps(read(0, 0, size[1], size[0]))
        return _array(maps.density), None if maps.attention is None else _array(maps.attention)
    context = _context(model, read, rows, columns, size) if hasattr(model, "context_features") else None
    stride = model.stride
    density = np.zeros((size[1] // stride, size[0] // stride), np.float32)
    attention: np.ndarray | None = None
    for down, across in _tiles(rows, columns):
        part = read(down.begin, across.begin, down.end, across.end)
        maps = _tile(model, part, context, Window(down.begin, across.begin, size[1], size[0]))
        place = tuple(slice(s.keep_begin // stride, s.keep_end // stride) for s in (down, across))
        inner = tuple(
            slice((s.keep_begin - s.begin) // stride, (s.keep_end - s.begin) // stride) for s in (down, across)
        )
        density[place] = _array(maps.density)[inner]
        if maps.attention is not None:
            attention = np.zeros_like(density) if attention is None else attention
            attention[place] = _array(maps.attention)[inner]
    return density, attention


def _tile(model: CrowdModel, part: Tensor, context: Context | None, window: Window) -> CrowdMaps:
    if context is None:
        return model.maps(part)
    return model.tile_maps(part, context, window)  # type: ignore[operator]


def _tiles(rows: list[Span], columns: list[Span]) -> Iterator[tuple[Span, Span]]:
    return ((down, across) for down in rows for across in columns)


def _array(maps: Tensor) -> np.ndarray:
    return maps[0, 0].float().cpu().numpy()


def _context(model: CrowdModel, read: Reader, rows: list[Span], columns: list[Span], size: tuple[int, int]) -> Context:
    """First pass: averages over the whole picture of what the context modules pool."""
    scales = model.spm["can"].sizes  # type: ignore[index]
    shape = (size[1] // 8, size[0] // 8)
    bins = {s: tuple(_bins(side, s) for side in shape) for s in scales}
    sums: dict[int, Tensor] = {}
    overall: Tensor | None = None
    for down, across in _tiles(rows, columns):
        fine, coarse = model.context_features(read(down.begin, across.begin, down.end, across.end))  # type: ignore
        fine, coarse = (
            features[
                :, :, (down.keep_begin - down.begin) // stride : (down.keep_end - down.begin) // stride,
                (across.keep_begin - across.begin) // stride : (across.keep_end - across.begin) // stride,
            ].double()
            for features, stride in ((fine, 8), (coarse, 16))
        )  # fmt: skip
        total = coarse.sum((2, 3), keepdim=True)
        overall = total if overall is None else overall + total
        for s in scales:
            first, second = (
                torch.from_numpy(table[:, span.keep_begin // 8 : span.keep_end // 8]).to(fine.device)
                for table, span in zip(bins[s], (down, across))
            )
            part = first @ fine @ second.T
            sums[s] = part if s not in sums else sums[s] + part
    assert overall is not None
    dtype = next(model.parameters()).dtype
    count = (size[1] // 16) * (size[0] // 16)
    return Context(tuple(sums[s].to(dtype) for s in scales), (overall / count).to(dtype))


def _bins(length: int, parts: int) -> np.ndarray:
    """(parts, length) weights of adaptive average pooling along one side."""
    table = np.zeros((parts, length))
    for part in range(parts):
        begin, end = part * length // parts, -(-(part + 1) * length // parts)
        table[part, begin:end] = 1 / (end - begin)
    return table
