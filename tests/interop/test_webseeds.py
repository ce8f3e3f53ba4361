"""Content from a real web server: nginx, to us, and to other programs from the same one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

import trees
from anabranch.api import Client, Metainfo, Torrent, WebSeedStatus, create
from anabranch.engine import fetching
from anabranch.net import Identity
from anabranch.testing import WebServer, content_in, flipping, in_pieces
from authority import make_authority
from interop.aria2_peer import Aria2Peer
from interop.libtorrent_peer import LibtorrentPeer
from interop.nginx import Nginx
from ours import KIB, MIB, address_of, finished, make_client, until
from resilience.program import Downloader, pieces_on_disk, pieces_recorded

pytestmark = pytest.mark.interop

Version = Literal["v1", "v2", "hybrid"]
VERSIONS: tuple[Version, ...] = ("v1", "v2", "hybrid")
OURS, SERVER, OTHER, PEER = "127.0.14.3", "127.0.14.1", "127.0.14.2", "127.0.14.4"
TWO_FILES = {"a.bin": 500 * 1000, "b.bin": 500 * 1000}
REST = 0.2  # seconds instead of ten after a failure


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server has: a file, a folder of 300, and one of two short files."""
    shelf = tmp_path_factory.mktemp("shelf")
    trees.make_file(shelf / "single ü + 1.bin", 20 * MIB + 7, seed=1)
    trees.make_folder(shelf / "300 файлов & more", 300, largest=256 * KIB)
    for number, (name, length) in enumerate(TWO_FILES.items()):
        trees.make_file(shelf / "two" / name, length, seed=10 + number)
    return shelf


