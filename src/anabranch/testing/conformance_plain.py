"""The checks of what every storage back end must do: bytes in, bytes out, what is recorded of pieces, closing.

Each function is a check: its docstring is the rule.
"""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

from anabranch.model import Closed, StorageFailed
from anabranch.storage import Buffer, Capacity, Completion, Room, TorrentStorage

from .conformance import Bench, is_complete
from .trial import TrialTorrent, lay, named

_THREADS = 8


def a_piece_is_read_as_it_was_written(bench: Bench) -> None:
    """What was written to a piece is what is read from it, in whatever order pieces come."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    for piece in (3, 0, 2, 1):
        bench.put(storage, torrent, [piece])
        bench.holds(storage, torrent, [piece])
    bench.holds(storage, torrent)


def gaps_between_files_are_nowhere(bench: Bench) -> None:
    """Where a file begins at a piece (v2), the piece before it is short, and offsets between them have no bytes."""
    torrent = bench.apart()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    bench.holds(storage, torrent)
    bench.refuses(ValueError, "a read behind a short piece", lambda: storage.piece(1).readinto(30, bytearray(7)))
    bench.refuses(ValueError, "a write behind a short piece", lambda: storage.piece(1).writev(30, [bytes(7)]))
    bench.holds(storage, torrent)


def nothing_is_complete_at_first(bench: Bench) -> None:
    """Of a torrent that was never there, no piece is recorded complete."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    for piece in torrent.pieces:
        came = storage.piece(piece).completion()
        bench.expect(came in (Completion.INCOMPLETE, Completion.UNKNOWN), f"piece {piece} is not complete", came)


def what_was_never_written_is_not_read(bench: Bench) -> None:
    """To read of a torrent that was never written raises StorageFailed, which names a place."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    for piece in torrent.pieces:
        read = partial(bench.got, storage, piece, 0, torrent.geometry.length_of(piece))
        failed = bench.refuses(StorageFailed, f"a read of piece {piece}, never written,", read)
        bench.expect(isinstance(failed, StorageFailed) and bool(failed.path), "the error names a place", repr(failed))


def what_was_not_written_is_never_garbage(bench: Bench) -> None:
    """Between pieces that were written, one that was not is an error or zeros, as the holes of a file are."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent, [0, 3])
    for piece in (1, 2):
        came = _readable(bench, storage, piece, torrent.geometry.length_of(piece))
        bench.expect(came is None or not any(came), f"piece {piece} is an error or zeros", repr(came))
    bench.holds(storage, torrent, [0, 3])


def a_part_of_a_piece_is_there_once_it_is_written(bench: Bench) -> None:
    """Blocks come one by one: each is read from the moment it was written, whatever else of the piece is there."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    done: list[tuple[int, int, int]] = []
    for piece, begin, end in ((1, 30, 48), (2, 0, 1), (2, 63, 64), (3, 36, 37), (1, 48, 64), (1, 0, 30)):
        storage.piece(piece).writev(begin, [torrent.of_piece(piece)[begin:end]])
        done.append((piece, begin, end))
        for number, first, last in done:
            due = torrent.of_piece(number)[first:last]
            bench.same(
                bench.got(storage, number, first, last - first), due, f"bytes {first} to {last} of piece {number}"
            )
    bench.holds(storage, torrent, [1])


def reads_go_from_any_byte_to_any_byte(bench: Bench) -> None:
    """A read may begin and end anywhere in the piece, and may be empty; it goes over the borders of files."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    for piece in torrent.pieces:
        data = torrent.of_piece(piece)
        cuts = _borders(torrent, piece)
        for begin in cuts:
            for end in cuts:
                if begin <= end:
                    came = bench.got(storage, piece, begin, end - begin)
                    bench.same(came, data[begin:end], f"bytes {begin} to {end} of piece {piece}")


