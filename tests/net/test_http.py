"""GET, against a server on loopback that answers as it is told."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from anabranch.model import Address, InputRefused
from anabranch.net import HttpClient, HttpReply, NetworkFailed, NotResolved, Trouble, Url, Use, parse_url
from loops import Run
from net.certificates import contexts
from net.raw_server import Caller, RawServer
from small_servers import HttpServer, ProxyServer, http_reply

LIMIT = 10_000

Resolve = Callable[[str, int], Awaitable[list[Address]]]


async def nowhere(host: str, port: int) -> list[Address]:
    raise NotResolved(host, "asked for by a test")


async def asked(
    url: str,
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 # it is what is tested
    bind: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
    resolve: Resolve | None = None,
    proxy: Url | None = None,
    mitigate: bool = True,
    **given: Any,
) -> HttpReply:
    """One request of a client of its own, which knows no names but those that it is given, and its proxy's address."""
    known = resolve or (nowhere if proxy is None else names(**{"127_0_0_1": "127.0.0.1"}))
    client = HttpClient("Test/1.0", bind=bind, tls=tls, resolve=known, proxy=proxy, mitigate=mitigate)
    try:
        return await client.get(url, timeout=timeout, limit=LIMIT, **given)
    finally:
        await client.close()


def names(**hosts: str) -> Resolve:
    """A resolver that knows these: a_example="127.0.0.1 ::1"."""

    async def resolve(host: str, port: int) -> list[Address]:
        return [Address(one, port) for one in hosts[host.replace(".", "_")].split()]

    return resolve


def literal(url: str, *hosts: str) -> dict[str, Any]:
    """The addresses of a server, for those that need no names."""
    port = int(url.rpartition(":")[2])
    return {"to": [Address(host, port) for host in hosts or ["127.0.0.1"]]}


def test_a_request_is_what_trackers_know(run: Run[Any]) -> None:
    """Path and query byte for byte, the name in Host, and no more headers than libtorrent 2.1.1 has."""
    target = "/a%2F~%7e//../x?passkey=%aa%AA+~&%zz&a=b=c"
    with HttpServer(lambda _: http_reply(b"body")) as server:
        reply = run(asked(f"http://a.example:{server.port}{target}", resolve=names(a_example="127.0.0.1")))
        assert server.heads == [
            f"GET {target} HTTP/1.1\r\nHost: a.example:{server.port}\r\nUser-Agent: Test/1.0\r\n"
            "Accept-Encoding: gzip\r\n"
        ]
    assert (reply.status, reply.reason, reply.body) == (200, "OK", b"body")
    assert reply.address == Address("127.0.0.1", server.port)
    assert "passkey" not in repr(reply)


def test_a_connection_is_used_again(run: Run[Any]) -> None:
    """A TLS handshake for each torrent's announce would be the most of the work."""

    async def work(server: HttpServer) -> None:
        client = HttpClient("Test/1.0")
        for _ in range(3):
            await client.get(f"{server.url}/x", timeout=10, limit=LIMIT)
        await client.close()

    with HttpServer(lambda _: http_reply(b"body")) as server:
        run(work(server))
        assert (len(server.heads), server.connections) == (3, 1)


