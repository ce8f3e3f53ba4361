"""Reading a torrent as a file from a thread, while it downloads."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from random import Random

import pytest

from anabranch.api import Client, Closed, Misused, Priority, Reader, StorageFailed, create, events
from gates import GatedWrites, SlowToOpen
from origin import PIECE, Origin, seeded
from ours import KIB, MIB, make_client, until
from streaming.waiting import nobody_waits, readers_wait
from threads import PATIENCE, background, held, on_engine


def test_a_read_fetches_what_it_needs_and_waits_for_it(origin: Origin, client: Client) -> None:
    """Nothing else was wanted of the torrent, and nothing else comes."""
    torrent = origin.served(client)
    with torrent.reader() as reader:
        reader.seek(10 * PIECE + 5)
        assert reader.read(100) == origin.content[10 * PIECE + 5 :][:100]
    assert torrent.piece(10).state.complete
    assert torrent.stats().pieces_complete <= 2


def test_a_read_waits_as_long_as_it_takes(origin: Origin, client: Client) -> None:
    """Nobody has the data yet; once somebody comes it goes on."""
    torrent = origin.added(client)
    reading = background(lambda: torrent.reader().read(10))
    readers_wait(torrent)
    torrent.add_peers([origin.address])
    assert reading.result(PATIENCE) == origin.content[:10]
    assert nobody_waits(torrent)


def test_everything_is_read_from_beginning_to_end(origin: Origin, client: Client) -> None:
    """As any file in Python's library is read."""
    with origin.served(client).reader() as reader:
        assert reader.readable()
        assert reader.seekable()
        assert not reader.writable()
        assert reader.read() == origin.content
        assert reader.read() == reader.read(5) == b""
        assert reader.tell() == len(origin.content)


def test_a_buffered_reader_may_stand_before_it(origin: Origin, client: Client) -> None:
    """It is a RawIOBase in every respect."""
    with io.BufferedReader(origin.served(client).reader(), 100_000) as buffered:
        assert buffered.peek(1)[:10] == origin.content[:10]
        lines = buffered.readlines(200_000)
        assert b"".join(lines) == origin.content[: buffered.tell()]
        buffered.seek(-3, os.SEEK_END)
        assert buffered.read() == origin.content[-3:]


def test_what_is_read_after_a_seek_is_what_is_there(origin: Origin, client: Client) -> None:
    """Anywhere, in any order, of any length, within pieces and across them."""
    draw = Random(1)
    with origin.served(client).reader() as reader:
        for _ in range(60):
            offset, length = draw.randrange(len(origin.content)), draw.choice([1, 100, 70_000])
            assert reader.seek(offset) == offset
            got = reader.read(length)
            assert got
            assert got == origin.content[offset : offset + len(got)]
            assert len(got) <= length
            assert reader.tell() == offset + len(got)


def test_a_read_gives_at_least_a_byte_and_never_more_than_is_verified(origin: Origin, client: Client) -> None:
    """At the border of what is there it stops short, as a raw file may."""
    torrent = origin.added(client)
    torrent.download_pieces(0, 2)
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    with torrent.passive_reader() as reader:
        assert reader.read(10 * PIECE) == origin.content[: 2 * PIECE]


def test_seek_counts_from_the_start_the_position_and_the_end(origin: Origin, client: Client) -> None:
    """And refuses what lies before the start."""
    with origin.added(client).reader() as reader:
        assert reader.seek(100) == reader.tell() == 100
        assert reader.seek(-30, os.SEEK_CUR) == 70
        assert reader.seek(-1, os.SEEK_END) == len(origin.content) - 1
        for offset, whence in [(-1, os.SEEK_SET), (-len(origin.content), os.SEEK_CUR), (0, 9)]:
            with pytest.raises(ValueError, match="cannot seek"):
                reader.seek(offset, whence)
        assert reader.tell() == len(origin.content) - 1


def test_behind_the_end_there_is_nothing(origin: Origin, client: Client) -> None:
    """One may seek there, as in any file."""
    with origin.added(client).reader() as reader:
        reader.seek(10, os.SEEK_END)
        assert reader.read(5) == b""
        assert reader.readinto(bytearray()) == 0


