"""Hash trees agree with trees that are built node by node."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.metainfo.merkle import leaves_of, next_power_of_two, pad_hash, parents, piece_root, root_of
from metainfo.v2 import K, plain_layers


@pytest.mark.parametrize(("count", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (513, 1024), (1024, 1024)])
def test_the_next_power_of_two_is_never_less(count: int, power: int) -> None:
    """Trees are balanced."""
    assert next_power_of_two(count) == power


def test_filling_hashes_like_leaves_of_zeros() -> None:
    """BEP 52: what is behind the last block is 32 zero bytes in the leaf layer."""
    assert pad_hash(0) == bytes(32)
    assert pad_hash(1) == sha256(bytes(64)).digest()
    assert pad_hash(2) == sha256(pad_hash(1) * 2).digest()


@given(st.integers(1, 40), st.integers(1, K))
def test_every_layer_gives_the_root_of_the_tree(blocks: int, last: int) -> None:
    """Whether counted from the leaves or from a layer above, with its filling left out."""
    data = bytes([7]) * ((blocks - 1) * 4 * K // 4) + bytes([9]) * last
    layers = plain_layers(data)
    leaves = leaves_of(memoryview(data))
    assert leaves == [sha256(data[at : at + K]).digest() for at in range(0, len(data), K)]
    assert piece_root(leaves, len(layers[0])) == layers[-1][0]
    for number, layer in enumerate(layers):
        real = -(-blocks // 2**number)
        assert root_of(b"".join(layer[:real]), number, len(layer)) == layers[-1][0]
        if number + 1 < len(layers):
            above = -(-real // 2)
            assert parents(b"".join(layer[:real]), number) == b"".join(layers[number + 1][:above])


def test_a_wider_tree_is_filled_up() -> None:
    """The last piece of a file of several is as wide as the others."""
    [one] = leaves_of(memoryview(b"x"))
    assert piece_root([one], 1) == one
    assert piece_root([one], 4) == sha256(sha256(one + bytes(32)).digest() + pad_hash(1)).digest()