def test_more_headers_and_a_login_are_sent(run: Run[Any]) -> None:
    """The login of a URL goes as HTTP has it."""
    with HttpServer(lambda _: http_reply(b"")) as server:
        url = f"http://user:p%3Ass@127.0.0.1:{server.port}/"
        run(asked(url, headers={"Range": "bytes=0-1"}, **literal(server.url)))
        assert "Range: bytes=0-1\r\n" in server.heads[0]
        assert f"Authorization: Basic {b64encode(b'user:p:ss').decode()}\r\n" in server.heads[0]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"body" * 1000, mtime=0), "gzip"),
        (gzip.compress(b"body" * 1000, mtime=0), "x-gzip"),
        (zlib.compress(b"body" * 1000), "Deflate"),
        (b"body" * 1000, "gzip"),
        (b"body" * 1000, "identity"),
    ],
)
def test_packed_bodies_are_unpacked(run: Run[Any], body: bytes, encoding: str) -> None:
    """Also where the server says so of one that is not."""
    with HttpServer(lambda _: http_reply(body, f"Content-Encoding: {encoding}")) as server:
        assert run(asked(server.url, **literal(server.url))).body == b"body" * 1000


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (http_reply(b"x" * (LIMIT + 1)), Trouble.SIZE),
        (http_reply(gzip.compress(bytes(100 * LIMIT), mtime=0), "Content-Encoding: gzip"), Trouble.SIZE),
        (http_reply(gzip.compress(bytes(LIMIT), mtime=0)[:-9], "Content-Encoding: gzip"), Trouble.PROTOCOL),
        (http_reply(b"x", "Content-Encoding: br"), Trouble.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nshort", Trouble.PROTOCOL),
        (b"no HTTP at all\r\n\r\n", Trouble.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, Trouble.PROTOCOL),
        (b"", Trouble.CONNECTION),
    ],
    ids=["long", "bomb", "cut gzip", "unknown packing", "cut", "no HTTP", "headers", "hung up"],
)
def test_a_reply_that_is_none_is_said_to_be_so(run: Run[Any], reply: bytes, trouble: Trouble) -> None:
    """On one line, and without the passkey."""
    with HttpServer(lambda _: reply) as server, pytest.raises(NetworkFailed) as caught:
        run(asked(f"{server.url}/announce?passkey=s3cret99", **literal(server.url)))
    assert caught.value.trouble is trouble
    assert "s3cret99" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_body_of_exactly_the_limit_is_taken(run: Run[Any]) -> None:
    """Plain or packed."""
    for reply in (
        http_reply(b"x" * LIMIT),
        http_reply(gzip.compress(b"x" * LIMIT, mtime=0), "Content-Encoding: gzip"),
    ):
        with HttpServer(lambda _, reply=reply: reply) as server:  # type: ignore[misc] # mypy knows no defaults of lambdas
            assert run(asked(server.url, **literal(server.url))).body == b"x" * LIMIT


def test_who_refuses_is_told_in_the_systems_words(run: Run[Any]) -> None:
    """Nobody listens there; or there is no such name."""
    with HttpServer(lambda _: b"") as server:
        url = f"{server.url}/announce?passkey=s3cret99"
    with pytest.raises(NetworkFailed, match=r"^Connection refused$") as caught:
        run(asked(url, **literal(server.url)))
    assert caught.value.trouble is Trouble.CONNECTION
    with pytest.raises(NotResolved, match=r"a\.example"):
        run(asked("http://a.example/"))
    with pytest.raises(InputRefused):
        run(asked("ftp://a.example/"))


def test_the_next_address_is_asked_where_one_refuses(run: Run[Any]) -> None:
    """A name has several; also those of the other family."""
    with HttpServer(lambda _: http_reply(b"body")) as server:
        url = f"http://a.example:{server.port}/"
        reply = run(asked(url, resolve=names(a_example="127.0.0.9 ::1 127.0.0.1")))
        assert reply.address.host == "127.0.0.1"


def test_who_is_silent_is_given_up_in_time(run: Run[Any]) -> None:
    """The time is for all of it."""
    with HttpServer(lambda _: None) as server, pytest.raises(NetworkFailed, match=r"within 0\.05 s") as caught:
        run(asked(server.url, timeout=0.05, **literal(server.url)))
    assert caught.value.trouble is Trouble.TIMEOUT


def test_requests_come_from_where_we_are_bound(run: Run[Any]) -> None:
    """And a family in which we are bound to nothing is not spoken."""
    with HttpServer(lambda _: http_reply(b"body")) as server:
        assert run(asked(server.url, bind=("127.0.0.5",), **literal(server.url))).body == b"body"
        with pytest.raises(NetworkFailed, match="bound to no IPv4 address"):
            run(asked(server.url, bind=("::1",), **literal(server.url)))
        with pytest.raises(NetworkFailed, match="Cannot assign requested address"):
            run(asked(server.url, bind=("192.0.2.1",), **literal(server.url)))


def moved(location: str, status: int = 302) -> bytes:
    return http_reply(b"elsewhere", f"Location: {location}", status=f"{status} Moved")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(run: Run[Any], status: int) -> None:
    """Headers of the request stay with its server."""
    with (
        HttpServer(lambda _: http_reply(b"body")) as other,
        HttpServer(lambda target: moved("/b" if target == "/a" else f"{other.url}/c", status)) as server,
    ):
        reply = run(asked(f"{server.url}/a", headers={"X": "y"}, resolve=names(**{"127_0_0_1": "127.0.0.1"})))
        assert (reply.body, str(reply.url), reply.url.target) == (b"body", other.url, "/c")
        assert (server.targets, other.targets) == (["/a", "/b"], ["/c"])
        assert ["X: y" in head for head in server.heads + other.heads] == [True, True, False]


