"""Web seeds that misbehave in every way: the client lives, blames whom it should, and gets right bytes in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import trees
from anabranch.api import Torrent, WebSeedStatus, create
from anabranch.engine import claiming, fetching
from anabranch.testing import WEB_KINDS, WebAnswers, WebRequest, WebScript, WebServer, redirected, refused
from authority import make_authority
from ours import KIB, finished, make_client, until

BAD, GOOD, OURS = "127.0.63.1", "127.0.63.2", "127.0.63.3"
PIECE = 64 * KIB
FILES = {"one.bin": 2_000_000, "two ü.bin": 300 * KIB, "three.bin": 100}
FIRST = 5  # the piece that is asked for first, so that ranges matter: over 48 KiB into the file
REST = 0.2  # seconds instead of ten after a failure
PATIENCE = 1.0  # seconds instead of five with a server that is slow

MISSING = {"status-403", "status-404", "status-410", "status-451"}
TOO_FAST = {"status-429", "status-503", "retry-nonsense"}
PAUSED = {"retry-soon", "retry-late", "redirects-to-the-cloud"}
WRONG = {
    *("status-204", "status-400", "status-401", "status-416", "status-500", "status-502", "ignores-range"),
    *("wrong-range", "wrong-total", "wrong-length", "empty-body", "gzip", "several-ranges", "login-page"),
    "endless-noise",
}


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fails is tried again soon, and who keeps us waiting loses what it was asked for sooner."""
    monkeypatch.setattr(fetching, "LONGEST_REST", REST)
    monkeypatch.setattr(claiming, "_UNANSWERED", PATIENCE)
    monkeypatch.setattr(claiming, "_TOO_SLOW", PATIENCE)


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a server does, no mistake of ours comes to light."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@dataclass(frozen=True)
class Folder:
    """What is served: a folder of three files, and the torrent of it, which names no web seeds."""

    path: Path
    torrent: bytes

    def is_in(self, place: Path) -> bool:
        """Whether the client there has all of it."""
        return trees.digest(place / "data" / self.path.name) == trees.digest(self.path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("shelf") / "folder"
    for seed, (name, length) in enumerate(FILES.items()):
        trees.make_file(path / name, length, seed)
    return Folder(path, create(path, piece_length=PIECE))


@pytest.fixture(scope="module")
def good(folder: Folder) -> Iterator[WebServer]:
    """Who has all and does what it should."""
    with WebServer(folder.path.parent, host=GOOD) as good:
        yield good


def served(folder: Folder, answers: WebAnswers) -> WebServer:
    return WebServer(folder.path.parent, answers, host=BAD)


def status_of(torrent: Torrent, server: WebServer) -> WebSeedStatus:
    [found] = [status for status in torrent.webseed_statuses() if status.url.startswith(server.url)]
    return found


@pytest.mark.parametrize("kind", [name for name, kind in WEB_KINDS.items() if kind.works])
def test_an_unusual_server_is_as_good_as_any(folder: Folder, kind: str, tmp_path: Path) -> None:
    """All comes from it, each byte once, and it is not blamed."""
    with served(folder, kind) as server, make_client(tmp_path, OURS) as client:
        torrent = client.add(folder.torrent)
        torrent.download_pieces(FIRST, FIRST + 3)
        torrent.add_webseeds([f"{server.url}/"])
        finished(torrent, 20)
        torrent.download_all()
        finished(torrent, 20)
        told = torrent.stats()
        assert (told.wasted, told.corrupt) == (0, 0)
        assert status_of(torrent, server).last_error == ""
    assert folder.is_in(tmp_path)


@pytest.mark.parametrize("kind", [name for name, kind in WEB_KINDS.items() if not kind.works])
def test_a_bad_server_takes_nothing_from_a_good_one(folder: Folder, good: WebServer, kind: str, tmp_path: Path) -> None:
    """W12: it is told what was wrong and judged by it, no byte of it is out of place, and the other one has all."""
    with served(folder, kind) as bad, make_client(tmp_path, OURS) as client:
        torrent = client.add(folder.torrent)
        torrent.download_pieces(FIRST, torrent.piece_count)
        torrent.add_webseeds([f"{bad.url}/"])
        if WEB_KINDS[kind].holds:
            until(lambda: bad.busy, 10, "a request")
        else:
            until(lambda: status_of(torrent, bad).last_error, 10, "an error")
        if kind in WRONG or WEB_KINDS[kind].lies:
            until(lambda: status_of(torrent, bad).state == "suspended", 10, "a penance")
            assert 50 < status_of(torrent, bad).penance_left <= 60
        elif kind in PAUSED:
            until(lambda: status_of(torrent, bad).state == "paused", 10, "a pause")
        elif not WEB_KINDS[kind].holds:
            assert status_of(torrent, bad).state != "suspended"
        torrent.add_webseeds([f"{good.url}/"])
        torrent.download_all()
        finished(torrent, 20)
        told = torrent.stats()
        assert bool(told.corrupt) == (WEB_KINDS[kind].lies and kind != "endless-noise")
        assert status_of(torrent, good).last_error == ""
        if kind in TOO_FAST | PAUSED | MISSING:
            assert status_of(torrent, bad).downloaded == 0
            assert told.wasted == 0
    assert folder.is_in(tmp_path)
    assert bad.open == 0


def test_who_has_too_much_to_do_is_asked_again(folder: Folder, tmp_path: Path) -> None:
    """W12: 503 is no crime; with Retry-After it is asked again after that."""
    busy = refused(503, "Retry-After: 1")

    def moody(request: WebRequest) -> str | WebScript:
        return "status-503" if request.number == 0 else busy if request.number == 1 else "honest"

    with served(folder, moody) as server, make_client(tmp_path, OURS) as client:
        torrent = client.add(folder.torrent)
        torrent.add_webseeds([f"{server.url}/"])
        torrent.download_all()
        until(lambda: status_of(torrent, server).state == "paused")
        assert 0 < status_of(torrent, server).penance_left <= 1
        finished(torrent, 20)
        assert torrent.stats().wasted == 0
    assert folder.is_in(tmp_path)


@pytest.mark.parametrize("status", [403, 404, 410, 451])
def test_a_file_that_is_not_there_takes_its_pieces_alone(
    folder: Folder, good: WebServer, status: int, tmp_path: Path
) -> None:
    """W12: the rest comes from it, that file from another, and it is not asked for it twice."""

    def without(request: WebRequest) -> str:
        return f"status-{status}" if "two" in request.target else "honest"

    with served(folder, without) as server, make_client(tmp_path, OURS) as client:
        torrent = client.add(folder.torrent)
        torrent.add_webseeds([f"{server.url}/"])
        torrent.download_all()
        begin = FILES["one.bin"] + FILES["three.bin"]  # by name, two is the last
        pieces = begin // PIECE
        until(lambda: torrent.stats().pieces_complete == pieces, what=f"{pieces} pieces: {torrent.stats()}")
        until(lambda: status_of(torrent, server).state == "idle")
        told = status_of(torrent, server)
        assert told.penance_left == 0
        assert str(status) in told.last_error
        torrent.add_webseeds([f"{good.url}/"])
        finished(torrent, 20)
        assert torrent.stats().wasted <= PIECE
        assert sum("two" in target for target in server.targets) == 1
    assert folder.is_in(tmp_path)


UNUSABLE: dict[str, tuple[Callable[[str], str], str]] = {
    "a trailing newline": (lambda url: f" {url}/\r\n", ""),
    "another scheme": (lambda url: url.replace("http", "ftp") + "/", "ftp"),
    "no URL": (lambda url: "http://[", "URL"),
    "nothing": (lambda url: "", "URL"),
    "no host": (lambda url: "http:///x/", "host"),
    "a folder without a slash": (lambda url: url + "/folder", "/"),
}


@pytest.mark.parametrize("mistake", UNUSABLE)
def test_a_url_that_is_none_is_told_and_left(folder: Folder, good: WebServer, mistake: str, tmp_path: Path) -> None:
    """W12: in a .torrent; spaces around a URL are no part of it, and the others are used all the same."""
    spoiled, words = UNUSABLE[mistake]
    with served(folder, "honest") as server:
        wrong = spoiled(server.url)
        torrent_file = create(folder.path, piece_length=PIECE, webseeds=[wrong, f"{good.url}/"])
        with make_client(tmp_path, OURS) as client:
            torrent = client.add(torrent_file)
            torrent.download_all()
            finished(torrent, 20)
            told = [status for status in torrent.webseed_statuses() if not status.url.startswith(good.url)]
            assert [status.state for status in told if words] == ["unusable"] * len([one for one in told if words])
            assert all(words in status.reason for status in told)
            if not words:
                assert [status.state in ("idle", "active") for status in told] == [True]
        assert bool(server.requests) <= (not words)
    assert folder.is_in(tmp_path)


@pytest.mark.parametrize(
    ("named_by", "mitigation", "is_asked"),
    [("torrent", True, False), ("torrent", False, True), ("user", True, True)],
)
def test_a_torrent_may_not_send_questions_to_servers_of_ours(
    folder: Folder, named_by: str, mitigation: bool, is_asked: bool, tmp_path: Path
) -> None:
    """A query could be a command to what listens here; what the user names is his own affair."""
    with served(folder, "honest") as server:
        url = f"{server.url}/folder/one.bin?do=harm"
        file = folder.path / "one.bin"
        torrent_file = create(file, piece_length=PIECE, webseeds=[url] if named_by == "torrent" else [])
        with make_client(tmp_path, OURS, ssrf_mitigation=mitigation) as client:
            torrent = client.add(torrent_file)
            torrent.download_all()
            if named_by == "user":
                torrent.add_webseeds([url])
            if is_asked:
                finished(torrent, 20)
                assert set(server.targets) == {"/folder/one.bin?do=harm"}
            else:
                until(lambda: torrent.webseed_statuses()[0].last_error, 10, "an error")
                assert not server.connections
                assert "harm" not in torrent.webseed_statuses()[0].last_error


def test_a_redirect_to_another_server_takes_no_login_along(folder: Folder, good: WebServer, tmp_path: Path) -> None:
    """Nor headers that the user gave for the first one."""
    before = len(good.requests)
    away = redirected(f"{good.url}{{target}}", 307)
    with served(folder, lambda request: away) as server, make_client(tmp_path, OURS) as client:
        torrent = client.add(folder.torrent)
        login = server.url.replace("http://", "http://me:secret@")
        torrent.add_webseeds([f"{login}/"], headers={"X-Key": "mine"})
        torrent.download_all()
        finished(torrent, 20)
        assert all(request.headers["x-key"] == "mine" for request in server.requests)
        assert all("authorization" in request.headers for request in server.requests)
        taken = good.requests[before:]
        assert taken
        assert not [request for request in taken if {"x-key", "authorization"} & request.headers.keys()]
    assert folder.is_in(tmp_path)


def test_what_breaks_again_and_again_comes_in_the_end(folder: Folder, tmp_path: Path) -> None:
    """Each failure costs what had not come, and no more: nothing is fetched twice but a begun block."""
    breaks = ("short-body", "resets-body", "short-body-unsaid")

    def moody(request: WebRequest) -> str:
        return breaks[request.number] if request.number < len(breaks) else "honest"

    with served(folder, moody) as server, make_client(tmp_path, OURS) as client:
        torrent = client.add(folder.torrent)
        torrent.add_webseeds([f"{server.url}/"])
        torrent.download_all()
        finished(torrent, 30)
        told = torrent.stats()
        assert (told.corrupt, told.wasted) == (0, 0)
        bodies = sum(len(request.wanted) for request in server.requests[len(breaks) :])
        assert bodies < torrent.length - FILES["one.bin"] // 2
    assert folder.is_in(tmp_path)


def test_among_all_kinds_at_once_one_good_server_is_enough(folder: Folder, good: WebServer, tmp_path: Path) -> None:
    """Whatever the others do, they neither hold it up nor spoil what it gives."""
    content = {
        f"{kind}/folder/{path.name}": path.read_bytes()
        for kind in WEB_KINDS
        for path in folder.path.iterdir()
        if not WEB_KINDS[kind].works
    }
    with (
        WebServer(content, lambda request: request.path.partition("/")[0], host=BAD) as server,
        make_client(tmp_path, OURS) as client,
    ):
        torrent = client.add(folder.torrent)
        torrent.add_webseeds([f"{server.url}/{kind}/" for kind in WEB_KINDS if not WEB_KINDS[kind].works])
        torrent.download_all()
        until(lambda: len(server.requests) >= 5)
        torrent.add_webseeds([f"{good.url}/"])
        finished(torrent, 60)
        assert server.most_open <= 12
        assert status_of(torrent, good).last_error == ""
    assert folder.is_in(tmp_path)


@pytest.mark.parametrize(
    ("kind", "works"),
    [
        *(("honest", True), ("unknown-length", True), ("closes-unsaid", True)),
        *(("short-body", False), ("short-body-unsaid", False), ("resets-body", False), ("garbage", False)),
    ],
)
def test_over_tls_half_a_body_is_no_whole_one(
    folder: Folder, kind: str, works: bool, good: WebServer, tmp_path: Path
) -> None:
    """Also where its end is that of the connection."""
    authority = make_authority(tmp_path / "authority", BAD)
    with (
        WebServer(folder.path.parent, kind, host=BAD, tls=authority.server()) as server,
        make_client(tmp_path, OURS, ca_file=authority.certificate) as client,
    ):
        torrent = client.add(folder.torrent)
        torrent.download_pieces(FIRST, torrent.piece_count)
        torrent.add_webseeds([f"{server.url}/"])
        if not works:
            until(lambda: status_of(torrent, server).last_error, 10, "an error")
            torrent.add_webseeds([f"{good.url}/"])
        torrent.download_all()
        finished(torrent, 20)
        assert torrent.stats().corrupt == 0
        assert bool(status_of(torrent, server).last_error) != works
    assert folder.is_in(tmp_path)


def test_one_server_is_not_stormed_however_many_torrents_it_has(tmp_path: Path) -> None:
    """Ten connections at most, which are kept from one request to the next."""
    content = {}
    for number in range(12):
        path = trees.make_file(tmp_path / "shelf" / f"{number}.bin", 400 * KIB, seed=number)
        content[path.name] = path.read_bytes()
    with WebServer(content, host=BAD) as server, make_client(tmp_path, OURS) as client:
        torrents = []
        for name in content:
            data = create(tmp_path / "shelf" / name, piece_length=PIECE, webseeds=[f"{server.url}/"])
            torrents.append(client.add(data))
        for torrent in torrents:
            torrent.download_all()
        for torrent in torrents:
            finished(torrent, 20)
        assert server.most_open <= 10
        assert server.connections <= 12
        assert sum(torrent.stats().wasted for torrent in torrents) == 0
    assert all((tmp_path / "data" / name).read_bytes() == data for name, data in content.items())
