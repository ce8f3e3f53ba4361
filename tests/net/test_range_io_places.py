"""Where whoever reads ranges is sent and does not go: into our own network, in circles, elsewhere with a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from anabranch.model import Address, InputRefused
from anabranch.net import NetworkFailed, Trouble
from loops import Run
from net.raw_server import (
    BODY,
    EVIL,
    SECRET,
    Caller,
    RawServer,
    answering,
    descriptors,
    got,
    moved,
    names,
    reply,
)


@pytest.fixture
def no_leak(run: Run[Any]) -> Iterator[None]:
    """The test leaves no descriptor open, beside those that a first loop of a kind opens for good."""
    run(asyncio.sleep(0))
    before = descriptors()
    yield
    assert descriptors() <= before


@pytest.fixture
def as_if_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 counts as a place in the Internet; 127.0.0.2 stays at home."""
    from anabranch.net import http_walk_io, urls

    def is_public(address: Address) -> bool:
        return address.host == "127.0.0.1"

    monkeypatch.setattr(urls, "is_public", is_public)
    monkeypatch.setattr(http_walk_io, "is_public", is_public)


INSIDE = [
    "http://127.0.0.2:{port}/x",
    "http://public.example@127.0.0.2:{port}/x",
    "http://127.0.0.1@127.0.0.2:{port}/x",
    "//127.0.0.2:{port}/x",
    "http://[::ffff:127.0.0.2]:{port}/x",
    "http://[::ffff:7f00:2]:{port}/x",
    "http://2130706434:{port}/x",
    "http://0x7f000002:{port}/x",
    "http://0x7f.2:{port}/x",
    "http://0177.0.0.2:{port}/x",
    "http://127.2:{port}/x",
    "http://0.0.0.0:{port}/x",
    "http://0:{port}/x",
    "http://[::]:{port}/x",
    "http://[::1]:{port}/x",
    "http://localhost:{port}/x",
    "http://inside.example:{port}/x",
    "http://\u24d8nside.example:{port}/x",
    "http://169.254.169.254/latest/meta-data",
    "http://[fe80::1]/x",
]


@pytest.mark.usefixtures("as_if_public", "no_leak")
@pytest.mark.parametrize("location", INSIDE)
@pytest.mark.parametrize("trusted", [False, True])
def test_nobody_outside_sends_us_inside_however_the_place_is_spelt(run: Run[Any], location: str, trusted: bool) -> None:
    """Not even where the user typed the first URL: this one was not typed."""
    resolve = names(inside_example="127.0.0.2", localhost="127.0.0.2", **{"0": "0.0.0.0"})
    with RawServer(answering(EVIL), host="127.0.0.2") as inside:
        there = location.format(port=inside.port).encode().decode("latin-1")
        with (
            RawServer(answering(moved(there))) as server,
            pytest.raises(NetworkFailed) as caught,
        ):
            run(got(f"{server.url}/{SECRET}", resolve=resolve, trusted=trusted))
        assert caught.value.trouble in (Trouble.FORBIDDEN, Trouble.REDIRECT)
        assert SECRET not in str(caught.value)
        assert inside.connections == 0


@pytest.mark.usefixtures("as_if_public")
def test_a_way_through_many_public_servers_is_still_from_outside(run: Run[Any]) -> None:
    """Public, public, inside; and a second address of a name, of which one is inside, is not tried either."""
    resolve = names(inside_example="127.0.0.2", mixed_example="127.0.0.2 127.0.0.1")
    with RawServer(answering(EVIL), host="127.0.0.2") as inside:
        there = f"http://inside.example:{inside.port}/x"
        with (
            RawServer(answering(moved(there))) as second,
            RawServer(answering(moved(f"{second.url}/s"))) as first,
            pytest.raises(NetworkFailed, match="outside"),
        ):
            run(got(f"{first.url}/f", resolve=resolve))
        with (
            RawServer(answering(reply())) as honest,
            RawServer(answering(moved(f"http://mixed.example:{honest.port}/"))) as first,
        ):
            assert run(got(f"{first.url}/f", resolve=resolve)) == BODY
        assert inside.connections == 0


def test_a_way_that_has_no_end_is_left(run: Run[Any]) -> None:
    """After a few steps, whether it goes in circles or on and on."""
    seen = 0

    def script(caller: Caller) -> None:
        nonlocal seen
        while caller.head():
            seen += 1
            caller.say(moved(f"/{seen}"))

    with RawServer(script) as server, pytest.raises(NetworkFailed) as caught:
        run(got(f"{server.url}/a"))
    assert caught.value.trouble is Trouble.REDIRECT
    assert seen <= 6


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "http://", "http://[", "\x00", "http://a b/"],
)
def test_a_way_to_what_is_not_http_is_not_gone(run: Run[Any], location: str) -> None:
    """HTTP, or nothing."""
    with RawServer(answering(moved(location))) as server, pytest.raises(NetworkFailed) as caught:
        run(got(f"{server.url}/{SECRET}"))
    assert caught.value.trouble in (Trouble.REDIRECT, Trouble.PROTOCOL)


