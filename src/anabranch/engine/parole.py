"""A piece that came wrong from several is asked of one address at a time: when it is wrong again, that one lies.

Source: libtorrent's parole mode. Else a liar may have a part in each copy, and nobody could be told from the others. An
owner that owes nothing of the piece any more, or has left, is followed by whoever asks next; where it is silent, others
are asked for copies as of any piece. Within a turn.
"""

from __future__ import annotations

from .state import Peer, TorrentState


def barred(torrent: TorrentState, peer: Peer, piece: int) -> bool:
    """Whether the piece is another address's for now."""
    entry = torrent.evidence.repeated.get(piece)
    if entry is None or len(entry.hosts) < 2 or entry.owner in ("", peer.address.host):
        return False
    return any(
        other.address.host == entry.owner and any(run.piece == piece for run in other.talk.expected_runs())
        for other in torrent.swarm.peers.values()
    )


def own(torrent: TorrentState, peer: Peer, piece: int) -> None:
    """The peer is asked for the piece."""
    entry = torrent.evidence.repeated.get(piece)
    if entry is not None:
        entry.owner = peer.address.host
