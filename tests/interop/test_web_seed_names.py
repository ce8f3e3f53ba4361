"""What libtorrent and aria2 ask a web server for, and what we do, where names and URLs are odd (BEP 19)."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.bencode import encode
from anabranch.metainfo import Info
from anabranch.webseed import Source, parts_of, web_seed
from interop.aria2_peer import Aria2Peer
from interop.libtorrent_peer import LibtorrentPeer
from small_servers import HttpServer, http_reply

pytestmark = pytest.mark.interop

K = 16 * 1024
CONTENT = b"x" * K  # of every file, which is one piece
PIECE = sha1(CONTENT).digest()
ODD = [
    "a b", "ü é", "u\u0308", "日本", "100%", "%20", "%2F", "a#b", "a?b=c", "a+b", "a&b", "a~b", "a'b", "a(b)", "a!b",
    "a*b", "a,b", "a;b", "a:b", "a@b", "a=b", "a$b", "a[b]", "a{b}", "a|b", "a^b", "a`b", "a<b>", 'a"b', ".x", "-_.",
    "x.", "y ", "CON", "sub dir/up+down/f", "deep/er/and/deep/er",
]  # fmt: skip
CLEANED = {b"a\\b": ("ab", "a%5cb"), b"ctl\x01": ("ctl_", "ctl%01"), b"bad\xff": ("bad_", "bad%ff")}  # theirs, ours


def folder(names: list[bytes], name: str = "tör rent") -> dict[str, object]:
    """An info dictionary with a piece for each of these files."""
    files = [{"length": K, "path": path.split(b"/")} for path in names]
    return {"files": files, "name": name, "piece length": K, "pieces": PIECE * len(files)}


def single(name: str = "n+m") -> dict[str, object]:
    """The same with a single file."""
    return {"length": K, "name": name, "piece length": K, "pieces": PIECE}


def torrent(info: dict[str, object], url: str) -> bytes:
    return encode({"info": info, "url-list": [url]})


def ours(info: dict[str, object], url: str) -> list[str]:
    """What we would ask for, in order."""
    checked = Info.parse(encode(info))
    parts = parts_of(web_seed(Source(url), checked), checked, 0, checked.geometry.total)
    return [part.url.target for part in parts if part.url]


def libtorrent_s(info: dict[str, object], server: HttpServer, url: str, place: Path) -> list[str]:
    """What libtorrent asks for until it has everything."""
    del server.heads[:]
    with LibtorrentPeer("127.0.16.1", settings={"ssrf_mitigation": False}) as peer:
        peer.add(torrent(info, url), place)
        peer.wait_finished(30)
    return sorted(set(server.targets))


@pytest.fixture
def server() -> HttpServer:
    return HttpServer(lambda target: http_reply(CONTENT, "Connection: keep-alive"), "127.0.16.2")


def test_files_with_odd_names_are_asked_for_as_libtorrent_does(server: HttpServer, tmp_path: Path) -> None:
    """Byte for byte, but for what the URL of a folder itself has: that is ours to leave as it is."""
    info = folder([name.encode() for name in ODD])
    with server:
        url = f"{server.url}/base%20x/~d+/"
        assert libtorrent_s(info, server, url, tmp_path) == sorted(ours(info, url))


def test_names_that_cannot_lie_on_every_disk_are_asked_for_as_the_torrent_has_them(
    server: HttpServer, tmp_path: Path
) -> None:
    """Where libtorrent asks for cleaned ones: the server has what the torrent was made of."""
    info = folder(list(CLEANED), "t")
    with server:
        found = libtorrent_s(info, server, f"{server.url}/", tmp_path)
        assert found == sorted(f"/t/{theirs}" for theirs, _ in CLEANED.values())
        assert ours(info, f"{server.url}/") == [f"/t/{own}" for _, own in CLEANED.values()]


@pytest.mark.parametrize("path", ["/x/", "/x", "/x/file.bin", "", "/", "/x/?k=v", "/x?k=v", "/x?k=v/", "/x+y/;p=1/"])
def test_urls_of_a_single_file_are_read_as_libtorrent_reads_them(server: HttpServer, tmp_path: Path, path: str) -> None:
    """With and without a query, with and without a slash at the end."""
    with server:
        assert libtorrent_s(single(), server, server.url + path, tmp_path) == ours(single(), server.url + path)


def test_aria2_asks_for_the_same_files_in_other_letters(server: HttpServer, tmp_path: Path) -> None:
    """It escapes more characters, and in capitals: to a server the same names, also that with a backslash."""
    info = folder([*(name.encode() for name in ODD), b"a\\b"])
    with server:
        url = f"{server.url}/base%20x/~d+/"
        with Aria2Peer(tmp_path / "aria2", "127.0.16.3") as peer:
            peer.add(torrent(info, url), tmp_path / "data")
            peer.wait_finished(30)
        assert sorted({unquote(target) for target in server.targets}) == sorted(map(unquote, ours(info, url)))
