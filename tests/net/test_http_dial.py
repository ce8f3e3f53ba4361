"""Ways to servers: direct, through a proxy's tunnel, secure; and the words where there is none."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from anabranch.model import Address
from anabranch.net import NetworkFailed, Trouble, connect_to, parse_url, system_tls
from anabranch.net.http_dial_io import NotConnected, in_words
from loops import Run
from net.certificates import contexts
from net.raw_server import Caller, RawServer, descriptors
from small_servers import ProxyServer


class Talk(asyncio.Protocol):
    """Says a word, and hears the rest of what is said to it."""

    def __init__(self) -> None:
        self.heard = b""
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        transport.write(b"word\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)


def echo(caller: Caller) -> None:
    caller.say(b"heard " + caller.head().strip().encode())


@pytest.mark.parametrize("scheme", ["ws", "http", "wss", "https"])
@pytest.mark.parametrize("proxied", [False, True])
def test_a_protocol_of_anybodys_speaks_with_the_server(
    run: Run[Any], scheme: str, proxied: bool, tmp_path: Path
) -> None:
    """Straight, or through a tunnel; with TLS where the scheme says so, by the name in the URL."""
    theirs, ours = contexts(tmp_path)
    secure = scheme in ("https", "wss")

    async def work(server: RawServer, proxy: ProxyServer | None) -> bytes:
        talk = await connect_to(
            parse_url(f"{scheme}://localhost:{server.port}/x", (scheme,)),
            Address("127.0.0.1", (proxy or server).port),
            Talk,
            proxy=parse_url(proxy.url, ("http",)) if proxy else None,
            tls=ours,
            user_agent="Test/1.0",
            always_tunnel=True,
        )
        await talk.over
        return talk.heard

    with (
        RawServer(echo, tls=theirs if secure else None) as server,
        ProxyServer({"localhost": "127.0.0.1"}, login="me:pass") as proxy,
    ):
        assert run(work(server, proxy if proxied else None)) == b"heard word"
        assert [head.split("\r\n")[0] for head in proxy.heads] == (
            [f"CONNECT localhost:{server.port} HTTP/1.1"] if proxied else []
        )


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"days": (-2, -1)}, "it has expired"),
        ({"days": (1, 2)}, "it is not valid yet"),
        ({"host": "other.example"}, "it is for another name"),
        ({"vouched": True}, None),
    ],
    ids=["old", "early", "name", "good"],
)
def test_a_certificate_is_refused_in_words_that_say_why(
    run: Run[Any], flaw: dict[str, Any], words: str | None, tmp_path: Path
) -> None:
    """So that its owner can be told what to mend."""
    theirs, ours = contexts(tmp_path, **flaw)
    assert told(run, theirs, ours) == (words and f"the server's certificate was refused: {words}")


def test_who_vouches_for_itself_and_whose_authority_is_unknown_are_told_apart(run: Run[Any], tmp_path: Path) -> None:
    """The one is somebody's own server, the other one that shows no chain, or an old system here."""
    stranger = ssl.create_default_context()
    alone, _ = contexts(tmp_path)
    assert "self-signed" in str(told(run, alone, stranger))
    vouched, _ = contexts(tmp_path, vouched=True)
    assert "authority is not known here" in str(told(run, vouched, stranger))


def told(run: Run[Any], theirs: ssl.SSLContext, ours: ssl.SSLContext) -> str | None:
    """What is said of a server's certificate, up to a remark in brackets."""

    async def work(port: int) -> NetworkFailed | None:
        try:
            talk = await connect_to(
                parse_url(f"https://localhost:{port}/s3cret99", ("https",)), Address("127.0.0.1", port), Talk, tls=ours
            )
        except NetworkFailed as refusal:
            return refusal
        await talk.over
        return None

    with RawServer(echo, tls=theirs) as server:
        refusal: NetworkFailed | None = run(work(server.port))
    if refusal is None:
        return None
    assert refusal.trouble is Trouble.TLS
    assert "s3cret99" not in str(refusal)
    return str(refusal).partition(" (")[0]


def test_another_address_may_do_unless_this_one_has_said_no(run: Run[Any], tmp_path: Path) -> None:
    """What was not connected is told apart from what was refused; errors of OpenSSL's and the system's have words."""
    with RawServer(echo) as server:
        port = server.port
    url = parse_url(f"http://a.example:{port}/", ("http",))
    with pytest.raises(NotConnected, match=r"^Connection refused$"):
        run(connect_to(url, Address("127.0.0.1", port), Talk))
    with pytest.raises(NotConnected, match=r"^the proxy: Connection refused$"):
        run(connect_to(url, Address("127.0.0.1", port), Talk, proxy=parse_url(f"http://127.0.0.1:{port}", ("http",))))
    with pytest.raises(NotConnected, match="bound to no IPv4"):
        run(connect_to(url, Address("127.0.0.1", port), Talk, bind=["::1"]))
    assert str(in_words(ConnectionResetError())) == "the server hung up"
    assert not isinstance(in_words(ssl.SSLError()), NotConnected)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 502 s3cret99\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nx"]
)
def test_a_proxy_that_makes_no_clean_tunnel_is_told_so(run: Run[Any], answer: bytes, tmp_path: Path) -> None:
    """What stands behind its answer would be taken for the server's; nothing stays open."""
    run(asyncio.sleep(0))
    before = descriptors()

    def script(caller: Caller) -> None:
        caller.head()
        caller.say(answer)
        if answer:
            caller.until_gone()

    with RawServer(script) as proxy, pytest.raises(NetworkFailed) as caught:
        run(
            connect_to(
                parse_url("ws://a.example/", ("ws",)),
                Address("127.0.0.1", proxy.port),
                Talk,
                proxy=parse_url(proxy.url, ("http",)),
                always_tunnel=True,
            )
        )
    assert "s3cret99" not in str(caught.value)
    assert descriptors() <= before


def test_the_systems_certificates_are_read_for_http_1_1(run: Run[Any]) -> None:
    """And servers are verified by them."""
    tls = run(system_tls())
    assert tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED
