"""Where connections come in: real sockets, which say nothing, too much, or the right thing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from anabranch.api import Client
from anabranch.engine import doorkeeping
from anabranch.model import Address, InfoHash
from anabranch.wire import HANDSHAKE_LENGTH, Handshake
from origin import Origin
from ours import address_of, make_client
from programs import environment

PATIENCE = 10  # seconds until a test gives an answer up; no rule
BAD, GOOD = "127.0.8.66", "127.0.8.1"
PROGRAM = Path(__file__).with_name("short_of_descriptors.py")


@pytest.fixture
def open_here() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def call(stack: ExitStack, where: Address, host: str) -> socket.socket:
    """A connection from that loopback address."""
    return stack.enter_context(socket.create_connection(where, PATIENCE, (host, 0)))


def greeted(sock: socket.socket, info_hash: InfoHash) -> bool:
    """Say who we are. Whether the other side answers with its handshake; False where it hangs up."""
    with suppress(ConnectionError):
        sock.sendall(Handshake.ours(info_hash, os.urandom(20)).encode())
        answer = b""
        while len(answer) < HANDSHAKE_LENGTH:
            data = sock.recv(HANDSHAKE_LENGTH - len(answer))
            if not data:
                return False
            answer += data
        return Handshake.decode(answer).info_hash == info_hash
    return False


def hung_up(sock: socket.socket) -> bool:
    """Wait until the other side ends the connection."""
    with suppress(ConnectionError):
        while sock.recv(4096):
            pass
    return True


@contextmanager
def copy_of(origin: Origin, place: Path, **settings: object) -> Iterator[Client]:
    """Another seeder of the same."""
    with make_client(place, "127.0.8.9", data_dir=origin.path.parent, **settings) as client:
        origin.added(client)
        yield client


@pytest.mark.parametrize("host", [GOOD, BAD], ids=["another address", "the same address"])
def test_300_silent_connections_keep_nobody_out(
    origin: Origin, tmp_path: Path, open_here: ExitStack, host: str
) -> None:
    """The oldest of them are sent away, and who shakes hands is answered."""
    info_hash = origin.metainfo.info.info_hash
    with copy_of(origin, tmp_path) as client:
        silent = [call(open_here, address_of(client), BAD) for _ in range(300)]
        assert greeted(call(open_here, address_of(client), host), info_hash)
        assert hung_up(silent[0])
        silent[-1].setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has hung up here
            silent[-1].recv(1)


def test_a_call_beyond_the_client_s_connections_takes_the_place_of_one_that_says_nothing(
    origin: Origin, tmp_path: Path, open_here: ExitStack
) -> None:
    """Where all have shaken hands and are of use, there is no room."""
    info_hash = origin.metainfo.info.info_hash
    with copy_of(origin, tmp_path, total_connections=3) as client:
        where = address_of(client)
        silent = [call(open_here, where, f"127.0.8.{number}") for number in (2, 3, 4)]
        for number, one in enumerate(silent):
            assert greeted(call(open_here, where, GOOD), info_hash)
            assert hung_up(one), number
        assert not greeted(call(open_here, where, GOOD), info_hash)


def test_a_storm_of_calls_costs_little_and_ends_where_it_began(
    origin: Origin, tmp_path: Path, open_here: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its credit a caller is sent away without further ado; others are let in."""
    monkeypatch.setattr(doorkeeping, "BURST", 20)
    monkeypatch.setattr(doorkeeping, "CALLS_PER_SECOND", 0.0)
    info_hash = origin.metainfo.info.info_hash
    with copy_of(origin, tmp_path) as client:
        where = address_of(client)
        greetings = [greeted(call(open_here, where, BAD), info_hash) for _ in range(30)]
        assert greetings == [True] * 20 + [False] * 10
        assert greeted(call(open_here, where, GOOD), info_hash)


def test_an_address_whose_peers_break_the_protocol_is_shut_out_for_a_while(
    origin: Origin, tmp_path: Path, open_here: ExitStack
) -> None:
    """After ten within a minute; others are let in."""
    info_hash = origin.metainfo.info.info_hash
    with copy_of(origin, tmp_path) as client:
        where = address_of(client)
        for _ in range(doorkeeping.FAULTS):
            caller = call(open_here, where, BAD)
            assert greeted(caller, info_hash)
            caller.sendall(bytes.fromhex("ffffffff 05"))  # a message of 4 GiB
            assert hung_up(caller)
        assert not greeted(call(open_here, where, BAD), info_hash)
        assert greeted(call(open_here, where, GOOD), info_hash)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_seeder_out_of_descriptors_answers_when_it_has_some_again(
    origin: Origin, tmp_path: Path, open_here: ExitStack
) -> None:
    """Nobody who waits is lost, the loop does not spin meanwhile, and it is said once."""
    info_hash = origin.metainfo.info.info_hash
    torrent = tmp_path / "content.torrent"
    torrent.write_bytes(origin.torrent)
    world = {**environment(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, PROGRAM, tmp_path, torrent, "127.0.8.8"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=world,
        text=True,
    ) as seeder:
        assert seeder.stdin is not None
        assert seeder.stdout is not None
        where = Address("127.0.8.8", int(seeder.stdout.readline()))

        def wish(what: str) -> float:
            print(what, file=seeder.stdin, flush=True)
            return float(seeder.stdout.readline()) if seeder.stdout is not None else 0.0

        assert greeted(call(open_here, where, GOOD), info_hash)
        before = wish("eat")
        waiting = [call(open_here, where, f"127.0.8.{number}") for number in range(10, 40)]
        for one in waiting:
            one.sendall(Handshake.ours(info_hash, os.urandom(20)).encode())
        assert seeder.stderr is not None
        assert "cannot accept a connection: Too many open files" in seeder.stderr.readline()
        assert wish("free") - before < 0.5
        assert all(one.recv(HANDSHAKE_LENGTH, socket.MSG_WAITALL) for one in waiting)
        told = seeder.communicate(timeout=PATIENCE)[1]
    assert told == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_connections_leave_descriptors_for_files(origin: Origin, tmp_path: Path, open_here: ExitStack) -> None:
    """Three quarters of those that the process may have are theirs."""
    torrent = tmp_path / "content.torrent"
    torrent.write_bytes(origin.torrent)
    world = {**environment(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, PROGRAM, tmp_path, torrent, "127.0.8.8"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=world,
        text=True,
    ) as seeder:
        assert seeder.stdout is not None
        where = Address("127.0.8.8", int(seeder.stdout.readline()))
        silent = [call(open_here, where, f"127.0.8.{number}") for number in range(100, 240)]
        assert hung_up(silent[0])
        assert greeted(call(open_here, where, GOOD), origin.metainfo.info.info_hash)
        seeder.communicate(timeout=PATIENCE)
