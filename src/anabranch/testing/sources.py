"""Attacks by what a peer gives: it claims to have everything and answers in its own way. And who is honest."""

from __future__ import annotations

from collections.abc import Callable

from .saying import (
    CHOKE,
    METADATA_PIECE,
    REJECT,
    REQUEST,
    UNCHOKE,
    any_block,
    block,
    frame,
    introduction,
    metadata_asked,
    metadata_data,
    range_of,
    ranged,
)
from .scene import Frame, Hear, Pause, Reset, Scene, Script, Steps

HUGE_METADATA = 2**31 - 1  # bytes
Answer = Callable[[Scene, int, int, int], Steps]  # to a request for (piece, begin, length)


def serving(answer: Answer) -> Script:
    """Answer every request, in the order in which they come."""

    def script(scene: Scene) -> Steps:
        while True:
            yield Hear(1.0)
            for heard in scene.take():
                if heard.kind == REQUEST:
                    yield from answer(scene, *range_of(heard))
                else:
                    yield from _tell_metadata(scene, heard)

    return script


def right(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """What was asked for."""
    yield block(piece, begin, scene.content(piece, begin, length))


def wrong(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """Other bytes."""
    yield block(piece, begin, _spoilt(scene.content(piece, begin, length)))


def mixed(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """Mostly what was asked for, and one block in four a little wrong."""
    data = scene.content(piece, begin, length)
    yield block(piece, begin, _spoilt(data) if scene.draw.random() < 0.25 else data)


def dribbled(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """What was asked for, byte by byte."""
    for byte in block(piece, begin, scene.content(piece, begin, length)):
        yield bytes([byte])
        yield Pause(0.02)


def tarred(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """What was asked for, a byte a second: never done, and never silent."""
    for byte in block(piece, begin, scene.content(piece, begin, length)):
        yield bytes([byte])
        yield Pause(1.0)


def unanswered(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """Nothing."""
    yield from ()


def rejected(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """A refusal."""
    yield ranged(REJECT, piece, begin, length)


def unchoked_again(scene: Scene) -> Steps:
    """Choke and unchoke, as if what was asked for were about to come. It never does."""
    while True:
        yield frame(CHOKE) + frame(UNCHOKE)
        scene.take()
        yield Pause(0.2)


def reset_within(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """Half a block, then the connection breaks."""
    yield block(piece, begin, scene.content(piece, begin, length))[: length // 2]
    yield Pause(0.2)
    yield Reset()


def misplaced(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """Blocks that are too short, too long or a byte beside their place."""
    data = scene.content(piece, begin, length)
    yield scene.draw.choice(
        (block(piece, begin, data[:-1]), block(piece, begin, data + b"\0"), block(piece, begin + 1, data[:-1]))
    )


def choked_instead(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """Choke, and soon unchoke: every request was in vain and all are asked anew."""
    yield frame(CHOKE)
    scene.take()
    yield Pause(0.02)
    yield frame(UNCHOKE)


def unasked(scene: Scene) -> Steps:
    """Blocks that nobody asked for, as fast as they are taken. They are wrong, too."""
    while True:
        stretch = b"".join(
            block(piece, begin, scene.draw.randbytes(length))
            for piece, begin, length in (any_block(scene) for _ in range(8))
        )
        for _ in range(8):
            yield stretch
            scene.take()


def empty_blocks(scene: Scene) -> Steps:
    """Blocks without a byte, as fast as they are taken."""
    while True:
        yield b"".join(block(piece, begin, b"") for piece, begin, _ in (any_block(scene) for _ in range(2000)))
        scene.take()


def huge_metadata(scene: Scene) -> Steps:
    """An info dictionary of 2 GiB, whose pieces come asked and unasked."""
    yield introduction(scene, metadata_size=HUGE_METADATA)
    while True:
        for heard in scene.take():
            piece = metadata_asked(heard)
            if piece is not None:
                yield metadata_data(scene, piece, HUGE_METADATA, scene.draw.randbytes(METADATA_PIECE))
        number = scene.draw.randrange(HUGE_METADATA // METADATA_PIECE)
        yield metadata_data(scene, number, HUGE_METADATA, scene.draw.randbytes(METADATA_PIECE))
        yield Hear(0.05)


def bogus_metadata(scene: Scene) -> Steps:
    """An info dictionary of the right size and with other bytes, or of any other size."""
    size = scene.draw.choice((len(scene.info.raw), scene.draw.randrange(1, 1 << 24)))
    yield introduction(scene, metadata_size=size)
    while True:
        yield Hear(1.0)
        for heard in scene.take():
            piece = metadata_asked(heard)
            if piece is not None:
                length = max(min(METADATA_PIECE, size - piece * METADATA_PIECE), 0)
                yield metadata_data(scene, piece, size, scene.draw.randbytes(length))
            elif heard.kind == REQUEST:
                yield ranged(REJECT, *range_of(heard))


def _tell_metadata(scene: Scene, heard: Frame) -> Steps:
    """Who asks for the info dictionary is told the truth: so it stays long enough to be harmed."""
    piece = metadata_asked(heard)
    payload = scene.info.raw[piece * METADATA_PIECE : (piece + 1) * METADATA_PIECE] if piece is not None else b""
    if piece is not None and payload:
        yield metadata_data(scene, piece, len(scene.info.raw), payload)


def _spoilt(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :] if data else data
