"""Writing bencode: BEP 3's one spelling."""

from __future__ import annotations

from typing import Any

import bencode2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import BencodeError, encode
from anabranch.model import InfoHash, Priority

values = st.recursive(
    st.binary(max_size=12) | st.text(max_size=12) | st.integers(-(10**19), 10**19),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_we_write_what_bencode2_writes(value: Any) -> None:
    """An independent encoder spells every value the same."""
    assert encode(value) == bencode2.bencode(value)


def test_each_type_has_its_spelling() -> None:
    """BEP 3; str is UTF-8, tuples are lists, any buffer is a string."""
    assert encode([b"a", bytearray(b"b"), memoryview(b"c"), "é", -3, 0, (), {}]) == b"l1:a1:b1:c2:\xc3\xa9i-3ei0eledee"
    assert encode(Priority.HIGH) == b"i2e"
    assert encode(InfoHash(b"x" * 20)) == b"20:" + b"x" * 20


def test_keys_are_sorted_as_bytes_whatever_their_type() -> None:
    """UTF-8 text and bytes mix; the order is that of the raw bytes."""
    assert encode({"é": 1, b"z": 2, "Z": 3, b"": 4}) == b"d0:i4e1:Zi3e1:zi2e2:\xc3\xa9i1ee"


@pytest.mark.parametrize("value", [True, None, 1.5, {1, 2}, [None], {"a": False}, object()])
def test_what_bencode_has_no_word_for_is_refused(value: object) -> None:
    with pytest.raises(BencodeError, match="has no bencode"):
        encode(value)


def test_keys_are_refused_that_are_no_strings_or_meet_as_bytes() -> None:
    with pytest.raises(BencodeError, match="int as a dictionary key"):
        encode({1: 2})
    with pytest.raises(BencodeError, match="two dictionary keys are b'a'"):
        encode({"a": 1, b"a": 2})
    with pytest.raises(BencodeError, match="not Unicode"):
        encode({"\udc80": 1})


def test_what_would_not_be_read_again_is_not_written() -> None:
    """More than 20 digits, more than 100 lists inside each other; a list inside itself ends with an error."""
    encode([10**20 - 1, 1 - 10**20])
    for too_large in (10**20, -(10**20), 10**10_000):
        with pytest.raises(BencodeError, match="integer of more than 20 digits"):
            encode(too_large)
    nested: list[Any] = []
    for _ in range(99):
        nested = [nested]
    assert encode(nested) == b"l" * 100 + b"e" * 100
    with pytest.raises(BencodeError, match="nested more than 100 deep"):
        encode([nested])
    nested.append(nested)
    with pytest.raises(BencodeError, match="nested"):
        encode(nested)
