"""Pieces that come wrong again and again: they are not fetched for ever, and the torrent says what is at fault.

Some clients are known to have fetched 20 GB for a torrent of 11 MB. Here a piece that failed several times rests,
each time twice as long, and the torrent fails for a moment, with words; the rest of it goes on. Where the bytes were
the same each time and came from several addresses, the .torrent is at fault, or everybody has the same damaged copy:
nobody is to be banned for that. Where the disk gives back other bytes than it took, only those blocks are fetched
again, a few times, and then it is only looked whether it can read. Within a turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from errno import EIO
from hashlib import sha1

from anabranch.model import StorageFailed

from .banning import Repeated
from .engine import Engine
from .failing import fail
from .state import TorrentState

PATIENCE = 4  # failures of one piece in a row
PATIENCE_WITH_LIARS = 8  # the same, with other bytes each time: liars take turns, and are banned when it comes right
FIRST_REST = 60.0  # seconds
LONGEST_REST = 24 * 3600.0  # seconds
MOST_MENDED = 3  # times that blocks which the disk has changed are fetched again
_MOST_PIECES = 4096  # of a torrent, of which the failures are counted


def failed(torrent: TorrentState, piece: int, hosts: Iterable[str], digests: Iterable[bytes]) -> bool:
    """A piece was wrong as it came. Whether those who sent it may be to blame for that."""
    counted = torrent.evidence.repeated
    if piece not in counted and len(counted) >= _MOST_PIECES:
        return True
    entry = counted.setdefault(piece, Repeated())
    entry.add(hosts, sha1(b"".join(digests)).digest())
    return not (entry.times > PATIENCE and _torrent_at_fault(entry))


def rest(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """The wrong piece was thrown away: if that was once too often, it is not asked for again at once."""
    entry = torrent.evidence.repeated.get(piece)
    if entry is None:
        return
    patience = PATIENCE if entry.same is not None or len(entry.hosts) < 2 else PATIENCE_WITH_LIARS
    if entry.times < patience:
        return
    pause = min(FIRST_REST * 2 ** (entry.times - patience), LONGEST_REST)
    entry.until = engine.clock() + pause
    torrent.pieces.set_unknown(piece)  # so that nobody asks for it
    engine.due.lively.add(torrent)
    reason = f"piece {piece} was wrong {entry.times} times"
    if _torrent_at_fault(entry):
        engine.banned -= entry.hosts
        reason += f", with the same bytes from {len(entry.hosts)} addresses: the .torrent is wrong, or all copies are"
    else:
        reason += f", with different bytes from {len(entry.hosts)} addresses"
    fail(engine, torrent, StorageFailed(_path(torrent, piece), f"{reason}; it is asked for again in {pause:.0f} s"))


def may_mend(torrent: TorrentState, piece: int) -> bool:
    """The disk gives back other bytes than it took. Whether they may be fetched once more."""
    entry = torrent.evidence.repeated.setdefault(piece, Repeated())
    entry.mended += 1
    return entry.mended <= MOST_MENDED


def misread_error(torrent: TorrentState, piece: int, begin: int) -> StorageFailed:
    """What is said of it: the file, and where."""
    offset = torrent.pieces.geometry.offset_of(piece) + begin
    reason = f"the disk gives back other bytes than were written to it, at offset {offset} of the torrent"
    return StorageFailed(_path(torrent, piece), reason, EIO)


def look(engine: Engine, torrent: TorrentState, now: float) -> bool:
    """Each second: end the rests that are over. Whether any piece rests still."""
    resting = [(piece, entry) for piece, entry in torrent.evidence.repeated.items() if entry.until]
    for piece, entry in resting:
        if entry.until <= now:
            entry.until = 0.0
            if not torrent.pieces.complete[piece] and not torrent.disk.checks.queued[piece]:
                torrent.pieces.set_complete(piece, complete=False)
    return any(entry.until for _, entry in resting)


def _torrent_at_fault(entry: Repeated) -> bool:
    return entry.same is not None and len(entry.hosts) > 1


def _path(torrent: TorrentState, piece: int) -> str:
    """The file in which the piece begins."""
    names = torrent.metainfo.info.files[next(iter(torrent.worth.files_of(piece)))].path
    return "/".join((torrent.data_path, *names))
