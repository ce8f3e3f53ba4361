"""Items of the DHT."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha1

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import Value, encode
from anabranch.dht import krpc
from anabranch.dht.items import MOST_DEPTH, MOST_SEQUENCE, Item, ItemRefused, public_key, sign, target_of
from anabranch.model import InputRefused

KEY = bytes.fromhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")  # BEP 44, its examples
PLAIN = bytes.fromhex(
    "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff"
    "1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"
)
SALTED = bytes.fromhex(
    "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d"
    "df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"
)
SEED = bytes(range(32))
VALUES = st.recursive(
    st.integers(-(2**63), 2**63) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def test_the_examples_of_bep_44_are_what_it_says() -> None:
    plain = Item(b"Hello World!", KEY, b"", 1, PLAIN)
    assert plain.target.hex() == "4a533d47ec9c7d95b1ad75f576cffc641853b750"
    salted = Item(b"Hello World!", KEY, b"foobar", 1, SALTED)
    assert salted.target.hex() == "411eba73b6f087ca51a3795d9c8c938d365e32c1"
    assert salted.target == target_of(KEY, b"foobar")
    assert plain.mutable
    immutable = Item(b"Hello World!")
    assert immutable.target.hex() == "e5f96f6f38320f0f33959cb4d3d656452117aadb"
    assert not immutable.mutable
    assert immutable.value == b"Hello World!"


def test_rfc_8032_seeds_give_the_keys_it_says() -> None:
    """Its first test: a seed, and the public key of it; both one behind the other are a private key too."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert public_key(seed) == public_key(seed + public) == public
    assert sign(1, seed) == sign(1, seed + public)


@given(VALUES, st.binary(max_size=64), st.integers(0, MOST_SEQUENCE))
@settings(max_examples=50)
def test_what_is_signed_is_an_item_and_its_value_comes_back(value: Value, salt: bytes, sequence: int) -> None:
    item = sign(value, SEED, salt, sequence)
    assert Item(item.value, item.key, item.salt, item.sequence, item.signature) == item
    assert item.value == value
    assert item.target == sha1(public_key(SEED) + salt).digest()
    assert hash(item) == hash(sign(value, SEED, salt, sequence))


@pytest.mark.parametrize(
    ("value", "salt", "sequence"), [(b"Hello World?", b"foobar", 1), (b"Hello World!", b"foobaz", 1),
                                    (b"Hello World!", b"", 1), (b"Hello World!", b"foobar", 2)]
)  # fmt: skip
def test_a_signature_is_of_value_salt_and_sequence(value: bytes, salt: bytes, sequence: int) -> None:
    with pytest.raises(ItemRefused, match="signature") as refused:
        Item(value, KEY, salt, sequence, SALTED)
    assert refused.value.code == 206


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (205, (b"x" * 997,)),  # 4 bytes more when bencoded
        (205, (b"x" * 997, KEY, b"", 1, PLAIN)),
        (206, (b"Hello World!", KEY, b"", 1, PLAIN[:-1])),
        (206, (b"Hello World!", KEY, b"", 1, b"")),
        (206, (b"Hello World!", b"\xff" * 32, b"", 1, PLAIN)),
        (207, (b"Hello World!", KEY, b"s" * 65, 1, PLAIN)),
        (203, (b"Hello World!", KEY[:-1], b"", 1, PLAIN)),
        (203, (b"Hello World!", KEY, b"", -1, PLAIN)),
        (203, (b"Hello World!", KEY, b"", MOST_SEQUENCE + 1, PLAIN)),
        (203, (b"Hello World!", b"", b"salt")),
        (203, (b"Hello World!", b"", b"", 1)),
        (203, (10**30,)),
    ],
)
def test_what_is_no_item_is_refused_with_the_code_of_bep_44(code: int, arguments: tuple[bytes, ...]) -> None:
    with pytest.raises(ItemRefused) as refused:
        Item(*arguments)  # type: ignore[arg-type]  # some are numbers
    assert refused.value.code == code


def test_a_value_of_a_thousand_bytes_is_stored() -> None:
    assert len(Item(b"x" * 996).encoded) == 1000


def test_what_no_message_could_hold_is_no_item() -> None:
    """Nodes read values only so deep: one that is deeper would be put, and taken by nobody, without a word."""
    value: Value = 1
    for _ in range(MOST_DEPTH):
        value = [value]
    message = krpc.read(encode({"a": {"id": b"q" * 20, "v": Item(value).value}, "q": "put", "t": b"t", "y": "q"}))
    assert isinstance(message, krpc.Query)
    with pytest.raises(ItemRefused) as refused:
        Item([value])
    assert refused.value.code == 203


def test_what_the_caller_changes_later_does_not_change_the_item() -> None:
    value: list[Value] = [b"a", [1]]
    item = Item(value)
    value.append(b"b")
    assert item.value == [b"a", [1]]


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), bytes(63), bytes(64), bytes(65)])
def test_what_is_no_private_key_is_refused(key: bytes) -> None:
    """Expanded keys are of 64 bytes too, whose second half is no public key of the first."""
    with pytest.raises(InputRefused, match="private key"):
        sign(b"value", key)


@given(VALUES, st.binary(max_size=40), st.binary(max_size=70), st.integers(-(2**70), 2**70), st.binary(max_size=70))
def test_anything_is_an_item_or_refused(value: Value, key: bytes, salt: bytes, sequence: int, signed: bytes) -> None:
    with suppress(ItemRefused):
        Item(value, key, salt, sequence, signed)
