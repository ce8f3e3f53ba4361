"""Names to addresses. Only names that need no server are asked for."""

from __future__ import annotations

import asyncio
import socket

import pytest

from anabranch.model import Address
from anabranch.net import NotResolved, resolve, resolve_soon

NO_NAMES = ["a..b", "x" * 300, "nul\0byte", "host.invalid"]


def test_an_address_is_its_own_answer() -> None:
    """No look-up for what is an address already; an IPv4 address in IPv6 clothes is IPv4."""
    assert resolve("127.0.0.1", 80) == [Address("127.0.0.1", 80)]
    assert resolve("0:0::1", 80) == [Address("::1", 80)]
    assert asyncio.run(resolve_soon("::ffff:10.0.0.1", 80)) == [Address("10.0.0.1", 80)]


def test_a_name_gives_each_address_once_with_the_port() -> None:
    """localhost is known to every system, as one address or two."""
    found = resolve("localhost", 6881)
    assert Address("127.0.0.1", 6881) in found or Address("::1", 6881) in found
    assert len(set(found)) == len(found)
    assert asyncio.run(resolve_soon("localhost", 6881)) == found


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_has_no_address_is_told_with_the_reason(name: str) -> None:
    """Whatever the resolver raises comes as one error that names the host."""
    with pytest.raises(NotResolved) as told:
        resolve(name, 80)
    assert told.value.host == name
    assert told.value.reason
    with pytest.raises(NotResolved):
        asyncio.run(resolve_soon(name, 80))


@pytest.mark.parametrize(("number", "gone"), [(socket.EAI_NONAME, True), (socket.EAI_AGAIN, False)])
def test_a_name_that_is_gone_is_told_from_a_server_that_is(
    monkeypatch: pytest.MonkeyPatch, number: int, gone: bool
) -> None:
    """What was known of it may serve on, or not."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "the system's words")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(NotResolved, match=r"^a\.example: the system's words$") as told:
        resolve("a.example", 80)
    assert told.value.gone is gone
    with pytest.raises(NotResolved) as told:
        asyncio.run(resolve_soon("a.example", 80))
    assert told.value.gone is gone
