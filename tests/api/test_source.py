"""What a torrent can be added by, and what is said of everything else."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from anabranch.api import Config, Identity, InfoHash, InfoHashV2, InputRefused, Magnet, Metainfo, Misused
from anabranch.api.source import Source, resolve
from anabranch.engine import sources_io
from authority import make_authority
from loops import Run
from origin import Origin
from small_servers import HttpServer, ProxyServer, http_reply


def test_a_torrent_is_named_held_or_is_the_metainfo_itself(origin: Origin, tmp_path: Path) -> None:
    """Path as text or as an object, the file's bytes, or what was read of them."""
    path = tmp_path / "a torrent.torrent"
    path.write_bytes(origin.torrent)
    metainfo = origin.metainfo
    sources: list[Source] = [str(path), path, origin.torrent, metainfo]
    assert [resolve(source) for source in sources] == [metainfo] * 4
    assert resolve(metainfo) is metainfo


@pytest.mark.parametrize(
    "source",
    [
        "magnet:?xt=urn:btih:" + "ab" * 20,
        "MAGNET:?xt=urn:btih:" + "AB" * 20,
        "ab" * 20,
        "AB" * 20,
        InfoHash(b"\xab" * 20),
    ],
)
def test_a_torrent_is_named_by_a_link_or_by_its_bare_hash(source: Source) -> None:
    """Of either only the name is known."""
    assert resolve(source) == Magnet(v1=InfoHash(b"\xab" * 20))


@pytest.mark.parametrize("source", ["cd" * 32, "magnet:?xt=urn:btmh:1220" + "cd" * 32, InfoHashV2(b"\xcd" * 32)])
def test_a_v2_hash_names_a_torrent_too(source: Source) -> None:
    """BEP 52: 32 bytes of SHA-256."""
    assert resolve(source) == Magnet(v2=InfoHashV2(b"\xcd" * 32))


def test_a_bare_hash_may_be_in_base32() -> None:
    """As old links have it."""
    assert resolve("A" * 32) == Magnet(v1=InfoHash(bytes(20)))


@pytest.mark.parametrize("link", ["magnet:?dn=nothing", "magnet:?xt=urn:btih:00", "magnet:"])
def test_a_link_that_names_no_torrent_is_refused(link: str) -> None:
    """In words, not as a missing file."""
    with pytest.raises(InputRefused, match="magnet link"):
        resolve(link)


def test_a_torrent_file_may_be_fetched_by_its_url(origin: Origin) -> None:
    """And what goes wrong with that is said with its host."""
    with serving({"/a.torrent": origin.torrent, "/junk": b"<html>"}) as base:
        assert resolve(f"{base}/a.torrent") == origin.metainfo
        for path, words in [("/junk", "not a torrent file"), ("/none", "404")]:
            with pytest.raises(InputRefused, match=words) as refused:
                resolve(f"{base}{path}")
            assert str(refused.value).startswith(f"{base}: ")
    with pytest.raises(InputRefused, match="refused"):
        resolve(f"{base}/a.torrent")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (http_reply(b"<html>"), "not a torrent file"),
        (http_reply(b"", status="403 s3cret"), "the server answers 403"),
        (http_reply(b"", status="302 Found"), "the server answers 302"),
        (http_reply(bytes(100_001)), "the reply is longer than 100000 bytes"),
        (
            http_reply(gzip.compress(bytes(1_000_000)), "Content-Encoding: gzip"),
            "the reply is longer than 100000 bytes",
        ),
        (
            http_reply(b"", "Location: http://169.254.169.254/s3cret", status="302 Found"),
            "169.254.169.254 is an address",
        ),
        (http_reply(b"", "Location: magnet:?xt=s3cret", status="302 Found"), "redirected, but not followed"),
    ],
    ids=["html", "403", "nowhere", "huge", "bomb", "to the cloud's keys", "to a link"],
)
def test_what_a_url_gives_is_refused_in_one_line_that_has_no_secret(
    monkeypatch: pytest.MonkeyPatch, reply: bytes, words: str
) -> None:
    """Sites put passkeys into the URLs of their files, and errors end up in logs: the host says enough."""
    monkeypatch.setattr(sources_io, "MAX_FILE", 100_000)
    with HttpServer(lambda _: reply) as server:
        with pytest.raises(InputRefused, match=words) as refused:
            resolve(f"{server.url}/s3cret/a.torrent?passkey=s3cret")
        assert str(refused.value).startswith(f"{server.url}: ")
        assert "s3cret" not in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://", "https://:1/s3cret", "http://a.example:99999/s3cret", "http://\udcff/s3cret"]
)
def test_what_is_meant_as_a_url_and_is_none_is_refused(url: str) -> None:
    """In words; a shell gives what is no text as it is."""
    with pytest.raises(InputRefused, match="URL") as refused:
        resolve(url)
    assert "s3cret" not in str(refused.value)


