"""Our DHT node and npm's bittorrent-dht, the node of WebTorrent: everything one may ask of the other, both ways."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from anabranch.dht import Announcing, Item, public_key, sign
from interop.npm_dht import NpmDht
from interop.our_node import OurNode
from interop.real_program import PeerProgramFailed

pytestmark = pytest.mark.interop

PORT = 7777


@pytest.fixture(scope="module")
def theirs() -> Iterator[NpmDht]:
    """npm's node."""
    with NpmDht("127.0.31.2") as theirs:
        yield theirs


@pytest.fixture(scope="module")
def ours(theirs: NpmDht) -> Iterator[OurNode]:
    """Ours; each knows the other."""
    with OurNode("127.0.31.1") as ours:
        ours.meet(*theirs.address)
        yield ours


def test_each_answers_a_ping(ours: OurNode, theirs: NpmDht) -> None:
    """With the id by which it is known from then on."""
    their_id = ours.meet(*theirs.address)
    our_id = theirs.ping(*ours.addresses[0])
    assert theirs.nodes() == {our_id: tuple(ours.addresses[0])}
    looked = ours.ask(lambda dht: dht.find_node(os.urandom(20)))
    assert [(contact.id, tuple(contact.address)) for contact in looked.closest] == [(their_id, theirs.address)]


def test_what_one_announces_the_other_tells(ours: OurNode, theirs: NpmDht) -> None:
    """The port that is said, or that of the socket."""
    here, there = ours.addresses[0].host, theirs.host
    theirs.ping(*ours.addresses[0])
    said, implied = os.urandom(20), os.urandom(20)
    assert ours.ask(lambda dht: dht.get_peers(said, announce=Announcing(PORT, implied=False))).stored
    assert ours.ask(lambda dht: dht.get_peers(implied, announce=Announcing(PORT))).stored
    assert theirs.get_peers(said) == {(here, PORT)}
    assert theirs.get_peers(implied) == {tuple(ours.addresses[0])}
    said, implied = os.urandom(20), os.urandom(20)
    theirs.announce(said, PORT)
    theirs.announce(implied, 0)
    assert theirs.get_peers(said) == {(there, PORT)}  # it does not keep itself: this is what we tell it
    assert theirs.get_peers(implied) == {theirs.address}


def test_an_unsigned_item_goes_both_ways(ours: OurNode, theirs: NpmDht) -> None:
    """BEP 44; it has strings alone."""
    theirs.ping(*ours.addresses[0])
    item = Item(b"from us")
    assert ours.ask(lambda dht: dht.put(item)).stored
    assert theirs.get(item.target) == (b"from us", None)
    target, stored = theirs.put(b"from npm")
    assert stored
    found = ours.ask(lambda dht: dht.get(target)).item
    assert found is not None
    assert found.value == b"from npm"


@pytest.mark.parametrize("salt", [b"", b"salt"], ids=["plain", "salted"])
def test_a_signed_item_goes_both_ways_and_is_replaced(ours: OurNode, theirs: NpmDht, salt: bytes) -> None:
    """Each verifies the other's signature, and refuses what is older."""
    theirs.ping(*ours.addresses[0])
    seed = os.urandom(32)
    first = sign(b"first", seed, salt, 1)
    assert ours.ask(lambda dht: dht.put(first)).stored
    assert theirs.get(first.target, salt) == (b"first", 1)
    target, stored = theirs.put_signed(b"second", seed, 2, salt, cas=1)
    assert target == first.target
    assert stored
    assert theirs.get(target, salt) == (b"second", 2)  # of those that we and it have
    found = ours.ask(lambda dht: dht.get(target, salt=salt)).item
    assert found is not None
    assert (found.value, found.sequence, found.key) == (b"second", 2, public_key(seed))
    assert not ours.ask(lambda dht: dht.put(first)).stored


def test_we_refuse_npm_an_older_version(ours: OurNode, theirs: NpmDht) -> None:
    """With the number that BEP 44 has for it, which it shows its user."""
    theirs.ping(*ours.addresses[0])
    seed = os.urandom(32)
    with NpmDht("127.0.31.5") as alone:  # has only us to put it to
        alone.ping(*ours.addresses[0])
        alone.put_signed(b"newer", seed, 5)
        with pytest.raises(PeerProgramFailed, match=r"302"):
            alone.put_signed(b"older", seed, 4)


def test_each_finds_the_other_s_nodes(ours: OurNode, theirs: NpmDht) -> None:
    """Of a third one both hear from each other."""
    with NpmDht("127.0.31.3") as third:
        third.ping(*ours.addresses[0])
        third_id = ours.meet(*third.address)
        theirs.ping(*ours.addresses[0])
        assert theirs.find_node(third_id)[third_id] == third.address
    with NpmDht("127.0.31.4") as fourth:
        fourth_id = theirs.ping(*fourth.address)
        found = ours.ask(lambda dht: dht.find_node(fourth_id))
        assert (fourth_id, fourth.address) in [(contact.id, tuple(contact.address)) for contact in found.closest]
