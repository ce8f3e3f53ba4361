"""Attacks by number: messages that are right, or nearly, and come as fast as the other side takes them. And who takes
without reading."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from anabranch.bencode import Value, encode
from anabranch.model import BLOCK_SIZE

from .saying import (
    ALLOWED_FAST,
    BITFIELD,
    CANCEL,
    CHOKE,
    HASHES,
    HAVE,
    HAVE_ALL,
    HAVE_NONE,
    INTERESTED,
    METADATA_PIECE,
    NOT_INTERESTED,
    OUR_IDS,
    PORT,
    REJECT,
    REQUEST,
    SUGGEST,
    UNCHOKE,
    any_block,
    bits_of_everything,
    extended,
    frame,
    introduction,
    metadata_data,
    metadata_request,
    piece_message,
    range_of,
    ranged,
    repeated,
    shake_hands,
    unchoked,
)
from .scene import Deaf, Hear, Pause, Scene, Steps


def keep_alives(scene: Scene) -> bytes:
    """Nothing, in four bytes."""
    return bytes(4096)


def haves(scene: Scene) -> bytes:
    """Pieces that were told before."""
    return piece_message(HAVE, scene.draw.randrange(scene.info.geometry.piece_count))


def lost_pieces(scene: Scene) -> bytes:
    """A piece lost and got again (BEP 54)."""
    piece = scene.draw.randrange(scene.info.geometry.piece_count)
    number = scene.ids.get("lt_donthave", 7)
    return extended(number, struct.pack(">I", piece)) + piece_message(HAVE, piece)


def bitfields(scene: Scene) -> bytes:
    """All pieces told anew, then none, then all: each time everything is to be counted."""
    return (frame(HAVE_ALL) + frame(BITFIELD, bytes(len(bits_of_everything(scene))))) * 50


def interest(scene: Scene) -> bytes:
    """Interested and not interested in turn."""
    return (frame(INTERESTED) + frame(NOT_INTERESTED)) * 100


def chokes(scene: Scene) -> bytes:
    """Unchoke and choke in turn."""
    return (frame(UNCHOKE) + frame(CHOKE)) * 100


def suggestions(scene: Scene) -> bytes:
    """Pieces suggested and allowed."""
    piece = scene.draw.randrange(scene.info.geometry.piece_count)
    return piece_message(SUGGEST, piece) + piece_message(ALLOWED_FAST, piece)


def rejects(scene: Scene) -> bytes:
    """Refusals of what was not asked."""
    return ranged(REJECT, *any_block(scene))


def ports(scene: Scene) -> bytes:
    """Ports of a DHT node."""
    return frame(PORT, struct.pack(">H", scene.draw.randrange(1, 65536)))


def unknown(scene: Scene) -> bytes:
    """Messages of ids that nobody has given a meaning."""
    return frame(scene.draw.randrange(30, 256), scene.draw.randbytes(scene.draw.randrange(1024)))


def extensions(scene: Scene) -> bytes:
    """Messages of extensions, known and unknown, long and short, with noise in them."""
    numbers = [*scene.ids.values(), scene.draw.randrange(1, 256)]
    length = scene.draw.choice((0, 1, 1, 1, 100, 100, 16 * 1024) * 8 + (128 * 1024, 200 * 1024))
    return extended(scene.draw.choice(numbers), scene.draw.randbytes(length))


def introductions(scene: Scene) -> bytes:
    """Extended handshakes that say something else each time."""
    ids: dict[bytes, Value] = {**OUR_IDS, scene.draw.randbytes(8): scene.draw.randrange(1, 256)}
    port, only = scene.draw.randrange(1, 65536), scene.draw.randrange(2)
    return introduction(scene, m=ids, v=scene.draw.randbytes(60), p=port, upload_only=only)


def metadata_requests(scene: Scene) -> bytes:
    """Requests for the info dictionary, whole again and again, and for pieces that it has not got."""
    count = -(-len(scene.info.raw) // METADATA_PIECE)
    return metadata_request(scene, scene.draw.choice((scene.draw.randrange(count), count, 1 << 40, -1)))


def metadata_pieces(scene: Scene) -> bytes:
    """Pieces of an info dictionary that nobody asked for."""
    size = scene.draw.choice((len(scene.info.raw), 1 << 24, 0))
    return metadata_data(scene, scene.draw.randrange(64), size, scene.draw.randbytes(METADATA_PIECE))


def hashes(scene: Scene) -> bytes:
    """Hashes that nobody asked for (BEP 52)."""
    numbers = struct.pack(">IIII", scene.draw.randrange(4), 0, 512, 0)
    return frame(HASHES, scene.draw.randbytes(32) + numbers + scene.draw.randbytes(32 * 512))


def garbled_extensions(scene: Scene) -> bytes:
    """Metadata and PEX messages whose dictionaries are nearly right."""
    table: dict[bytes, Value] = {b"msg_type": scene.draw.randrange(-1, 5), b"piece": -1, b"added": 5, b"dropped": [b""]}
    payload = bytearray(encode(table))
    payload[scene.draw.randrange(len(payload))] = scene.draw.randrange(256)
    return extended(scene.draw.choice([*scene.ids.values(), 1, 2]), bytes(payload))


def same_block(scene: Scene) -> Steps:
    """One block over and over, far more often than anybody queues."""
    yield from unchoked(scene, 15)
    one = ranged(REQUEST, *any_block(scene))
    yield from repeated(lambda _: one)(scene)


def cancels(scene: Scene) -> Steps:
    """Requests of all blocks there are and their cancels, so that each is looked for."""
    yield from unchoked(scene, 15)
    yield from repeated(lambda scene: b"".join(_taken_back(scene)))(scene)


def allowed_again(scene: Scene) -> Steps:
    """What is given for nothing (BEP 6), three times over, without a word of interest; and gone, to begin anew."""
    if not (yield from shake_hands(scene)):
        return
    yield frame(HAVE_NONE) + introduction(scene)
    geometry = scene.info.geometry
    for _ in range(5):
        yield Hear(0.2)
        for heard in scene.take():
            piece = int.from_bytes(heard.body[:4])
            if heard.kind == ALLOWED_FAST and piece < geometry.piece_count:
                blocks = range(geometry.blocks_of(piece))
                wanted = [(piece, one * BLOCK_SIZE, geometry.block_length(piece, one)) for one in blocks]
                yield b"".join(ranged(REQUEST, *one) for one in wanted) * 3


def lying_haves(scene: Scene) -> Steps:
    """Piece after piece that it says it has got, and gives nothing: to seem a swarm that has everything."""
    while True:
        for piece in range(scene.info.geometry.piece_count - 1):
            yield piece_message(HAVE, piece)
            yield Hear(0.01)
            yield b"".join(ranged(REJECT, *range_of(heard)) for heard in scene.take() if heard.kind == REQUEST)
        yield Pause(1.0)


def never_reads(scene: Scene) -> Steps:
    """Requests of everything, whose answers nobody reads."""
    yield from unchoked(scene, 15)
    yield Deaf()
    for _ in range(200):
        yield b"".join(ranged(REQUEST, *any_block(scene)) for _ in range(500))
        yield Pause(0.05)
    yield Pause(3600.0)


def _taken_back(scene: Scene) -> Iterator[bytes]:
    blocks = [any_block(scene) for _ in range(50)]
    for wanted in blocks:
        yield ranged(REQUEST, *wanted)
    for wanted in reversed(blocks):
        yield ranged(CANCEL, *wanted)
