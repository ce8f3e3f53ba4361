"""The checks of the optional abilities of a storage back end, each against the plain calls that it stands beside.

A back end that has not got an ability passes. Each function is a check: its docstring is the rule.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from hashlib import sha1
from typing import cast

from bitarray import bitarray

from anabranch.model import Closed, StorageFailed
from anabranch.storage import (
    Bulk,
    Capacity,
    Direct,
    GivesUp,
    Groups,
    Hashes,
    Mapped,
    ReadsAcross,
    ReadsWarm,
    Selects,
    Sparse,
    Streams,
    Surveys,
    TorrentStorage,
)

from .conformance import Bench, is_complete
from .trial import TrialTorrent, lay, named

_PATIENCE = 5.0  # seconds for a back end to tell what it gave up
_FILLED = 1024 * 1024  # bytes: a space that is larger is not filled to see what becomes of it


def warm_reads_are_right_or_short(bench: Bench) -> None:
    """ReadsWarm: the number of bytes that it answers are there, and right; of what was not written none, or zeros."""
    for torrent in (bench.odd(), bench.apart("-apart")):
        storage = bench.open(torrent)
        if not isinstance(storage, ReadsWarm):
            return
        for written in (False, True):
            if written:
                bench.put(storage, torrent)
                bench.holds(storage, torrent)
            for offset in range(0, len(torrent.content), 13):
                end = _end_of_content(torrent, offset)
                for length in {1, 50, end - offset}:
                    if 0 < length <= end - offset:
                        _warm(bench, storage, torrent, offset, length, written=written)
        storage.close()
        room = bytearray(10)
        came: object = 0
        with suppress(Closed):
            came = storage.read_warm(0, room)
        bench.expect(came == 0, "nothing is warm after close()", came)


def _end_of_content(torrent: TrialTorrent, offset: int) -> int:
    """Up to where there is no gap; the offset itself where it is in one."""
    geometry = torrent.geometry
    for piece in range(offset // geometry.piece_length, geometry.piece_count):
        end = geometry.offset_of(piece) + geometry.length_of(piece)
        if piece in geometry.short:
            break
    return max(end, offset)


def _warm(bench: Bench, storage: ReadsWarm, torrent: TrialTorrent, offset: int, length: int, *, written: bool) -> None:
    room = bytearray(length)
    got = storage.read_warm(offset, room)
    at = f"of {length} bytes at {offset}"
    bench.expect(isinstance(got, int) and 0 <= got <= length, f"a warm read {at} answers how many", repr(got))
    due = torrent.content[offset : offset + got] if written else bytes(got)
    bench.same(bytes(room[:got]), due, f"a warm read {at}")


def reads_across_pieces_are_right(bench: Bench) -> None:
    """ReadsAcross: from any offset to any other, as many reads of pieces would; ValueError outside and in gaps."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, ReadsAcross):
        return
    bench.refuses(StorageFailed, "a read of what was never written", partial(storage.read_across, 0, bytearray(200)))
    bench.put(storage, torrent)
    total = len(torrent.content)
    cuts = sorted({0, 1, 63, 64, 65, 99, 100, 109, 114, 127, 128, 197, 198, total - 1, total})
    for begin in cuts:
        for end in cuts:
            if begin <= end:
                bench.same(_across(bench, storage, begin, end), torrent.content[begin:end], f"bytes {begin} to {end}")
    for begin, end in ((-1, 3), (total - 1, total + 1), (total + 1, total + 1)):
        room = bytearray(end - begin)
        bench.refuses(ValueError, f"a read from {begin} to {end} of {total}", partial(storage.read_across, begin, room))
    storage.close()
    bench.refuses(Closed, "a read across what is closed", partial(storage.read_across, 0, bytearray(10)))
    apart = bench.apart("-apart")
    gaps = bench.open(apart)
    bench.put(gaps, apart)
    across = cast(ReadsAcross, gaps)
    bench.same(_across(bench, across, 10, 100), apart.content[10:100], "bytes 10 to 100")
    bench.refuses(ValueError, "a read over a gap", partial(across.read_across, 90, bytearray(40)))


def _across(bench: Bench, storage: ReadsAcross, begin: int, end: int) -> bytes:
    room = bytearray(b"\xee" * (end - begin))
    answer = cast(Callable[[int, bytearray], object], storage.read_across)(begin, room)
    bench.expect(answer is None or answer == end - begin, "read_across() fills all and answers None", repr(answer))
    return bytes(room)