def writes_go_from_any_byte_to_any_byte(bench: Bench) -> None:
    """A write may begin and end anywhere in the piece, and changes no byte besides."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    for piece in torrent.pieces:
        data = torrent.of_piece(piece)
        runs = list(pairwise(_borders(torrent, piece)))
        for begin, end in runs[1::2] + runs[::2]:
            unlike = _unlike(torrent, piece, begin, end)
            storage.piece(piece).writev(begin, [unlike])
            bench.same(
                bench.got(storage, piece, begin, end - begin), unlike, f"bytes {begin} to {end} of piece {piece}"
            )
            bench.holds(storage, torrent, [other for other in torrent.pieces if other != piece])
            storage.piece(piece).writev(begin, [data[begin:end]])
        bench.holds(storage, torrent)


def what_is_written_last_counts(bench: Bench) -> None:
    """A piece may be written again, whole or in part."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    for piece in torrent.pieces:
        length = torrent.geometry.length_of(piece)
        storage.piece(piece).writev(0, [_unlike(torrent, piece, 0, length)])
        bench.same(bench.got(storage, piece, 0, length), _unlike(torrent, piece, 0, length), f"piece {piece} at first")
    bench.put(storage, torrent)
    bench.holds(storage, torrent)


def nothing_is_read_or_written_outside_of_a_piece(bench: Bench) -> None:
    """A range that is not inside the piece raises ValueError, so does a piece that is not there; nothing changes."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    for index in (-1, torrent.geometry.piece_count, 2**40):
        bench.refuses(ValueError, f"piece({index})", partial(storage.piece, index))
    for piece in torrent.pieces:
        length = torrent.geometry.length_of(piece)
        handle = storage.piece(piece)
        for begin, size in ((-1, 2), (length - 1, 2), (length, 1), (length + 1, 0), (0, length + 1), (2**40, 1)):
            what = f"of {size} bytes at {begin} in a piece of {length}"
            try:
                handle.readinto(begin, bytearray(size))
            except ValueError:
                pass
            else:
                bench.expect(False, f"a read {what} raises ValueError", "no error")
            try:
                handle.writev(begin, [b"\xff" * (size - size // 2), b"\xff" * (size // 2)])
            except ValueError:
                pass
            else:
                bench.expect(False, f"a write {what} raises ValueError", "no error")
    bench.holds(storage, torrent)


def a_read_takes_any_buffer_that_can_be_written_to(bench: Bench) -> None:
    """Buffers are filled whatever they are: of words instead of bytes, parts of others, empty; readinto() says None."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    words = array("I", bytes(16))
    around = bytearray(b"\x55" * 40)
    rooms: tuple[Room, ...] = (bytearray(16), memoryview(bytearray(16)), memoryview(words), memoryview(around)[8:24])
    for room in rooms:
        storage.piece(1).readinto(30, room)
        bench.same(bytes(memoryview(room).cast("B")), torrent.of_piece(1)[30:46], f"what is in {room!r}")
    bench.same(bytes(around[:8] + around[24:]), b"\x55" * 24, "what is around a part of a buffer")
    bench.same(bench.got(storage, 1, 64, 0), b"", "an empty read at the piece's end")


def a_write_takes_any_buffers_and_as_many_as_there_are(bench: Bench) -> None:
    """bytes, bytearray, memoryview; read-only ones, of words, empty ones; more than the system takes at once; none."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    data = torrent.of_piece(1)
    words = array("H", data[20:40])
    kinds: list[Buffer] = [data[:5], b"", bytearray(data[5:10]), memoryview(data)[10:20], memoryview(words)]
    kinds += [memoryview(b""), memoryview(bytearray(data[40:])), bytearray()]
    storage.piece(1).writev(0, kinds)
    bench.holds(storage, torrent, [1])
    storage.piece(1).writev(7, [])
    storage.piece(1).writev(64, [b""])
    bench.holds(storage, torrent, [1])
    wide = lay(torrent.name + "-wide", 3000, named("a", 1400), named("b", 1600))
    storage = bench.open(wide)
    storage.piece(0).writev(0, [wide.content[at : at + 1] for at in range(3000)])
    bench.holds(storage, wide)


def what_is_written_is_taken_at_once(bench: Bench) -> None:
    """A write is done when it returns: the caller may use the buffer for something else."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    for piece in torrent.pieces:
        buffer = bytearray(torrent.of_piece(piece))
        storage.piece(piece).writev(0, [buffer])
        buffer[:] = bytes(len(buffer))
    bench.holds(storage, torrent)


