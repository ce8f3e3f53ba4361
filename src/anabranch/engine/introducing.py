"""What we tell a peer about ourselves in the extension protocol (BEP 10): at first, and when it changes.

Also what we have, to those that could not be told when they came. Network thread, within a turn.
"""

from __future__ import annotations

from ipaddress import ip_address

from bitarray import bitarray

from anabranch.discovery import PEX
from anabranch.wire import METADATA, OurExtensions

from .engine import Engine
from .privacy import exchange_allowed
from .queueing import REQQ
from .state import Peer, TorrentState

_METADATA_ID, _EXCHANGE_ID = 1, 2  # the Go engine's numbers for them
_TOLD = 4096  # pieces that a peer is told of in one turn


def introduce(engine: Engine, peer: Peer, *, port: int | None = None) -> None:
    """Say who we are, what we take and what we have to give; *port* is where we listen, if we do."""
    torrent, info = peer.torrent, peer.torrent.metainfo.info
    told, peer.profile.told_upload_only = peer.profile.told_upload_only, _looks_upload_only(peer)
    extensions = engine.workshop.extensions
    names, gone = dict(extensions.named), set(extensions.gone)
    if _shows_info(torrent):
        names[METADATA] = _METADATA_ID
    if exchange_allowed(engine, torrent):
        names[PEX] = _EXCHANGE_ID
    elif peer.profile.told_exchange:  # it turned out to be private
        gone.add(PEX)
    peer.profile.told_exchange = PEX in names
    peer.talk.send_extended_handshake(
        OurExtensions(
            names=names,
            version=engine.config.identity.extended_version,
            reqq=REQQ,
            port=port,
            yourip=ip_address(peer.address.host).packed,
            upload_only=peer.profile.told_upload_only or (False if told else None),
            metadata_size=info.raw_size or None if _shows_info(torrent) else None,
            prefer_encryption=engine.config.encrypts.preferred,
            gone=gone,
        )
    )
    engine.due.touched.add(peer)


def wants_nothing(torrent: TorrentState) -> bool:
    """Whether all that is wanted of the torrent is here."""
    return torrent.signals.said_complete or torrent.pieces.is_seed


def tell_upload_only(engine: Engine, torrent: TorrentState) -> None:
    """We want nothing any more, or something again (BEP 21): tell those that were told otherwise."""
    for peer in torrent.swarm.peers.values():
        if peer.profile.told_upload_only != _looks_upload_only(peer):
            introduce(engine, peer)


def tell_pieces(engine: Engine, peer: Peer, have: bitarray) -> None:
    """Tell a peer, in slices, what we had at this time; what comes later it is told as everybody is."""
    complete = peer.torrent.pieces.complete

    def some(first: int) -> None:
        pieces = have[first : first + _TOLD] & complete[first : first + _TOLD]
        peer.talk.have_many(first + piece for piece in pieces.search(1))
        engine.turn.outbox("flush", peer, peer.link.flush_soon)

    engine.turn.sliced("tell pieces", peer, range(0, len(have), _TOLD), some, 1)


def _looks_upload_only(peer: Peer) -> bool:
    """Who super-seeds (BEP 16) does not look like somebody who wants nothing, and has nothing either."""
    return wants_nothing(peer.torrent) and peer.serving.shown is None


def _shows_info(torrent: TorrentState) -> bool:
    """Whether peers may have the info dictionary from us, or we from them.

    As with libtorrent 2.1.1, not that of a private torrent; one that is only taken for private has to be learned.
    """
    return not torrent.metainfo.info.private or not torrent.pieces.learned