def groups_are_recorded_like_their_pieces(bench: Bench) -> None:
    """Groups: record() does for many pieces what mark_complete() and mark_incomplete() do for one."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, Groups):
        return
    bench.put(storage, torrent)
    storage.record([3, 0, 1])
    bench.same(_complete(storage, torrent), [0, 1, 3], "complete pieces")
    storage.record([2], [3, 0])
    bench.same(_complete(storage, torrent), [1, 2], "complete pieces")
    storage.record([])
    storage.record((), range(4))
    bench.same(_complete(storage, torrent), [], "complete pieces")
    for piece in (-1, 4):
        bench.refuses(ValueError, f"to record piece {piece} of 4", partial(storage.record, [piece]))
        bench.refuses(ValueError, f"to record the lack of piece {piece} of 4", partial(storage.record, [], [piece]))
    bench.put(storage, torrent)
    bench.holds(storage, torrent)
    storage.close()
    bench.refuses(Closed, "to record what is closed", partial(storage.record, [0]))


def all_completions_are_those_of_the_pieces(bench: Bench) -> None:
    """Bulk: completions() says of all pieces what completion() says of each, and is the caller's to keep."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, Bulk):
        return
    bench.put(storage, torrent, [0, 1])
    for complete, incomplete in (((), ()), ((0, 1), ()), ((), (1,))):
        for piece in complete:
            storage.piece(piece).mark_complete()
        for piece in incomplete:
            storage.piece(piece).mark_incomplete()
        known, good = storage.completions()
        for bits in (known, good):
            bench.expect(isinstance(bits, bitarray) and len(bits) == 4, "two sets of 4 pieces", repr(bits))
        came = [(bool(known[piece]), bool(good[piece])) for piece in torrent.pieces]
        said = [storage.piece(piece).completion().value for piece in torrent.pieces]
        due = [(value != "unknown", value == "complete") for value in said]
        bench.same(came, due, "(known, complete) of each piece")
        before = good.copy()
        good.setall(True)
        bench.same(storage.completions()[1], before, "the same after the caller changed what it got")


def files_that_nobody_wants_lose_no_byte(bench: Bench) -> None:
    """Selects: whichever files are wanted, and however often that changes, each piece reads as it was written."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, Selects):
        return
    count = len(torrent.files)
    choices = [[number % 2 == 0 for number in range(count)], [False] * count, [number > 4 for number in range(count)]]
    storage.select(choices[0])
    bench.put(storage, torrent, [1, 2])
    bench.holds(storage, torrent, [1, 2])
    for choice in (*choices, [True] * count, choices[1]):
        storage.select(choice)
        bench.holds(storage, torrent, [1, 2])
        bench.put(storage, torrent, [2])
    bench.put(storage, torrent)
    storage.select([True] * count)
    bench.holds(storage, torrent)
    for wrong in (count - 1, count + 1):
        bench.refuses(ValueError, f"{wrong} wishes for {count} files", partial(storage.select, [True] * wrong))
    bench.holds(storage, torrent)
    storage.close()
    bench.refuses(Closed, "to select in what is closed", partial(storage.select, [True] * count))


def what_is_not_present_was_never_written(bench: Bench) -> None:
    """Sparse: present() is true of every piece of which a byte was written; one that is not there has no bytes."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, Sparse):
        return
    for piece in (2, 0, 3):
        begin = torrent.geometry.length_of(piece) - 1
        storage.piece(piece).writev(begin, [torrent.of_piece(piece)[begin:]])
        bench.expect(storage.present(piece), f"piece {piece} is present", "it is not")
    for piece in torrent.pieces:
        if not storage.present(piece):
            try:
                came = bench.got(storage, piece, 0, torrent.geometry.length_of(piece))
            except StorageFailed:
                continue
            bench.expect(not any(came), f"piece {piece} has no bytes, since it is not present", repr(came))
    for piece in (-1, 4):
        bench.refuses(ValueError, f"present({piece}) of 4", partial(storage.present, piece))


