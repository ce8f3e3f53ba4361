"""What is remembered of a torrent between runs, and what it can take with it to another machine.

Completion is recorded on its own (recording.py); here is the rest. Resume data is a bencoded dictionary of our own:
format, info hash, complete pieces, blocks of unfinished pieces, priorities, totals.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from bitarray import bitarray

from anabranch.bencode import BencodeError, Value, decode, encode
from anabranch.model import InputRefused, Priority, bitfield_from
from anabranch.storage import SavedTorrent, SavedTrackers, SavedWebSeed, SessionKey

from . import resting
from .adding import prefer
from .directory import names_of
from .engine import Engine
from .stage import Closing, Dropped, Moving
from .state import TorrentState

_FORMAT = b"anabranch resume 1"


def key_of(torrent: TorrentState) -> SessionKey:
    """What the torrent is remembered by."""
    return SessionKey(torrent.info_hash, torrent.data_path)


def picture(torrent: TorrentState, *, stopped: bool) -> SavedTorrent:
    """What is to be remembered now. Of unfinished pieces all when it is *stopped*; before, what is durable of them."""
    body = torrent.metainfo.body
    return SavedTorrent(
        metainfo=None if torrent.disk.rest.stored is body else body.read(),
        priorities=_priorities(torrent),
        downloading_allowed=torrent.policy.download,
        uploading_allowed=torrent.policy.upload,
        uploaded=torrent.totals.uploaded,
        downloaded=torrent.totals.downloaded,
        added=torrent.totals.added,
        partial=partial_pieces(torrent) if stopped else _kept_pieces(torrent),
        webseeds=tuple(
            SavedWebSeed(source.url, str(source.kind), source.headers)
            for source in torrent.swarm.webseeds.sources.values()
            if source.trusted
        ),
        trackers=_trackers(torrent),
    )


def _trackers(torrent: TorrentState) -> SavedTrackers | None:
    """The announce list, if the user changed it."""
    chosen, trusted = torrent.swarm.trackers.chosen, torrent.swarm.trackers.trusted
    return SavedTrackers(chosen, frozenset(trusted)) if chosen is not None else None


def _priorities(torrent: TorrentState) -> tuple[int, ...]:
    """Each file's; while files are not known a single one, if what the link names is to be downloaded."""
    if torrent.worth.when_known:
        return (int(Priority.NORMAL),)
    return tuple(int(priority) for priority in torrent.worth.of_file)


def partial_pieces(torrent: TorrentState) -> dict[int, bytes]:
    """The blocks on disk of pieces that are begun; nothing of those that are just being written.

    Without any bytes, it also has pieces that are known to be missing and seem to be there: where files begin anywhere,
    the file system keeps the end of one piece and the beginning of the next in the same place.
    """
    if torrent.disk.partial:  # the storage was never opened
        return dict(torrent.disk.partial)
    table, holding = torrent.pieces, torrent.holding
    partial = {piece: bits.tobytes() for piece, bits in written_blocks(torrent).items()}
    if len(torrent.metainfo.info.files) > 1:
        there = table.complete.copy()
        for piece in (*partial, *holding.writing, *table.busy):
            there[piece] = True
        missing = table.known & ~there & (there << 1 | there >> 1)
        partial.update(dict.fromkeys(missing.search(1), b""))
    return partial


def written_blocks(torrent: TorrentState) -> dict[int, bitarray]:
    """The blocks on disk of pieces that are begun, pieces without any left out."""
    holding = torrent.holding
    found: dict[int, bitarray] = {}
    for piece, bits in holding.written.items():
        if (progress := torrent.pieces.begun.get(piece)) is not None:
            found[piece] = bits & progress.got
            if piece in holding.under_way:
                found[piece] &= ~holding.under_way[piece]
    return {piece: bits for piece, bits in found.items() if bits.any()}


def _kept_pieces(torrent: TorrentState) -> dict[int, bytes]:
    """The blocks that may be believed to be on disk even after a crash."""
    if torrent.disk.partial:
        return {piece: bits for piece, bits in torrent.disk.partial.items() if bits}
    return {piece: bits.tobytes() for piece, bits in torrent.holding.kept.blocks.items()}


