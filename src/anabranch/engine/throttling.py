"""Who takes far more than there is: such an address is served slowly, and last.

Somebody who needs a torrent takes it once, and most of it from others. An address that took twice all of it and some
more, over however many connections, is up to something else: to use up the line of who seeds. It is neither banned nor
told: it may be a router with more people behind it than can be seen, and these get a trickle. Programs on this machine
use up no line.

Looked at when the slots are given, not for each block. Network thread, within a turn.
"""

from __future__ import annotations

from collections import defaultdict

from anabranch.net import Bucket, is_this_machine, neighbourhood

from .state import Peer, Taker, TorrentState

TIMES = 2  # the content, and
SLACK = 16 * 1024 * 1024  # bytes: what an address may take for each peer that was seen there at the same time
RATE = 16 * 1024  # bytes per second for an address that took more
REMEMBERED = 1024  # addresses of a torrent that took something and left; the latest
_BURST = 128 * 1024  # bytes; the largest block that may be asked for


def look(torrent: TorrentState) -> None:
    """See who took too much, all connections of an address together."""
    crowds: defaultdict[str, list[Peer]] = defaultdict(list)
    for peer in torrent.swarm.peers.values():
        if peer.flow.up.total and not is_this_machine(peer.address.host):
            crowds[neighbourhood(peer.address.host)].append(peer)
    for place, crowd in crowds.items():
        together = len({peer.profile.peer_id for peer in crowd})
        now_here = sum(peer.flow.up.total for peer in crowd)
        taker = torrent.swarm.takers.get(place)
        if taker is None:
            if together == 1 and now_here <= _share(torrent):
                continue
            taker = Taker()
            _remember(torrent, place, taker)
        taker.together = max(taker.together, together)
        _judge(torrent, taker, now_here)
        for peer in crowd:
            peer.serving.throttle = taker.bucket


def meet(peer: Peer) -> None:
    """A peer wants something: it is throttled at once if its address is."""
    takers = peer.torrent.swarm.takers
    if takers:
        taker = takers.get(neighbourhood(peer.address.host))
        peer.serving.throttle = taker.bucket if taker is not None else None


def left(peer: Peer) -> None:
    """A connection ended: remember what it took."""
    if peer.flow.up.total and not is_this_machine(peer.address.host):
        place = neighbourhood(peer.address.host)
        taker = peer.torrent.swarm.takers.pop(place, None) or Taker()
        taker.taken += peer.flow.up.total
        _judge(peer.torrent, taker, 0)
        _remember(peer.torrent, place, taker)


def _share(torrent: TorrentState) -> int:
    """Bytes that one peer may take."""
    return TIMES * torrent.metainfo.info.geometry.content + SLACK


def _judge(torrent: TorrentState, taker: Taker, now_here: int) -> None:
    if taker.taken + now_here <= _share(torrent) * taker.together:
        taker.bucket = None
    elif taker.bucket is None:
        taker.bucket = Bucket(RATE, _BURST)


def _remember(torrent: TorrentState, place: str, taker: Taker) -> None:
    takers = torrent.swarm.takers
    takers[place] = taker
    if len(takers) > REMEMBERED:
        del takers[next(iter(takers))]