def the_survey_says_what_is_said_of_each_piece(bench: Bench) -> None:
    """Surveys: presence() is present() of every piece, and the caller's to keep."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, Surveys):
        return
    for piece in (2, 0):
        before = storage.presence()
        kept = before.copy()
        storage.piece(piece).writev(0, [torrent.of_piece(piece)])
        bench.same(before, kept, "a survey that was taken before")
        after = storage.presence()
        bench.same(len(after), torrent.geometry.piece_count, "the number of pieces in a survey")
        bench.expect(bool(after[piece]), f"piece {piece} is present", "it is not")
        if isinstance(storage, Sparse):
            bench.same(after.tolist(), [storage.present(one) for one in torrent.pieces], "present() of each piece")


def a_stream_is_the_whole_piece(bench: Bench) -> None:
    """Streams: stream() gives all bytes of the piece and no more, again and again, and beside other streams."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, Streams):
        return
    bench.refuses(StorageFailed, "a stream of what was never written", partial(_streamed, storage, 0))
    bench.put(storage, torrent)
    for piece in (*torrent.pieces, 1):
        bench.same(_streamed(storage, piece), torrent.of_piece(piece), f"the stream of piece {piece}")
    abandoned = storage.stream(0)
    next(abandoned)
    both = [bytearray(), bytearray()]
    streams = [storage.stream(0), storage.stream(1)]
    while any(len(came) < 64 for came in both):
        for came, stream in zip(both, streams, strict=True):
            came += next(stream, b"")
        bench.expect(sum(map(len, both)) > 0, "each stream has bytes", "none")
    bench.same([bytes(came) for came in both], [torrent.of_piece(0), torrent.of_piece(1)], "two streams at a time")
    del abandoned
    bench.holds(storage, torrent)
    storage.piece(0).writev(0, [torrent.of_piece(0)[::-1]])
    bench.same(_streamed(storage, 0), torrent.of_piece(0)[::-1], "the stream of a piece that was written over")
    for piece in (-1, 4):
        bench.refuses(ValueError, f"stream({piece}) of 4", partial(_streamed, storage, piece))
    storage.close()
    bench.refuses(Closed, "a stream of what is closed", partial(_streamed, storage, 0))


def _streamed(storage: Streams, piece: int) -> bytes:
    came = bytearray()
    for part in storage.stream(piece):
        came += memoryview(part).cast("B")
    return bytes(came)


