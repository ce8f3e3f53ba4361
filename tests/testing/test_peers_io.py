"""Scripted peers over real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from anabranch.api import Client
from anabranch.testing import (
    Deaf,
    Hear,
    HostilePeer,
    Reset,
    Scene,
    ScriptedPeer,
    Steps,
    content_of,
    greeted,
    right,
    serving,
    shake_hands,
)
from origin import Origin
from ours import address_of, finished, until

HOST = "127.0.7.9"


def test_an_honest_script_is_a_good_seeder(origin: Origin, client: Client) -> None:
    """The kit has a peer to be good, too: dialed or dialing."""
    content = content_of(origin.metainfo.info, origin.content)
    script = greeted(serving(right))
    torrent = origin.added(client)
    torrent.download_all()
    with ScriptedPeer(script, origin.metainfo, host=HOST, victim=address_of(client), content=content) as peer:
        finished(torrent)
        assert peer.connections == 1
        assert peer.sent > len(origin.content)
        assert peer.open == 1
    assert not client.stats().banned


def test_it_waits_to_be_dialed_where_it_has_no_victim(origin: Origin, client: Client) -> None:
    """Then its address is given to the client."""
    torrent = origin.added(client)
    torrent.download_all()
    content = content_of(origin.metainfo.info, origin.content)
    with ScriptedPeer(greeted(serving(right)), origin.metainfo, host=HOST, content=content) as peer:
        torrent.add_peers([peer.address])
        finished(torrent)
    assert not peer.open


def test_it_knows_how_its_connections_ended(origin: Origin) -> None:
    """By the victim, in one way or another, or of its own will."""

    def strangers(scene: Scene) -> Steps:
        yield b"\x13BitTorrent protocol" + bytes(48)  # about a torrent that nobody has
        yield Hear(30)

    def leaves(scene: Scene) -> Steps:
        yield from shake_hands(scene)
        yield Reset()

    with ScriptedPeer(strangers, origin.metainfo, host=HOST, victim=origin.address, again=60) as peer:
        until(lambda: peer.ended)
        assert "victim" in peer.ended
    with ScriptedPeer(leaves, origin.metainfo, host=HOST, victim=origin.address, again=0) as peer:
        until(lambda: peer.endings["done"] > 3)
        assert peer.heard >= 68
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        with ScriptedPeer(leaves, origin.metainfo, host=HOST, victim=nobody.getsockname()) as peer:
            until(lambda: peer.ended == "refused")


def test_who_is_deaf_reads_nothing(origin: Origin) -> None:
    """What comes stays with the sender."""

    def deaf(scene: Scene) -> Steps:
        yield Deaf()
        yield from shake_hands(scene)

    with ScriptedPeer(deaf, origin.metainfo, host=HOST, victim=origin.address) as peer:
        until(lambda: peer.sent)
        assert peer.heard == 0


def test_a_crowd_is_many_connections_from_one_address(origin: Origin) -> None:
    """So that limits for an address can be seen to work."""
    with HostilePeer("silent-crowd", origin.metainfo, host=HOST, victim=origin.address) as peer:
        until(lambda: peer.connections >= 300)


def test_a_mistake_in_a_script_is_raised_at_the_end_of_the_block(origin: Origin) -> None:
    """A test whose attacker is dead proves nothing."""

    def broken(scene: Scene) -> Steps:
        yield b"x"
        raise ZeroDivisionError

    with (
        pytest.raises(ExceptionGroup) as told,
        ScriptedPeer(broken, origin.metainfo, host=HOST, victim=origin.address) as peer,
    ):
        until(lambda: not peer._thread.is_alive())
    assert told.group_contains(ZeroDivisionError)


def test_what_is_no_kind_is_refused(origin: Origin, tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(KeyError, match="politeness"):
        HostilePeer("politeness", origin.metainfo)
