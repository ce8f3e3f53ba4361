"""Reading from a task, in the event loops that people use."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest

from anabranch.api import Client, Closed, Misused
from gates import GatedWrites
from loops import Run
from origin import PIECE, Origin
from ours import KIB
from streaming.waiting import nobody_waits, readers_wait
from threads import on_engine


async def waiting(torrent: Any, many: int = 1) -> None:
    """The same as readers_wait, for a task."""
    await asyncio.to_thread(readers_wait, torrent, many)


def test_a_task_reads_what_a_thread_would(origin: Origin, client: Client, run: Run[None]) -> None:
    """All of it, a part, nothing at the end."""

    async def read() -> None:
        torrent = await asyncio.to_thread(origin.served, client)
        with torrent.reader() as reader:
            reader.seek(2 * PIECE + 1)
            part = await reader.aread(1000)
            assert part == origin.content[2 * PIECE + 1 :][: len(part)]
            assert 0 < len(part) <= 1000
            assert reader.tell() == 2 * PIECE + 1 + len(part)
            reader.seek(0)
            assert await reader.aread() == origin.content
            assert await reader.aread() == await reader.aread(10) == b""
            reader.seek(5)
            assert await reader.aread(0) == b""

    run(read())


def test_a_read_that_waits_does_not_hold_up_the_loop(origin: Origin, client: Client, run: Run[None]) -> None:
    """Other tasks run, other readers too; the data come later."""

    async def read() -> None:
        torrent = await asyncio.to_thread(origin.added, client)
        one, other = torrent.reader(), torrent.files[0].reader()
        async with asyncio.TaskGroup() as group:
            readings = [group.create_task(one.aread(10)), group.create_task(other.aread(10))]
            await waiting(torrent, 2)
            assert not any(reading.done() for reading in readings)
            torrent.add_peers([origin.address])
        assert [reading.result() for reading in readings] == [origin.content[:10]] * 2
        assert nobody_waits(torrent)

    run(read())


def test_a_cancelled_read_has_read_nothing(origin: Origin, client: Client, run: Run[None]) -> None:
    """It waits for nothing any more, and the next read begins where that one did."""

    async def read() -> None:
        torrent = await asyncio.to_thread(origin.added, client)
        torrent.download_pieces(0, 2)
        torrent.add_peers([origin.address])
        await torrent.complete
        torrent.allow_download(False)
        with torrent.reader() as reader:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(reader.aread())
                await waiting(torrent)
                reading.cancel()
            assert reader.tell() == 0
            assert nobody_waits(torrent)
            torrent.allow_download(True)
            assert await reader.aread() == origin.content

    run(read())


def test_a_read_cancelled_in_the_middle_of_the_disk_s_work_has_read_nothing(
    origin: Origin, client: Client, run: Run[None]
) -> None:
    """The worker comes back later, to nobody."""

    async def read() -> None:
        torrent = await asyncio.to_thread(origin.copied, client)
        with torrent.reader() as reader:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(reader.aread(1000))
                await asyncio.sleep(0)  # it is in the worker's hands now
                reading.cancel()
            await asyncio.get_running_loop().shutdown_default_executor()
            assert reader.tell() == 0

    run(read())


def test_a_responsive_task_gets_blocks_early(origin: Origin, client: Client, run: Run[None]) -> None:
    """Before their piece is written."""
    storage = GatedWrites()

    async def read() -> None:
        torrent = await asyncio.to_thread(partial(origin.added, client, storage=storage))
        torrent.add_peers([origin.address])
        with torrent.reader() as reader:
            reader.responsive = True
            part = await reader.aread(16 * KIB)
            assert part == origin.content[: len(part)] != b""
            assert not torrent.piece(0).state.complete

    try:
        run(read())
    finally:
        storage.gate.set()


def test_dropping_the_torrent_wakes_tasks(origin: Origin, client: Client, run: Run[None]) -> None:
    """With Closed, like threads."""

    async def read() -> None:
        torrent = await asyncio.to_thread(origin.added, client)
        with torrent.reader() as reader:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(expect_closed(reader.aread()))
                await waiting(torrent)
                torrent.drop()
            assert reading.done()

    async def expect_closed(reading: Coroutine[Any, Any, bytes]) -> None:
        with pytest.raises(Closed):
            await reading

    run(read())


def test_reading_in_the_engine_s_own_loop_is_refused(origin: Origin, client: Client) -> None:
    """It would wait for itself."""
    reader = origin.copied(client).reader()
    with pytest.raises(Misused):
        on_engine(client, lambda: reader.aread(1).send(None))


def test_a_closed_reader_cannot_be_read(origin: Origin, client: Client, run: Run[None]) -> None:
    """As in a thread."""

    async def read() -> None:
        reader = (await asyncio.to_thread(origin.added, client)).reader()
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            await reader.aread(1)

    run(read())


def test_a_reader_may_be_used_with_async_with(origin: Origin, client: Client, run: Run[None]) -> None:
    """It is closed at the end, as by `with`."""

    async def read() -> None:
        torrent = await asyncio.to_thread(origin.added, client)
        torrent.add_peers([origin.address])
        async with torrent.files[0].reader() as reader:
            assert await reader.aread(10) == origin.content[:10]
        assert reader.closed

    run(read())