def test_a_redirect_without_a_place_is_an_answer(run: Run[Any]) -> None:
    """What to make of it is the caller's affair."""
    with HttpServer(lambda _: http_reply(b"", status="302 Found")) as server:
        assert run(asked(server.url, **literal(server.url))).status == 302


def test_a_redirect_in_circles_ends(run: Run[Any]) -> None:
    """After five."""
    with HttpServer(lambda _: moved("/again")) as server, pytest.raises(NetworkFailed, match="more than 5") as caught:
        run(asked(server.url, **literal(server.url)))
    assert len(server.heads) == 6
    assert caught.value.trouble is Trouble.REDIRECT


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://a.example/", "http://["])
def test_a_redirect_to_elsewhere_is_not_followed(run: Run[Any], location: str) -> None:
    """HTTP, or nothing."""
    with HttpServer(lambda _: moved(location)) as server, pytest.raises(NetworkFailed) as caught:
        run(asked(server.url, **literal(server.url)))
    assert caught.value.trouble is Trouble.REDIRECT


def test_the_internet_cannot_send_us_into_our_own_network(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A public tracker that redirects to the router's pages gets nowhere; a cloud's own address nobody reaches."""
    monkeypatch.setattr("anabranch.net.http_walk_io.is_public", lambda address: address.host == "127.0.0.1")
    with (
        HttpServer(lambda _: http_reply(b"secret"), host="127.0.0.2") as router,
        HttpServer(lambda _: moved(f"{router.url}/reboot")) as server,
    ):
        with pytest.raises(NetworkFailed, match="a server outside sent us there") as caught:
            run(asked(server.url, resolve=names(**{"127_0_0_1": "127.0.0.1", "127_0_0_2": "127.0.0.2"})))
        assert router.heads == []
        assert caught.value.trouble is Trouble.FORBIDDEN
        with pytest.raises(NetworkFailed, match="no URL may lead to"):
            run(asked("http://a.example/", resolve=names(a_example="169.254.169.254 fe80::1")))


def test_certificates_are_verified(run: Run[Any], tmp_path: Path) -> None:
    """By the name in the URL, not by the address that was connected to; the refusal says why, on one line."""
    theirs, ours = contexts(tmp_path)
    with HttpServer(lambda _: http_reply(b"body"), tls=theirs) as server:
        here = names(localhost="127.0.0.1", other_example="127.0.0.1")
        assert run(asked(f"https://localhost:{server.port}/", tls=ours, resolve=here)).body == b"body"
        for url, tls in (
            (f"https://localhost:{server.port}/?s3cret99", None),
            (f"https://other.example:{server.port}/?s3cret99", ours),
        ):
            with pytest.raises(NetworkFailed, match="certificate was refused: ") as caught:
                run(asked(url, tls=tls, resolve=here))
            assert caught.value.trouble is Trouble.TLS
            assert "s3cret99" not in str(caught.value)
        ours.minimum_version = ssl.TLSVersion.TLSv1_3
        theirs.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(NetworkFailed, match=r"^no secure connection: ") as caught:
            run(asked(f"https://localhost:{server.port}/", tls=ours, resolve=here))
        assert caught.value.trouble is Trouble.TLS


def test_a_redirect_from_tls_into_the_open_is_not_followed(run: Run[Any], tmp_path: Path) -> None:
    """The passkey may be in it."""
    theirs, ours = contexts(tmp_path)
    with HttpServer(lambda _: http_reply(b"body")) as plain:
        location = f"{plain.url}/x"
        with (
            HttpServer(lambda _: moved(location), tls=theirs) as server,
            pytest.raises(NetworkFailed, match="from a secure connection to an open one"),
        ):
            run(asked(f"https://localhost:{server.port}/", tls=ours, resolve=names(localhost="127.0.0.1")))
        assert plain.heads == []


def test_who_stops_waiting_may(run: Run[Any]) -> None:
    """A cancelled request leaves the client as it was."""

    async def work(server: HttpServer) -> bytes:
        client = HttpClient("Test/1.0")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get(f"{server.url}/silent", timeout=10, limit=LIMIT)
        reply = await client.get(f"{server.url}/", timeout=10, limit=LIMIT)
        await client.close()
        return reply.body

    with HttpServer(lambda target: None if target == "/silent" else http_reply(b"body")) as server:
        assert run(work(server)) == b"body"


def via(proxy: ProxyServer) -> Url:
    return parse_url(proxy.url, ("http",))


def test_a_proxy_carries_every_request_and_looks_names_up(run: Run[Any]) -> None:
    """Path and query stay as they are; nobody here is asked for the name."""
    with (
        HttpServer(lambda _: http_reply(b"body")) as server,
        ProxyServer({"a.example": "127.0.0.1"}, login="me:p%40ss") as proxy,
    ):
        url = f"http://who:knows@a.example:{server.port}/a%2F~//x?passkey=%aa+~&%zz"
        reply = run(asked(url, proxy=via(proxy)))
        assert (reply.body, reply.address) == (b"body", None)
        login = b64encode(b"me:p@ss").decode()
        assert proxy.heads == [
            f"GET http://a.example:{server.port}/a%2F~//x?passkey=%aa+~&%zz HTTP/1.1\r\n"
            f"Host: a.example:{server.port}\r\nUser-Agent: Test/1.0\r\nAccept-Encoding: gzip\r\n"
            f"Authorization: Basic {b64encode(b'who:knows').decode()}\r\nProxy-Authorization: Basic {login}\r\n"
        ]
        assert "Proxy" not in server.heads[0]


def test_a_proxy_hears_no_more_of_a_secure_request_than_where_it_goes(run: Run[Any], tmp_path: Path) -> None:
    """CONNECT; the certificate is the server's, and the proxy's login is for the proxy."""
    theirs, ours = contexts(tmp_path)
    with (
        HttpServer(lambda _: http_reply(b"body"), tls=theirs) as server,
        ProxyServer({"other.example": "127.0.0.1", "localhost": "127.0.0.1"}, login="me:pass") as proxy,
    ):
        reply = run(asked(f"https://localhost:{server.port}/s3cret99", proxy=via(proxy), tls=ours))
        assert reply.body == b"body"
        assert proxy.heads == [
            f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: localhost:{server.port}\r\nUser-Agent: Test/1.0\r\n"
            f"Proxy-Authorization: Basic {b64encode(b'me:pass').decode()}\r\n"
        ]
        assert "Proxy" not in server.heads[0]
        with pytest.raises(NetworkFailed, match="certificate was refused") as caught:
            run(asked(f"https://other.example:{server.port}/", proxy=via(proxy), tls=ours))
        assert caught.value.trouble is Trouble.TLS


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_told_to_be_the_one(run: Run[Any], scheme: str) -> None:
    """In HTTP's words, since its own may repeat a login; and it is never passed by."""
    with HttpServer(lambda _: http_reply(b"body")) as server:
        url = f"{scheme}://127.0.0.1:{server.port}/s3cret99"
        with ProxyServer(login="other:s3cret99") as proxy:
            stranger = parse_url(proxy.url.replace("s3cret99", "wrong"), ("http",))
            with pytest.raises(
                NetworkFailed, match=r"^the proxy answered 407 Proxy Authentication Required$"
            ) as caught:
                run(asked(url, proxy=stranger))
        assert caught.value.trouble is Trouble.CONNECTION
        with pytest.raises(NetworkFailed, match=r"^the proxy: Connection refused$"):
            run(asked(url, proxy=stranger))
        assert server.heads == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "a.localhost.", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]"]
)
def test_a_proxy_is_sent_to_no_address_that_may_not_be_asked(run: Run[Any], host: str) -> None:
    """Names are its own affair; a host that tells its address itself is judged, however it is spelt."""
    with ProxyServer() as proxy:
        for use in (Use.TRACKER, Use.WEB_SEED):
            with pytest.raises(NetworkFailed, match="this machine") as caught:
                run(asked(f"http://{host}:9/x?y", proxy=via(proxy), use=use, trusted=False))
            assert caught.value.trouble is Trouble.FORBIDDEN
        with pytest.raises(NetworkFailed, match="no URL may lead to"):
            run(asked("http://169.254.169.254/latest/meta-data", proxy=via(proxy)))
        assert proxy.heads == []


