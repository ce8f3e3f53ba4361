"""Read a file while it is downloading, in asyncio, and watch what happens meanwhile.

What the reader needs next is fetched first: a player could start at once.

    python examples/stream_asyncio.py film.torrent -o - --peer 192.0.2.7:42069 | mpv -
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import closing
from typing import BinaryIO

import anabranch
from anabranch.model import split_host_port

STRIDE = 256 * 1024  # bytes asked for at a time


def opened(output: str) -> BinaryIO:
    """A file to write to, or stdout."""
    return open(sys.stdout.fileno() if output == "-" else output, "wb", closefd=output != "-")


async def copy(file: anabranch.File, output: str) -> int:
    """Write the file's bytes to *output* as they come. Answers how many there were."""
    written = 0
    with closing(await asyncio.to_thread(opened, output)) as target, closing(file.reader()) as reader:
        while data := await reader.aread(STRIDE):
            await asyncio.to_thread(target.write, data)
            written += len(data)
    return written


async def tell(client: anabranch.Client) -> None:
    """Say what happens, until cancelled."""
    async for event in client.events():
        match event:
            case anabranch.events.PeerIntroduced():
                print(f"peer {event.peer} is {event.client}", file=sys.stderr)
            case anabranch.events.PieceChanged(piece=piece, complete=True):
                print(f"piece {piece} is here", file=sys.stderr)
            case anabranch.events.Failed():
                print(f"trouble: {event.error}", file=sys.stderr)


async def main() -> int:
    options = argparse.ArgumentParser(description="Stream one file of a torrent.")
    options.add_argument("torrent", help=".torrent file")
    options.add_argument("-o", "--output", default="-", help="where to write the bytes; - for stdout")
    options.add_argument("-d", "--data", default="downloads", help="where the torrent's files go")
    options.add_argument("--state", help="where progress is kept between runs")
    options.add_argument("--file", type=int, help="number of the file; the longest unless given")
    options.add_argument("--peer", action="append", default=[], type=split_host_port, help="IP:PORT to connect to")
    options.add_argument("--bind", action="append", default=[], help="address to be at; all unless given")
    chosen = options.parse_args()

    config = anabranch.Config(
        data_dir=chosen.data, state_dir=chosen.state or "", listen_host=tuple(chosen.bind), listen_port=0
    )
    async with anabranch.Client(config) as client, asyncio.TaskGroup() as group:
        telling = group.create_task(tell(client))
        torrent = await asyncio.to_thread(client.add, chosen.torrent)  # reads the disk
        torrent.add_peers(chosen.peer)
        await torrent.got_info
        files = torrent.files
        file = files[chosen.file] if chosen.file is not None else max(files, key=lambda one: one.length)
        written = await copy(file, chosen.output)  # nothing else of the torrent is fetched
        print(f"{file.path}: {written} bytes", file=sys.stderr)
        telling.cancel()
    return 0 if written == file.length else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