def a_hash_is_that_of_the_bytes(bench: Bench) -> None:
    """Hashes: sha1() is the digest of what a read gives at that moment, or None; also after the piece has changed."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    if not isinstance(storage, Hashes):
        return
    for piece in torrent.pieces:
        _same_sum(bench, storage, torrent, piece)
    for _ in range(2):
        for piece in torrent.pieces:
            bench.put(storage, torrent, [piece])
            _same_sum(bench, storage, torrent, piece)
            storage.piece(piece).mark_complete()
            _same_sum(bench, storage, torrent, piece)
            storage.piece(piece).writev(3, [b"\xff"])
            _same_sum(bench, storage, torrent, piece)
        for piece in torrent.pieces:
            _same_sum(bench, storage, torrent, piece)
    for piece in (-1, 4):
        bench.refuses(ValueError, f"sha1({piece}) of 4", partial(storage.sha1, piece))
    storage.close()
    bench.refuses(Closed, "the digest of what is closed", partial(storage.sha1, 0))


def _same_sum(bench: Bench, storage: Hashes, torrent: TrialTorrent, piece: int) -> None:
    try:
        digest = storage.sha1(piece)
    except StorageFailed:
        digest = None
    if digest is None:
        return
    try:
        data = bench.got(cast(TorrentStorage, storage), piece, 0, torrent.geometry.length_of(piece))
    except StorageFailed as failed:
        bench.expect(False, f"no digest of piece {piece}, which cannot be read ({failed})", digest.hex())
        return
    bench.same(digest, sha1(data, usedforsecurity=False).digest(), f"the digest of piece {piece}")


def bytes_lie_where_direct_says(bench: Bench) -> None:
    """Direct: the file of the system has those bytes at that place, as many as it says; all of them are reached."""
    for torrent in (bench.odd(), bench.apart("-apart")):
        storage = bench.open(torrent)
        if not isinstance(storage, Direct) or not hasattr(os, "pread"):
            return
        bench.refuses(StorageFailed, "what was never written", partial(_enter, storage, 0, 10))
        bench.put(storage, torrent)
        for piece in torrent.pieces:
            start = torrent.geometry.offset_of(piece)
            end = start + torrent.geometry.length_of(piece)
            for most in (7, 1000):
                at = start
                while at < end:
                    at += _run(bench, storage, torrent, at, min(most, end - at))
        total = torrent.geometry.total
        for offset, length in ((-1, 2), (total, 1), (total - 1, 2)):
            bench.refuses(
                ValueError, f"{length} bytes at {offset} of {total}", partial(_enter, storage, offset, length)
            )
        storage.close()
        bench.refuses(Closed, "what is closed", partial(_enter, storage, 0, 10))


def _enter(storage: Direct, offset: int, length: int) -> object:
    with storage.direct(offset, length) as run:
        return run


def _run(bench: Bench, storage: Direct, torrent: TrialTorrent, offset: int, most: int) -> int:
    """Compare one run; its length."""
    at = f"of {most} bytes at {offset}"
    with storage.direct(offset, most) as run:
        if run is None:
            return 1
        bench.expect(0 < run.length <= most, f"a run {at} has 1 to {most} bytes", run)
        came = os.pread(run.fd, run.length, run.place)
    bench.same(came, torrent.content[offset : offset + run.length], f"the run {at}")
    return run.length


def mapped_bytes_are_right(bench: Bench) -> None:
    """Mapped: a system call that takes the view gets the bytes that a read gets; it cannot be written to."""
    for torrent in (bench.odd(), bench.apart("-apart")):
        storage = bench.open(torrent)
        if not isinstance(storage, Mapped):
            return
        storage.mapped(0, 10)  # of what was never written: whatever it answers, it raises nothing
        bench.put(storage, torrent)
        bench.holds(storage, torrent)
        for piece in torrent.pieces:
            start = torrent.geometry.offset_of(piece)
            length = torrent.geometry.length_of(piece)
            for begin, end in ((0, 1), (1, length), (0, length)):
                _view(bench, storage, torrent, start + begin, end - begin)
        storage.piece(0).writev(0, [torrent.of_piece(0)[::-1]])
        came = _taken(storage.mapped(0, 64))
        bench.expect(torrent.of_piece(0)[::-1].startswith(came), "the view of a piece that was written over", came)
        storage.close()
        try:
            view = storage.mapped(0, 10)
        except Closed:
            continue
        bench.expect(view is None, "no view of what is closed", repr(view))


def _view(bench: Bench, storage: Mapped, torrent: TrialTorrent, offset: int, length: int) -> None:
    view = storage.mapped(offset, length)
    if view is not None:
        at = f"of {length} bytes at {offset}"
        bench.expect(view.readonly, f"the view {at} is read-only", "it can be written to")
        bench.expect(0 < view.nbytes <= length, f"the view {at} has 1 to {length} bytes", view.nbytes)
        bench.same(_taken(view), torrent.content[offset : offset + view.nbytes], f"the view {at}")


def _taken(view: memoryview | None) -> bytes:
    """The bytes of a view, by way of a system call; nobody else may look at them."""
    if view is None:
        return b""
    source, target = os.pipe()
    try:
        os.write(target, view)
        return os.read(source, view.nbytes)
    finally:
        os.close(source)
        os.close(target)


def what_is_given_up_is_told(bench: Bench) -> None:
    """GivesUp: a complete piece that is gone was told of; what was not told of is there, and right."""
    name = bench.odd().name
    probe = bench.open(bench.odd("-probe"))
    if not isinstance(probe, GivesUp):
        return
    capacity = probe.capacity
    space = capacity.capacity() if isinstance(capacity, Capacity) else None
    limited = space is not None and space <= _FILLED
    length = max((space or 0) // 6, 64) if limited else 64
    torrent = lay(name, length, named("a", 10 * length), named("b", 2 * length - 5))
    storage = bench.open(torrent)
    told: set[int] = set()
    heard = threading.Condition()

    def tell(pieces: Sequence[int]) -> None:
        with heard:
            told.update(pieces)
            heard.notify_all()

    cast(GivesUp, storage).on_given_up(tell)
    written: set[int] = set()

    def gone() -> set[int]:
        return {piece for piece in written if not is_complete(storage, piece)}

    with ExitStack() as stack:
        stack.callback(storage.close)
        for piece in torrent.pieces:
            bench.put(storage, torrent, [piece])
            storage.piece(piece).mark_complete()
            written.add(piece)
            with heard:
                heard.wait_for(lambda: gone() <= told, _PATIENCE)
            lost = gone()
            bench.expect(lost <= told, "all that is gone was told of", f"told {sorted(told)}, gone {sorted(lost)}")
        bench.same(told, gone(), "what was told of is gone")
        bench.expect(limited or not told, "nothing is given up where there is room", sorted(told))
        for piece in sorted(told):
            read = partial(bench.got, storage, piece, 0, torrent.geometry.length_of(piece))
            bench.refuses(StorageFailed, f"a read of piece {piece}, which was given up,", read)
        bench.holds(storage, torrent, sorted(written - told))


def _complete(storage: TorrentStorage, torrent: TrialTorrent) -> list[int]:
    return [piece for piece in torrent.pieces if is_complete(storage, piece)]


ABILITY_CHECKS = (
    warm_reads_are_right_or_short,
    reads_across_pieces_are_right,
    groups_are_recorded_like_their_pieces,
    all_completions_are_those_of_the_pieces,
    files_that_nobody_wants_lose_no_byte,
    what_is_not_present_was_never_written,
    the_survey_says_what_is_said_of_each_piece,
    a_stream_is_the_whole_piece,
    a_hash_is_that_of_the_bytes,
    bytes_lie_where_direct_says,
    mapped_bytes_are_right,
    what_is_given_up_is_told,
)
