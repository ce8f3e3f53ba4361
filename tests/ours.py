"""Our own client as one side of a test: made to stay on one loopback address, and waited for with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anabranch.api import Address, Client, Config, Torrent, events
from anabranch.engine import Feed

KIB = 1024
MIB = 1024 * 1024


def make_client(folder: Path, host: str = "127.0.0.1", **settings: Any) -> Client:
    """A client that writes to *folder*/data, remembers in *folder*/state, and listens on a free port of *host*.

    Args:
        folder: Its own place on disk.
        host: Loopback address to listen on and to dial from.
        settings: Config's fields beside or instead of these.
    """
    chosen: dict[str, Any] = {
        "data_dir": folder / "data",
        "state_dir": folder / "state",
        "listen_host": (host,),
        "listen_port": 0,
        **settings,
    }
    return Client(Config(**chosen))


def address_of(client: Client) -> Address:
    """Where it listens."""
    return client.listen_addresses[0]


def until(is_so: Callable[[], object], timeout: float = 30.0, what: str = "") -> None:
    """Look again and again until it is so; an error that says what did not come to pass after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what or is_so}")
        time.sleep(0.01)


def finished(torrent: Torrent, timeout: float = 60.0) -> None:
    """Wait for all that is wanted; says how far it got where that does not come."""
    if not torrent.complete.wait(timeout):
        raise TimeoutError(f"not complete within {timeout} s: {torrent.stats()} {torrent.peers()}")


def until_downloaded(torrent: Torrent, length: int) -> None:
    """Wait until the torrent has received *length* bytes, over all its runs."""
    until(lambda: torrent.stats().downloaded >= length)


def stages(feed: Feed[events.Event]) -> list[str]:
    """The stages that a feed has told so far, in order."""
    told: list[str] = []
    while len(feed):
        event = feed.get(0)
        if isinstance(event, events.StageChanged):
            told.append(event.stage)
    return told
