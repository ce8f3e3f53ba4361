"""TCP sockets over loopback: the system is the other side, no stand-in."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import select
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from anabranch.model import Address, InputRefused
from anabranch.net import (
    DescriptorsExhausted,
    accept_all,
    ample_descriptors,
    dial,
    dialled,
    hung_up,
    listen,
    until_connected,
)

FAST_OPEN = 30  # TCP_FASTOPEN_CONNECT, Linux 4.11
HUNG_UP = getattr(select, "POLLRDHUP", select.POLLIN)
NO_COOKIE = 34  # TCP_FASTOPEN_NO_COOKIE, Linux 4.15: every dial is treated as one with a known cookie


@pytest.fixture
def open_here() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listener(stack: ExitStack, host: str = "127.0.0.1") -> tuple[socket.socket, Address]:
    sock = stack.enter_context(listen(host, 0, fall_back=False))
    return sock, Address(*sock.getsockname()[:2])


def closed_port() -> Address:
    with listen("127.0.0.1", 0, fall_back=False) as sock:
        return Address(*sock.getsockname()[:2])


def wait(sock: socket.socket, what: int = select.POLLIN) -> None:
    poll = select.poll()
    poll.register(sock, what)
    assert poll.poll(5000), "nothing happened within 5 s"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_dials_is_accepted_with_its_address(open_here: ExitStack, host: str) -> None:
    """Both families; both ends do not block and send small messages at once."""
    waiting, where = listener(open_here, host)
    assert list(accept_all(waiting)) == []
    outgoing = open_here.enter_context(dial(where, None))
    wait(outgoing, select.POLLOUT)
    dialled(outgoing)
    wait(waiting)
    [(accepted, address)] = accept_all(waiting)
    open_here.enter_context(accepted)
    assert address == Address(*outgoing.getsockname()[:2])
    for end in (outgoing, accepted):
        assert not end.getblocking()
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_dial_comes_from_where_it_is_told(open_here: ExitStack) -> None:
    """--bind: peers see that address."""
    waiting, where = listener(open_here)
    open_here.enter_context(dial(where, "127.0.0.9"))
    wait(waiting)
    [(accepted, address)] = accept_all(waiting)
    open_here.enter_context(accepted)
    assert address.host == "127.0.0.9"


def test_a_dial_never_leaves_by_another_address_than_the_one_told() -> None:
    """An address of the other family, or of another machine, is an error, not a reason to choose freely."""
    with pytest.raises(OSError, match="cannot be dialled from") as refusal:
        dial(Address("::1", 9), "127.0.0.1")
    assert refusal.value.errno == errno.EAFNOSUPPORT
    with pytest.raises(OSError, match="assign"):
        dial(Address("127.0.0.1", 9), "192.0.2.1")


@pytest.mark.parametrize("new_loop", ["asyncio", "uvloop"])
def test_a_task_waits_for_the_answer_to_a_dial(open_here: ExitStack, new_loop: str) -> None:
    """Connected or refused, on every loop; the loop keeps nothing of the socket."""
    waiting, where = listener(open_here)
    closed = closed_port()

    async def dial_both() -> None:
        with dial(where, None) as sock:
            await until_connected(sock)
            assert sock.getpeername() == where
        with dial(closed, None) as sock:
            with pytest.raises(ConnectionRefusedError):
                await until_connected(sock)
            assert not asyncio.get_running_loop().remove_writer(sock)

    if new_loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(dial_both())
    else:
        asyncio.run(dial_both())
    for accepted, _ in accept_all(waiting):
        accepted.close()


def test_a_task_that_stops_waiting_leaves_nothing_in_the_loop() -> None:
    """A dial that is given up must not wake anybody later."""

    async def give_up() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            with suppress(BlockingIOError):
                while ours.send(bytes(65536)):
                    pass  # until it is no longer writable
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(until_connected(ours))
                await asyncio.sleep(0)
                waiting.cancel()
            assert not asyncio.get_running_loop().remove_writer(ours)

    asyncio.run(give_up())


@pytest.mark.skipif(sys.platform != "linux", reason="TCP Fast Open by connect() is Linux's")
def test_a_refusal_behind_fast_open_comes_with_the_first_exchange() -> None:
    """With a known cookie connect() succeeds before anything was sent: the error may not get lost."""
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, 30, 1)
        sock.setsockopt(socket.IPPROTO_TCP, NO_COOKIE, 1)
        assert sock.connect_ex(closed_port()) == 0
        dialled(sock)
        assert sock.send(b"our handshake") == 13
        wait(sock)
        with pytest.raises(ConnectionRefusedError):
            sock.recv(100)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP Fast Open by connect() is Linux's")
def test_fast_open_is_asked_for(open_here: ExitStack) -> None:
    """For a dial; a listener's cookie is the system's affair."""
    _, where = listener(open_here)
    with dial(where, None) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, FAST_OPEN) == 1


@pytest.mark.parametrize("unread", [b"", b"the last words"])
@pytest.mark.parametrize("abruptly", [False, True])
def test_an_end_is_seen_without_reading(open_here: ExitStack, unread: bytes, abruptly: bool) -> None:
    """What the other end said before can still be read; where the connection broke there is nothing left of it."""
    sock, where = listener(open_here)
    with dial(where, None) as near:
        wait(sock)
        [(far, _)] = accept_all(sock)
        assert not hung_up(near)
        far.sendall(unread or b".")
        wait(near)
        assert not hung_up(near)
        if not unread:
            assert near.recv(100) == b"."
        if abruptly:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        if sys.platform == "linux" or not unread:
            wait(near, HUNG_UP)
            assert hung_up(near)
        if not abruptly:
            assert near.recv(100) == unread


def test_a_taken_port_means_another_one_only_where_that_will_do(open_here: ExitStack) -> None:
    """A port that the user asked for is an error when taken, the default port is not."""
    _, where = listener(open_here)
    with pytest.raises(InputRefused, match=rf"cannot listen on 127\.0\.0\.1:{where.port}: Address already in use"):
        listen("127.0.0.1", where.port, fall_back=False)
    other = open_here.enter_context(listen("127.0.0.1", where.port, fall_back=True))
    assert other.getsockname()[1] not in (0, where.port)


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    """No other port helps: the system's reason is told."""
    with pytest.raises(InputRefused, match=r"192\.0\.2\.1:\d+: Cannot assign requested address"):
        listen("192.0.2.1", 6881, fall_back=True)
    with pytest.raises(InputRefused, match="no port: 65536"):
        listen("127.0.0.1", 65536, fall_back=True)


