"""We and transmission-daemon: by .torrent and magnet link, plain and encrypted, both ways. v1, as Debian's is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from anabranch.api import Client
from interop.matrix import LINES, SOURCES, bytes_below, dial_until, fetch, make_content
from interop.transmission_peer import TransmissionPeer
from ours import make_client

pytestmark = pytest.mark.interop

DIRECTIONS = ("download", "seed")


@dataclass(frozen=True)
class Transfer:
    """One folder on its way: from where, to where, and what waits until it is there."""

    original: Path
    copy: Path
    wait: Callable[[], None]


Transfers = Mapping[tuple[str, str], Transfer]


@pytest.fixture(
    scope="module", params=[pytest.param(line, marks=[pytest.mark.deep] if line == "rc4" else []) for line in LINES]
)
def transfers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transfers]:
    """All cases under way at once in one daemon, whose timers make each take ten seconds or more.

    Each has a client of ours on an address of its own: the daemon takes one handshake from an address at a time.
    """
    ours, theirs = LINES[request.param]
    place = tmp_path_factory.mktemp("transmission")
    started = {}
    with ExitStack() as open_ones:
        daemon = open_ones.enter_context(TransmissionPeer(place / "daemon", "127.0.10.1", encryption=theirs))
        cases = [(direction, source) for direction in DIRECTIONS for source in SOURCES]
        for number, (direction, source) in enumerate(cases, 2):
            here = place / f"{direction} {source}"
            client = open_ones.enter_context(
                make_client(here, f"127.0.10.{number}", encryption=ours, data_dir=here / direction)
            )
            start = downloading if direction == "download" else seeding
            started[direction, source] = start(daemon, client, here, source)
        yield started


def downloading(daemon: TransmissionPeer, client: Client, place: Path, source: str) -> Transfer:
    """From the daemon to us, who dial at once and look at what came when we are asked."""
    content = make_content(place / "original", place.name)
    daemon.add(content.torrent, place / "original")
    torrent = client.add(content.source(source))
    torrent.add_peers([(daemon.host, daemon.port)])
    return Transfer(content.path, place / "download" / place.name, partial(fetch, torrent))


def seeding(daemon: TransmissionPeer, client: Client, place: Path, source: str) -> Transfer:
    """From us to the daemon; we dial, for it does not dial loopback addresses."""
    content = make_content(place / "seed", place.name)
    torrent = client.add(content.torrent)
    assert torrent.checked.wait(30)
    name = daemon.add(content.source(source), place / "copy")
    there = (daemon.host, daemon.port)
    torrent.add_peers([there])
    wait = partial(dial_until, lambda: daemon.stats(name)["finished"], torrent, there)
    return Transfer(content.path, place / "copy" / place.name, wait)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_one_has_the_other_downloads(transfers: Transfers, direction: str, source: str) -> None:
    """Metadata, too, where it has a link alone."""
    transfer = transfers[direction, source]
    transfer.wait()
    assert bytes_below(transfer.copy) == bytes_below(transfer.original)