def test_a_reader_of_a_file_ends_with_the_file(origin: Origin, client: Client) -> None:
    """The pieces at its ends hold bytes of other files, which it never shows."""
    torrent = origin.served(client)
    for file in torrent.files:
        with file.reader() as reader, file.passive_reader() as passive:
            assert reader.seek(0, os.SEEK_END) == file.length
            reader.seek(0)
            whole = origin.content[file.offset : file.offset + file.length]
            assert reader.read() == whole
            assert passive.read() == whole


def test_reading_into_nothing_waits_for_nothing(origin: Origin, client: Client) -> None:
    """No byte is asked for, so none is missing."""
    with origin.added(client).reader() as reader:
        assert reader.read(0) == b""


def test_a_responsive_reader_gives_blocks_before_their_piece_is_verified(tmp_path: Path) -> None:
    """A quarter of a piece comes in a second: the first blocks are there long before the last."""
    with seeded(tmp_path / "origin", MIB) as origin, make_client(tmp_path, download_rate=256 * KIB) as client:
        torrent = origin.served(client)
        with torrent.reader() as reader:
            reader.responsive = True
            assert reader.read(100) == origin.content[:100]
            assert not torrent.piece(0).state.complete


def test_what_is_not_responsive_waits_until_the_piece_is_verified_and_written(origin: Origin, client: Client) -> None:
    """A wrong byte from a stranger is never shown."""
    storage = GatedWrites()
    torrent = origin.added(client, storage=storage)
    torrent.add_peers([origin.address])
    with torrent.reader() as quick, torrent.reader() as strict:
        reading = background(lambda: strict.read(10))
        quick.responsive = True
        assert quick.read(16 * KIB) == origin.content[: 16 * KIB]
        until(lambda: torrent.piece(0).state.hashing)
        assert not reading.done()
        assert not torrent.piece(0).state.complete
        storage.gate.set()
        assert reading.result(PATIENCE) == origin.content[:10]


def test_a_reader_may_come_before_the_storage_is_open(origin: Origin, client: Client) -> None:
    """What the storage has had all along is given as soon as that is known."""
    storage = SlowToOpen(origin.content)
    torrent = client.add(origin.torrent, storage=storage)
    reading = background(lambda: torrent.reader().read(10))
    readers_wait(torrent)
    storage.gate.set()
    assert reading.result(PATIENCE) == origin.content[:10]


