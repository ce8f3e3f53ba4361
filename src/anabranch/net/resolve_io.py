"""Names to addresses, by the system's resolver: waiting in a thread, or in an event loop. names_io remembers them."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from anabranch.model import Address, TorrentError, canonical_host

log = logging.getLogger(__name__)

Resolve = Callable[[str, int], Awaitable[list[Address]]]  # a host and a port to addresses; raises NotResolved


class NotResolved(TorrentError):
    """A name has no address, or none that could be found out now.

    Args:
        host: The name.
        reason: The system's own words.
        gone: There is no such name; otherwise it may be known again soon.
    """

    def __init__(self, host: str, reason: str, *, gone: bool = False) -> None:
        super().__init__(f"{host}: {reason}")
        self.host = host
        self.reason = reason
        self.gone = gone


def resolve(host: str, port: int) -> list[Address]:
    """Look *host* up, blocking; an IP address is its own answer.

    Returns:
        Addresses with *port*, each once, in the order in which the system would try them; one at least.

    Raises:
        NotResolved: no such name, no server, or nothing that could be a name.
    """
    if address := literal(host, port):
        return [address]
    return [Address(one, port) for one in looked_up(host)]


async def resolve_soon(host: str, port: int) -> list[Address]:
    """As resolve(), for a task: the loop goes on meanwhile."""
    if address := literal(host, port):
        return [address]
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[list[str]] = loop.create_future()

    def hear(found: list[str] | NotResolved) -> None:
        if answered.cancelled():
            return
        if isinstance(found, NotResolved):
            answered.set_exception(found)
        else:
            answered.set_result(found)

    in_thread(host, looked_up, loop, hear)
    return [Address(one, port) for one in await answered]


def literal(host: str, port: int) -> Address | None:
    """The address that a host is itself."""
    try:
        return Address(canonical_host(host), port)
    except ValueError:
        return None


def looked_up(host: str) -> list[str]:
    """A name's addresses, each once, one at least. Waits for the system's resolver. Raises NotResolved."""
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as refusal:  # ValueError: labels too long, a NUL in the name
        gone = getattr(refusal, "errno", socket.EAI_NONAME) == socket.EAI_NONAME
        raise NotResolved(host, getattr(refusal, "strerror", None) or str(refusal), gone=gone) from refusal
    internet = (socket.AF_INET, socket.AF_INET6)
    found = dict.fromkeys(canonical_host(str(name[0])) for family, _, _, _, name in answers if family in internet)
    if not found:
        raise NotResolved(host, "no IP address")
    return list(found)


def in_thread(
    host: str,
    look_up: Callable[[str], list[str]],
    loop: asyncio.AbstractEventLoop,
    hear: Callable[[list[str] | NotResolved], None],
) -> None:
    """Look a name up in a daemon thread: a resolver that does not answer does not hold up the end of the program.

    An executor's threads would: they are joined, and the loop's own would be filled by it besides.

    Args:
        host: The name.
        look_up: Does it: as looked_up().
        loop: Where to *hear* of it, once; of a loop that is closed by then, nobody does.
        hear: Told of what came of it.
    """

    def work() -> None:
        found: list[str] | NotResolved
        try:
            found = look_up(host)
        except NotResolved as unknown:
            found = unknown
        except Exception as fault:  # bulkhead: whoever waits is to hear of it
            log.exception("look-up failed host=%s", host)
            found = NotResolved(host, str(fault))
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(hear, found)

    try:
        threading.Thread(target=work, name="anabranch names", daemon=True).start()
    except RuntimeError as refusal:  # the system allows no more threads
        loop.call_soon(hear, NotResolved(host, str(refusal)))