def what_is_recorded_is_told(bench: Bench) -> None:
    """mark_complete() makes that one piece COMPLETE, mark_incomplete() makes it not so; both may be said twice.

    What is marked incomplete may lose its bytes: they are written again before it is complete.
    """
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    complete: set[int] = set()
    for piece, good in ((2, True), (0, True), (2, True), (0, False), (3, True), (0, False), (1, True), (0, True)):
        handle = storage.piece(piece)
        if good:
            if piece not in complete:
                bench.put(storage, torrent, [piece])
            handle.mark_complete()
            complete.add(piece)
        else:
            handle.mark_incomplete()
            complete.discard(piece)
        came = {piece for piece in torrent.pieces if is_complete(storage, piece)}
        bench.same(came, complete, "pieces that are complete")
    bench.holds(storage, torrent)


def a_piece_that_is_written_over_is_not_complete(bench: Bench) -> None:
    """Whatever is written to a complete piece: it is not COMPLETE until it is marked again. Others stay as they are."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    for piece in torrent.pieces:
        storage.piece(piece).mark_complete()
    storage.piece(2).writev(5, [b"\xff"])
    came = {piece for piece in torrent.pieces if is_complete(storage, piece)}
    bench.same(came, {0, 1, 3}, "pieces that are complete")
    bench.put(storage, torrent, [2])
    storage.piece(2).mark_complete()
    bench.expect(is_complete(storage, 2), "piece 2 is complete again", storage.piece(2).completion())


def torrents_do_not_see_each_other(bench: Bench) -> None:
    """Two torrents in one back end keep their bytes and records apart, also where one is closed."""
    first, second = bench.odd("-1"), bench.odd("-2")
    one, two = bench.open(first), bench.open(second)
    bench.put(one, first)
    one.piece(0).mark_complete()
    bench.expect(not is_complete(two, 0), "the other torrent's piece 0 is not complete", two.piece(0).completion())
    bench.refuses(StorageFailed, "a read of the other torrent", lambda: bench.got(two, 0, 0, 64))
    bench.put(two, second, [0, 2])
    bench.holds(one, first)
    two.close()
    bench.holds(one, first)
    bench.expect(is_complete(one, 0), "piece 0 of the one that is open is complete", one.piece(0).completion())


def a_torrent_that_is_opened_again_promises_nothing_false(bench: Bench) -> None:
    """After close() and another open(), each piece that is COMPLETE has its bytes."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent, [0, 1, 3])
    for piece in (0, 3):
        storage.piece(piece).mark_complete()
    storage.close()
    storage = bench.open(torrent)
    complete = [piece for piece in torrent.pieces if is_complete(storage, piece)]
    bench.expect(set(complete) <= {0, 3}, "no more pieces are complete than were", complete)
    bench.holds(storage, torrent, complete)
    bench.put(storage, torrent)
    bench.holds(storage, torrent)


def what_was_recorded_outlives_closing(bench: Bench) -> None:
    """Of a persistent back end: what was complete is complete, with its bytes, and what was not is not."""
    if not bench.persistent:
        return
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    for piece in torrent.pieces:
        storage.piece(piece).mark_complete()
    storage.piece(1).mark_incomplete()
    storage.close()
    for _ in range(2):
        storage = bench.open(torrent)
        complete = [piece for piece in torrent.pieces if is_complete(storage, piece)]
        bench.same(complete, [0, 2, 3], "pieces that are complete")
        bench.holds(storage, torrent, complete)
        storage.close()


def threads_may_come_together(bench: Bench) -> None:
    """Eight threads write, read and record different pieces at once, that share files, and each finds its own bytes."""
    torrent = lay(bench.odd().name, 48, *(named(str(number), 29) for number in range(28)))
    storage = bench.open(torrent)

    def work(thread: int) -> None:
        mine = [piece for piece in torrent.pieces if piece % _THREADS == thread]
        for _ in range(4):
            for piece in mine:
                length = torrent.geometry.length_of(piece)
                unlike = _unlike(torrent, piece, 0, length)
                storage.piece(piece).writev(0, [unlike])
                bench.same(bench.got(storage, piece, 0, length), unlike, f"piece {piece}, by its thread")
                bench.put(storage, torrent, [piece])
                bench.holds(storage, torrent, [piece])
        for piece in mine:
            storage.piece(piece).mark_complete()

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, range(_THREADS)))
    bench.holds(storage, torrent)
    bench.same([piece for piece in torrent.pieces if not is_complete(storage, piece)], [], "pieces not complete")


