"""Names to addresses, by the system's resolver: waiting in a thread, or in an event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from anabranch.model import Address, TorrentError, canonical_host

_Answer = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class NotResolved(TorrentError):
    """A name has no address, or none that could be found out now.

    Args:
        host: The name.
        reason: The system's own words.
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host}: {reason}")
        self.host = host
        self.reason = reason


def resolve(host: str, port: int) -> list[Address]:
    """Look *host* up, blocking; an IP address is its own answer.

    Returns:
        Addresses with *port*, each once, in the order in which the system would try them; one at least.

    Raises:
        NotResolved: no such name, no server, or nothing that could be a name.
    """
    if literal := _literal(host, port):
        return [literal]
    try:
        return _addresses(host, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, ValueError) as refusal:  # ValueError: labels too long, a NUL in the name
        raise _not_resolved(host, refusal) from refusal


async def resolve_soon(host: str, port: int) -> list[Address]:
    """As resolve(), for a task: the loop goes on meanwhile."""
    if literal := _literal(host, port):
        return [literal]
    try:
        loop = asyncio.get_running_loop()
        return _addresses(host, await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, ValueError) as refusal:
        raise _not_resolved(host, refusal) from refusal


def _literal(host: str, port: int) -> Address | None:
    try:
        return Address(canonical_host(host), port)
    except ValueError:
        return None


def _addresses(host: str, answers: Iterable[_Answer]) -> list[Address]:
    internet = (socket.AF_INET, socket.AF_INET6)
    found = dict.fromkeys(
        Address(canonical_host(str(name[0])), int(name[1])) for family, _, _, _, name in answers if family in internet
    )
    if not found:
        raise NotResolved(host, "no IP address")
    return list(found)


def _not_resolved(host: str, refusal: Exception) -> NotResolved:
    return NotResolved(host, getattr(refusal, "strerror", None) or str(refusal))
