"""What scripts say: messages as bytes, the right ones and those that no honest peer would send.

Sources: BEP 3, 6, 9, 10, 11, 52, 54. Nothing is checked here, on purpose. Addresses in made-up peer lists are of the
networks for documentation (RFC 5737): nobody's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Mapping

from anabranch.bencode import Value, encode
from anabranch.model import BLOCK_SIZE, all_pieces
from anabranch.wire import Handshake

from .scene import Frame, Hear, Pause, Scene, Script, Step, Steps

CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, BLOCK, CANCEL, PORT = range(10)
SUGGEST, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST = range(13, 18)
EXTENDED = 20
HASH_REQUEST, HASHES, HASH_REJECT = range(21, 24)

OUR_IDS: Mapping[bytes, Value] = {b"ut_metadata": 2, b"ut_pex": 1, b"lt_donthave": 7}
METADATA_PIECE = 16 * 1024  # bytes
_PATIENCE = 60.0  # seconds that a script waits for a handshake
_DOCUMENTATION = ((192, 0, 2), (198, 51, 100), (203, 0, 113))
_RANGE = struct.Struct(">III")


def frame(kind: int, body: bytes = b"") -> bytes:
    """A whole message."""
    return struct.pack(">IB", 1 + len(body), kind) + body


def ranged(kind: int, piece: int, begin: int, length: int) -> bytes:
    """A request, cancel or reject."""
    return frame(kind, _RANGE.pack(piece, begin, length))


def range_of(heard: Frame) -> tuple[int, int, int]:
    """Piece, begin and length of a request."""
    piece, begin, length = _RANGE.unpack_from(heard.body.ljust(12, b"\0"))
    return piece, begin, min(length, 1 << 20)


def block(piece: int, begin: int, data: bytes) -> bytes:
    """The answer to a request."""
    return frame(BLOCK, struct.pack(">II", piece, begin) + data)


def piece_message(kind: int, piece: int) -> bytes:
    """A have, suggest or allowed-fast."""
    return frame(kind, struct.pack(">I", piece & 0xFFFFFFFF))


def extended(number: int, payload: bytes) -> bytes:
    """A message of the extension protocol; number 0 is its handshake."""
    return frame(EXTENDED, bytes([number]) + payload)


def bits_of_everything(scene: Scene) -> bytes:
    """The bitfield of who has every piece."""
    return all_pieces(scene.info.geometry.piece_count).tobytes()


def ours(scene: Scene) -> Handshake:
    """The handshake of a peer that nobody has met before."""
    peer_id = b"-XX0666-" + bytes(scene.draw.choices(b"0123456789abcdefghijklmnopqrstuvwxyz", k=12))
    return Handshake.ours(scene.info.info_hash, peer_id)


def introduction(scene: Scene, **said: Value) -> bytes:
    """An extended handshake; *said* beside or instead of what it usually says."""
    usual: dict[bytes, Value] = {
        b"m": dict(OUR_IDS),
        b"metadata_size": len(scene.info.raw),
        b"reqq": 500,
        b"v": b"hostile peer of a test",
    }
    return extended(0, encode(usual | {key.encode(): value for key, value in said.items()}))


def metadata_request(scene: Scene, piece: int) -> bytes:
    """Ask for a piece of the info dictionary (BEP 9)."""
    return extended(scene.ids.get("ut_metadata", 2), encode({b"msg_type": 0, b"piece": piece}))


def metadata_data(scene: Scene, piece: int, total: int, payload: bytes) -> bytes:
    """Answer such a request, or act as if there had been one."""
    table = encode({b"msg_type": 1, b"piece": piece, b"total_size": total})
    return extended(scene.ids.get("ut_metadata", 2), table + payload)


def metadata_asked(heard: Frame) -> int | None:
    """Which piece of the info dictionary a message asks for; None where it is something else."""
    if heard.kind != EXTENDED or heard.body[:1] != bytes([OUR_IDS[b"ut_metadata"]]):  # type: ignore[list-item]  # an int
        return None
    place = heard.body.find(b"5:piecei")
    digits = heard.body[place + 8 : place + 16].partition(b"e")[0]
    return int(digits) if b"8:msg_typei0e" in heard.body and place >= 0 and digits.isdigit() else None


def peer_list(scene: Scene, count: int, port: int | None = None) -> bytes:
    """A PEX message that tells of *count* peers that are not there (BEP 11); of one *port*, or of any."""
    draw = scene.draw
    packed = b"".join(
        bytes((*draw.choice(_DOCUMENTATION), draw.randrange(256)))
        + struct.pack(">H", draw.randrange(65536) if port is None else port)
        for _ in range(count)
    )
    table: dict[bytes, Value] = {b"added": packed, b"added.f": bytes(count), b"dropped": b""}
    return extended(scene.ids.get("ut_pex", 1), encode(table))


def hash_request(scene: Scene) -> bytes:
    """Ask for hashes of a v2 torrent, by a root that it has or one that nobody has (BEP 52)."""
    roots = [file.root for file in scene.info.files if file.root]
    root = scene.draw.choice(roots) if roots and scene.draw.random() < 0.8 else scene.draw.randbytes(32)
    numbers = (scene.draw.randrange(20), scene.draw.randrange(0, 4096, 512), 512, scene.draw.randrange(12))
    return frame(HASH_REQUEST, root + struct.pack(">IIII", *numbers))


def any_block(scene: Scene) -> tuple[int, int, int]:
    """Some block of the torrent: piece, begin, length."""
    geometry = scene.info.geometry
    piece = scene.draw.randrange(geometry.piece_count)
    number = scene.draw.randrange(geometry.blocks_of(piece))
    return piece, number * BLOCK_SIZE, geometry.block_length(piece, number)


def shake_hands(scene: Scene, handshake: Handshake | None = None) -> Generator[Step, None, bool]:
    """Send a handshake and wait for theirs. Whether it came; who is called speaks second."""
    mine = (handshake or ours(scene)).encode()
    if scene.dials:
        yield mine
    waited = 0.0
    while scene.handshake is None:
        if scene.strange or waited >= _PATIENCE:
            return False
        yield Hear(1.0)
        waited += 1.0
    if not scene.dials:
        yield mine
    return True


def greeted(script: Script, *, has: bool = True) -> Script:
    """The script behind a greeting like anybody's: handshakes, all pieces (or none), unchoke, interested."""

    def whole(scene: Scene) -> Steps:
        if (yield from shake_hands(scene)):
            pieces = frame(BITFIELD, bits_of_everything(scene)) if has else b""
            yield pieces + introduction(scene) + frame(UNCHOKE) + frame(INTERESTED)
            for _ in range(10):  # until they say by which numbers they want to be called
                if not scene.ids:
                    yield Pause(0.05)
            yield from script(scene)

    return whole


def unchoked(scene: Scene, seconds: int) -> Steps:
    """Wait until they unchoke us, at most so long. What they say meanwhile is forgotten."""
    for _ in range(seconds):
        scene.take()
        if not scene.choked:
            return
        yield Hear(1.0)


def repeated(make: Callable[[Scene], bytes], size: int = 64 * 1024, times: int = 16) -> Script:
    """A flood: messages, as fast as they are taken. A stretch of *size* bytes is made, sent *times*, and made anew."""

    def flood(scene: Scene) -> Steps:
        while True:
            stretch = bytearray()
            while len(stretch) < size:
                stretch += make(scene)
            for _ in range(times):
                yield bytes(stretch)
                scene.take()

    return flood
