"""The user's own extensions with real sockets and threads: between two clients, and with a scripted peer."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from anabranch.api import Address, Client, InputRefused, Torrent, events
from anabranch.testing import Hear, Pause, Scene, ScriptedPeer, Steps
from anabranch.testing.saying import EXTENDED, extended, introduction, ours
from origin import Origin
from ours import address_of, make_client, until
from threads import PATIENCE

NAME = "ut_mine"
Heard = tuple[Torrent, Address, bytes]


def test_two_clients_talk_both_ways(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Registered before and while they are connected; the handler may answer, on a thread of its own."""
    heard: SimpleQueue[Heard] = SimpleQueue()
    with make_client(tmp_path / "other", "127.0.0.9") as other:
        theirs = other.add(origin.torrent)

        def answer(torrent: Torrent, peer: Address, payload: bytes) -> None:
            assert threading.current_thread().name == "anabranch-hooks"
            assert torrent.send_extension(peer, NAME, payload[::-1])

        other.extensions.register(NAME, answer)
        mine = client.add(origin.torrent)
        mine.download_all()
        mine.add_peers([address_of(other)])
        until(mine.peers)
        client.extensions.register(NAME, lambda *all_of_it: heard.put(all_of_it))
        [peer] = [one.address for one in mine.peers()]
        until(lambda: NAME in mine.peer_extensions(peer))
        until(lambda: theirs.peers() and NAME in theirs.peer_extensions(theirs.peers()[0].address))
        for number in range(20):
            assert mine.send_extension((peer.host, peer.port), NAME, b"%d." % number)
        assert [heard.get(timeout=PATIENCE) for _ in range(20)] == [
            (mine, peer, (b"%d." % number)[::-1]) for number in range(20)
        ]
        assert client.extensions.names == [NAME]


def test_a_scripted_peer_is_heard_and_may_ask_for_any_number(origin: Origin, client: Client) -> None:
    """BEP 10: each side chooses by which number it is called."""
    said: SimpleQueue[bytes] = SimpleQueue()

    def script(scene: Scene) -> Steps:
        yield ours(scene).encode()
        yield introduction(scene, m={b"ut_mine": 33})
        while NAME not in scene.ids:
            yield Hear(1)
        yield extended(scene.ids[NAME], b"hello")
        yield extended(250, b"a number that nobody gave")
        while True:
            for frame in scene.take():
                if frame.kind == EXTENDED and frame.body[:1] == b"\x21":
                    said.put(frame.body[1:])
            yield Hear(1)

    heard: SimpleQueue[Heard] = SimpleQueue()
    client.extensions.register(NAME, lambda *all_of_it: heard.put(all_of_it))
    feed = client.events(events.PeerIntroduced)
    torrent = client.add(origin.torrent)
    with ScriptedPeer(script, origin.metainfo, host="127.0.0.77", victim=address_of(client)):
        _, peer, payload = heard.get(timeout=PATIENCE)
        assert payload == b"hello"
        assert torrent.send_extension(peer, NAME, b"good day")
        assert said.get(timeout=PATIENCE) == b"good day"
    introduced = feed.get(PATIENCE)
    assert isinstance(introduced, events.PeerIntroduced)
    assert introduced.extensions == {NAME}


def test_a_handler_that_raises_is_logged_and_hears_the_next(
    origin: Origin, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not the peer's fault, nor the engine's."""
    heard: SimpleQueue[bytes] = SimpleQueue()

    def script(scene: Scene) -> Steps:
        yield ours(scene).encode() + introduction(scene)
        while NAME not in scene.ids:
            yield Hear(1)
        for word in (b"bad", b"good"):
            yield extended(scene.ids[NAME], word)
        yield Pause(60)

    def handler(torrent: Torrent, peer: Address, payload: bytes) -> None:
        heard.put(payload)
        if payload == b"bad":
            raise ValueError("handler failed on purpose")

    client.extensions.register(NAME, handler)
    torrent = client.add(origin.torrent)
    with (
        caplog.at_level(logging.ERROR),
        ScriptedPeer(script, origin.metainfo, host="127.0.0.78", victim=address_of(client)),
    ):
        assert [heard.get(timeout=PATIENCE) for _ in range(2)] == [b"bad", b"good"]
        assert len(torrent.peers()) == 1
    assert "on purpose" in caplog.text


def test_names_and_payloads_that_cannot_be_are_refused(origin: Origin, client: Client) -> None:
    """With words; an address that is none, too."""
    torrent = client.add(origin.torrent)
    with pytest.raises(InputRefused, match="engine's own"):
        client.extensions.register("ut_metadata", print)
    with pytest.raises(InputRefused, match="131072"):
        torrent.send_extension(("127.0.0.1", 1), NAME, bytes(128 * 1024 + 1))
    with pytest.raises(InputRefused, match="not an IP"):
        torrent.send_extension(("host", 1), NAME, b"")
    assert not torrent.send_extension(("127.0.0.1", 1), NAME, b"")
    assert torrent.peer_extensions(("127.0.0.1", 1)) == frozenset()
