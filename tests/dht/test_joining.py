"""One answer of several nodes."""

from __future__ import annotations

from anabranch.dht.contacts import Contact
from anabranch.dht.items import sign
from anabranch.dht.joining import joined
from anabranch.dht.operations import Looked
from anabranch.model import Address

TARGET = bytes(20)
PEER, OTHER = Address("20.1.2.3", 1), Address("2a00::1", 2)
SEED = bytes(32)


def near(distance: int) -> Contact:
    """A node so far from the target."""
    return Contact(distance.to_bytes(20, "big"), Address("20.1.2.3", 6881))


def test_the_answer_of_one_node_is_what_it_is() -> None:
    one = Looked(TARGET, asked=3)
    assert joined(TARGET, [one]) is one


def test_what_several_found_is_put_together() -> None:
    """The nearest come first, peers and seeds that both know count once, and the newest item is the one."""
    old, new = sign(b"old", SEED, sequence=1), sign(b"new", SEED, sequence=2)
    one = Looked(
        TARGET, tuple(map(near, range(1, 15, 2))), asked=10, answered=7, seconds=2.0, peers=(PEER, OTHER), stored=4,
        refused=("full",), item=new, seeds=5,
    )  # fmt: skip
    other = Looked(
        TARGET, tuple(map(near, range(2, 16, 2))), asked=20, answered=8, seconds=1.0, peers=(OTHER,), stored=8,
        refused=("no",), item=old, seeds=3, leechers=1,
    )  # fmt: skip
    assert joined(TARGET, [one, other]) == Looked(
        TARGET, tuple(map(near, range(1, 9))), asked=30, answered=15, seconds=2.0, peers=(PEER, OTHER), stored=12,
        refused=("full", "no"), item=new, seeds=5, leechers=1,
    )  # fmt: skip


def test_nothing_of_nobody_is_nothing() -> None:
    assert joined(TARGET, [Looked(TARGET), Looked(TARGET)]) == Looked(TARGET)
