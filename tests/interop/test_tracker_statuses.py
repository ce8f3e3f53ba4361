"""What we tell of real trackers while a torrent is announced to all: each once, with its numbers or its trouble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from anabranch.api import Metainfo
from interop.matrix import make_content
from interop.npm_tracker import NpmTracker
from interop.opentracker import Opentracker
from interop.our_tracker import OurTracker
from interop.real_program import free_port
from interop.real_tracker import RealTracker
from ours import make_client, until

pytestmark = pytest.mark.interop


@dataclass(frozen=True)
class Trackers:
    """Those that serve the torrent, and one that does not; a port where nobody listens."""

    opentracker: RealTracker
    npm: RealTracker
    npm_v6: RealTracker
    ours: RealTracker
    strict: RealTracker
    nobody: int

    @property
    def serving(self) -> dict[str, str]:
        """Announce URLs, and the kind that a status gives them."""
        return {
            self.opentracker.http: "http",
            self.opentracker.udp: "udp",
            self.npm.http: "http",
            self.npm.udp: "udp",
            self.npm.ws: "websocket",
            self.npm_v6.http: "http",
            self.npm_v6.udp: "udp",
            self.npm_v6.ws: "websocket",
            self.ours.http: "http",
            self.ours.udp: "udp",
        }

    @property
    def failing(self) -> dict[str, str]:
        """Announce URLs, and the category of what is wrong there."""
        return {
            self.strict.http: "torrent_not_registered",
            self.strict.udp: "torrent_not_registered",
            f"http://127.0.19.5:{self.nobody}/announce": "network_error",
            f"ws://127.0.19.5:{self.nobody}/announce": "network_error",
            f"http://{self.ours.at}/announce/nowhere": "tracker_not_found",
        }


@pytest.fixture(scope="module")
def trackers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trackers]:
    """All of them, for the tests here."""
    place = tmp_path_factory.mktemp("trackers")
    with ExitStack() as running:
        start = running.enter_context
        yield Trackers(
            start(Opentracker(place / "opentracker", "127.0.19.1")),
            start(NpmTracker(place / "npm", "127.0.19.2")),
            start(NpmTracker(place / "npm over IPv6", "::1")),
            start(OurTracker(place / "ours", "127.0.19.3")),
            start(Opentracker(place / "strict", "127.0.19.4")),
            free_port("127.0.19.5"),
        )


def test_every_tracker_is_told_of_with_what_it_said(trackers: Trackers, tmp_path: Path) -> None:
    """HTTP, UDP and WebSocket, both address families: who works, and what is wrong with the others."""
    urls = (*trackers.serving, *trackers.failing)
    content = make_content(tmp_path / "seed", "statuses", trackers=urls)
    info_hash = bytes(Metainfo.parse(content.torrent).info.info_hash)
    trackers.opentracker.allow(info_hash)
    with (
        make_client(
            tmp_path / "seeder", listen_host=("127.0.19.11", "::1"), data_dir=content.path.parent, announce_to_all=True
        ) as seeder,
        make_client(tmp_path, listen_host=("127.0.19.10", "::1"), announce_to_all=True) as client,
    ):
        assert seeder.add(content.torrent).checked.wait(30)
        counting = (trackers.opentracker, trackers.npm, trackers.npm_v6, trackers.ours)
        until(lambda: all(tracker.swarm(info_hash)[0] for tracker in counting))
        torrent = client.add(content.torrent)
        until(lambda: all(status.last_announce is not None for status in torrent.tracker_statuses()))
        told = torrent.tracker_statuses()
    assert [(status.url, status.tier) for status in told] == [(url, tier) for tier, url in enumerate(urls)]
    for status in told:
        wrong = trackers.failing.get(status.url, "")
        [endpoint] = status.endpoints  # none of them has both address families
        assert status.name == status.url.partition("/announce")[0]
        assert (status.error_type, endpoint.error_type) == (wrong, wrong)
        assert status.is_working == (not wrong) == (not status.last_error) == (not status.remedy)
        assert status.state == ("failing" if wrong else "working")
        assert status.consecutive_fails == (1 if wrong else 0)
        assert status.last_announce is not None
        assert status.next_announce is not None
        assert endpoint.family == ("ipv6" if "[" in status.url else "ipv4")
        if not wrong:
            assert status.kind == trackers.serving[status.url]
            assert status.seeders
            assert status.leechers
            assert status.next_announce - status.last_announce == pytest.approx(status.interval)
            assert endpoint.num_peers == status.num_peers
        else:
            assert status.num_peers == 0
            assert status.next_announce - status.last_announce >= 60