def test_two_readers_go_their_own_ways(origin: Origin, client: Client) -> None:
    """A torrent may have any number of them, each in a thread of its own."""
    torrent = origin.served(client)
    offsets = range(0, len(origin.content), len(origin.content) // 4)

    def read_from(offset: int) -> bytes:
        with torrent.reader() as reader:
            reader.seek(offset)
            return reader.readall()

    for offset, reading in [(offset, background(partial(read_from, offset))) for offset in offsets]:
        assert reading.result(PATIENCE) == origin.content[offset:]


def test_dropping_the_torrent_wakes_its_readers(origin: Origin, client: Client) -> None:
    """They would wait for ever."""
    torrent = origin.added(client)
    readings = [
        background(lambda: torrent.reader().read(1)),
        background(lambda: torrent.passive_reader().read(1)),
    ]
    readers_wait(torrent, 2)
    torrent.drop()
    for reading in readings:
        with pytest.raises(Closed):
            reading.result(PATIENCE)
    with pytest.raises(Closed):
        torrent.reader().read(1)


def test_closing_the_client_wakes_its_readers(origin: Origin, client: Client) -> None:
    """All of them."""
    torrent = origin.added(client)
    reading = background(lambda: torrent.reader().read(1))
    readers_wait(torrent)
    assert client.close()
    with pytest.raises(Closed):
        reading.result(PATIENCE)


def test_a_failed_disk_is_told_to_readers_that_wait(origin: Origin, tmp_path: Path) -> None:
    """Who waits for what cannot be written learns why."""
    blocked = tmp_path / "data"
    blocked.mkdir()
    (blocked / "content").write_text("a file where the torrent's folder should be")
    with make_client(tmp_path, "127.0.7.3", data_dir=blocked) as client:
        torrent = client.add(origin.torrent)
        torrent.add_peers([origin.address])
        with torrent.reader() as reader, pytest.raises(StorageFailed, match="content"):
            reader.read(1)


def test_a_closed_reader_cannot_be_used(origin: Origin, client: Client) -> None:
    """As any closed file; closing again does nothing."""
    reader = origin.copied(client).reader()
    reader.close()
    reader.close()
    for use in (lambda: reader.read(1), lambda: reader.seek(0), lambda: reader.read(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_waiting_where_it_would_stop_the_engine_is_refused(origin: Origin, client: Client) -> None:
    """On the engine's own thread, and with the turn: there even what is there is not read, the disk may be slow."""
    reader = origin.copied(client).reader()
    with pytest.raises(Misused):
        on_engine(client, lambda: reader.read(1))
    with client._core.turn, pytest.raises(Misused):
        reader.read(1)
    assert reader.read(1) == origin.content[:1]


def test_a_callback_may_read(origin: Origin, client: Client) -> None:
    """Callbacks have a thread of their own."""
    torrent = origin.served(client)
    got: Future[bytes | None] = Future()

    def read_once(event: events.Event) -> None:
        if not got.done():
            got.set_result(torrent.reader().read(10))

    client.on_event(read_once)
    torrent.piece(0).priority = Priority.NORMAL
    assert got.result(PATIENCE) == origin.content[:10]


def test_reading_does_not_hold_the_turn_while_it_waits_or_reads_the_disk(origin: Origin, client: Client) -> None:
    """The engine goes on, and so does everybody else."""
    torrent = origin.added(client)
    reading = background(lambda: torrent.reader().read(1))
    readers_wait(torrent)
    with held(client):
        assert not reading.done()
    torrent.piece(0).priority = Priority.HIGH
    torrent.add_peers([origin.address])
    assert reading.result(PATIENCE) == origin.content[:1]


def test_readers_are_told_apart_by_nothing_but_themselves(origin: Origin, client: Client) -> None:
    """Each call gives another one, at the beginning."""
    torrent = origin.added(client)
    one, other = torrent.reader(), torrent.reader()
    assert isinstance(one, Reader)
    one.seek(7)
    assert other.tell() == 0


def test_python_s_own_library_takes_it_for_a_file(tmp_path: Path) -> None:
    """An archive inside a torrent is read in place, and copied out; what is not read is not fetched."""
    place = tmp_path / "made"
    inner = Random(3).randbytes(300_000)
    (place / "data" / "box").mkdir(parents=True)
    with zipfile.ZipFile(place / "data" / "box" / "a.zip", "w") as archive:
        archive.writestr("first.bin", bytes(200_000))
        archive.writestr("second.bin", inner)
    torrent = create(place / "data" / "box", piece_length=16 * KIB)
    with make_client(place, "127.0.7.4") as seeder, make_client(tmp_path, "127.0.7.5") as client:
        assert seeder.add(torrent).checked.wait(PATIENCE)
        file = client.add(torrent).files[0]
        assert client.torrents[0].checked.wait(PATIENCE)
        client.torrents[0].add_peers([seeder.listen_addresses[0]])
        with zipfile.ZipFile(io.BufferedReader(file.reader())) as archive:
            assert archive.read("second.bin") == inner
        assert client.torrents[0].stats().pieces_complete < client.torrents[0].piece_count
        copy = io.BytesIO()
        with file.reader() as reader:
            shutil.copyfileobj(reader, copy)
        assert copy.getvalue() == (place / "data" / "box" / "a.zip").read_bytes()


def test_a_file_that_was_removed_is_fetched_again_by_who_reads_it(origin: Origin, client: Client) -> None:
    """The storage has lost its pieces; a passive reader waits, an active one asks for them."""
    torrent = origin.copied(client)
    file = torrent.files[0]
    torrent.allow_upload(False)
    Path(torrent.data_dir, file.path).unlink()
    whole = origin.content[file.offset : file.offset + file.length]
    with file.reader() as reader:
        assert reader.read() == whole
