"""Messages of the user's own extensions (BEP 10): which there are, how they come to their handlers, and how they go.

A handler runs on the hooks' thread, in order. Nobody waits for it: what it cannot keep up with is dropped and counted,
and a peer that floods is silenced by its ration of words (chatter.py) as for any other word.
"""

from __future__ import annotations

from anabranch.discovery import PEX
from anabranch.model import Address, InputRefused
from anabranch.wire import DONT_HAVE, METADATA

from .engine import Engine
from .handlers import Handler
from .introducing import introduce
from .metrics import EXTENSIONS_DROPPED
from .state import Peer, TorrentState

MOST_PAYLOAD = 128 * 1024  # bytes of a message, either way
OUR_OWN = frozenset({METADATA, DONT_HAVE, PEX, "ut_holepunch"})  # the engine's, or about to be
_MOST_NAMES = 100
_LONGEST_NAME = 64  # bytes; we keep no longer ones of peers
_FIRST_NUMBER = 100  # the engine's own numbers are below
_MOST_WAITING = 64  # messages of one peer that its handler has not seen
_MOST_WAITING_BYTES = 1024 * 1024  # the same in bytes
_MOST_WAITING_IN_ALL = 16 * 1024 * 1024  # bytes, of all peers
_MOST_MESSAGES_IN_ALL = 1024  # messages of all peers: each keeps its peer in memory, though that has left
_MOST_UNSENT = 1024 * 1024  # bytes that wait for one peer
_AT_ONCE = 256  # peers that are told of a change in one turn; each costs some 40 us


def register_extension(engine: Engine, name: str, handler: Handler) -> None:
    """Take messages of an extension from now on, and tell all peers. Any thread, within a turn.

    Raises:
        InputRefused: no such name may be given, it is taken, or there are too many.
    """
    extensions = engine.workshop.extensions
    check_name(name)
    if name in extensions.handlers:
        raise InputRefused(f"extension {name!r} has a handler already")
    if name not in extensions.numbers:
        if len(extensions.numbers) >= _MOST_NAMES:
            raise InputRefused(f"more than {_MOST_NAMES} extensions")
        extensions.numbers[name] = _FIRST_NUMBER + len(extensions.numbers)
    extensions.handlers[name] = handler
    _tell_all(engine)


def unregister_extension(engine: Engine, name: str, handler: Handler) -> None:
    """Take register_extension() back, if it still stands. Any thread, within a turn."""
    handlers = engine.workshop.extensions.handlers
    if handlers.get(name) is handler:
        del handlers[name]
        _tell_all(engine)


def check_name(name: str) -> None:
    """Raise InputRefused for a name that users' extensions may not have."""
    if not isinstance(name, str):
        raise InputRefused(f"an extension's name is text: {name!r}")
    if name in OUR_OWN:
        raise InputRefused(f"extension {name!r} is the engine's own")
    if not 1 <= len(name.encode(errors="replace")) <= _LONGEST_NAME or not name.isprintable():
        raise InputRefused(f"an extension has a name of 1 to {_LONGEST_NAME} bytes: {name!r}")


def send_extension(engine: Engine, torrent: TorrentState, address: Address, name: str, payload: bytes) -> bool:
    """Send a peer a message of an extension. Any thread, within a turn.

    Returns:
        Whether it is on its way: False where no such peer is connected, it does not know the extension, or too much
        waits for it already.

    Raises:
        InputRefused: the payload is too long, or the extension is the engine's own.
    """
    check_name(name)
    if len(payload) > MOST_PAYLOAD:
        raise InputRefused(f"a message of {len(payload)} bytes, {MOST_PAYLOAD} are the most")
    peer = torrent.swarm.peers.get(address)
    unsent = engine.workshop.extensions.unsent
    if peer is None or name not in peer.profile.extensions:
        return False
    if peer.talk.pending_answers + unsent[peer] + len(payload) > _MOST_UNSENT:
        return False
    unsent[peer] += len(payload)
    message = (peer, name, payload)
    engine.turn.outbox("extension", message, engine.network.post, _put, engine, *message)
    return True


def _put(engine: Engine, peer: Peer, name: str, payload: bytes) -> None:
    """Network thread, within a turn: connections are used there only."""
    unsent = engine.workshop.extensions.unsent
    unsent[peer] -= len(payload)
    if not unsent[peer]:
        del unsent[peer]
    if peer.torrent.swarm.peers.get(peer.address) is peer:
        peer.talk.send_extended(name, payload)
        engine.due.touched.add(peer)


def heard(engine: Engine, peer: Peer, name: str, payload: bytes) -> None:
    """A peer sent a message of an extension that we named. Network thread, within a turn."""
    extensions = engine.workshop.extensions
    handler = extensions.handlers.get(name)
    reason = ""
    if handler is None:
        reason = "no handler"
    elif len(payload) > MOST_PAYLOAD:
        reason = "too long"
    elif (
        extensions.waiting[peer] >= _MOST_WAITING
        or extensions.messages_in_all >= _MOST_MESSAGES_IN_ALL
        or extensions.waiting_bytes[peer] + len(payload) > _MOST_WAITING_BYTES
        or extensions.waiting_in_all + len(payload) > _MOST_WAITING_IN_ALL
    ):
        reason = "handler is behind"
    if handler is None or reason:
        if (metrics := engine.metrics) is not None:
            metrics.add(EXTENSIONS_DROPPED, reason)
        return
    extensions.waiting[peer] += 1
    extensions.waiting_bytes[peer] += len(payload)
    extensions.waiting_in_all += len(payload)
    extensions.messages_in_all += 1
    message = (handler, peer, payload)
    engine.turn.outbox("heard extension", message, extensions.call, _hand_over, engine, *message)


def _hand_over(engine: Engine, handler: Handler, peer: Peer, payload: bytes) -> None:
    """On the hooks' thread, outside of turns. What the handler raises is logged there."""
    try:
        handler(peer.torrent, peer.address, payload)
    finally:
        with engine.turn:
            extensions = engine.workshop.extensions
            extensions.waiting[peer] -= 1
            extensions.waiting_bytes[peer] -= len(payload)
            extensions.waiting_in_all -= len(payload)
            extensions.messages_in_all -= 1
            if not extensions.waiting[peer]:
                del extensions.waiting[peer], extensions.waiting_bytes[peer]


def _tell_all(engine: Engine) -> None:
    """Introduce ourselves anew to every peer, some in each turn."""
    engine.turn.outbox("name extensions", engine.workshop.extensions, engine.network.post, _begin_telling, engine)


def _begin_telling(engine: Engine) -> None:
    _tell_some(engine, [peer for torrent in engine.due.lively for peer in torrent.swarm.peers.values()])


def _tell_some(engine: Engine, peers: list[Peer]) -> None:
    """Network thread, within a turn. Who came meanwhile was told at once."""
    for peer in peers[:_AT_ONCE]:
        if peer.torrent.swarm.peers.get(peer.address) is peer:
            introduce(engine, peer)
    rest = peers[_AT_ONCE:]
    if rest:
        engine.turn.outbox("name extensions", rest, engine.network.post, _tell_some, engine, rest)
