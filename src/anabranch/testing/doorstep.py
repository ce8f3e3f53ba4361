"""Attacks before there is a peer: on the listener, the handshake and what stands before it."""

from __future__ import annotations

from dataclasses import replace

from anabranch.model import InfoHash

from .saying import ours, shake_hands
from .scene import Hear, Pause, Reset, Scene, Steps

_FOREVER = 3600.0  # seconds; longer than anybody's patience


def noise(scene: Scene) -> Steps:
    """Random bytes, from the first on."""
    while True:
        yield scene.draw.randbytes(16 * 1024)


def noise_after_handshake(scene: Scene) -> Steps:
    """A right handshake, then random bytes."""
    if (yield from shake_hands(scene)):
        yield from noise(scene)


def half_handshake(scene: Scene) -> Steps:
    """Part of a handshake, then silence."""
    yield ours(scene).encode()[: scene.draw.randrange(1, 68)]
    yield Pause(_FOREVER)


def slow_handshake(scene: Scene) -> Steps:
    """A handshake byte by byte."""
    for byte in ours(scene).encode():
        yield bytes([byte])
        yield Pause(0.5)
    yield Pause(_FOREVER)


def wrong_hash(scene: Scene) -> Steps:
    """A handshake about a torrent that nobody has."""
    yield replace(ours(scene), info_hash=InfoHash(scene.draw.randbytes(20))).encode()
    yield Pause(5.0)


def their_own_id(scene: Scene) -> Steps:
    """A handshake with the other side's own peer id, as if it had dialed itself."""
    mine = ours(scene).encode()
    if scene.dials and not scene.their_id:
        yield mine[:48]  # most answer when they know the torrent; who waits for more is known the next time
        yield Hear(2.0)
    elif not scene.dials:
        while scene.handshake is None and not scene.strange:
            yield Hear(30.0)
    sent = 48 if scene.dials and scene.handshake is not None else 0
    theirs = mine[:48] + (scene.their_id or mine[48:])
    yield theirs[sent:]
    yield Pause(5.0)


def endless_key(scene: Scene) -> Steps:
    """What could be the key and the padding of an encrypted handshake, and goes on and on (MSE)."""
    yield scene.draw.randbytes(96 + scene.draw.randrange(513))
    for _ in range(200):
        yield Pause(0.05)
        yield scene.draw.randbytes(scene.draw.randrange(1, 700))
    yield Pause(_FOREVER)


def silence(scene: Scene) -> Steps:
    """A connection and not a word."""
    yield Pause(_FOREVER)


def knock(scene: Scene) -> Steps:
    """A connection that ends at once."""
    yield Reset()


def come_and_go(scene: Scene) -> Steps:
    """A right handshake, and gone."""
    yield from shake_hands(scene)
    yield Reset()
