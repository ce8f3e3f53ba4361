"""Three programs, of which one knows only that in the middle, and hears of the third by peer exchange alone (BEP 11).

Who asks has nothing; who is in the middle takes what it wants so slowly that nobody gets anything from it; the third
has everything. There is no tracker, no DHT and no local discovery.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from interop.matrix import bytes_below, make_content
from interop.own_network import PREFIX, PREFIX6, in_own_network
from interop.parties import Party, started
from interop.transmission_peer import TransmissionPeer

pytestmark = pytest.mark.interop

Names = tuple[str, str, str]  # the programs: who asks, who is in the middle, who has it
WITH_LIBTORRENT: tuple[Names, ...] = (
    ("ours", "libtorrent", "libtorrent"),
    ("ours", "libtorrent", "ours"),
    ("libtorrent", "ours", "libtorrent"),
    ("ours", "ours", "libtorrent"),
    ("ours", "ours", "ours"),
)
WITH_TRANSMISSION: tuple[Names, ...] = (
    ("ours", "transmission", "libtorrent"),
    ("transmission", "ours", "libtorrent"),
)


@pytest.mark.parametrize("prefix", [pytest.param(PREFIX, id="IPv4"), pytest.param(PREFIX6, id="IPv6")])
@pytest.mark.parametrize("names", WITH_LIBTORRENT, ids="-".join)
def test_whom_a_peer_tells_of_is_downloaded_from(names: Names, prefix: str, tmp_path: Path) -> None:
    """With libtorrent in any of the three places, at once: nobody waits for the minute that is between two messages."""
    in_own_network(partial(exchange, names, tmp_path, prefix))


@pytest.mark.parametrize("names", WITH_TRANSMISSION, ids="-".join)
def test_transmission_and_we_tell_each_other(names: Names, tmp_path: Path) -> None:
    """In the middle, and where it is told."""
    in_own_network(partial(exchange, names, tmp_path, PREFIX))


def exchange(names: Names, place: Path, prefix: str) -> None:
    """Have the first download from the last. Their addresses end in 1, 2 and 3."""
    content = make_content(place / "original", " ".join(names))
    with ExitStack() as open_ones:
        asker, middle, seeder = (
            started(name, place / str(number), f"{prefix}{number}", open_ones, slow=number == 2)
            for number, name in enumerate(names, 1)
        )
        seeder.begin(content.torrent, content.path.parent)
        middle.begin(content.torrent, place / "middle copy")
        asker.begin(content.torrent, place / "copy")
        join(middle, seeder)
        join(asker, middle)
        asker.wait_finished(60)
        assert bytes_below(place / "copy" / content.path.name) == bytes_below(content.path)
        assert not middle.is_finished()


def join(one: Party, other: Party) -> None:
    """Connect two. Transmission cannot be told of a peer: the other one is."""
    if isinstance(getattr(one, "program", None), TransmissionPeer):
        one, other = other, one
    one.dial(other.address)
