"""What is kept of the DHT between runs."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.dht.contacts import Contact
from anabranch.dht.remembering import MOST_CONTACTS, Remembered, claim, decode_nodes, encode_nodes, nameless
from anabranch.model import Address, InputRefused

V4 = Remembered("0.0.0.0", b"4" * 20, (Contact(b"a" * 20, Address("20.1.2.3", 6881)),))
OTHER_V4 = Remembered("10.0.0.5", b"5" * 20, ())
V6 = Remembered("::", b"6" * 20, (Contact(b"b" * 20, Address("2a00::1", 1)), Contact(b"c" * 20, Address("2a00::2", 2))))


def test_what_is_kept_is_read_again() -> None:
    assert decode_nodes(encode_nodes([V4, V6, OTHER_V4])) == [V4, V6, OTHER_V4]
    assert decode_nodes(encode_nodes([])) == decode_nodes(b"") == []


def test_no_more_nodes_are_kept_than_a_table_has() -> None:
    many = tuple(Contact(bytes([n // 256, n % 256]) * 10, Address(f"20.1.{n // 256}.{n % 256}", 1)) for n in range(600))
    (read,) = decode_nodes(encode_nodes([Remembered("0.0.0.0", bytes(20), many)]))
    assert read.contacts == many[:MOST_CONTACTS]


def test_each_node_claims_its_own_first_and_else_any_of_its_family() -> None:
    """Addresses change, and who was known at the old one is there all the same. None is claimed twice."""
    kept = [V4, V6, OTHER_V4]
    assert claim(kept, "10.0.0.5") == OTHER_V4
    assert claim(kept, "10.0.0.6") == V4
    assert claim(kept, "10.0.0.7") == Remembered("10.0.0.7", b"", ())
    assert claim(kept, "fd00::1") == V6
    assert kept == []


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(saved: bytes) -> None:
    with suppress(InputRefused):
        decode_nodes(saved)


FIELDS = st.integers(-9, 9) | st.binary(max_size=60) | st.sampled_from([b"0.0.0.0", b"::", b"i" * 20])


@given(st.lists(st.dictionaries(st.sampled_from([b"at", b"id", b"nodes"]), FIELDS), max_size=3))
def test_any_fields_are_read_or_refused(nodes: list[dict[bytes, object]]) -> None:
    with suppress(InputRefused):
        for node in decode_nodes(encode(nodes)):
            assert len(node.id) in (0, 20)


@pytest.mark.parametrize(
    "saved",
    [b"x", b"i1e", b"de", b"li1ee", b"l" * 10, encode([{"at": "host", "id": bytes(20), "nodes": b""}]),
     encode([{"at": b"\xff", "id": bytes(20), "nodes": b""}]), encode([{"at": "::", "id": bytes(19), "nodes": b""}]),
     encode([{"at": "::", "id": bytes(20)}]), encode([{"at": "::", "id": bytes(20), "nodes": 1}])],
)  # fmt: skip
def test_what_is_something_else_is_refused_in_words(saved: bytes) -> None:
    with pytest.raises(InputRefused, match="not what a DHT node has saved"):
        decode_nodes(saved)


def test_nodes_where_nobody_can_be_are_left_out() -> None:
    nowhere = bytes(20) + bytes([224, 0, 0, 1, 0, 1]) + bytes(20) + bytes([20, 1, 2, 3, 0, 0])
    (read,) = decode_nodes(encode([{"at": "0.0.0.0", "id": bytes(20), "nodes": nowhere}]))
    assert read.contacts == ()


def test_who_runs_beside_another_one_has_its_contacts_and_not_its_id() -> None:
    """Two programs may read the same; what cannot be read is nothing."""
    kept = decode_nodes(nameless(encode_nodes([V4, V6])))
    assert [node.id for node in kept] == [b"", b""]
    assert [node.contacts for node in kept] == [V4.contacts, V6.contacts]
    assert not decode_nodes(nameless(b""))
    assert nameless(b"rubbish") == b""
