"""Seeded damage to bytes: what disks, networks, interrupted copies and careless exporters do, and worse."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

__all__ = ["mutate"]

_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_TOKENS = (
    b"nan", b"-inf", b"1e999", b"-1", b"0", b"99999999999999999999", b"null", b"true", b'""', b"[]", b"{}", b"\xff\xfe",
    b"../../../etc/passwd", b"[[[[[[[[", b"!!python/object/apply:os.system", b"&a *a", b"\0", b"-", b'"x"', b"1.5",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
Mutation = Callable[[bytearray, np.random.Generator], bytearray]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four mutations of a file; the same generator state gives the same bytes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        out = _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](out, rng)
    return bytes(out)


def _span(data: bytearray, rng: np.random.Generator, most: int = 256) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(start + int(rng.integers(1, most)), len(data))


def _flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(0, max(len(data), 1), int(rng.integers(1, 9))) if data else ():
        data[int(place)] ^= 1 << int(rng.integers(8))
    return data


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(len(data) + 1))]


def _remove(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, end = _span(data, rng, 1024)
    return data[:start] + data[end:]


def _repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 5)) + data[end:]


def _noise(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, end = _span(data, rng)
    return data[:start] + rng.bytes(end - start) + data[end:]


def _zeros(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, end = _span(data, rng, 4096)
    return data[:start] + bytes(end - start) + data[end:]


def _integer(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A length, count or offset field set to a limit."""
    size = int(rng.choice((1, 2, 4, 8)))
    value = _INTEGERS[int(rng.integers(len(_INTEGERS)))] & (2 ** (8 * size) - 1)
    start = int(rng.integers(max(len(data) - size, 0) + 1))
    order = "little" if rng.random() < 0.8 else "big"
    return data[:start] + value.to_bytes(size, order) + data[start + size :]  # type: ignore[arg-type]


def _number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A number written as text replaced by something else; other data gets a token somewhere."""
    found = list(_NUMBER.finditer(bytes(data[:200_000])))
    token = _TOKENS[int(rng.integers(len(_TOKENS)))]
    if not found:
        start = int(rng.integers(len(data) + 1))
        return data[:start] + token + data[start:]
    match = found[int(rng.integers(len(found)))]
    return data[: match.start()] + token + data[match.end() :]


def _swap(data: bytearray, rng: np.random.Generator) -> bytearray:
    first, second = sorted((_span(data, rng), _span(data, rng)))
    if first[1] > second[0]:
        return data
    return (
        data[: first[0]] + data[second[0] : second[1]] + data[first[1] : second[0]]
        + data[first[0] : first[1]] + data[second[1] :]
    )  # fmt: skip


_MUTATIONS: tuple[Mutation, ...] = (
    _flip, _flip, _cut, _remove, _repeat, _noise, _zeros, _integer, _integer, _number, _number, _swap,
)  # fmt: skip