@pytest.fixture(scope="module")
def nginx(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """One server for all tests that do it no harm."""
    with Nginx(tmp_path_factory.mktemp("nginx"), shelf, SERVER) as nginx:
        yield nginx


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fails is tried again soon."""
    monkeypatch.setattr(fetching, "LONGEST_REST", REST)


def single(shelf: Path) -> Path:
    return shelf / "single ü + 1.bin"


def many(shelf: Path) -> Path:
    return shelf / "300 файлов & more"


def fetch_all(client: Client, torrent: bytes) -> Torrent:
    """Download all of it from the web seeds that the .torrent names."""
    added = client.add(torrent)
    added.download_all()
    finished(added, 30)
    return added


def error_of(torrent: Torrent) -> str:
    """What went wrong last with its first web seed."""
    return torrent.webseed_statuses()[0].last_error


def settled(torrent: Torrent) -> list[WebSeedStatus]:
    """How its web seeds are once none is asked for anything: the picture may be a moment old."""
    now = time.monotonic()
    told: list[WebSeedStatus] = []

    def is_over() -> bool:
        told[:] = torrent.webseed_statuses()
        return all(status.at >= now and not status.requests for status in told)

    until(is_over, what="the end of all requests")
    return told


def is_whole(place: Path, original: Path) -> None:
    """What is below *place*/data is the original, and nothing else is there."""
    assert trees.digest(place / "data" / original.name) == trees.digest(original)
    assert [path.name for path in (place / "data").iterdir()] == [original.name]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_comes_from_a_web_seed_alone(nginx: Nginx, shelf: Path, version: Version, tmp_path: Path) -> None:
    """By its folder's URL and by its own, each byte once, under the name that we go by everywhere."""
    original = single(shelf)
    torrent = create(original, version=version, piece_length=256 * KIB, webseeds=[f"{nginx.url}/"])
    before = len(nginx.served())
    with make_client(tmp_path, OURS) as client:
        added = fetch_all(client, torrent)
        told = added.stats()
        assert (told.wasted, told.corrupt, told.peers) == (0, 0, 0)
        [status] = settled(added)
        assert (status.url, status.kind, status.last_error) == (f"{nginx.url}/", "url-list", "")
        assert status.downloaded == original.stat().st_size
    is_whole(tmp_path, original)
    asked = nginx.served()[before:]
    assert sum(request.sent for request in asked) == original.stat().st_size
    for request in asked:
        assert (request.target, request.agent) == ("/single%20%c3%bc%20%2b%201.bin", Identity().user_agent)
        assert request.status in (200, 206)
        assert request.encoding == "identity"


def test_a_files_own_url_is_taken_as_it_stands(nginx: Nginx, shelf: Path, tmp_path: Path) -> None:
    """BEP 19: without a "/" at its end it is the file's, whatever the torrent calls that."""
    original = single(shelf)
    url = f"{nginx.url}/single%20%c3%bc%20+%201.bin"
    with make_client(tmp_path, OURS) as client:
        fetch_all(client, create(original, name="otherwise.bin", webseeds=[url]))
    assert trees.digest(tmp_path / "data" / "otherwise.bin") == trees.digest(original)
    assert nginx.served()[-1].target == "/single%20%c3%bc%20+%201.bin"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_folder_of_300_files_comes_from_a_web_seed_alone(
    nginx: Nginx, shelf: Path, version: Version, tmp_path: Path
) -> None:
    """With unicode, spaces, percent signs, quotes, dots and dashes in the names, and empty files."""
    original = many(shelf)
    torrent = create(original, version=version, piece_length=64 * KIB, webseeds=[f"{nginx.url}/"])
    with make_client(tmp_path, OURS) as client:
        told = fetch_all(client, torrent).stats()
        assert (told.wasted, told.corrupt) == (0, 0)
    is_whole(tmp_path, original)


@pytest.mark.parametrize("way", ["web seed", "peers", "reader"])
def test_v2_files_shorter_than_a_piece_come_by_every_way(nginx: Nginx, shelf: Path, way: str, tmp_path: Path) -> None:
    """W13: two files of 500 KB in pieces of 2 MiB, between which there are offsets that hold nothing."""
    original = shelf / "two"
    webseeds = [] if way == "peers" else [f"{nginx.url}/"]
    torrent = create(original, version="v2", piece_length=2 * MIB, webseeds=webseeds)
    with (
        make_client(tmp_path / "seeder", PEER, data_dir=shelf) as seeder,
        make_client(tmp_path, OURS) as client,
    ):
        added = client.add(torrent)
        if way == "peers":
            assert seeder.add(torrent).checked.wait(30)
            added.add_peers([address_of(seeder)])
        if way == "reader":
            for file in added.files:
                with file.reader() as reader:
                    reader.seek(123_456)
                    content = (original / file.path.rpartition("/")[2]).read_bytes()
                    assert reader.read(100_000) == content[123_456:223_456]
                    reader.seek(0)
                    assert reader.read(len(content)) == content
        added.download_all()
        finished(added, 30)
        assert [file.bytes_completed for file in added.files] == list(TWO_FILES.values())
        assert added.stats().wasted == 0
    is_whole(tmp_path, original)


@pytest.mark.parametrize("name", ["seed.test", SERVER])
def test_https_with_a_private_authority(shelf: Path, name: str, tmp_path: Path) -> None:
    """Its certificate is a setting; who is not told of it takes nothing, and says why."""
    original = single(shelf)
    authority = make_authority(tmp_path / "authority", name)
    with Nginx(tmp_path / "nginx", shelf, SERVER, authority=authority) as nginx:
        torrent = create(original, piece_length=256 * KIB, webseeds=[f"{nginx.url}/"])
        for ca_file in (None, authority.certificate):
            place = tmp_path / str(ca_file is not None)
            with make_client(place, OURS, ca_file=ca_file) as client:
                added = client.add(torrent)
                added.download_all()
                if ca_file is None or name != SERVER:  # the name that is dialed is not the certificate's
                    until(partial(error_of, added), what="an error")
                    assert "certificate" in error_of(added)
                    assert added.stats().downloaded == 0
                else:
                    finished(added, 30)
                    assert added.stats().wasted == 0
                    is_whole(place, original)


def test_web_seeds_and_peers_give_what_the_other_does_not(shelf: Path, tmp_path: Path) -> None:
    """Both at once, and no byte twice."""
    original = single(shelf)
    with (
        Nginx(tmp_path / "nginx", shelf, SERVER, rate=8 * MIB) as nginx,
        LibtorrentPeer(PEER, settings={"upload_rate_limit": 8 * MIB}, as_strangers=True) as peer,
        make_client(tmp_path, OURS) as client,
    ):
        torrent = create(original, piece_length=256 * KIB, webseeds=[f"{nginx.url}/"])
        peer.add(torrent, shelf)
        added = client.add(torrent)
        added.download_all()
        added.add_peers([(peer.host, peer.port)])
        finished(added, 30)
        told = added.stats()
        [status] = settled(added)
        assert told.corrupt == 0
        assert told.wasted <= MIB // 2
        assert status.downloaded >= 4 * MIB
        assert told.downloaded + told.wasted - status.downloaded >= 4 * MIB
    is_whole(tmp_path, original)


def test_of_two_web_seeds_the_wrong_one_is_blamed_and_left(shelf: Path, tmp_path: Path) -> None:
    """It is not asked again for a minute; the other, which has to share the work, has everything."""
    original = single(shelf)
    with (
        Nginx(tmp_path / "nginx", shelf, SERVER, rate=3 * MIB) as nginx,
        WebServer(shelf, lambda request: flipping(256 * KIB), host=OTHER) as liar,
        make_client(tmp_path, OURS) as client,
    ):
        torrent = create(original, piece_length=256 * KIB, webseeds=[f"{liar.url}/", f"{nginx.url}/"])
        added = fetch_all(client, torrent)
        wrong, right = settled(added)
        assert wrong.url == f"{liar.url}/"
        assert wrong.state == "suspended"
        assert 0 < wrong.penance_left <= 60
        assert right.state in ("idle", "active")
        assert not right.last_error
        assert added.stats().corrupt
        assert not client.stats().banned
    is_whole(tmp_path, original)


def test_the_web_seed_of_a_magnet_link(nginx: Nginx, shelf: Path, tmp_path: Path) -> None:
    """`ws` is asked when the metadata have come, here from a peer that has nothing else."""
    original = single(shelf)
    metainfo = Metainfo.parse(create(original, piece_length=256 * KIB))
    link = f"magnet:?xt=urn:btih:{metainfo.info.info_hash}&ws={nginx.url}/%0A"
    with make_client(tmp_path / "knows", PEER) as knows, make_client(tmp_path, OURS) as client:
        assert knows.add(metainfo).checked.wait(30)
        added = client.add(link)
        added.add_peers([address_of(knows)])
        assert added.got_info.wait(30)
        added.download_all()
        finished(added, 30)
        assert [status.downloaded for status in settled(added)] == [original.stat().st_size]
    is_whole(tmp_path, original)


@pytest.mark.parametrize("which", [single, many])
def test_a_script_that_is_asked_for_pieces(shelf: Path, which: object, tmp_path: Path) -> None:
    """BEP 17."""
    original = single(shelf) if which is single else many(shelf)
    bare = Metainfo.parse(create(original, piece_length=256 * KIB))
    with WebServer(
        {}, lambda request: in_pieces(content_in(bare.info, shelf), bare.info.geometry.length_of), host=OTHER
    ) as server:
        torrent = create(original, piece_length=256 * KIB, httpseeds=[f"{server.url}/seed.php"])
        with make_client(tmp_path, OURS) as client:
            added = client.add(torrent)
            added.download_all()
            finished(added, 30)
            [status] = settled(added)
            assert (status.kind, status.wasted, added.stats().corrupt) == ("httpseeds", 0, 0)
    assert all(target.startswith("/seed.php?info_hash=%") for target in server.targets)
    is_whole(tmp_path, original)


def test_a_login_in_the_url_and_headers_of_ones_own(shelf: Path, tmp_path: Path) -> None:
    """Basic authentication; a wrong password is told without it."""
    original = single(shelf)
    with Nginx(tmp_path / "nginx", shelf, SERVER, login="me:open+sesame") as nginx:
        place = nginx.url.removeprefix("http://")
        with make_client(tmp_path, OURS) as client:
            added = client.add(create(original, piece_length=256 * KIB))
            added.add_webseeds([f"http://me:wrong@{place}/"])
            added.download_all()
            until(partial(error_of, added), what="an error")
            [status] = added.webseed_statuses()
            assert "401" in status.last_error
            assert "wrong" not in status.last_error + status.reason
            added.add_webseeds([f"http://me:open%2Bsesame@{place}/"], headers={"X-Extra": "of mine"})
            finished(added, 30)
        assert nginx.served()[-1].extra == "of mine"
        assert nginx.served()[-1].status in (200, 206)
    is_whole(tmp_path, original)


def test_a_server_that_goes_and_comes_back_is_asked_on(shelf: Path, tmp_path: Path) -> None:
    """What it gave is not asked for again."""
    original = single(shelf)
    nginx = Nginx(tmp_path / "nginx", shelf, SERVER, rate=8 * MIB)
    with make_client(tmp_path, OURS) as client:
        added = client.add(create(original, piece_length=256 * KIB, webseeds=[f"{nginx.url}/"]))
        with nginx:
            added.download_all()
            until(lambda: added.stats().downloaded > 4 * MIB)
        until(partial(error_of, added), what="an error")
        with nginx:
            finished(added, 30)
        told = added.stats()
        assert (told.wasted, told.corrupt) == (0, 0)
        assert told.downloaded <= original.stat().st_size + 16 * KIB  # of a block that was not whole, the rest is lost
    is_whole(tmp_path, original)


def test_a_download_that_is_killed_records_nothing_that_is_not_there(nginx: Nginx, shelf: Path, tmp_path: Path) -> None:
    """W41: kill -9 in the middle, three times; the next run fetches what is missing and no more."""
    original = single(shelf)
    data = create(original, piece_length=64 * KIB, webseeds=[f"{nginx.url}/"])
    (tmp_path / "one.torrent").write_bytes(data)
    metainfo = Metainfo.parse(data)
    for _ in range(3):
        with Downloader(tmp_path, OURS, download_rate=5 * MIB) as program:
            program.add(tmp_path / "one.torrent")
            program.pieces()
            before = program.stats()["downloaded"]
            program.until_downloaded(before + 5 * MIB)
            program.kill()
        assert pieces_recorded(metainfo, tmp_path) <= pieces_on_disk(metainfo, tmp_path / "data")
    right = pieces_on_disk(metainfo, tmp_path / "data")
    assert right
    with Downloader(tmp_path, OURS) as program:
        program.add(tmp_path / "one.torrent", want=False)
        assert program.pieces() == right
        before = program.stats()["downloaded"]
        program.add(tmp_path / "one.torrent")
        assert program.wait_complete(30)
        missing = metainfo.info.geometry.total - sum(map(metainfo.info.geometry.length_of, right))
        assert program.stats()["downloaded"] - before <= missing
    is_whole(tmp_path, original)


@pytest.mark.parametrize("which", [single, many])
def test_libtorrent_and_aria2_take_the_same_from_the_same_server(
    nginx: Nginx, shelf: Path, which: object, tmp_path: Path
) -> None:
    """So it is a web seed as others know it: our torrents, our URLs, their programs."""
    with ExitStack() as stack:
        original = single(shelf) if which is single else many(shelf)
        torrent = create(original, piece_length=256 * KIB, webseeds=[f"{nginx.url}/"])
        libtorrent = stack.enter_context(LibtorrentPeer(PEER))
        libtorrent.add(torrent, tmp_path / "libtorrent")
        libtorrent.wait_finished(30)
        aria2 = stack.enter_context(Aria2Peer(tmp_path / "aria2", "127.0.14.5"))
        aria2.add(torrent, tmp_path / "aria2" / "data")
        aria2.wait_finished(30)
    for place in (tmp_path / "libtorrent", tmp_path / "aria2" / "data"):
        assert trees.digest(place / original.name) == trees.digest(original)
