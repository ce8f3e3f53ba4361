"""Web seeds of a torrent: added, removed, remembered, told about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anabranch.api import Client, InputRefused, Torrent, events
from anabranch.model import InfoHash
from anabranch.testing import WebServer
from origin import Origin
from ours import make_client, until
from threads import PATIENCE, background, held

LOCAL = "http://127.0.7.9:9/files/"  # nobody listens there
OTHER = "http://127.0.7.9:9/other/"


def urls(torrent: Torrent) -> list[str]:
    return [status.url for status in torrent.webseed_statuses()]


def named(origin: Origin, client: Client, *webseeds: str) -> Torrent:
    """The torrent, whose file names these web seeds."""
    torrent = client.add(replace(origin.metainfo, webseeds=webseeds))
    assert torrent.checked.wait(PATIENCE)
    return torrent


def test_web_seeds_of_the_torrent_and_of_the_user_are_told_in_their_order(origin: Origin, client: Client) -> None:
    """At once after they were added, each once, without the spaces around; who named it is told, too."""
    torrent = named(origin, client, OTHER)
    assert urls(torrent) == [OTHER]
    torrent.add_webseeds([f" {LOCAL}\n", LOCAL])
    assert [(status.url, status.trusted, status.kind) for status in torrent.webseed_statuses()] == [
        (OTHER, False, "url-list"),
        (LOCAL, True, "url-list"),
    ]
    torrent.add_webseeds([])
    torrent.add_webseeds(iter([OTHER]))
    assert [status.trusted for status in torrent.webseed_statuses()] == [True, True]


def test_what_is_no_url_or_header_is_refused_at_once_and_nothing_is_added(origin: Origin, client: Client) -> None:
    """All of it or nothing; the text does not repeat what may be secret."""
    torrent = named(origin, client)
    for wrong in ("ftp://host.example/passkey", "host.example/passkey", "", "http://", "http://\udcff/passkey"):
        with pytest.raises(InputRefused, match="not a web seed's URL: ") as refused:
            torrent.add_webseeds([LOCAL, wrong])
        assert "passkey" not in str(refused.value)
    with pytest.raises(InputRefused, match="web seeds are a list of URLs"):
        torrent.add_webseeds(LOCAL)
    for headers in ({"X-Key": "a\r\nHost: b"}, {"X Key": "a"}, {"": "a"}, {"Range": "bytes=0-"}):
        with pytest.raises(InputRefused, match="header"):
            torrent.add_webseeds([LOCAL], headers=headers)
    assert urls(torrent) == []


def test_one_is_removed_by_its_url(origin: Origin, client: Client) -> None:
    """Removing says whether it was there; twice does no harm."""
    torrent = named(origin, client, OTHER)
    torrent.add_webseeds([LOCAL])
    assert torrent.remove_webseed(f"{LOCAL} ")
    assert not torrent.remove_webseed(LOCAL)
    assert not torrent.remove_webseed("nonsense")
    assert urls(torrent) == [OTHER]
    assert torrent.remove_webseed(OTHER)
    assert urls(torrent) == []


def test_a_file_s_url_for_a_folder_is_of_no_use_and_says_so(origin: Origin, client: Client) -> None:
    """No bytes of another file can come from it; the torrent goes on with others."""
    torrent = named(origin, client)
    torrent.add_webseeds(["http://127.0.7.9:9/file.bin"])
    [status] = torrent.webseed_statuses()
    assert status.state == "unusable"
    assert "folder" in status.reason


def test_what_the_user_added_is_there_after_a_restart(origin: Origin, tmp_path: Path) -> None:
    """Trusted, with its headers; what was removed is not. The file's own come with the file."""
    with make_client(tmp_path) as client:
        torrent = named(origin, client, OTHER)
        torrent.add_webseeds([LOCAL], headers={"X-Key": "secret"})
        torrent.add_webseeds(["http://gone.example/"])
        torrent.remove_webseed("http://gone.example/")
    with make_client(tmp_path) as client:
        [torrent] = client.restore()
        assert [(one.url, one.trusted) for one in torrent.webseed_statuses()] == [(LOCAL, True)]
        assert torrent._state.swarm.webseeds.sources[LOCAL].headers == (("X-Key", "secret"),)
    with make_client(tmp_path) as client:
        assert urls(named(origin, client, OTHER)) == [OTHER, LOCAL]


