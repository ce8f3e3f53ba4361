"""Two computers on one cable find each other by multicast alone (BEP 14): no tracker, no DHT, and nobody is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from interop.joined_hosts import joined_hosts
from interop.matrix import bytes_below, make_content
from interop.parties import started

pytestmark = pytest.mark.interop

Pair = tuple[str, str, str]  # who asks, who has it, and by what they look

WITH_LIBTORRENT: tuple[Pair, ...] = (
    ("ours", "libtorrent", "v4"),
    ("ours", "libtorrent", "v6"),
    ("libtorrent", "ours", "v4"),
    ("libtorrent", "ours", "v6"),
    ("ours", "ours", "v4"),
    ("ours", "ours", "v6"),
)
WITH_TRANSMISSION: tuple[Pair, ...] = (
    ("ours", "transmission", "v4"),
    ("transmission", "ours", "v4"),
)  # Debian's: no IPv6


@pytest.mark.parametrize("pair", WITH_LIBTORRENT, ids="-".join)
def test_who_names_a_torrent_on_the_cable_is_downloaded_from(pair: Pair, tmp_path: Path) -> None:
    """Whoever of the two hears of the other first."""
    meet(pair, tmp_path)


def test_transmission_and_we_find_each_other(tmp_path: Path) -> None:
    """At the same time, on two cables: it takes its ten seconds each time."""
    with ThreadPoolExecutor(len(WITH_TRANSMISSION)) as threads:
        for done in [threads.submit(meet, pair, tmp_path / pair[0]) for pair in WITH_TRANSMISSION]:
            done.result()


def meet(pair: Pair, place: Path) -> None:
    """Put two on a cable, and wait until the first has what the second has."""
    asker, seeder, family = pair
    content = make_content(place / "original", " ".join(pair))
    with joined_hosts() as (here, there), ExitStack() as open_ones:
        one = there.run(lambda: started(seeder, place / "seeder", getattr(there, family), open_ones, local=True))
        other = here.run(lambda: started(asker, place / "asker", getattr(here, family), open_ones, local=True))
        there.run(lambda: one.begin(content.torrent, content.path.parent))
        here.run(lambda: other.begin(content.torrent, place / "copy"))
        here.run(lambda: other.wait_finished(60))
    assert bytes_below(place / "copy" / content.path.name) == bytes_below(content.path)