def test_what_the_proxy_led_to_counts_as_outside(run: Run[Any]) -> None:
    """A name that only the proxy knows sends nobody into our own network."""
    with (
        HttpServer(lambda _: moved("http://127.0.0.1:9/announce")) as server,
        ProxyServer({"a.example": "127.0.0.1"}) as proxy,
        pytest.raises(NetworkFailed, match="a server outside sent us there"),
    ):
        run(asked(f"http://a.example:{server.port}/", proxy=via(proxy), use=Use.TRACKER))


def test_what_the_user_typed_is_trusted_as_far_as_its_host_goes(run: Run[Any]) -> None:
    """A page of the user's own server moves within it; where it sends us besides is not what the user typed."""
    here = names(nas_example="127.0.0.1", router_example="127.0.0.2")
    with HttpServer(lambda _: http_reply(b"secret"), host="127.0.0.2") as router:
        answers = {
            "/a?b": moved("/c?d"),
            "/c?d": http_reply(b"body"),
            "/e?f": moved(f"http://router.example:{router.port}/reboot?now"),
        }
        with HttpServer(answers.__getitem__) as server:
            url = f"http://nas.example:{server.port}"
            assert run(asked(f"{url}/a?b", resolve=here)).body == b"body"
            with pytest.raises(NetworkFailed, match="no URL with a query is asked there"):
                run(asked(f"{url}/e?f", resolve=here))
            assert router.heads == []
            with pytest.raises(NetworkFailed, match="no URL with a query is asked there"):
                run(asked(f"{url}/a?b", resolve=here, trusted=False))
            assert run(asked(f"{url}/e?f", resolve=here, trusted=False, mitigate=False)).body == b"secret"


