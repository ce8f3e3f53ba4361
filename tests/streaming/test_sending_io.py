"""A reader that sends to a socket: from the files where it can, by reading where it cannot; waiting for both ends."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

import trees
from anabranch.api import Client, Closed, Misused, StorageFailed, create
from anabranch.engine import Availability
from anabranch.streaming.sending_io import send_directly
from gates import GatedWrites
from loops import Run
from net.certificates import contexts
from origin import PIECE, Origin
from ours import KIB, make_client, until
from streaming.waiting import nobody_waits, readers_wait
from threads import PATIENCE, background, on_engine

needs_sendfile = pytest.mark.skipif(not hasattr(os, "sendfile"), reason="the system has no sendfile")


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each sendfile() sent."""
    sent: list[int] = []
    if hasattr(os, "sendfile"):
        real = os.sendfile

        def counted(*given: Any) -> int:
            count = real(*given)
            sent.append(count)
            return count

        monkeypatch.setattr(os, "sendfile", counted)
    return sent


def received(sock: socket.socket) -> bytes:
    """What comes, until the other end is closed."""
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


@contextmanager
def listener() -> Iterator[tuple[socket.socket, Callable[[], bytes]]]:
    """A connected socket, and what says, once it is closed, what its other end got."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reading = background(lambda: received(theirs))

        def heard() -> bytes:
            ours.shutdown(socket.SHUT_WR)
            return reading.result(PATIENCE)

        yield ours, heard


@needs_sendfile
@pytest.mark.parametrize("storage", ["file", "mmap"])
def test_what_is_complete_goes_from_the_files_to_the_socket(
    origin: Origin, tmp_path: Path, direct: list[int], storage: str
) -> None:
    """All of it, several files, and nothing of it is read by us."""
    with make_client(tmp_path, "127.0.7.2", storage=storage) as client:
        torrent = origin.copied(client)
        with torrent.reader() as reader, listener() as (sock, heard):
            assert reader.send_to(sock) == len(origin.content)
            assert reader.tell() == len(origin.content)
            assert reader.send_to(sock) == reader.send_to(sock, 5) == 0
            assert heard() == origin.content
    assert sum(direct) == len(origin.content)


@pytest.mark.parametrize("kind", ["memory", "no sendfile", "refused", "nothing", "own socket"])
def test_where_the_system_cannot_send_by_itself_the_bytes_are_read(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """No file, no such call, a file system that does not know it, a file's end, a socket that does more than others."""
    if kind == "no sendfile":
        monkeypatch.delattr(os, "sendfile", raising=False)
    elif kind == "nothing":
        monkeypatch.setattr(os, "sendfile", lambda *_: 0, raising=False)
    elif kind == "refused":

        def refuse(*_: object) -> int:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        monkeypatch.setattr(os, "sendfile", refuse, raising=False)
    with make_client(tmp_path, "127.0.7.2", storage="memory" if kind == "memory" else "file") as client:
        torrent = origin.copied(client)
        with torrent.reader() as reader, listener() as (sock, heard):
            if kind == "own socket":
                with Shouting(fileno=os.dup(sock.fileno())) as own:
                    reader.send_to(own, 3 * PIECE)
                    reader.send_to(own)
                assert heard() == shouted(origin.content)
            else:
                assert reader.send_to(sock) == len(origin.content)
                assert heard() == origin.content


def shouted(data: Any) -> bytes:
    return bytes(data).translate(bytes(range(255, -1, -1)))


class Shouting(socket.socket):
    """A socket that sends something else than it is given, as one with TLS does."""

    def sendall(self, data: Any, *flags: int) -> None:
        super().sendall(shouted(data), *flags)


def test_it_sends_as_many_bytes_as_it_is_told_from_where_the_reader_is(origin: Origin, client: Client) -> None:
    """After any seek, within a file and across its end; and reads and sends may take turns."""
    torrent = origin.copied(client)
    draw = Random(1)
    due = b""
    with torrent.reader() as reader, listener() as (sock, heard):
        for _ in range(40):
            offset, length = draw.randrange(len(origin.content)), draw.choice([0, 1, 100, 70_000])
            reader.seek(offset)
            sent = reader.send_to(sock, length)
            assert sent == min(length, len(origin.content) - offset)
            due += origin.content[offset : offset + sent]
            assert reader.tell() == offset + sent
            assert reader.read(10) == origin.content[offset + sent :][:10]
        assert heard() == due
    for file in torrent.files:
        with file.reader() as reader, listener() as (sock, heard):
            assert reader.send_to(sock) == file.length
            assert heard() == origin.content[file.offset :][: file.length]