def save(engine: Engine, torrents: Iterable[TorrentState]) -> None:
    """Have the session store brought up to date about those of the torrents of which it is behind, all at once."""
    sessions = engine.workshop.sessions
    due = [one for one in torrents if one.disk.dirty and not one.disk.rest.saving and not _unsettled(one)]
    if sessions is None or not due:
        return
    bodies = [torrent.metainfo.body for torrent in due]
    pictures = [(key_of(torrent), picture(torrent, stopped=False)) for torrent in due]
    for torrent in due:
        torrent.disk.dirty, torrent.disk.rest.saving = False, True

    def saved() -> None:
        for torrent, body in zip(due, bodies, strict=True):
            torrent.disk.rest.saving = False
            torrent.disk.rest.stored = body
            if torrent not in engine.due.lively:
                resting.rest(engine, torrent)

    def not_saved() -> None:
        for torrent in due:
            torrent.disk.rest.saving = False
            torrent.disk.dirty = True  # the totals may be late; completion is recorded elsewhere

    def done(_: None) -> None:
        engine.network.run(saved)

    def failed(_: BaseException) -> None:
        engine.network.run(not_saved)

    engine.turn.outbox(
        "save", pictures, engine.workshop.record.submit, partial(sessions.save_all, pictures), done, failed
    )


def _unsettled(torrent: TorrentState) -> bool:
    """Whether what the torrent is remembered by is about to change, or is saved by others."""
    return isinstance(torrent.stage, Moving | Closing | Dropped)


def resume_data(torrent: TorrentState) -> bytes:
    """Everything that another machine needs to go on with the same files without hashing them."""
    saved = picture(torrent, stopped=True)
    recorded = torrent.pieces.complete.copy()
    for piece in torrent.disk.unrecorded:
        recorded[piece] = False
    said: dict[bytes, Value] = {
        b"format": _FORMAT,
        b"info hash": bytes(torrent.info_hash),
        b"complete": recorded.tobytes(),
        b"partial": {str(piece).encode(): bits for piece, bits in saved.partial.items()},
        b"priorities": list(saved.priorities),
        b"uploaded": saved.uploaded,
        b"downloaded": saved.downloaded,
        b"added": int(saved.added),
    }
    return encode(said)


def take_resume(torrent: TorrentState, data: bytes) -> bitarray:
    """Go on with resume data. Answers the pieces that it vouches for; a file's size is still looked at.

    Raises:
        InputRefused: not resume data, or another torrent's.
    """
    count = torrent.pieces.geometry.piece_count
    try:
        said = decode(data)
        if not isinstance(said, dict) or said.get(b"format") != _FORMAT:
            raise InputRefused("this is not resume data of anabranch")
        if said.get(b"info hash") not in names_of(torrent):
            raise InputRefused("the resume data belong to another torrent")
        if said[b"complete"] and not torrent.pieces.learned:
            raise InputRefused("resume data are of use with the .torrent file only: the link does not tell of pieces")
        complete = bitfield_from(_bytes(said[b"complete"]), count)
        partial = said[b"partial"]
        priorities = said[b"priorities"]
        if not isinstance(partial, dict) or not isinstance(priorities, list):
            raise InputRefused("the resume data are damaged")
        pieces = {int(key): _bytes(bits) for key, bits in partial.items() if 0 <= int(key) < count}
        wishes = [Priority(min(max(_number(wish), 0), Priority.HIGH)) for wish in priorities]
        totals = _number(said[b"uploaded"]), _number(said[b"downloaded"]), _number(said[b"added"])
    except (BencodeError, KeyError, ValueError) as bad:
        raise InputRefused(f"the resume data are damaged: {bad}") from bad
    if not torrent.pieces.learned:
        torrent.worth.when_known = any(wishes)
    elif len(wishes) == len(torrent.worth.of_file):
        prefer(torrent, wishes)
    torrent.totals.uploaded, torrent.totals.downloaded, torrent.totals.added = totals[0], totals[1], float(totals[2])
    torrent.totals.before = torrent.totals.downloaded, torrent.totals.uploaded
    torrent.disk.partial = pieces
    return complete


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise InputRefused("the resume data are damaged: bytes are missing")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise InputRefused("the resume data are damaged: a number is missing")
    return value
