"""The user's own extensions (BEP 10), between engines in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from anabranch.engine import events, extending
from anabranch.engine.extending import MOST_PAYLOAD, OUR_OWN, register_extension, send_extension, unregister_extension
from anabranch.engine.metrics import Metrics, metrics_mapping
from anabranch.engine.state import TorrentState
from anabranch.model import Address, InputRefused
from engine.clocks import Clock
from engine.rig import Node, connect, settle
from engine.samples import sample

CONTENT = sample(pieces=2, blocks=1)
NAME = "ut_mine"


class World:
    """Two engines that are connected. What handlers hear waits in `calls`, as for a slow thread, until hear()."""

    def __init__(self, *first: str) -> None:
        clock = Clock()
        self.one, self.two = Node(clock, 1), Node(clock, 2)
        self.calls: list[Callable[[], object]] = []
        self.heard: list[tuple[str, Address, bytes]] = []
        self.two.engine.metrics = Metrics()
        for node in (self.one, self.two):
            node.engine.workshop.extensions.call = self._call
        for name in first:
            self.register(self.two, name)
        self.torrents = self.one.seed(CONTENT), self.two.seed(CONTENT)
        self.at_one, self.at_two = connect(self.one, self.torrents[0], self.two, self.torrents[1])
        settle(self.one, self.two)

    def _call(self, hook: Callable[..., object], *args: object) -> None:
        self.calls.append(partial(hook, *args))

    def register(self, node: Node, name: str) -> Callable[[], None]:
        def handler(torrent: TorrentState, peer: Address, payload: bytes) -> None:
            self.heard.append((name, peer, payload))

        with node.engine.turn:
            register_extension(node.engine, name, handler)

        def stop() -> None:
            with node.engine.turn:
                unregister_extension(node.engine, name, handler)

        return stop

    def send(self, payload: bytes, name: str = NAME) -> bool:
        """From the first to the second."""
        with self.one.engine.turn:
            sent = send_extension(self.one.engine, self.torrents[0], self.at_one.peer.address, name, payload)
        settle(self.one, self.two)
        return sent

    def hear(self) -> list[bytes]:
        """Let handlers run; gives what they were given."""
        while self.calls:
            self.calls.pop(0)()
        heard, self.heard = self.heard, []
        return [payload for _, _, payload in heard]

    @property
    def dropped(self) -> dict[str, int]:
        told = metrics_mapping(self.two.engine.metrics)
        return {name.split('"')[1]: count for name, count in told.items() if name.startswith("extension_messages_dr")}


def test_messages_come_in_order_with_torrent_and_peer() -> None:
    """Named in the first handshake."""
    world = World(NAME)
    assert all(world.send(bytes([number])) for number in range(20))
    assert world.hear() == [bytes([number]) for number in range(20)]
    world.send(b"who")
    world.calls.pop()()
    assert world.heard == [(NAME, world.at_two.peer.address, b"who")]


def test_a_peer_that_is_connected_hears_of_a_name_and_of_its_end() -> None:
    """BEP 10: a later handshake names more, or switches off with 0."""
    world = World()
    assert not world.send(b"too early")
    stop = world.register(world.two, NAME)
    settle(world.one, world.two)
    assert world.send(b"now")
    assert world.hear() == [b"now"]
    stop()
    settle(world.one, world.two)
    assert not world.send(b"too late")
    number = world.two.engine.workshop.extensions.numbers[NAME]
    stop_other = world.register(world.two, "ut_other")
    world.register(world.two, NAME)
    settle(world.one, world.two)
    assert world.send(b"again")
    assert world.hear() == [b"again"]
    assert world.two.engine.workshop.extensions.numbers == {NAME: number, "ut_other": number + 1}
    stop_other()


def test_what_was_under_way_when_the_handler_went_is_dropped() -> None:
    """And what it has not seen is not lost."""
    world = World()
    stop = world.register(world.two, NAME)
    settle(world.one, world.two)
    with world.one.engine.turn:
        assert send_extension(world.one.engine, world.torrents[0], world.at_one.peer.address, NAME, b"late")
    stop()
    settle(world.one, world.two)
    assert world.hear() == []


def test_names_are_told_in_events_and_once() -> None:
    """With the peer that has them; again when they change."""
    world = World(NAME)
    told = [event for event in world.one.told() if isinstance(event, events.PeerIntroduced)]
    assert [sorted(event.extensions) for event in told] == [sorted(["lt_donthave", "ut_metadata", "ut_pex", NAME])]
    world.register(world.two, "ut_more")
    settle(world.one, world.two)
    told = [event for event in world.one.told() if isinstance(event, events.PeerIntroduced)]
    assert ["ut_more" in event.extensions for event in told] == [True]
    assert told[0].client


def test_a_flood_that_the_handler_cannot_follow_is_dropped_and_counted() -> None:
    """Memory stays bounded; what was kept is the beginning, in order; afterwards there is room again."""
    world = World(NAME)
    for number in range(200):
        world.send(bytes([number]))
    assert len(world.calls) == extending._MOST_WAITING
    assert world.dropped == {"handler is behind": 200 - len(world.calls)}
    assert world.hear() == [bytes([number]) for number in range(extending._MOST_WAITING)]
    assert not world.two.engine.workshop.extensions.waiting
    assert world.two.engine.workshop.extensions.waiting_in_all == 0
    world.send(b"again")
    assert world.hear() == [b"again"]


def test_what_waits_for_a_handler_is_bounded_in_bytes() -> None:
    """However long the messages are."""
    world = World(NAME)
    for _ in range(12):
        world.send(bytes(MOST_PAYLOAD))
    assert len(world.calls) * MOST_PAYLOAD == extending._MOST_WAITING_BYTES


def test_a_message_longer_than_is_allowed_is_dropped() -> None:
    """Ours are refused; those of others are not handed over."""
    world = World(NAME)
    with pytest.raises(InputRefused, match="bytes"):
        world.send(bytes(MOST_PAYLOAD + 1))
    world.at_one.peer.talk.send_extended(NAME, bytes(MOST_PAYLOAD + 1))
    world.at_one.flush()
    settle(world.one, world.two)
    assert world.dropped == {"too long": 1}


def test_a_peer_that_takes_nothing_is_sent_a_mebibyte_at_most() -> None:
    """Counting what has not reached its connection yet."""
    world = World(NAME)
    world.at_one.blocked = True
    sent = [world.send(bytes(MOST_PAYLOAD - 6)) for _ in range(12)]
    assert sent == [True] * 8 + [False] * 4
    world.at_one.blocked = False
    world.at_one.flush()
    settle(world.one, world.two)
    assert world.send(b"room")
    assert not world.one.engine.workshop.extensions.unsent


def test_who_is_not_connected_is_sent_nothing() -> None:
    """Nor who left while the message was on its way to the network thread."""
    world = World(NAME)
    address = world.at_one.peer.address
    with world.one.engine.turn:
        assert not send_extension(world.one.engine, world.torrents[0], Address("10.9.9.9", 9), NAME, b"")
        assert send_extension(world.one.engine, world.torrents[0], address, NAME, b"")
    world.at_one.close("gone")
    settle(world.one, world.two)
    assert not world.send(b"")
    assert not world.one.engine.workshop.extensions.unsent


@pytest.mark.parametrize("name", [*sorted(OUR_OWN), "", "x" * 65, "a\nb"])
def test_names_of_the_engine_and_bad_ones_are_refused(name: str) -> None:
    """Both to take and to send."""
    world = World()
    with pytest.raises(InputRefused):
        world.register(world.one, name)
    with pytest.raises(InputRefused):
        world.send(b"", name)


def test_a_name_has_one_handler_and_there_are_not_too_many() -> None:
    """Numbers are bytes."""
    world = World(NAME)
    with pytest.raises(InputRefused, match="handler already"):
        world.register(world.two, NAME)
    for number in range(99):
        world.register(world.two, f"x{number}")
    settle(world.one, world.two)
    with pytest.raises(InputRefused, match="more than"):
        world.register(world.two, "x99")
    assert max(world.two.engine.workshop.extensions.numbers.values()) <= 255
    assert world.send(b"still")


def test_a_handler_that_raises_gives_its_room_back() -> None:
    """The hooks' thread logs it."""
    world = World()

    def bad(torrent: TorrentState, peer: Address, payload: bytes) -> None:
        raise ValueError("bad handler")

    with world.two.engine.turn:
        register_extension(world.two.engine, NAME, bad)
    settle(world.one, world.two)
    world.send(b"x")
    with pytest.raises(ValueError, match="bad handler"):
        world.hear()
    assert not world.two.engine.workshop.extensions.waiting