def what_is_closed_says_so(bench: Bench) -> None:
    """close() may be called twice. Who reads, writes, records or flushes afterwards gets Closed, not garbage."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    bench.put(storage, torrent)
    before = storage.piece(0)
    storage.close()
    storage.close()
    bench.refuses(Closed, "flush() of what is closed", storage.flush)
    bench.refuses(Closed, "a read by a piece from before", lambda: before.readinto(0, bytearray(10)))
    bench.refuses(Closed, "a read", lambda: storage.piece(0).readinto(0, bytearray(10)))
    bench.refuses(Closed, "a write", lambda: storage.piece(0).writev(0, [b"x"]))
    bench.refuses(Closed, "mark_complete()", lambda: storage.piece(0).mark_complete())
    bench.refuses(Closed, "mark_incomplete()", lambda: storage.piece(0).mark_incomplete())


def flushing_changes_nothing_that_is_read(bench: Bench) -> None:
    """flush() may come at any time: before the first write, between writes, twice."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    storage.flush()
    for piece in torrent.pieces:
        bench.put(storage, torrent, [piece])
        storage.flush()
    storage.flush()
    bench.holds(storage, torrent)
    bench.expect(not is_complete(storage, 0), "flush() completes nothing", storage.piece(0).completion())


def the_capacity_is_one_object(bench: Bench) -> None:
    """`capacity` is compared by identity: it is the same object whenever it is asked for; its size may be None."""
    torrent = bench.odd()
    storage = bench.open(torrent)
    capacity = storage.capacity
    bench.expect(storage.capacity is capacity, "capacity is the same object again", "another one")
    if isinstance(capacity, Capacity):
        size = capacity.capacity()
        bench.expect(size is None or (isinstance(size, int) and size >= 0), "capacity() is bytes or None", repr(size))
    storage.close()
    bench.expect(bench.open(torrent).capacity is capacity, "it is the same when opened again", "another one")


def _readable(bench: Bench, storage: TorrentStorage, piece: int, length: int) -> bytes | None:
    """The piece, None where it cannot be read."""
    try:
        return bench.got(storage, piece, 0, length)
    except StorageFailed:
        return None


def _borders(torrent: TrialTorrent, piece: int) -> list[int]:
    """Where in the piece something begins or ends, and the bytes before and after it."""
    length = torrent.geometry.length_of(piece)
    start = torrent.geometry.offset_of(piece)
    edges = {0, length} | {file.offset - start for file in torrent.files}
    near = {edge + step for edge in edges for step in (-1, 0, 1)}
    return sorted(at for at in near if 0 <= at <= length)


def _unlike(torrent: TrialTorrent, piece: int, begin: int, end: int) -> bytes:
    """As many other bytes; padding cannot be anything but zeros."""
    start = torrent.geometry.offset_of(piece)
    data = torrent.content[start + begin : start + end]
    return bytes(byte and (byte % 255) + 1 for byte in data)


PLAIN_CHECKS = (
    a_piece_is_read_as_it_was_written,
    gaps_between_files_are_nowhere,
    nothing_is_complete_at_first,
    what_was_never_written_is_not_read,
    what_was_not_written_is_never_garbage,
    a_part_of_a_piece_is_there_once_it_is_written,
    reads_go_from_any_byte_to_any_byte,
    writes_go_from_any_byte_to_any_byte,
    what_is_written_last_counts,
    nothing_is_read_or_written_outside_of_a_piece,
    a_read_takes_any_buffer_that_can_be_written_to,
    a_write_takes_any_buffers_and_as_many_as_there_are,
    what_is_written_is_taken_at_once,
    what_is_recorded_is_told,
    a_piece_that_is_written_over_is_not_complete,
    torrents_do_not_see_each_other,
    a_torrent_that_is_opened_again_promises_nothing_false,
    what_was_recorded_outlives_closing,
    threads_may_come_together,
    what_is_closed_says_so,
    flushing_changes_nothing_that_is_read,
    the_capacity_is_one_object,
)
