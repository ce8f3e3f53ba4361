"""TCP sockets towards peers: listening, dialling, accepting. All of them never block.

What goes over them is not known here. Sockets are not set to close abruptly (linger 0): a seeder that ends would take
back the last blocks it sent, and TIME_WAIT costs nothing where every peer is another address.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

from anabranch.model import Address, InputRefused, TorrentError, canonical_host

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # the module, where there is one

ACCEPT_PAUSE = 1.0  # seconds to leave a listener alone after DescriptorsExhausted
_BACKLOG = 512  # connections that may wait; a torrent newly announced is dialled by hundreds at once
_ACCEPTED_AT_ONCE = 64  # a flood of connections must not keep the loop from the peers we have
_TCP_FASTOPEN_CONNECT = 30  # Linux 4.11; Python has no name for it
_HUNG_UP = getattr(select, "POLLRDHUP", 0)  # Linux tells an end also while bytes before it are not read yet
_TAKEN = frozenset({errno.EADDRINUSE, errno.EACCES})  # EACCES: Windows' word for a port held exclusively
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class DescriptorsExhausted(TorrentError):
    """The system has no descriptor or memory for one more connection."""


def listen(host: str, port: int, *, fall_back: bool) -> socket.socket:
    """Open a TCP listener that does not block. An IPv6 one takes no IPv4 connections: that is another listener's port.

    Args:
        host: IP address to listen on, "0.0.0.0" or "::" for every one of its family.
        port: 0 lets the system choose.
        fall_back: Whether another port will do where *port* is taken.

    Raises:
        InputRefused: not an address of this machine, port taken or not allowed; with the system's words.
    """
    if not 0 <= port <= 65535:
        raise InputRefused(f"no port: {port}")
    try:
        return _listener(host, port)
    except OSError as refusal:
        if not (fall_back and port and refusal.errno in _TAKEN):
            raise _refused(host, port, refusal) from refusal
    try:
        return _listener(host, 0)
    except OSError as refusal:
        raise _refused(host, 0, refusal) from refusal


def dial(address: Address, bind: str | None) -> socket.socket:
    """Start to connect. When the socket is writable, dialled() tells how it went; until_connected() waits for that.

    TCP Fast Open is asked for: the SYN to a listener whose cookie the kernel has waits for our first bytes and takes
    them along. Such a dial looks connected at once, and a refusal comes with the receive after the first send
    (ConnectionRefusedError): no loss, as whoever dials speaks first. Other listeners refuse in the ordinary way.

    Args:
        address: Whom to dial.
        bind: Our own IP address to dial from, None for the system's choice.

    Raises:
        OSError: what the system refuses at once: no route, no descriptor, *bind* of another family or machine.
    """
    if bind is not None and (":" in bind) != address.is_v6:  # from elsewhere: that would go around the user's wish
        raise OSError(errno.EAFNOSUPPORT, f"{address} cannot be dialled from {bind}")
    sock = socket.socket(socket.AF_INET6 if address.is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            _ask(sock, socket.IPPROTO_TCP, _TCP_FASTOPEN_CONNECT)
        if bind is not None:
            sock.bind((bind, 0))
        outcome = sock.connect_ex(address)
        if outcome not in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            _raise_unless_done(outcome)
    except BaseException:
        sock.close()
        raise
    return sock


def dialled(sock: socket.socket) -> None:
    """Tell how a dial went, once its socket is writable.

    Raises:
        OSError: refused, unreachable, timed out.
    """
    _raise_unless_done(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def hung_up(sock: socket.socket) -> bool:
    """Whether the other end of a connection has ended it, or it broke. Takes nothing from the socket.

    Elsewhere than on Linux an end behind bytes that nobody has read is not seen yet.
    """
    if _HUNG_UP:
        poll = select.poll()
        poll.register(sock, _HUNG_UP)
        return bool(poll.poll(0))
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True


async def until_connected(sock: socket.socket) -> None:
    """Wait until a dial has been answered. Closing the socket stays with the caller, also when this is cancelled.

    Raises:
        OSError: as for dialled().
    """
    loop = asyncio.get_running_loop()
    writable: asyncio.Future[None] = loop.create_future()

    def answered() -> None:
        if not writable.done():  # the loop may call again before the waiting task comes to its turn
            writable.set_result(None)

    loop.add_writer(sock, answered)
    try:
        await writable
    finally:
        loop.remove_writer(sock)
    dialled(sock)


def accept_all(listener: socket.socket) -> Iterator[tuple[socket.socket, Address]]:
    """Take the connections that wait, 64 at most: the listener is readable again if more do. None of them blocks.

    Raises:
        DescriptorsExhausted: stop reading the listener for ACCEPT_PAUSE seconds: it stays readable, and a loop would
            spin. Those who wait are taken afterwards.
        OSError: the listener itself is of no more use.
    """
    for _ in range(_ACCEPTED_AT_ONCE):
        try:
            sock, name = listener.accept()
        except BlockingIOError:
            return
        except OSError as refusal:
            if refusal.errno in _EXHAUSTED:
                raise DescriptorsExhausted(f"cannot accept a connection: {refusal.strerror}") from refusal
            if refusal.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):
                raise
            continue  # Linux reports here what befell that one connection while it waited
        sock.setblocking(False)
        _ask(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY)
        yield sock, Address(canonical_host(name[0]), name[1])


def descriptor_limit() -> int | None:
    """How many descriptors this process may have, files and sockets together; None where nobody counts them."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def ample_descriptors() -> None:
    """Let this process have as many descriptors as it may ask for. For a program to call, not for a library."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS does not give all that it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if sys.platform == "win32":  # there SO_REUSEADDR lets two programs listen on one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _raise_unless_done(outcome: int) -> None:
    if outcome:
        raise OSError(outcome, os.strerror(outcome))


def _refused(host: str, port: int, refusal: OSError) -> InputRefused:
    return InputRefused(f"cannot listen on {Address(host, port)}: {refusal.strerror or refusal}")


def _ask(sock: socket.socket, level: int, option: int) -> None:
    """Set an option that is a wish: a kernel that does not know it, or a peer that is gone already, is no failure."""
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return