def test_of_a_name_with_several_addresses_those_are_asked_that_may_be(run: Run[Any]) -> None:
    """A forbidden one does not spoil the others; the first refusal is told where none may be asked."""
    with HttpServer(lambda _: http_reply(b"body")) as server:
        url = f"http://a.example:{server.port}/announce"
        mixed = names(a_example="169.254.169.254 127.0.0.1 0.0.0.0")
        reply = run(asked(url, resolve=mixed, use=Use.TRACKER, trusted=False))
        assert reply.address == Address("127.0.0.1", server.port)
        with pytest.raises(NetworkFailed, match=r"^169\.254\.169\.254 is an address that no URL may lead to$"):
            run(asked(url + "/../x", resolve=mixed, use=Use.TRACKER, trusted=False))


def test_a_name_is_looked_up_once_for_each_server(run: Run[Any]) -> None:
    """What was judged is what is connected to: a name that answers otherwise the second time leads nowhere else."""
    answers = ["127.0.0.1", "127.0.0.2"]

    async def rebinding(host: str, port: int) -> list[Address]:
        return [Address(answers.pop(0), port)]

    with HttpServer(lambda _: http_reply(b"body")) as server:
        url = f"http://a.example:{server.port}/announce"
        reply = run(asked(url, resolve=rebinding, use=Use.TRACKER, trusted=False))
        assert reply.address == Address("127.0.0.1", server.port)
    assert answers == ["127.0.0.2"]


@pytest.mark.parametrize(
    ("more", "late"),
    [(http_reply(b"evil"), False), (http_reply(b"evil"), True), (b"x", True)],
    ids=["at once", "late", "late x"],
)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "secure"])
def test_a_connection_that_said_more_than_was_asked_for_is_not_used_again(
    run: Run[Any], more: bytes, secure: bool, late: bool, tmp_path: Path
) -> None:
    """What it said would be taken for another torrent's answer."""
    theirs, ours = contexts(tmp_path)
    due = threading.Event()

    def script(caller: Caller) -> None:
        caller.head()
        if not caller.number:
            caller.say(http_reply(b"body"))
            if late:
                due.wait(5)
            caller.say(more)
            caller.until_gone()
            return
        caller.say(http_reply(b"good"))
        while caller.head():
            caller.say(http_reply(b"good"))

    async def work(url: str) -> list[bytes]:
        client = HttpClient("Test/1.0", tls=ours)
        first = await client.get(url, timeout=10, limit=LIMIT)
        due.set()
        await asyncio.sleep(0.05)  # until it is here: the only wait for the network's own time
        replies = [first.body, *[(await client.get(url, timeout=10, limit=LIMIT)).body for _ in range(2)]]
        await client.close()
        return replies

    with RawServer(script, tls=theirs if secure else None) as server:
        assert run(work(f"{server.url}/x")) == [b"body", b"good", b"good"]
        assert server.connections == 2