def test_what_is_missing_is_fetched_and_waited_for(origin: Origin, client: Client) -> None:
    """As a read would; what is there goes at once."""
    torrent = origin.added(client)
    with torrent.reader() as reader, listener() as (sock, heard):
        sending = background(lambda: reader.send_to(sock))
        readers_wait(torrent)
        torrent.add_peers([origin.address])
        assert sending.result(PATIENCE) == len(origin.content)
        assert heard() == origin.content
    assert nobody_waits(torrent)
    assert torrent.stats().pieces_complete == torrent.piece_count


def test_the_window_moves_while_it_is_sent(origin: Origin, client: Client) -> None:
    """Else a long run would end with nothing fetched behind it."""
    torrent = origin.served(client)
    with torrent.reader() as reader, listener() as (sock, heard):
        reader.readahead = 2 * PIECE
        assert reader.send_to(sock, 10 * PIECE) == 10 * PIECE
        assert heard() == origin.content[: 10 * PIECE]
        until(lambda: torrent.stats().pieces_complete >= 12)


def test_between_the_files_of_a_v2_torrent_there_are_zeros(tmp_path: Path, client: Client) -> None:
    """BEP 52: there is a gap, which is in no file; a reader shows zeros."""
    for name, length in (("a", 70_000), ("b", 5_000)):
        trees.make_file(tmp_path / "data" / "v2" / name, length)
    torrent = client.add(create(tmp_path / "data" / "v2", piece_length=PIECE, version="v2"))
    assert torrent.complete.wait(PATIENCE)
    with torrent.reader() as reader:
        whole = reader.read()
        reader.seek(0)
        with listener() as (sock, heard):
            assert reader.send_to(sock) == len(whole) == 2 * PIECE + 5_000
            assert heard() == whole


def test_a_responsive_reader_sends_blocks_before_their_piece_is_verified(origin: Origin, client: Client) -> None:
    """From memory: in the file they are not yet."""
    storage = GatedWrites()
    torrent = origin.added(client, storage=storage)
    torrent.add_peers([origin.address])
    with torrent.reader() as reader, listener() as (sock, heard):
        reader.responsive = True
        assert reader.send_to(sock, 16 * KIB) == 16 * KIB
        assert heard() == origin.content[: 16 * KIB]
        assert not torrent.piece(0).state.complete
        storage.gate.set()


def test_it_ends_with_the_torrent(origin: Origin, client: Client) -> None:
    """Nobody will ever send the rest."""
    torrent = origin.added(client)
    with torrent.reader() as reader, listener() as (sock, _):
        sending = background(lambda: reader.send_to(sock))
        readers_wait(torrent)
        torrent.drop()
        with pytest.raises(Closed):
            sending.result(PATIENCE)


def test_a_file_that_was_cut_short_is_told_as_a_read_tells_it(origin: Origin, tmp_path: Path) -> None:
    """With its name; or what is missing is fetched again, where that is known by then."""
    with make_client(tmp_path, "127.0.7.2") as client:
        torrent = origin.copied(client)
        os.truncate(tmp_path / "data" / "content" / "a.bin", PIECE + 5)
        with torrent.reader() as reader, listener() as (sock, heard):
            with pytest.raises(StorageFailed, match="short at offset"):
                reader.send_to(sock)
            assert reader.tell() == PIECE + 5
            assert heard() == origin.content[: PIECE + 5]


def test_what_was_removed_is_fetched_again_by_who_sends_it(origin: Origin, tmp_path: Path) -> None:
    """As it is by who reads it."""
    with make_client(tmp_path, "127.0.7.2") as client:
        torrent = origin.copied(client)
        (tmp_path / "data" / "content" / "a.bin").unlink()
        with torrent.reader() as reader, listener() as (sock, heard):
            reader.seek(PIECE)
            sending = background(lambda: reader.send_to(sock, 5 * PIECE))
            torrent.add_peers([origin.address])  # the torrent may dial it sooner: perhaps nobody sees the reader wait
            assert sending.result(PATIENCE) == 5 * PIECE
            assert heard() == origin.content[PIECE : 6 * PIECE]


def test_a_socket_with_a_timeout_is_waited_for_no_longer(origin: Origin, client: Client) -> None:
    """And one that is closed at its other end is an error; both are the socket's, and the reader goes on."""
    torrent = origin.copied(client)
    ours, theirs = socket.socketpair()
    with torrent.reader() as reader, ours:
        with theirs:
            ours.settimeout(0.01)
            with pytest.raises(TimeoutError):
                reader.send_to(ours)
            sent = reader.tell()
            assert 0 < sent < len(origin.content)
            assert theirs.recv(1 << 20) == origin.content[: 1 << 20][:sent][: 1 << 20]
        with pytest.raises(BrokenPipeError):
            reader.send_to(ours)
        assert reader.tell() == sent
        reader.seek(0)
        assert reader.read(10) == origin.content[:10]