def test_a_file_may_come_compressed_and_from_where_the_server_sends_us(origin: Origin) -> None:
    """As HTTP has both; the user named the server, so one of our own network may be asked with a query."""
    packed = http_reply(gzip.compress(origin.torrent), "Content-Encoding: gzip")
    moved = http_reply(b"", "Location: /there?id=1", status="302 Found")
    with HttpServer(lambda target: packed if target == "/there?id=1" else moved) as server:
        assert resolve(f"{server.url}/a.torrent?passkey=1") == origin.metainfo


def test_a_url_s_server_is_asked_by_the_families_that_the_client_speaks(origin: Origin) -> None:
    """Who leaves IPv4 out does not betray its address by a .torrent file."""
    with (
        HttpServer(lambda _: http_reply(origin.torrent)) as server,
        pytest.raises(InputRefused, match=r"127\.0\.0\.1"),
    ):
        resolve(server.url, Config(disable_ipv4=True))
    assert server.heads == []


def test_a_url_goes_through_the_proxy_and_its_server_is_verified_as_the_client_says(
    origin: Origin, tmp_path: Path
) -> None:
    """As web seeds and trackers do: who hides behind a proxy is not betrayed by a .torrent file."""
    authority = make_authority(tmp_path / "keys", "torrents.example")
    with (
        HttpServer(lambda _: http_reply(origin.torrent), "127.0.7.8", authority.server()) as server,
        ProxyServer({"torrents.example": "127.0.7.8"}) as proxy,
    ):
        url = f"https://torrents.example:{server.port}/a.torrent"
        config = Config(http_proxy=proxy.url, ca_file=authority.certificate)
        assert resolve(url, config) == origin.metainfo
        assert [head.split("\r\n")[0] for head in proxy.heads] == [f"CONNECT torrents.example:{server.port} HTTP/1.1"]
        with pytest.raises(InputRefused, match="certificate"):
            resolve(url, Config(http_proxy=proxy.url))
    with pytest.raises(InputRefused, match="none: No such file"):
        resolve(url, Config(ca_file=tmp_path / "none"))


def test_a_task_does_not_wait_for_a_url(origin: Origin, run: Run[None]) -> None:
    """Its loop would stand still: it is told what to do instead."""

    async def task(url: str) -> None:
        with pytest.raises(Misused, match="to_thread"):
            resolve(url)
        assert await asyncio.to_thread(resolve, url) == origin.metainfo

    with serving({"/a.torrent": origin.torrent}) as base:
        run(task(f"{base}/a.torrent"))


def test_a_url_is_asked_for_by_whom_the_client_says_it_is(origin: Origin) -> None:
    """With its name, and from its address: sites that know their users look at both."""
    config = Config(identity=Identity(user_agent="Somebody/1.0"), listen_host=("127.0.7.9",))
    callers: list[tuple[str, str | None]] = []
    with serving({"/a.torrent": origin.torrent}, callers) as base:
        assert resolve(f"{base}/a.torrent", config) == origin.metainfo
    assert callers == [("127.0.7.9", "Somebody/1.0")]


@contextmanager
def serving(files: Mapping[str, bytes], callers: list[tuple[str, str | None]] | None = None) -> Iterator[str]:
    """An HTTP server that has these paths. Gives its URL; *callers* gets the address and the name of each caller."""

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            if callers is not None:
                callers.append((self.client_address[0], self.headers["User-Agent"]))
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_file_that_looks_like_something_else_is_a_file(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some programs keep torrents under their info hashes."""
    monkeypatch.chdir(tmp_path)
    for name in ("ab" * 20, "magnet:x"):
        Path(name).write_bytes(origin.torrent)
        assert resolve(name) == origin.metainfo


def test_what_cannot_be_read_is_refused_in_the_system_s_words(tmp_path: Path) -> None:
    """With the path."""
    for path, words in [(tmp_path / "none.torrent", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(InputRefused, match=words) as refused:
            resolve(path)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize("junk", [b"", b"d4:infoi1ee", b"<html>", b"\0" * 100])
def test_what_is_no_torrent_is_refused(tmp_path: Path, junk: bytes) -> None:
    """Whether as bytes or in a file, and then with the path."""
    path = tmp_path / "junk.torrent"
    path.write_bytes(junk)
    with pytest.raises(InputRefused):
        resolve(junk)
    with pytest.raises(InputRefused, match=r"junk\.torrent"):
        resolve(str(path))


def test_a_torrent_read_again_from_its_own_bytes_is_the_same(origin: Origin) -> None:
    """So that Torrent.metainfo.raw may be handed to another client."""
    known = resolve(origin.torrent)
    assert isinstance(known, Metainfo)
    assert Metainfo.parse(known.raw) == origin.metainfo
