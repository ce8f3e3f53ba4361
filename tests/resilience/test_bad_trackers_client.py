"""A whole client whose torrents have trackers that misbehave in every way: it tells of each, and downloads on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from anabranch.api import create
from anabranch.engine import TrackerStatus, fleet
from anabranch.testing import TRACKER_KINDS, BadTrackers, TrackerServer
from anabranch.tracker import ErrorType, TrackerClient
from origin import Origin
from ours import finished, make_client, until
from programs import run

BAD, OURS, GOOD = "127.0.64.4", "127.0.64.5", "127.0.64.6"
PASSKEY = "s3cretpasskey0123456789"


@pytest.fixture(scope="module")
def bad() -> Iterator[BadTrackers]:
    with BadTrackers(BAD) as bad:
        yield bad


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a tracker does, no mistake of ours comes to light, nor any secret."""
    caplog.set_level(logging.DEBUG, "anabranch")
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert PASSKEY not in caplog.text


def with_key(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}passkey={PASSKEY}"


def have_patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Whole clients wait no longer for a tracker."""
    defaults = TrackerClient.announce.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patience", seconds)


def test_a_torrent_downloads_on_beside_every_bad_tracker(
    bad: BadTrackers, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client has a torrent with all of them and one with an honest tracker: that is complete, and all are told."""
    have_patience(monkeypatch, 4.0)
    monkeypatch.setattr(fleet, "SILENCE", 10**9)  # they share a host, and what one of them does says nothing of others
    monkeypatch.setattr(fleet, "PER_HOST", 64)
    monkeypatch.setattr(fleet, "PACE", 10**6)
    urls = {with_key(bad.url(kind)): kind for kind in TRACKER_KINDS}
    (tmp_path / "x.bin").write_bytes(bytes(100_000))
    other = create(tmp_path / "x.bin", trackers=list(urls))
    with (
        TrackerServer(bind=(GOOD,)) as tracker,
        make_client(tmp_path, OURS, announce_to_all=True, ca_file=bad.authority) as client,
    ):
        hindered = client.add(other)
        origin.client.torrents[0].add_trackers([tracker.announce_url])
        torrent = client.add(origin.torrent)
        torrent.add_trackers([tracker.announce_url])
        torrent.download_all()
        finished(torrent, 30)
        assert tracker.announces

        def untold() -> list[str]:
            return [one.url for one in hindered.tracker_statuses() if one.last_announce is None and not one.error_type]

        until(lambda: not untold(), 40, "a status of each")
        told = {urls[one.url]: one for one in hindered.tracker_statuses()}
        wrong = {
            kind: (one.error_type, one.last_error)
            for kind, one in told.items()
            if one.error_type != (TRACKER_KINDS[kind].error_type or "") or not is_fit(one)
        }
        assert wrong == {}
        [good] = torrent.tracker_statuses()
        assert (good.is_working, good.error_type, good.state) == (True, "", "working")


def test_an_honest_tracker_is_found_behind_bad_ones(
    bad: BadTrackers, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BEP 12: those before it in the list are tried and left, whatever they do."""
    have_patience(monkeypatch, 0.3)
    before = [
        "silent",
        "status-503",
        "reason-banned",
        "no-name",
        "udp-silent",
        "ws-garbage",
        "tls-expired",
        "body-page",
    ]
    with (
        TrackerServer(bind=(GOOD,)) as tracker,
        make_client(tmp_path, OURS, ca_file=bad.authority) as client,
    ):
        origin.client.torrents[0].set_trackers([tracker.udp_url])
        torrent = client.add(origin.torrent)
        torrent.add_trackers([*(bad.url(kind) for kind in before), tracker.udp_url])
        torrent.download_all()
        finished(torrent, 30)
        told = {one.url: one for one in torrent.tracker_statuses()}
        assert told[tracker.udp_url].is_working
        assert [told[bad.url(kind)].error_type for kind in before] == [
            TRACKER_KINDS[kind].error_type for kind in before
        ]


def test_the_command_tells_the_same(bad: BadTrackers, tmp_path: Path) -> None:
    """A line of JSON for each, whatever they send to the terminal, and no traceback."""
    kinds = [kind for kind, due in TRACKER_KINDS.items() if due.error_type is not ErrorType.TIMEOUT]
    urls = {with_key(bad.url(kind)): kind for kind in kinds if not kind.startswith("udp-") or TRACKER_KINDS[kind].works}
    (tmp_path / "x.bin").write_bytes(bytes(100_000))
    (tmp_path / "x.torrent").write_bytes(create(tmp_path / "x.bin", trackers=list(urls)))
    done = run(tmp_path, "trackers", "x.torrent", "--json", "--ca-file", bad.authority)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    found = {urls[one["url"]]: one["error_type"] for one in told if one.get("url") in urls}
    assert found == {kind: TRACKER_KINDS[kind].error_type or "" for kind in urls.values()}
    assert "Traceback" not in done.stderr
    assert PASSKEY not in done.stderr


def is_fit(status: TrackerStatus) -> bool:
    """Its words are fit for people, and a fault has a remedy."""
    words = status.last_error + status.message + status.warning
    return words.isprintable() and bool(status.remedy) == bool(status.error_type) == bool(status.last_error)
