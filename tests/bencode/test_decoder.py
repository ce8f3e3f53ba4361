"""Reading bencode: BEP 3 strictly, and as libtorrent forgives."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import bencode2
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from anabranch.bencode import LIMITS, BencodeError, Limits, decode, decode_noted, decode_prefix, encode

values = st.recursive(
    st.binary(max_size=12) | st.integers(-(10**19), 10**19),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=4), inner, max_size=4),
    max_leaves=12,
)
# Bytes that look like bencode far more often than plain noise does.
nearly = st.lists(st.sampled_from(list(b"0123deil:-e1a ")), max_size=30).map(bytes)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid bencode with one place overwritten, cut or doubled."""
    raw = encode(draw(values))
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(nearly) + raw[at + draw(st.integers(0, 3)) :]


@given(values)
def test_a_value_encoded_and_decoded_is_the_same_value(value: Any) -> None:
    """BEP 3 has one spelling for every value; strict decoding reads exactly that."""
    raw = encode(value)
    assert decode(raw) == value
    assert decode(bytearray(raw)) == decode(memoryview(raw)) == value
    assert decode_noted(raw, lenient=True).warnings == ()


@settings(max_examples=200)
@given(nearly | mutated() | st.binary(max_size=20))
@example(b"i-0e")
@example(b"01:a")
@example(b"i00e")
@example(b"d1:bi1e1:ai2ee")
@example(b"d1:ai1e1:ai2ee")
@example(b"d1:ae")
@example(b"i1_0e")
@example(b"i 1e")
@example(b"i+1e")
@example("i١e".encode())
def test_strict_decoding_accepts_what_bencode2_accepts(raw: bytes) -> None:
    """bencode2 is an independent strict decoder. Ours alone limits digits: integers of more than 20 are left out."""
    assume(not re.search(rb"\d{21}", raw))
    try:
        ours: Any = decode(raw)
    except BencodeError:
        with pytest.raises(bencode2.BencodeDecodeError):
            bencode2.bdecode(raw)
    else:
        assert bencode2.bdecode(raw) == ours
        assert encode(ours) == raw


@settings(max_examples=200)
@given(nearly | mutated())
def test_lenient_decoding_accepts_what_libtorrent_accepts(raw: bytes) -> None:
    """Both stop at the end of the value and forgive leading zeros, -0 and unsorted or repeated keys.

    Where a key is repeated libtorrent's Python binding shows the last, while its own torrent loader (and we) take the
    first. Its integers have 64 bits where ours have 20 digits: longer ones are left out.
    """
    assume(not re.search(rb"\d{19}", raw))
    libtorrent = pytest.importorskip("libtorrent")
    try:
        theirs = libtorrent.bdecode(raw)
    except RuntimeError:
        with pytest.raises(BencodeError):
            decode(raw, lenient=True)
        return
    noted = decode_noted(raw, lenient=True)
    if not any("repeated" in warning or "out of order" in warning for warning in noted.warnings):
        assert noted.value == theirs


@given(st.binary(max_size=60) | nearly | mutated(), st.booleans())
def test_any_bytes_are_read_or_blamed(noise: bytes, lenient: bool) -> None:
    """Whatever comes, the one documented error with a place inside the input, or a value that ends inside the input."""
    try:
        noted = decode_noted(noise, lenient=lenient)
    except BencodeError as error:
        where = error.offset
    else:
        where = noted.end
        assert 0 < noted.end <= len(noise)
        assert decode_prefix(noise, lenient=lenient) == (noted.value, noted.end)
        if not lenient:
            assert encode(noted.value) == noise[: noted.end]
    assert 0 <= where <= len(noise)
    with suppress(BencodeError):
        decode(noise, lenient=lenient, limits=Limits(depth=2, items=5, integer_digits=2, string_length=3))


def test_the_error_says_what_was_found_where() -> None:
    with pytest.raises(BencodeError, match="string of 9 bytes at byte 4, 1 are there") as refused:
        decode(b"d1:a9:x")
    assert refused.value.offset == 4
    with pytest.raises(BencodeError, match="the input ends at byte 3 inside a value"):
        decode(b"d0:")
    with pytest.raises(BencodeError, match="4 bytes follow the value that ends at byte 3"):
        decode(b"i1ejunk")
    with pytest.raises(BencodeError, match="b'i' at byte 1 where a dictionary key is due"):
        decode(b"di1ei2ee")
    with pytest.raises(BencodeError, match="end mark at byte 4 where a value is due"):
        decode(b"d1:ae")