def test_a_socket_with_a_timeout_that_is_read_gets_everything(origin: Origin, client: Client) -> None:
    """Its descriptor does not block, which nobody notices."""
    torrent = origin.copied(client)
    with torrent.reader() as reader, listener() as (sock, heard):
        sock.settimeout(PATIENCE)
        assert reader.send_to(sock) == len(origin.content)
        assert heard() == origin.content


def test_sockets_that_cannot_be_waited_for_are_refused(origin: Origin, client: Client, run: Run[int]) -> None:
    """As Python's own sendfile() does; and the engine's own thread must never wait."""
    torrent = origin.copied(client)
    with torrent.reader() as reader, listener() as (sock, _):
        with pytest.raises(Misused):
            on_engine(client, lambda: reader.send_to(sock))
        with pytest.raises(ValueError, match="asend_to"):
            run(reader.asend_to(sock))
        sock.setblocking(False)
        with pytest.raises(ValueError, match="asend_to"):
            reader.send_to(sock)
        reader.close()
        with pytest.raises(ValueError, match="closed reader"):
            reader.send_to(sock)


# Tasks.


def test_a_task_sends_to_a_socket(origin: Origin, client: Client, run: Run[None], direct: list[int]) -> None:
    """Waiting for pieces first, then for the other end, which holds nobody up."""
    torrent = origin.added(client)

    async def send() -> None:
        with torrent.reader() as reader, listener() as (sock, heard):
            sock.setblocking(False)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(reader.asend_to(sock))
                await asyncio.to_thread(readers_wait, torrent)
                torrent.add_peers([origin.address])
            assert sending.result() == len(origin.content)
            assert await asyncio.to_thread(heard) == origin.content
            reader.seek(-7, os.SEEK_END)
            assert reader.tell() == len(origin.content) - 7

    run(send())
    if hasattr(os, "sendfile"):
        assert sum(direct) == len(origin.content)


@pytest.mark.parametrize("tls", [False, True])
def test_a_task_sends_to_a_stream(origin: Origin, client: Client, run: Run[None], tmp_path: Path, tls: bool) -> None:
    """With TLS or without; in each loop."""
    torrent = origin.copied(client)
    theirs, ours = contexts(tmp_path) if tls else (None, None)

    async def send() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async with torrent.reader() as reader:
                assert await reader.asend_to(writer, 100) == 100
                assert await reader.asend_to(writer) == len(origin.content) - 100
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=theirs) as server:
            port = server.sockets[0].getsockname()[1]
            name = "localhost" if tls else None
            stream, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ours, server_hostname=name)
            assert await stream.read() == origin.content
            writer.close()

    run(send())


def test_a_task_that_is_cancelled_sends_no_more(origin: Origin, client: Client, run: Run[None]) -> None:
    """While the other end takes nothing; then the reader and the socket are as good as before."""
    torrent = origin.copied(client)

    async def send() -> None:
        ours, theirs = socket.socketpair()
        with torrent.reader() as reader, ours, theirs:
            ours.setblocking(False)
            sending = asyncio.create_task(reader.asend_to(ours))
            await asyncio.to_thread(until, reader.tell)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            theirs.setblocking(False)
            sent = reader.tell()
            got = await asyncio.to_thread(drained, theirs)
            assert got == origin.content[: len(got)]
            assert len(got) >= sent
            reader.seek(len(got))
            taking = background(lambda: exactly(theirs, 100 * KIB))
            assert await reader.asend_to(ours, 100 * KIB) == 100 * KIB
            assert await asyncio.wrap_future(taking) == origin.content[len(got) :][: 100 * KIB]

    run(send())


def drained(sock: socket.socket) -> bytes:
    """What is there."""
    parts = []
    try:
        while part := sock.recv(1 << 20):
            parts.append(part)
    except BlockingIOError:
        pass
    sock.setblocking(True)
    return b"".join(parts)


def exactly(sock: socket.socket, length: int) -> bytes:
    parts = b""
    while len(parts) < length:
        parts += sock.recv(length - len(parts))
    return parts


@needs_sendfile
@pytest.mark.parametrize("found", [Availability(5, early=b"early"), Availability(5, verified=False)])
def test_what_is_not_verified_is_not_sent_from_the_files(origin: Origin, client: Client, found: Availability) -> None:
    """It may lie in memory, where the file has a hole, or be written anew at this moment."""
    torrent = origin.copied(client)
    with listener() as (sock, heard):
        assert send_directly(sock, torrent._state, found, 0) is None
        assert send_directly(sock, torrent._state, Availability(5), 0) == 5
        assert heard() == origin.content[:5]


def test_a_storage_that_is_closed_at_that_moment_is_not_the_torrents_end(origin: Origin, client: Client) -> None:
    """Its files are on their way elsewhere: the read that follows waits for them, or says that the torrent is gone."""
    torrent = origin.copied(client)
    torrent._state.opened().close()
    with listener() as (sock, heard):
        assert send_directly(sock, torrent._state, Availability(5), 0) is None
        assert heard() == b""