def test_a_port_is_free_again_as_soon_as_its_listener_is_closed(open_here: ExitStack) -> None:
    """Connections that linger in TIME_WAIT do not keep a restarted client from its port."""
    waiting, where = listener(open_here)
    outgoing = open_here.enter_context(dial(where, None))
    wait(waiting)
    [(accepted, _)] = accept_all(waiting)
    accepted.close()
    wait(outgoing)
    waiting.close()
    open_here.enter_context(listen("127.0.0.1", where.port, fall_back=False))


def test_ipv4_and_ipv6_listen_side_by_side_on_one_port(open_here: ExitStack) -> None:
    """An IPv6 listener leaves IPv4 to its own."""
    _, where = listener(open_here, "0.0.0.0")
    open_here.enter_context(listen("::", where.port, fall_back=False))


def test_without_descriptors_accepting_says_so_and_nobody_is_lost(open_here: ExitStack) -> None:
    """The listener stays readable: the caller must pause, and takes the connection afterwards."""
    waiting, where = listener(open_here)
    open_here.enter_context(dial(where, None))
    wait(waiting)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as lowest_free:
        limit = lowest_free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        with pytest.raises(DescriptorsExhausted, match="Too many open files"):
            list(accept_all(waiting))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    [(accepted, _)] = accept_all(waiting)
    accepted.close()


def test_a_connection_that_is_gone_already_is_no_trouble(open_here: ExitStack) -> None:
    """A scanner connects and resets at once: those behind it are served."""
    waiting, where = listener(open_here)
    with socket.create_connection(where) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    alive = open_here.enter_context(socket.create_connection(where))
    accepted = dict(accept_all(waiting))
    assert Address(*alive.getsockname()) in accepted.values()
    for sock in accepted:
        sock.close()


def test_an_unusable_listener_is_an_error_not_an_empty_answer(open_here: ExitStack) -> None:
    """Else its owner would go on waiting."""
    waiting, _ = listener(open_here)
    waiting.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        list(accept_all(waiting))


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_program_may_have_as_many_descriptors_as_the_system_lets_it_ask_for() -> None:
    """1,024 are a usual limit, and half a million what may be asked for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
    try:
        ample_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="looks whether Linux was asked")
@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd14", "win32"])
def test_fast_open_is_asked_for_on_linux_only(
    open_here: ExitStack, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option's number is Linux's: elsewhere it is another one, or none."""
    _, there = listener(open_here)
    monkeypatch.setattr(sys, "platform", platform)
    with dial(there, None) as sock:
        monkeypatch.undo()
        assert sock.getsockopt(socket.IPPROTO_TCP, FAST_OPEN) == (platform == "linux")
