"""A client, links that name sources of the .torrent file, and the servers these lead to."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, InfoHash, Magnet, Metainfo, create, events
from anabranch.engine import sources, sources_io
from anabranch.metainfo import Version, compose
from anabranch.testing import WebServer
from ours import KIB, address_of, finished, make_client, until
from small_servers import HttpServer, ProxyServer, http_reply
from threads import PATIENCE

HOST = "127.0.7.30"
VERSIONS: tuple[Version, ...] = ("v1", "v2", "hybrid")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of all torrents here."""
    place = tmp_path_factory.mktemp("content") / "folder"
    for seed, (name, length) in enumerate({"a.bin": 200_000, "b/c.bin": 70_001}.items()):
        trees.make_file(place / name, length, seed)
    return place


@pytest.fixture(scope="module")
def torrent(folder: Path) -> Metainfo:
    return Metainfo.parse(create(folder, piece_length=32 * KIB))


def named(metainfo: Metainfo, *urls: str) -> Magnet:
    """A link that says nothing but hashes and sources."""
    return Magnet(v1=metainfo.info.v1, v2=metainfo.info.v2, sources=urls)


def serving(**files: bytes | None) -> Callable[[str], bytes | None]:
    """Answers: these replies by the last part of the path, and 404."""
    return lambda target: files.get(target.rpartition("/")[2].partition("?")[0], http_reply(b"", status="404 None"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_link_with_a_source_and_a_web_seed_in_it_is_complete_without_any_peer(
    folder: Path, client: Client, version: Version
) -> None:
    """The file says what the torrent holds and who has it; as if the user had added the file."""
    with WebServer(folder.parent) as seed:
        made = create(folder, version=version, piece_length=32 * KIB, webseeds=[f"{seed.url}/"], trackers=[])
        whole = Metainfo.parse(made)
        with HttpServer(serving(torrent=http_reply(made)), HOST) as server:
            learned = client.add(str(named(whole, f"{server.url}/torrent")))
            learned.download_all()
            finished(learned)
            assert server.targets == ["/torrent"]
    assert learned.metainfo.info == whole.info
    assert learned.metainfo.layers == whole.layers
    assert learned.metainfo.webseeds == whole.webseeds
    assert trees.digest(Path(learned.data_dir) / "folder") == trees.digest(folder)


def test_trackers_of_the_file_are_asked_as_well_as_those_of_the_link(client: Client, torrent: Metainfo) -> None:
    """They belong to the torrent, private or not: whoever wrote the link could have named them, too."""
    reply = http_reply(b"d8:intervali1800e5:peers0:e")
    with HttpServer(lambda _: reply, HOST) as theirs, HttpServer(lambda _: reply, HOST) as links:
        whole = replace(torrent, trackers=((f"{theirs.url}/announce",),))
        with HttpServer(serving(a=http_reply(packed(whole))), HOST) as server:
            client.add(replace(named(torrent, f"{server.url}/a"), trackers=(f"{links.url}/announce",)))
            until(lambda: links.heads, what="the link's tracker was asked")
            learned = client.torrents[0]
            assert learned.got_info.wait(PATIENCE)
            assert learned.metainfo.trackers == ((f"{theirs.url}/announce",), (f"{links.url}/announce",))


def packed(metainfo: Metainfo) -> bytes:
    """A .torrent file with what was changed of it."""
    return compose(metainfo.info.raw, trackers=metainfo.trackers, webseeds=metainfo.webseeds)


def test_a_source_may_send_its_file_compressed(client: Client, torrent: Metainfo) -> None:
    """As any HTTP server may that is told we take it."""
    reply = http_reply(gzip.compress(torrent.raw), "Content-Encoding: gzip")
    with HttpServer(serving(a=reply), HOST) as server:
        assert client.add(named(torrent, f"{server.url}/a")).got_info.wait(PATIENCE)


@pytest.mark.parametrize(
    ("reply", "reason", "seconds"),
    [
        (http_reply(b"", status="404 s3cret"), "the server answers 404", inf),
        (http_reply(b"", status="503 Busy"), "the server answers 503", 60.0),
        (http_reply(b"<html>"), "not a torrent file", inf),
        (http_reply(bytes(100_001)), "longer than 100000 bytes", inf),
        (http_reply(gzip.compress(bytes(1_000_000)), "Content-Encoding: gzip"), "longer than 100000 bytes", inf),
        (b"", "hung up", 60.0),
        (http_reply(b"", "Location: http://169.254.169.254/keys", status="302 Found"), "169.254.169.254", inf),
        (http_reply(b"", "Location: file:///etc/passwd", status="302 Found"), "not followed", inf),
    ],
    ids=["404", "503", "html", "huge", "bomb", "hangs up", "to the cloud's keys", "to a file"],
)
def test_a_source_that_is_of_no_use_is_told_of_and_the_next_one_does(
    client: Client,
    torrent: Metainfo,
    monkeypatch: pytest.MonkeyPatch,
    reply: bytes,
    reason: str,
    seconds: float,
) -> None:
    """One event with the reason, in which nothing of the path is; others, here the second, are asked meanwhile."""
    monkeypatch.setattr(sources_io, "MAX_FILE", 100_000)
    feed = client.events(events.MetadataSourceFailed)
    with HttpServer(serving(bad=reply, good=http_reply(torrent.raw)), HOST) as server:
        learned = client.add(named(torrent, f"{server.url}/s3cret/bad", f"{server.url}/good"))
        assert learned.got_info.wait(PATIENCE)
        told = feed.get(PATIENCE)
        assert (told.torrent, told.source, told.seconds) == (learned.info_hash, server.url, seconds)
        assert reason in told.reason
        assert "s3cret" not in repr(told)
        assert [*dict.fromkeys(server.targets)] == ["/s3cret/bad", "/good"]


def test_another_torrent_s_file_is_not_taken(client: Client, torrent: Metainfo, folder: Path) -> None:
    """Neither what it holds nor whom it names is of any use: the link's hash decides."""
    other = create(folder / "a.bin", trackers=["http://127.0.7.9:9/announce"])
    feed = client.events(events.MetadataSourceFailed)
    with HttpServer(serving(other=http_reply(other)), HOST) as server:
        learned = client.add(named(torrent, f"{server.url}/other"))
        assert "another torrent's file" in feed.get(PATIENCE).reason
        assert learned.magnet_only
        assert learned.magnet.trackers == ()


def test_a_source_in_our_own_network_is_not_asked_with_a_query(client: Client, torrent: Metainfo) -> None:
    """A link comes from a stranger: such a page might do something (libtorrent's rule for web seeds)."""
    feed = client.events(events.MetadataSourceFailed)
    with HttpServer(serving(a=http_reply(torrent.raw)), HOST) as server:
        client.add(named(torrent, f"{server.url}/a?reboot=1"))
        told = feed.get(PATIENCE)
        assert ("no URL with a query is asked there" in told.reason, told.seconds) == (True, inf)
        assert server.heads == []


def test_with_a_proxy_it_is_the_proxy_that_is_asked_and_nothing_leads_back_into_our_network(
    tmp_path: Path, torrent: Metainfo
) -> None:
    """What a server outside answers may not send us to one of our own."""
    inside = "http://127.0.7.31:9/a"
    moved = http_reply(b"", f"Location: {inside}", status="302 Found")
    with (
        HttpServer(serving(moved=moved, a=http_reply(torrent.raw)), HOST) as server,
        ProxyServer({"files.example": HOST}) as proxy,
        make_client(tmp_path, "127.0.7.3", http_proxy=proxy.url) as client,
    ):
        feed = client.events(events.MetadataSourceFailed)
        outside = f"http://files.example:{server.port}"
        assert client.add(named(torrent, f"{outside}/moved", f"{outside}/a")).got_info.wait(PATIENCE)
        assert "a server outside sent us there" in feed.get(PATIENCE).reason
        assert [head.split(" ")[1] for head in proxy.heads] == [f"{outside}/moved", f"{outside}/a"]


def test_a_source_that_does_not_answer_holds_up_nobody(
    client: Client, torrent: Metainfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is asked beside it, and when that has told, it is left; nor does a close wait for it."""
    monkeypatch.setattr(sources, "STAGGER", 0.0)
    with HttpServer(serving(silent=None, a=http_reply(torrent.raw)), HOST) as server:
        learned = client.add(named(torrent, f"{server.url}/silent", f"{server.url}/a"))
        assert learned.got_info.wait(PATIENCE)
        client.add(Magnet(v1=InfoHash(b"\xab" * 20), sources=(f"{server.url}/silent",)))
        until(lambda: server.targets.count("/silent") == 2)
        before = time.monotonic()
        assert client.close()
        assert time.monotonic() - before < 3.0
    assert not [one for one in threading.enumerate() if one.name == "anabranch-network"]


def test_peers_are_asked_meanwhile_and_whoever_is_first_does(
    tmp_path: Path, client: Client, torrent: Metainfo, folder: Path
) -> None:
    """A source that hangs delays nothing."""
    with (
        make_client(tmp_path / "seed", "127.0.7.32", data_dir=folder.parent) as seeder,
        HttpServer(serving(silent=None), HOST) as server,
    ):
        assert seeder.add(torrent).checked.wait(PATIENCE)
        learned = client.add(named(torrent, f"{server.url}/silent"))
        until(lambda: server.heads)
        learned.add_peers([address_of(seeder)])
        assert learned.got_info.wait(PATIENCE)


def test_sources_are_remembered_between_runs(tmp_path: Path, torrent: Metainfo) -> None:
    """What nobody could tell in this run is asked for in the next."""
    answers: dict[str, bytes | None] = {}
    with HttpServer(lambda target: serving(**answers)(target), HOST) as server:
        with make_client(tmp_path, "127.0.7.3") as client:
            feed = client.events(events.MetadataSourceFailed)
            client.add(named(torrent, f"{server.url}/a"))
            assert feed.get(PATIENCE).seconds == inf
        answers["a"] = http_reply(torrent.raw)
        with make_client(tmp_path, "127.0.7.3") as client:
            [learned] = client.restore()
            assert learned.got_info.wait(PATIENCE)
    assert server.targets == ["/a", "/a"]
