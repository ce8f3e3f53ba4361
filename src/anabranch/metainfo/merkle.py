"""Hash trees over the blocks of a file.

Source: BEP 52. The leaves are the SHA-256 of the file's 16 KiB blocks, the last of which may be short. Each layer above
hashes pairs of the one below. To be balanced the tree is filled up with leaves of 32 zero bytes. A layer is counted
from the leaves: the hashes of layer n each stand for 2**n blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

from .sha import leaf_digests

DIGEST_LENGTH = 32  # bytes of SHA-256

Digests = Sequence[bytes]  # 32 bytes each


def leaves_of(content: memoryview) -> list[bytes]:
    """The hashes of the blocks that these bytes consist of; the last may be short."""
    joined = leaf_digests(content)
    return [joined[at : at + DIGEST_LENGTH] for at in range(0, len(joined), DIGEST_LENGTH)]


@cache
def pad_hash(layer: int) -> bytes:
    """What a node of this layer is that has nothing but filling below it."""
    return bytes(DIGEST_LENGTH) if layer == 0 else sha256(pad_hash(layer - 1) * 2).digest()


def next_power_of_two(count: int) -> int:
    """The least power of two that is not less than *count*; 1 for 0."""
    return 1 << max(count - 1, 0).bit_length()


def parents(digests: bytes, layer: int) -> bytes:
    """The layer above the one given, joined; an odd one out is paired with the filling of its *layer*."""
    if len(digests) % (2 * DIGEST_LENGTH):
        digests += pad_hash(layer)
    pair = 2 * DIGEST_LENGTH
    return b"".join([sha256(digests[at : at + pair]).digest() for at in range(0, len(digests), pair)])


def root_of(digests: bytes, layer: int, width: int) -> bytes:
    """The root above hashes of one layer.

    Args:
        digests: The hashes, joined: at least one, at most *width*.
        layer: Whose they are: 0 for leaves.
        width: How many the whole layer has with the filling: a power of two.
    """
    while width > 1:
        digests = parents(digests, layer)
        layer += 1
        width >>= 1
    return digests


def piece_root(leaves: Digests, width: int) -> bytes:
    """The hash of a piece: the root above its blocks' hashes in a tree of *width* leaves, a power of two.

    A piece of a file that has several is as wide as the piece length; a file that fits into one piece is as wide as
    the next power of two of its blocks, and this is its root.
    """
    return root_of(b"".join(leaves), 0, width)
