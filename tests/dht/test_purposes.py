"""What look-ups make of what nodes say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import Value
from anabranch.dht import Announcing, Item, Looked, sign
from anabranch.dht.blooms import Bloom
from anabranch.dht.purposes import FindNode, GetItem, GetPeers, PutItem
from anabranch.model import Address

TARGET = b"h" * 20
KEYS = st.sampled_from([b"values", b"BFsd", b"BFpe", b"v", b"k", b"seq", b"sig", b"token", b"nodes"])
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.integers(-(10**19), 10**19) | st.binary(max_size=70) | st.binary(min_size=256, max_size=256),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.binary(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def peers(announce: Announcing | None = None, *, scrape: bool = False) -> tuple[GetPeers, list[Address]]:
    heard: list[Address] = []
    return GetPeers(TARGET, heard.extend, announce, scrape=scrape, noseed=False), heard


def signed(item: Item) -> dict[bytes, Value]:
    return {b"v": item.value, b"k": item.key, b"seq": item.sequence, b"sig": item.signature}


def test_peers_are_told_once_and_those_nobody_can_reach_never() -> None:
    """Port 0, multicast, broken ones."""
    purpose, heard = peers()
    good = b"\x01\x02\x03\x04\x1a\xe1"
    purpose.heard({b"values": [good, b"\x01\x02\x03\x04\0\0", b"\xe0\0\0\1\x1a\xe1", b"abc", 5, good]})
    purpose.heard({b"values": [good]})
    assert heard == [Address("1.2.3.4", 6881)]
    assert purpose.found(Looked(TARGET)).peers == tuple(heard)


def test_a_swarm_without_end_is_heard_up_to_a_bound() -> None:
    """Liars have more addresses than we have memory."""
    purpose, heard = peers()
    for first in range(200):
        purpose.heard({b"values": [bytes([1, first, second, 1, 1, 1]) for second in range(256)]})
    assert len(heard) == 5000


def test_an_announce_says_what_is_to_be_said() -> None:
    """BEP 5 and BEP 33; without it nothing is stored."""
    assert peers()[0].storing(b"token") is None
    plain = peers(Announcing(7000, implied=False))[0].storing(b"token")
    assert plain == ("announce_peer", {b"info_hash": TARGET, b"port": 7000, b"token": b"token"})
    full = peers(Announcing(7000, seed=True))[0].storing(b"token")
    assert full is not None
    assert full[1] == plain[1] | {b"implied_port": 1, b"seed": 1}


def test_filters_are_united_and_those_that_are_full_on_purpose_left_out() -> None:
    """BEP 33; who tells nothing is not counted as nobody."""
    purpose, _ = peers(scrape=True)
    assert purpose.arguments() == {b"info_hash": TARGET, b"scrape": 1}
    assert purpose.found(Looked(TARGET)).seeds is None
    for first in range(2):
        bloom = Bloom()
        for last in range(50):
            bloom.add(f"1.2.{first}.{last}")
        purpose.heard({b"BFsd": bytes(bloom), b"BFpe": bytes(256)})
    purpose.heard({b"BFsd": b"\xff" * 256})
    found = purpose.found(Looked(TARGET))
    assert found.seeds is not None
    assert 90 <= found.seeds <= 110
    assert found.leechers == 0


def test_the_newest_item_that_is_right_is_found() -> None:
    """BEP 44: whatever others say."""
    old, new = (sign(word, b"s" * 32, b"salt", number) for number, word in ((1, b"old"), (2, b"new")))
    purpose = GetItem(new.target, b"salt")
    purpose.heard({**signed(new), b"v": b"forged"})
    purpose.heard(signed(sign(b"another's", b"z" * 32, b"salt", 9)))
    assert purpose.found(Looked(TARGET)).item is None
    for item in (old, new, old):
        purpose.heard(signed(item))
    assert purpose.found(Looked(TARGET)).item == new


def test_only_a_newer_item_than_ours_is_found() -> None:
    """Whoever polls knows what he has."""
    item = sign(b"x", b"s" * 32, b"", 5)
    for known, found in ((4, item), (5, None)):
        purpose = GetItem(item.target, sequence=known)
        assert purpose.arguments().items() >= {(b"target", item.target), (b"seq", known)}
        purpose.heard(signed(item))
        assert purpose.found(Looked(TARGET)).item == found


def test_an_immutable_item_is_known_by_its_hash() -> None:
    """Another one is not it."""
    item = Item(b"Hello World!")
    purpose = GetItem(item.target)
    purpose.heard({b"v": b"Hello World?"})
    assert purpose.found(Looked(TARGET)).item is None
    purpose.heard({b"v": b"Hello World!"})
    assert purpose.found(Looked(TARGET)).item == item


def test_a_put_says_all_that_its_item_has() -> None:
    """An immutable one has its value only."""
    assert PutItem(Item(b"x")).storing(b"t") == ("put", {b"token": b"t", b"v": b"x"})
    item = sign(b"x", b"s" * 32, b"salt", 5)
    storing = PutItem(item, 4).storing(b"t")
    assert storing == ("put", {b"token": b"t", b"salt": b"salt", b"cas": 4, **signed(item)})


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_whatever_a_node_says_is_read_or_passed_over(values: dict[bytes, Value]) -> None:
    """Another node may know better."""
    for purpose in (FindNode(TARGET), peers(scrape=True)[0], GetItem(TARGET, b"salt", 1), PutItem(Item(b"x"))):
        purpose.heard(values)
        assert purpose.found(Looked(TARGET)).target == TARGET
