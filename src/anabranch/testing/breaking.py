"""Attacks by messages that are wrong in themselves. Each is said once behind a greeting; what follows is silence."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from anabranch.bencode import Value

from .saying import (
    ALLOWED_FAST,
    BITFIELD,
    HAVE,
    HAVE_ALL,
    INTERESTED,
    PORT,
    REJECT,
    REQUEST,
    SUGGEST,
    any_block,
    bits_of_everything,
    extended,
    frame,
    greeted,
    introduction,
    ours,
    peer_list,
    piece_message,
    ranged,
    shake_hands,
    unchoked,
)
from .scene import Pause, Scene, Script, Steps

DEPTH = 200_000  # lists in lists
_LENGTHS = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 1 << 30, 64 << 20)
_WAIT = 5.0  # seconds


def said(make: Callable[[Scene], bytes]) -> Script:
    """One message, then silence."""

    def script(scene: Scene) -> Steps:
        yield make(scene)
        yield Pause(_WAIT)

    return script


def bitfield(make: Callable[[Scene], bytes]) -> Script:
    """A bitfield of those bits where the right one would stand."""
    return greeted(said(lambda scene: frame(BITFIELD, make(scene)) + frame(INTERESTED)), has=False)


def huge_length(scene: Scene) -> Steps:
    """A message that says it is gigabytes long, and begins to come."""
    yield struct.pack(">IB", scene.draw.choice(_LENGTHS), scene.draw.choice((5, 7, 20, 21, 99, 255)))
    for _ in range(256):
        yield scene.draw.randbytes(16 * 1024)


def long_bits(scene: Scene) -> bytes:
    """More bytes than there are pieces for."""
    return bits_of_everything(scene) + b"\xff" * scene.draw.choice((1, 1000, 2 * 1024 * 1024 - 1))


def short_bits(scene: Scene) -> bytes:
    """Fewer."""
    return bits_of_everything(scene)[:-1]


def spare_bits(scene: Scene) -> bytes:
    """The right length, with bits set for pieces that are not there (a byte too many where no bit is spare)."""
    bits = bits_of_everything(scene)
    return bits[:-1] + b"\xff" if scene.info.geometry.piece_count % 8 else bits + b"\x80"


def have_nothing_there(scene: Scene) -> bytes:
    """Pieces that the torrent has not got."""
    return piece_message(HAVE, scene.info.geometry.piece_count + scene.draw.choice((0, 1, 1 << 20, (1 << 32) - 1)))


def fast_nothing_there(scene: Scene) -> bytes:
    """The same, suggested and allowed."""
    kind = scene.draw.choice((SUGGEST, ALLOWED_FAST))
    return piece_message(kind, scene.info.geometry.piece_count + scene.draw.randrange(1 << 16))


def reject_beyond(scene: Scene) -> bytes:
    """Refusals of what nobody could have asked for."""
    count = scene.info.geometry.piece_count
    return ranged(REJECT, *scene.draw.choice(((count, 0, 16384), (0, 1 << 31, 1), (0, 0, 0xFFFFFFFF), (0, 0, 0))))


def request_beyond(scene: Scene) -> bytes:
    """A request behind the last piece, or behind a piece's end."""
    piece, _, length = any_block(scene)
    count, end = scene.info.geometry.piece_count, scene.info.geometry.length_of(piece)
    return ranged(
        REQUEST,
        *scene.draw.choice(((count, 0, length), (piece, end, length), (piece, end - 1, 2), (piece, 1 << 31, 1))),
    )


def request_huge(scene: Scene) -> bytes:
    """A request of far more than a block."""
    return ranged(REQUEST, 0, 0, scene.draw.choice((1 << 20, 1 << 30, 0xFFFFFFFF)))


def request_zero(scene: Scene) -> bytes:
    """A request of nothing."""
    return ranged(REQUEST, 0, 0, 0)


def after_unchoke(make: Callable[[Scene], bytes]) -> Script:
    """The same, from a peer that may ask."""

    def script(scene: Scene) -> Steps:
        yield from unchoked(scene, 15)
        yield from said(make)(scene)

    return script


def deep_handshake(scene: Scene) -> bytes:
    """An extended handshake of lists in lists."""
    return extended(0, b"d1:m" + b"l" * DEPTH + b"e" * DEPTH + b"e")


def deep_metadata(scene: Scene) -> bytes:
    """The same in a metadata message, with dictionaries."""
    return extended(scene.ids.get("ut_metadata", 2), b"d1:a" * DEPTH + b"le" + b"e" * DEPTH)


def deep_peers(scene: Scene) -> bytes:
    """The same in a PEX message, without an end."""
    return extended(scene.ids.get("ut_pex", 1), b"d5:added" + b"l" * DEPTH)


def port_zero(scene: Scene) -> bytes:
    """Port 0 wherever a port can be told."""
    return introduction(scene, p=0) + frame(PORT, bytes(2)) + peer_list(scene, 50, port=0)


def odd_introduction(scene: Scene) -> bytes:
    """Extended handshakes in which every field has the wrong type or is out of range, and one of 4,000 extensions."""
    ids: dict[bytes, Value] = {b"ut_pex": -1, b"ut_metadata": 1 << 62, b"x" * 5000: b""}
    odd = introduction(scene, m=ids, p=1 << 40, reqq=-1, v=5, yourip=b"123", metadata_size=-5, upload_only=[])
    many: dict[bytes, Value] = {b"%d" % number: number % 256 for number in range(4000)}
    return odd + introduction(scene, m=[], metadata_size={}) + introduction(scene, m=many)


def unknown_fast(scene: Scene) -> Steps:
    """Messages of the fast extension from a peer that has not said it knows that."""
    plain = replace(ours(scene), reserved=bytes(8))
    if (yield from shake_hands(scene, plain)):
        yield frame(HAVE_ALL) + ranged(REJECT, 0, 0, 16384)
        yield Pause(_WAIT)