def test_a_location_writes_no_header(run: Run[Any]) -> None:
    """Line ends in a Location stay escaped, or are escaped: nobody else writes our requests."""
    heads: list[str] = []

    def script(caller: Caller) -> None:
        while head := caller.head():
            heads.append(head)
            caller.say(reply() if "/b" in head else moved("/b%0d%0aX-Evil:%20y X: \xff z"))

    with RawServer(script) as server:
        assert run(got(f"{server.url}/a")) == BODY
    assert "x-evil" not in [line.partition(":")[0].lower() for head in heads for line in head.split("\r\n")]
    assert heads[1].split("\r\n")[0].count(" ") == 2
    assert heads[1].isascii()


@pytest.mark.parametrize("other", ["127.0.0.2", "port", "name"])
def test_another_server_hears_no_secret_of_the_first(run: Run[Any], other: str) -> None:
    """Neither the login, nor the user's headers; where the way leads back, they are not taken up again."""
    seen: list[str] = []

    def second(caller: Caller) -> None:
        while head := caller.head():
            seen.append(head)
            caller.say(reply())

    resolve = names(first_example="127.0.0.1", second_example="127.0.0.1")
    with RawServer(second, host="127.0.0.2" if other == "127.0.0.2" else "127.0.0.1") as there:
        place = {"127.0.0.2": there.url, "port": there.url, "name": f"http://second.example:{there.port}"}[other]
        with RawServer(answering(moved(f"{place}/x"))) as server:
            url = f"http://me:{SECRET}@{'first.example' if other == 'name' else '127.0.0.1'}:{server.port}/a"
            assert run(got(url, resolve=resolve, headers={"X-Key": SECRET, "Cookie": SECRET}, trusted=True)) == BODY
    assert len(seen) == 1
    assert SECRET not in seen[0]
    assert "authorization" not in seen[0].lower()
    assert "referer" not in seen[0].lower()


def test_headers_that_would_be_two_are_refused(run: Run[Any]) -> None:
    """A user's header with a line end in it; before anything is sent."""
    with RawServer(answering(reply())) as server:
        for headers in (
            {"X": "a\r\nEvil: b"},
            {"X\r\nEvil": "b"},
            {"X": "a\nEvil: b"},
            {"X": "a\0b"},
            {"X: y\r\n": ""},
        ):
            with pytest.raises((InputRefused, NetworkFailed)):
                run(got(f"{server.url}/a", headers=headers))
        assert server.heads == []
        assert run(got(f"http://me%0d%0aX:y@127.0.0.1:{server.port}/", trusted=True)) == BODY


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "public.example@127.0.0.1"]
)
def test_a_web_seed_in_our_own_network_has_no_query_however_its_host_is_spelt(run: Run[Any], host: str) -> None:
    """Unless the user named it, or switched the rule off."""
    with RawServer(answering(reply())) as server:
        url = f"http://{host}:{server.port}/x"
        assert run(got(url)) == BODY
        before = server.connections
        with pytest.raises(NetworkFailed) as caught:
            run(got(f"{url}?{SECRET}"))
        assert caught.value.trouble is Trouble.FORBIDDEN
        assert SECRET not in str(caught.value)
        assert server.connections == before
        assert run(got(f"{url}?y", trusted=True)) == run(got(f"{url}?y", mitigate=False)) == BODY


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "0", "[::]", "169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "224.0.0.1"]
)
def test_what_is_for_nobody_is_not_asked_even_if_the_user_says_so(run: Run[Any], host: str) -> None:
    """Trusted, or with the rules off."""
    with RawServer(answering(reply())) as server:
        for mitigate in (True, False):
            with pytest.raises(NetworkFailed) as caught:
                run(got(f"http://{host}:{server.port}/x", trusted=True, mitigate=mitigate))
            assert caught.value.trouble is Trouble.FORBIDDEN
        assert server.connections == 0


def test_a_name_is_looked_up_once_and_of_its_addresses_those_are_asked_that_may_be(run: Run[Any]) -> None:
    """What was judged is connected to, not what the name says a moment later."""
    lookups: list[str] = []

    async def rebinding(host: str, port: int) -> list[Address]:
        lookups.append(host)
        first = ["169.254.169.254", "0.0.0.0", "127.0.0.1"]
        return [Address(one, port) for one in (first if len(lookups) == 1 else ["127.0.0.2"])]

    with RawServer(answering(reply())) as server, RawServer(answering(EVIL), "127.0.0.2", server.port) as other:
        assert run(got(f"http://a.example:{server.port}/x", resolve=rebinding)) == BODY
        assert (lookups, other.connections) == (["a.example"], 0)
