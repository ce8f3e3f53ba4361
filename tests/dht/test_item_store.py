"""What others have stored at our node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anabranch.dht import item_store
from anabranch.dht.item_store import EXPIRY, MOST_ITEMS, PER_NETWORK, ItemStore
from anabranch.dht.items import Item, ItemRefused, sign

SEED = bytes(range(32))
HOST = "20.1.2.3"


def hosts() -> Iterator[str]:
    """Hosts of a network each."""
    return (f"20.{number >> 8}.{number & 255}.1" for number in range(65536))


def version(sequence: int, value: bytes = b"value") -> Item:
    return sign(value, SEED, b"", sequence)


def code(store: ItemStore, item: Item, cas: int | None = None) -> int:
    """What the store says: 0 if it takes the item."""
    try:
        store.put(item, HOST, 0.0, cas)
    except ItemRefused as refused:
        return refused.code
    return 0


def test_what_is_stored_is_found_by_its_target() -> None:
    store = ItemStore()
    one, other = Item(b"one"), version(1)
    store.put(one, HOST, 0.0)
    store.put(other, HOST, 0.0)
    assert store.get(one.target, 1.0) == one
    assert store.get(other.target, 1.0) == other
    assert store.get(bytes(20), 1.0) is None
    assert len(store) == 2


def test_a_version_replaces_an_older_one_and_no_newer_one() -> None:
    """BEP 44: a list's head is never downgraded."""
    store = ItemStore()
    assert code(store, version(5)) == 0
    assert code(store, version(4)) == 302
    assert code(store, version(5, b"another")) == 302
    assert code(store, version(5)) == 0
    assert code(store, version(7, b"new")) == 0
    found = store.get(version(7).target, 0.0)
    assert found is not None
    assert (found.sequence, found.value) == (7, b"new")


def test_who_compares_before_swapping_is_told_when_it_is_another_version() -> None:
    """BEP 44: 301 is a must. Where nothing is stored, and for immutable items, there is nothing to compare."""
    store = ItemStore()
    assert code(store, version(5), cas=3) == 0
    assert code(store, version(6), cas=4) == 301
    assert code(store, version(4), cas=4) == 301
    assert code(store, version(6), cas=5) == 0
    assert code(store, Item(b"immutable"), cas=1) == 0
    assert code(store, Item(b"immutable"), cas=1) == 0


def test_items_are_forgotten_after_two_hours_unless_they_are_stored_anew() -> None:
    store = ItemStore()
    kept, lost = Item(b"kept"), Item(b"lost")
    store.put(kept, HOST, 0.0)
    store.put(lost, HOST, 0.0)
    store.put(kept, HOST, EXPIRY / 2)
    assert store.get(lost.target, EXPIRY) is None
    assert store.get(kept.target, EXPIRY) == kept
    store.tick(EXPIRY)
    assert len(store) == 1
    store.tick(2 * EXPIRY)
    assert len(store) == 0


def test_one_network_cannot_fill_the_store() -> None:
    """What it may not bring any more others may, and itself when its own is forgotten."""
    store = ItemStore()
    for number in range(PER_NETWORK):
        store.put(Item(number), f"20.1.2.{number % 250}", 0.0)
    with pytest.raises(ItemRefused, match="stored already") as refused:
        store.put(Item(-1), "20.1.2.251", 0.0)
    assert refused.value.code == 202
    store.put(Item(0), "20.1.2.251", 1.0)  # what is there may be stored anew
    store.put(Item(-1), "20.1.3.1", 1.0)
    assert len(store) == PER_NETWORK + 1
    store.put(Item(-2), "20.1.2.251", EXPIRY)


def test_the_full_store_gives_up_what_was_not_stored_anew_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_store, "MOST_ITEMS", 3)
    store = ItemStore()
    for number, host in zip(range(3), hosts(), strict=False):
        store.put(Item(number), host, float(number))
    store.put(Item(0), HOST, 3.0)
    store.put(Item(3), HOST, 4.0)
    assert [number for number in range(4) if store.get(Item(number).target, 4.0)] == [0, 2, 3]


def test_the_store_stays_as_small_as_it_is_said_to_be() -> None:
    """Ten times as many items as it takes, each from another network."""
    store = ItemStore()
    for number, host in zip(range(10 * MOST_ITEMS), hosts(), strict=False):
        store.put(Item(number), host, number / 100)
    assert len(store) == MOST_ITEMS
    assert len(store._shares) == MOST_ITEMS
