"""What we tell a peer about ourselves in the extension protocol (BEP 10): at first, and when it changes.

Network thread, within a turn.
"""

from __future__ import annotations

from ipaddress import ip_address

from anabranch.wire import METADATA, OurExtensions

from .engine import Engine
from .queueing import REQQ
from .state import Peer, TorrentState

_METADATA_ID = 1  # the Go engine's number for it


def introduce(engine: Engine, peer: Peer, *, port: int | None = None) -> None:
    """Say who we are, what we take and what we have to give; *port* is where we listen, if we do."""
    torrent, info = peer.torrent, peer.torrent.metainfo.info
    peer.talk.send_extended_handshake(
        OurExtensions(
            names={METADATA: _METADATA_ID} if _shows_info(torrent) else {},
            version=engine.config.identity.extended_version,
            reqq=REQQ,
            port=port,
            yourip=ip_address(peer.address.host).packed,
            upload_only=torrent.signals.said_complete or torrent.pieces.is_seed,
            metadata_size=info.raw_size or None if _shows_info(torrent) else None,
            prefer_encryption=engine.config.encrypts.preferred,
        )
    )
    engine.due.touched.add(peer)


def _shows_info(torrent: TorrentState) -> bool:
    """Whether peers may have the info dictionary from us. As with libtorrent 2.1.1, not that of a private torrent."""
    return not torrent.metainfo.info.private


def tell_upload_only(engine: Engine, torrent: TorrentState) -> None:
    """We want nothing any more (BEP 21): peers need not offer anything."""
    for peer in torrent.swarm.peers.values():
        introduce(engine, peer)