def test_what_is_added_while_the_torrent_is_here_is_saved_soon(origin: Origin, tmp_path: Path) -> None:
    """Not only at the end: a kill would lose it."""
    with make_client(tmp_path) as client:
        torrent = named(origin, client)
        torrent.add_webseeds([LOCAL])
        assert torrent._state in client._core.engine.due.unsaved or torrent._state.disk.rest.saving
        torrent.drop()
        assert torrent.closed.wait(PATIENCE)
        torrent.add_webseeds([OTHER])  # a handle that somebody kept does no harm
        torrent.remove_webseed(LOCAL)
        assert torrent._state not in client._core.engine.due.unsaved


def test_a_torrent_that_is_added_again_learns_what_else_is_named(origin: Origin, client: Client) -> None:
    """By another file of it, or by a link; nothing is lost."""
    torrent = named(origin, client, OTHER)
    torrent.add_webseeds([LOCAL])
    assert named(origin, client, LOCAL, "http://third.example/") == torrent
    assert urls(torrent) == [OTHER, LOCAL, "http://third.example/"]
    assert [one.trusted for one in torrent.webseed_statuses()] == [False, True, False]
    client.add(f"magnet:?xt=urn:btih:{torrent.info_hash}&ws=http%3A%2F%2Ffourth.example%2F")
    assert urls(torrent)[-1] == "http://fourth.example/"


def test_a_link_s_web_seeds_are_known_before_its_files_and_after(origin: Origin, client: Client) -> None:
    """And those that were added meanwhile."""
    torrent = client.add(f"magnet:?xt=urn:btih:{origin.metainfo.info.info_hash}&ws={OTHER}")
    torrent.add_webseeds([LOCAL])
    assert [(one.url, one.state) for one in torrent.webseed_statuses()] == [(OTHER, "idle"), (LOCAL, "idle")]
    torrent.add_peers([origin.address])
    assert torrent.got_info.wait(PATIENCE)
    assert torrent.checked.wait(PATIENCE)
    assert urls(torrent) == [OTHER, LOCAL]
    assert torrent.metainfo.webseeds == (OTHER,)


def test_web_seeds_can_be_switched_off(origin: Origin, tmp_path: Path) -> None:
    """They are told all the same, and asked for nothing."""
    with make_client(tmp_path, disable_webseeds=True, debug=True) as client:
        torrent = named(origin, client, OTHER)
        torrent.add_webseeds([LOCAL])
        torrent.download_all()
        assert [(one.url, one.state) for one in torrent.webseed_statuses()] == [(OTHER, "off"), (LOCAL, "off")]
        torrent.add_peers([origin.address])
        assert torrent.complete.wait(PATIENCE)
        assert client.metrics()["webseed_requests_planned_total"] == 0


def test_statuses_never_wait_but_for_the_first(origin: Origin, client: Client) -> None:
    """While somebody has the turn, the last ones are given."""
    torrent = named(origin, client, OTHER)
    first = torrent.webseed_statuses()
    snapshot = torrent._state.swarm.webseeds.snapshot
    with held(client):
        snapshot.at -= 10.0
        told = background(torrent.webseed_statuses).result(PATIENCE)
    assert told == first
    assert told is not first
    until(lambda: torrent.webseed_statuses()[0].at > first[0].at)


@pytest.mark.parametrize(
    ("trusted", "mitigation", "asked"), [(False, True, False), (True, True, True), (False, False, True)]
)
def test_what_a_torrent_names_in_our_own_network_is_judged(
    origin: Origin, tmp_path: Path, trusted: bool, mitigation: bool, asked: bool
) -> None:
    """With a query it might do something there; unless the user named it, or wants no such rules."""
    with (
        WebServer(origin.path.parent, host="127.0.7.9") as server,
        make_client(tmp_path, ssrf_mitigation=mitigation) as client,
    ):
        url = f"{server.url}/?reboot=/"
        torrent = named(origin, client, url)
        if trusted:
            torrent.add_webseeds([url])
        failures = client.events(events.WebSeedFailed)
        torrent.download_all()
        failed = failures.get(PATIENCE)
        assert bool(server.requests) == asked
        assert ("no URL with a query" in failed.reason) == (not asked)
        assert failed.webseed == server.url
        assert "reboot" not in failed.reason


def test_certificates_that_cannot_be_read_are_refused_when_the_client_is_made(tmp_path: Path) -> None:
    """Not at the first request, when nobody looks."""
    with pytest.raises(InputRefused, match=r"none\.pem: No such file"):
        make_client(tmp_path, ca_file=tmp_path / "none.pem").close()


def test_numbers_tell_of_web_seeds(origin: Origin, client: Client) -> None:
    """None gives anything yet."""
    stats = named(origin, client, OTHER).stats()
    assert (stats.webseeds, stats.rate_webseeds) == (0, 0.0)
    assert isinstance(stats.info_hash, InfoHash)
