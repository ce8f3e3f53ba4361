"""The user's choice of encryption, and what becomes of it on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import trees
from anabranch.api import Address, Torrent, create
from anabranch.crypto import Ciphers, Mse
from anabranch.engine.candidates import Candidate
from anabranch.engine.encryption import Encryption
from anabranch.model import InfoHash
from anabranch.wire import Handshake
from ours import KIB, address_of, finished, make_client, until

OFF, ALLOW, PREFER, REQUIRE = Encryption
EITHER = Ciphers.PLAIN | Ciphers.RC4
PATIENCE = 10  # seconds until a socket gives up; no rule
GREETING = b"\x13BitTorrent protocol"
PEER_ID = b"-XX0000-aaaaaaaaaaaa"


@pytest.mark.parametrize("policy", Encryption)
@pytest.mark.parametrize("offered", [Ciphers(0), Ciphers.PLAIN, Ciphers.RC4, EITHER])
def test_what_is_chosen_was_offered_and_is_wanted(policy: Encryption, offered: Ciphers) -> None:
    """One cipher or none. Clear where both can do with it; never where RC4 is required."""
    chosen = policy.choose(offered)
    assert chosen in (Ciphers(0), Ciphers.PLAIN, Ciphers.RC4)
    assert chosen & offered == chosen
    assert bool(chosen) is bool(offered & policy.offer)
    assert Ciphers.PLAIN not in policy.offer if policy is REQUIRE else policy.offer == EITHER
    if policy is not REQUIRE and Ciphers.PLAIN in offered:
        assert chosen == Ciphers.PLAIN


@pytest.mark.parametrize("policy", Encryption)
def test_who_dials_a_way_takes_it_too(policy: Encryption) -> None:
    """Nobody is dialed in a way that would be refused at our own door."""
    for hidden in policy.ways:
        assert policy.takes_obfuscated if hidden else policy.takes_plain
    assert policy.preferred is policy.ways[0]


@dataclass(frozen=True)
class Swarm:
    """A torrent, and where two have all of it: who knows no encryption, and who speaks by RC4 alone."""

    torrent: bytes
    seeders: Mapping[Encryption, Address]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    place = tmp_path_factory.mktemp("seed")
    torrent = create(trees.make_file(place / "content.bin", 200_000), piece_length=16 * KIB)
    with ExitStack() as stack:
        seeders = {}
        for number, policy in enumerate((OFF, REQUIRE), 9):
            client = make_client(place / policy, f"127.0.7.{number}", data_dir=place, encryption=policy)
            assert stack.enter_context(client).add(torrent).checked.wait(30)
            seeders[policy] = address_of(client)
        yield Swarm(torrent, seeders)


@contextmanager
def dialing(place: Path, swarm: Swarm, peer: Address, policy: Encryption) -> Iterator[tuple[Torrent, Candidate]]:
    """A client that dials that peer, as one it heard of by a tracker."""
    with make_client(place, "127.0.7.8", encryption=policy) as client:
        torrent = client.add(swarm.torrent)
        assert torrent.checked.wait(30)
        client._core.add_peers(torrent._state, [peer], "tracker")
        candidate = torrent._state.swarm.candidates.get(peer)
        assert candidate is not None
        torrent.download_all()
        yield torrent, candidate


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A peer made by hand."""
    with socket.create_server(("127.0.7.11", 0)) as server:
        server.settimeout(PATIENCE)
        yield server


def called(server: socket.socket) -> socket.socket:
    connection, _ = server.accept()
    connection.settimeout(PATIENCE)
    return connection


@pytest.mark.parametrize(
    ("policy", "seeder", "way"), [(ALLOW, OFF, 0), (ALLOW, REQUIRE, 1), (PREFER, OFF, 1), (PREFER, REQUIRE, 0)]
)
def test_a_dial_that_is_not_understood_is_made_again_the_other_way(
    policy: Encryption, seeder: Encryption, way: int, swarm: Swarm, tmp_path: Path
) -> None:
    """At once, and it does not count as a failure. The way that was understood is remembered."""
    with dialing(tmp_path, swarm, swarm.seeders[seeder], policy) as (torrent, candidate):
        finished(torrent, 10)
        assert (candidate.way, candidate.failures) == (way, 0)
    assert (tmp_path / "data" / "content.bin").stat().st_size == 200_000


@pytest.mark.parametrize(("policy", "seeder"), [(OFF, REQUIRE), (REQUIRE, OFF)])
def test_those_who_share_no_way_do_not_come_together(
    policy: Encryption, seeder: Encryption, swarm: Swarm, tmp_path: Path
) -> None:
    """That is a failure like any other."""
    with dialing(tmp_path, swarm, swarm.seeders[seeder], policy) as (torrent, candidate):
        until(lambda: candidate.failures)
        assert not torrent.complete.is_set
        assert not torrent.peers()


def test_who_requires_encryption_says_nothing_in_clear_to_who_does_not_understand(swarm: Swarm, tmp_path: Path) -> None:
    """There is no second way."""
    with listening() as server, dialing(tmp_path, swarm, Address(*server.getsockname()), REQUIRE) as (_, candidate):
        with called(server) as connection:
            said = connection.recv(4096)
        until(lambda: candidate.failures)
    assert len(said) >= 96
    assert GREETING not in said
    assert candidate.way == 0


def test_who_hangs_up_is_called_once_more_the_other_way_and_then_rests(swarm: Swarm, tmp_path: Path) -> None:
    """It may want us not at all: two dials are one failure, and the next begins as the first did."""
    with listening() as server, dialing(tmp_path, swarm, Address(*server.getsockname()), PREFER) as (_, candidate):
        said = []
        for _ in range(2):
            with called(server) as connection:
                said.append(connection.recv(4096).startswith(GREETING))
        until(lambda: candidate.failures)
        assert said == [False, True]
        assert (candidate.way, candidate.failures) == (0, 1)


def test_who_wants_a_torrent_that_is_not_here_is_hung_up_on(swarm: Swarm) -> None:
    """Without a word in clear; hidden, with nothing but the key that says nothing."""
    unknown = InfoHash(bytes(20))
    with socket.create_connection(swarm.seeders[OFF], PATIENCE) as connection:
        connection.sendall(Handshake.ours(unknown, PEER_ID).encode())
        assert heard_until_the_end(connection) == b""
    caller = Mse.dialed(unknown, b"", EITHER, private=bytes(range(20)), padding=(b"", b""), now=0.0, timeout=4.0)
    with socket.create_connection(swarm.seeders[REQUIRE], PATIENCE) as connection:
        connection.sendall(caller.outgoing())
        key = connection.recv(96, socket.MSG_WAITALL)
        caller.receive(key, 1.0)
        connection.sendall(caller.outgoing())
        assert len(heard_until_the_end(connection)) <= 512  # the pad behind the key


def heard_until_the_end(connection: socket.socket) -> bytes:
    heard = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(4096):
            heard += data
    return heard
