"""A few damaged inputs for every reader, and the fuzzer's own promises."""

from __future__ import annotations

import os
import signal
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.fuzz import Reader, fuzz, mutate
from perception.fuzz.readers import READERS


@pytest.mark.parametrize("name", READERS)
def test_readers_read_the_valid_inputs_and_refuse_damaged_ones(name: str, tmp_path: Path) -> None:
    if name == "argoverse2":
        pytest.importorskip("pyarrow", reason="pyarrow (extra `drives`) is not installed")
    reader = READERS[name]
    reader.make(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        reader.read(path)
    outcome = fuzz(reader, 8, seed=20260101)
    assert outcome.inputs == 8 and not outcome.failures, outcome.failures


def test_mutations_are_seeded() -> None:
    data = bytes(range(256)) * 4
    first = [mutate(data, np.random.default_rng([3, n])) for n in range(20)]
    assert first == [mutate(data, np.random.default_rng([3, n])) for n in range(20)]
    assert len(set(first)) > 15 and mutate(b"", np.random.default_rng(0)) is not None


def behave(path: Path) -> None:
    number = zlib.crc32(path.read_bytes()) % 6
    if number == 1:
        raise InputError(path, "", "something else")
    if number == 2:
        raise KeyError("lost")
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    while number == 4:
        pass
    if number == 5:
        np.ones(1 << 29)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches the test also where a shell in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_stopped_run_gives_what_it_has(tmp_path: Path, interruptible: None) -> None:
    seen = tmp_path / "seen"

    def read(path: Path) -> None:
        with seen.open("a") as file:
            file.write(".")
        if seen.stat().st_size == 3:
            os.kill(os.getppid(), signal.SIGINT)

    outcome = fuzz(Reader("stop", lambda folder: folder.joinpath("a").write_bytes(bytes(64)) and None, read), 10**4)
    assert outcome.stopped and 2 <= outcome.inputs < 10**4 and not outcome.failures


def test_a_reader_that_waits_is_given_more_time_than_one_that_computes(tmp_path: Path) -> None:
    """A machine that is busy with something else makes readers slow, not wrong; one that never comes back is."""

    def read(path: Path) -> None:
        time.sleep(0.5 if not (tmp_path / "slept").exists() else 60)
        (tmp_path / "slept").touch()

    reader = Reader("waits", lambda folder: folder.joinpath("a").write_bytes(bytes(64)) and None, read)
    outcome = fuzz(reader, 2, timeout_s=0.2)
    assert outcome.read == 1 and [failure.kind for failure in outcome.failures] == ["hang"]


def test_every_way_to_fail_is_noticed(tmp_path: Path) -> None:
    reader = Reader("behave", lambda folder: folder.joinpath("a").write_bytes(bytes(64)) and None, behave)
    outcome = fuzz(reader, 30, timeout_s=0.5, memory=1 << 28, keep=tmp_path)
    kinds = {failure.kind for failure in outcome.failures}
    assert kinds == {"exception", "crash", "hang", "memory"} and outcome.read and outcome.refused
    assert (tmp_path / "behave" / str(outcome.failures[0].number) / "a").exists()
