"""Shared fixtures: fixed seeds, one torch thread, no network, and the recordings that live outside the repository."""

from __future__ import annotations

import ipaddress
import os
import random
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perception.cpu_kernels import use_avx2_kernels

# Read by the OpenMP runtimes when torch, numpy and scipy load them, so it has to stand before the first such import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
use_avx2_kernels()  # the same rounding on every machine

SEED = 20260101
REPOSITORY = Path(__file__).resolve().parent.parent


def _outside_data(variable: str, folder: str) -> Path:
    """Returns the folder of data that is not in the repository, or skips the test and says what is missing."""
    path = Path(os.environ.get(variable) or REPOSITORY.parent / "shared" / folder)
    if not path.is_dir():
        pytest.skip(f"{folder} data not found at {path}: set {variable} to their folder")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout under test."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings (``PERCEPTION_REAL``, else ``../shared/real``); skips the test when absent."""
    return _outside_data("PERCEPTION_REAL", "real")


@pytest.fixture(scope="session")
def golden_data() -> Path:
    """Folder of parity data (``PERCEPTION_GOLDEN``, else ``../shared/golden``); skips the test when absent."""
    return _outside_data("PERCEPTION_GOLDEN", "golden")


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    """Seeds every generator in use; torch is touched only when something imported it already."""
    random.seed(SEED)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(SEED)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.manual_seed(SEED)
        torch.set_num_threads(1)


def _is_local(address: Any) -> bool:
    """Tells whether a socket address stays on this machine (loopback, ``localhost`` or a unix socket path)."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Refuses connections that leave this machine, so that no test depends on a download."""

    def guarded(name: str) -> Any:
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if not _is_local(address):
                raise RuntimeError(f"tests must not use the network: connection to {address!r} refused")
            return original(self, address)

        return connect

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded("connect"))
        patch.setattr(socket.socket, "connect_ex", guarded("connect_ex"))
        yield


@pytest.fixture
def in_processes(tmp_path: Path) -> Callable[[int, Callable[[], None]], None]:
    """Runs a function in several forked processes of one torch.distributed group on this machine; all must succeed."""

    def start(count: int, work: Callable[[], None]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(count):
            child = os.fork()
            if child == 0:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                code = 1
                try:
                    work()
                    code = 0
                except BaseException:
                    (tmp_path / f"error{rank}").write_text(traceback.format_exc())
                finally:
                    os._exit(code)
            children.append(child)
        states = [os.waitpid(child, 0)[1] for child in children]
        assert states == [0] * count, [path.read_text() for path in tmp_path.glob("error*")]

    return start