def test_many_peers_are_told_of_a_name_in_turns() -> None:
    """Some in each: with thousands of peers nobody waits."""
    world = World()
    engine = world.two.engine
    with engine.turn:
        extending._tell_some(engine, [world.at_two.peer] * 600)
        first = engine.turn.taken
    assert len(world.two.loop.calls) == 1
    settle(world.one, world.two)
    assert engine.turn.taken - first >= 2


def test_what_waits_for_a_handler_that_hangs_is_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of many peers that come, say little and go: each message keeps its peer in memory."""
    monkeypatch.setattr(extending, "_MOST_MESSAGES_IN_ALL", 10)
    world = World(NAME)
    for _ in range(11):
        world.send(b"")
    assert len(world.calls) == 10
    assert world.dropped == {"handler is behind": 1}
    assert len(world.hear()) == 10
    assert world.two.engine.workshop.extensions.messages_in_all == 0


def test_a_peer_that_introduces_itself_on_and_on_is_told_of_as_it_is_now() -> None:
    """Unread events of it replace each other, so that it does not push out what else is to be told."""
    world = World(NAME)
    world.one.told()
    for number in range(50):
        stop = world.register(world.two, f"x{number}")
        settle(world.one, world.two)
        stop()
        settle(world.one, world.two)
    told = [event for event in world.one.told() if isinstance(event, events.PeerIntroduced)]
    assert len(told) == 1
    assert NAME in told[0].extensions
    assert "x49" not in told[0].extensions


@pytest.mark.parametrize("name", [None, 5, b"ut_mine"])
def test_a_name_is_text(name: object) -> None:
    """Anything else is refused in words."""
    world = World()
    with pytest.raises(InputRefused, match="text"):
        world.register(world.two, name)  # type: ignore[arg-type]  # what a program without types may do
