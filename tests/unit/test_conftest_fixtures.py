from __future__ import annotations

import random
import socket

import pytest


def test_connections_outside_are_refused():
    with pytest.raises(RuntimeError, match="must not use the network"):
        socket.create_connection(("192.0.2.1", 9), timeout=1)


def test_loopback_connections_work():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as c,
    ):
        assert c.getpeername() == server.getsockname()


@pytest.mark.parametrize("_", [0, 1])
def test_every_test_starts_from_the_same_seed(_):
    assert random.random() == random.Random(20260101).random()
