"""Messages of the DHT, as liars and attackers write and read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address
from anabranch.testing.dht_talk import (
    compact,
    compact_nodes,
    distance,
    error,
    nodes_in,
    part,
    query,
    read,
    reply,
    text,
    uncompact,
)

ID = b"abcdefghij0123456789"
OTHER = b"mnopqrstuvwxyz123456"


def test_messages_are_those_of_the_specification() -> None:
    """The examples of BEP 5."""
    assert query(b"ping", ID) == b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"
    assert reply(b"aa", OTHER) == b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"
    assert error(b"aa", 201, "A Generic Error Ocurred") == b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"
    found = query(b"find_node", ID, target=OTHER)
    assert found == (b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe")


def test_nodes_of_both_families_are_written_and_read() -> None:
    """BEP 5 and BEP 32."""
    v4, v6 = [(ID, Address("1.2.3.4", 0))], [(OTHER, Address("2001:db8::1", 65535))]
    answer = read(reply(b"aa", ID, nodes=compact_nodes(v4) + b"end", nodes6=compact_nodes(v6)))
    assert nodes_in(part(answer, b"r")) == v4 + v6
    assert uncompact(compact(v6[0][1])) == v6[0][1]


def test_what_is_not_there_or_of_another_kind_is_empty() -> None:
    """Scripts go on, whatever a node says."""
    assert (part({b"a": 5}, b"a"), text({}, b"t"), text({b"t": 5}, b"t", b"usual")) == ({}, b"", b"usual")


def test_the_distance_is_that_of_the_bits() -> None:
    """BEP 5: exclusive or."""
    assert distance(b"\1" + bytes(19), bytes(19) + b"\2") == (1 << 152) + 2


@given(st.binary(max_size=300))
def test_any_bytes_are_read(noise: bytes) -> None:
    """As nothing, where they are nothing."""
    assert isinstance(read(noise), dict)