def test_a_prefix_is_read_with_its_length() -> None:
    """ut_metadata messages (BEP 9) are a dictionary with raw bytes behind it."""
    assert decode_prefix(b"d5:piecei3ee\x00\x01rest") == ({b"piece": 3}, 12)


@pytest.mark.parametrize(
    ("raw", "value", "warning"),
    [
        (b"i01e", 1, "leading zero"),
        (b"i-0e", 0, "leading zero, or -0, at byte 0"),
        (b"i-01e", -1, "leading zero"),
        (b"l02:abe", [b"ab"], "string length with a leading zero at byte 1"),
        (b"d1:bi1e1:ai2ee", {b"a": 2, b"b": 1}, "key b'a' out of order at byte 7"),
        (b"d1:ai1e1:ai2ee", {b"a": 1}, "key b'a' repeated at byte 7"),
    ],
)
def test_a_forgiven_mistake_is_told(raw: bytes, value: object, warning: str) -> None:
    """Lenient accepts with a warning what strict refuses; the first of a repeated key counts, as in libtorrent."""
    noted = decode_noted(raw, lenient=True)
    assert noted.value == value
    assert len(noted.warnings) == 1
    assert warning in noted.warnings[0]
    with pytest.raises(BencodeError):
        decode(raw)


def test_warnings_are_few_however_many_mistakes() -> None:
    assert len(decode_noted(b"l" + b"i01e" * 1000 + b"e", lenient=True).warnings) == 10


@given(st.dictionaries(st.binary(max_size=4), values, max_size=5))
def test_spans_are_the_original_bytes_of_each_value(mapping: dict[bytes, Any]) -> None:
    """The info hash is taken over the bytes as they came, not over what we would write."""
    raw = encode(mapping)
    spans = decode_noted(raw + b"behind").spans
    assert {key: raw[start:end] for key, (start, end) in spans.items()} == {k: encode(v) for k, v in mapping.items()}


def test_spans_follow_the_first_of_a_repeated_key_and_the_original_spelling() -> None:
    raw = b"d1:bi01e1:ali1ee1:bi2ee"
    noted = decode_noted(raw, lenient=True)
    assert noted.value == {b"b": 1, b"a": [1]}
    assert {key: raw[start:end] for key, (start, end) in noted.spans.items()} == {b"b": b"i01e", b"a": b"li1ee"}


@pytest.mark.parametrize("opener", [b"l", b"d0:"])
def test_depth_is_refused_and_never_overflows_the_stack(opener: bytes) -> None:
    """200,000 open lists are an error like any other, and allowed they are read without recursion."""
    raw = opener * 200_000
    with pytest.raises(BencodeError, match="nested more than 100 deep at byte"):
        decode(raw)
    with pytest.raises(BencodeError, match="inside a value"):
        decode(raw, limits=Limits(depth=300_000))
    decode(b"l" * 100 + b"e" * 100)
    with pytest.raises(BencodeError):
        decode(b"l" * 101 + b"e" * 101)


def test_items_are_limited() -> None:
    """Keys, values and ends count."""
    assert decode(b"d1:ali1ei2eee", limits=Limits(items=7)) == {b"a": [1, 2]}
    with pytest.raises(BencodeError, match="more than 6 items"):
        decode(b"d1:ali1ei2eee", limits=Limits(items=6))


def test_integer_digits_are_limited() -> None:
    nines = b"9" * LIMITS.integer_digits
    assert decode(b"i-" + nines + b"e") == -int(nines)
    for too_many in (b"i9" + nines + b"e", b"i-9" + nines + b"e", b"i" + b"9" * 100_000 + b"e"):
        with pytest.raises(BencodeError, match="not 1 to 20 digits"):
            decode(too_many)
    with pytest.raises(ValueError, match="cannot be read"):
        Limits(integer_digits=5000)


def test_string_lengths_are_limited() -> None:
    limits = Limits(string_length=3)
    assert decode(b"3:abc", limits=limits) == b"abc"
    with pytest.raises(BencodeError, match="string of 4 bytes at byte 0, at most 3 are read"):
        decode(b"4:abcd", limits=limits)
    with pytest.raises(BencodeError, match="without a length"):
        decode(b"1" * 100_000 + b":")
