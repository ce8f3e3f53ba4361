"""Sockets that a reader sends to: the system takes the bytes from the torrent's files, without a copy (sendfile).

That goes where the storage tells in which file bytes lie, and the socket is the system's own: what TLS or a proxy would
make of them, the system does not know. Whoever finds that it does not go reads the bytes and sends them, and hears
from the read what is wrong, if anything is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from collections.abc import Callable
from functools import partial

from anabranch.engine import Availability, TorrentState
from anabranch.model import Closed, StorageFailed
from anabranch.storage import Direct

# The file system does not know sendfile, or failed to read. Other errors are the socket's.
_READ_IT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EOVERFLOW, errno.EIO})


def send_directly(sock: socket.socket, torrent: TorrentState, found: Availability, offset: int) -> int | None:
    """Have the system send what was found at *offset* in the torrent, or the front of it.

    Returns:
        How many bytes were sent, 0 where the socket takes none; None: they are to be read.

    Raises:
        OSError: the socket broke.
    """
    storage = torrent.disk.storage
    if not (found.verified and found.early is None and _is_plain(sock) and isinstance(storage, Direct)):
        return None
    try:
        with storage.direct(offset, found.length) as run:
            if run is None:
                return None
            return os.sendfile(sock.fileno(), run.fd, run.place, run.length) or None  # cut short meanwhile
    except (StorageFailed, Closed, ValueError):  # the read tells why, or waits for the piece or its files; v2 has gaps
        return None
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno in _READ_IT:
            return None
        raise


def wait_writable(sock: socket.socket) -> None:
    """Wait until the socket takes something. Raises TimeoutError after its timeout."""
    timeout = sock.gettimeout()
    if hasattr(select, "poll"):
        polled = select.poll()
        polled.register(sock, select.POLLOUT)
        ready = bool(polled.poll(None if timeout is None else timeout * 1000))
    else:
        ready = bool(select.select((), (sock,), (), timeout)[1])
    if not ready:
        raise TimeoutError(errno.ETIMEDOUT, "the other end takes nothing")


async def writable(sock: socket.socket) -> None:
    """Wait until the socket takes something."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    number = sock.fileno()

    def done() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(number, done)
    try:
        await ready
    finally:
        loop.remove_writer(number)


def stays_open(sock: socket.socket, act: Callable[..., int | None]) -> Callable[..., int | None]:
    """*act* of a copy of the socket: a thread goes on after its task was cancelled and the socket closed.

    The descriptor's number could be another connection's by then.
    """
    return partial(_act, sock.dup(), act)


def _act(sock: socket.socket, act: Callable[..., int | None], *given: object) -> int | None:
    with sock:
        return act(sock, *given)


def _is_plain(sock: socket.socket) -> bool:
    """Whether what is sent goes to the system as it is."""
    kind = type(sock)
    is_own = issubclass(kind, socket.socket) and kind.send is socket.socket.send
    return is_own and kind.sendall is socket.socket.sendall and hasattr(os, "sendfile")
