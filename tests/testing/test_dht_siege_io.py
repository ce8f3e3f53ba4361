"""Attacks over sockets: what is told of a node that bears them, and of those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.testing.dht_siege_io import SocketAttacker
from udp_node import node, right


def test_a_node_that_bears_it_is_said_to() -> None:
    """What was sent and what came back is counted, and then it answers."""
    with node(right) as address, SocketAttacker(address, "127.0.70.1") as attacker:
        assert attacker.answers() is not None
        siege = attacker.attack("noise")
    assert siege.sent > 10_000
    assert siege.back_after is not None
    assert str(siege).startswith("noise: ")
    assert "answers after" in str(siege)


def test_one_that_falls_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here by a list too deep for its stack."""

    def brittle(datagram: bytes) -> list[bytes]:
        if b"llll" in datagram:
            raise RecursionError
        return right(datagram)

    monkeypatch.setattr("anabranch.testing.dht_siege_io._TRIES", 1)
    with node(brittle) as address, SocketAttacker(address, "127.0.71.1") as attacker:
        assert attacker.answers() is not None
        siege = attacker.attack("deep")
    assert siege.back_after is None
    assert "does not answer any more" in str(siege)


def test_one_that_amplifies_is_found() -> None:
    """It answers a victim with twenty times what came in its name."""
    with node(lambda datagram: right(datagram) * 20) as address, SocketAttacker(address, "127.0.72.1") as attacker:
        siege = attacker.attack("short-reflection")
    assert siege.amplified > 3


def test_sockets_are_closed_after_each_attack() -> None:
    """Forty attacks would not fit the limit of descriptors otherwise."""
    with node(right) as address, SocketAttacker(address, "127.0.73.1") as attacker:
        first = _open_descriptors()
        attacker.attack("long-numbers")
        assert _open_descriptors() == first


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
