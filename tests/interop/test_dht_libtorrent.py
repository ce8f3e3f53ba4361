"""Our DHT node and libtorrent's, over IPv4 and IPv6: everything that one may ask of the other, both ways."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.bencode import encode
from anabranch.dht import Announcing, Item, public_key, sign
from anabranch.model import Address
from interop.libtorrent_dht import LibtorrentDht
from interop.our_node import OurNode
from ours import until

pytestmark = pytest.mark.interop

HOSTS = {"IPv4": ("127.0.30.1", "127.0.30.2"), "IPv6": ("::1", "::1")}  # ours, libtorrent's
PORT = 7777


@dataclass
class Two:
    """The nodes, which know each other, and what ours was told."""

    ours: OurNode
    theirs: LibtorrentDht
    announced: list[tuple[bytes, Address]] = field(default_factory=list)

    @property
    def family(self) -> str:
        """Of the addresses."""
        return "IPv6" if ":" in self.theirs.host else "IPv4"


@pytest.fixture(scope="module", params=HOSTS)
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    """For all tests of a family: libtorrent takes five seconds to enter a node that asked it into its table."""
    here, there = HOSTS[request.param]
    announced: list[tuple[bytes, Address]] = []
    with (
        OurNode(here, on_announce=lambda info_hash, who: announced.append((info_hash, who))) as ours,
        LibtorrentDht(there) as theirs,
    ):
        ours.see(lambda dht: dht.add_node(*theirs.address))
        assert ours.ask(lambda dht: dht.ready(10))
        theirs.add_node(*ours.addresses[0])
        until(theirs.known, what="our node in libtorrent's table")
        yield Two(ours, theirs, announced)


def test_libtorrent_answers_a_ping(two: Two) -> None:
    """With its id and version, and with our address as it sees it (BEP 42)."""
    pong = two.ours.ask(lambda dht: dht.ping(Address(*two.theirs.address)))
    assert len(pong.id) == 20
    assert pong.version[:2] == b"LT"
    assert pong.external == two.ours.addresses[0].host


def test_each_knows_the_other_and_a_look_up_for_nodes_finds_it(two: Two) -> None:
    """libtorrent asks for peers where others ask for nodes; ours is asked, and answers."""
    looked = two.ours.ask(lambda dht: dht.find_node(os.urandom(20)))
    assert [tuple(contact.address) for contact in looked.closest] == [two.theirs.address]
    assert two.theirs.known() == 1
    assert two.ours.see(lambda dht: dht.stats()).counted.queries["get_peers"]


def test_what_we_announce_libtorrent_tells(two: Two) -> None:
    """To us again, and it says so to its user."""
    info_hash = os.urandom(20)
    looked = two.ours.ask(lambda dht: dht.get_peers(info_hash, announce=Announcing(PORT, implied=False)))
    assert looked.stored == 1
    host = two.ours.addresses[0].host
    assert two.theirs.announced() >= {(info_hash, host, PORT)}
    again = two.ours.ask(lambda dht: dht.get_peers(info_hash))
    assert Address(host, PORT) in again.peers
    assert two.theirs.get_peers(info_hash) == {(host, PORT)}


def test_an_implied_port_is_that_of_our_socket(two: Two) -> None:
    """libtorrent believes the datagram, not what is in it."""
    info_hash = os.urandom(20)
    assert two.ours.ask(lambda dht: dht.get_peers(info_hash, announce=Announcing(PORT))).stored == 1
    assert two.theirs.announced() >= {(info_hash, *two.ours.addresses[0])}


def test_what_libtorrent_announces_we_tell(two: Two) -> None:
    """It looks us up, has our token, and we keep what it says."""
    info_hash = os.urandom(20)
    two.theirs.announce(info_hash, PORT)
    there = Address(two.theirs.host, PORT)
    until(lambda: (info_hash, there) in two.announced, what="libtorrent's announce")
    looked = two.ours.ask(lambda dht: dht.get_peers(info_hash))
    assert there in looked.peers
    assert two.theirs.get_peers(info_hash) == {tuple(there)}


def test_libtorrent_counts_seeds_and_others(two: Two) -> None:
    """Blooms of the addresses (BEP 33), of which one of each is hard to tell from none."""
    info_hash = os.urandom(20)
    two.ours.ask(lambda dht: dht.get_peers(info_hash, announce=Announcing(PORT, implied=False, seed=True)))
    looked = two.ours.ask(lambda dht: dht.get_peers(info_hash, scrape=True))
    assert (looked.seeds, looked.leechers) == (1, 0)


def test_an_unsigned_item_goes_both_ways(two: Two) -> None:
    """Whatever bencode can say (BEP 44)."""
    ours = Item({b"from": [b"us", 1]})
    assert two.ours.ask(lambda dht: dht.put(ours)).stored == 1
    assert two.theirs.get(ours.target) == encode(ours.value)
    target, stored = two.theirs.put(b"from libtorrent " + two.family.encode())
    assert stored
    found = two.ours.ask(lambda dht: dht.get(target))
    assert found.item is not None
    assert found.item.value == b"from libtorrent " + two.family.encode()


@pytest.mark.parametrize("salt", [b"", b"salt"], ids=["plain", "salted"])
def test_a_signed_item_goes_both_ways_and_is_replaced(two: Two, salt: bytes) -> None:
    """Each verifies the other's signature, and gives the next number to a new version."""
    seed = os.urandom(32)
    key = public_key(seed)
    assert two.ours.ask(lambda dht: dht.put(sign(b"first", seed, salt, 1))).stored == 1
    assert two.theirs.get_signed(key, salt) == (encode(b"first"), 1)
    sequence, stored = two.theirs.put_signed(b"second", seed, key, salt)
    assert sequence == 2
    assert stored
    found = two.ours.ask(lambda dht: dht.get(sign(b"", seed, salt).target, salt=salt))
    assert found.item is not None
    assert (found.item.value, found.item.sequence, found.item.key) == (b"second", 2, key)


def test_libtorrent_refuses_an_older_version(two: Two) -> None:
    """And its words come back to who put it; what compares with another version likewise (cas)."""
    seed = os.urandom(32)
    assert two.ours.ask(lambda dht: dht.put(sign(b"newer", seed, sequence=5))).stored
    older = two.ours.ask(lambda dht: dht.put(sign(b"older", seed, sequence=4)))
    assert (older.stored, len(older.refused)) == (0, 1)
    other = two.ours.ask(lambda dht: dht.put(sign(b"newest", seed, sequence=6), cas=3))
    assert (other.stored, len(other.refused)) == (0, 1)


def test_libtorrent_tells_samples_of_its_torrents(two: Two) -> None:
    """BEP 51."""
    info_hash = os.urandom(20)
    two.ours.ask(lambda dht: dht.get_peers(info_hash, announce=Announcing(PORT)))
    samples = two.ours.ask(lambda dht: dht.sample(Address(*two.theirs.address), os.urandom(20)))
    assert samples.total >= 1
    assert samples.hashes
    assert samples.interval > 0


def test_we_tell_libtorrent_samples_of_our_torrents(two: Two) -> None:
    """BEP 51. Over IPv6 it asks nobody as long as nobody outside has told it its address."""
    if two.family == "IPv6":
        return
    info_hash = os.urandom(20)
    two.theirs.announce(info_hash, PORT)
    until(lambda: info_hash in {announced for announced, _ in two.announced}, what="libtorrent's announce")
    told = two.theirs.sample(*two.ours.addresses[0], os.urandom(20))
    assert told["total"] >= 1
    assert told["samples"]
    assert told["nodes"] >= 1
