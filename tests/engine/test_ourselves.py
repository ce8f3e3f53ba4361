"""Which addresses are our own, and which one peers see."""

from __future__ import annotations

import pytest

from anabranch.engine.ourselves import Ourselves
from anabranch.model import Address
from anabranch.net import peer_priority
from anabranch.wire import OurExtensions
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import sample


def listening(*hosts: str, port: int = 6881) -> Ourselves:
    ourselves = Ourselves()
    ourselves.listen([Address(host, port) for host in hosts])
    return ourselves


def test_where_we_listen_we_are() -> None:
    """At that port; another client may listen at another one."""
    ourselves = listening("127.0.5.1")
    assert Address("127.0.5.1", 6881) in ourselves
    assert Address("127.0.5.1", 6882) not in ourselves
    assert Address("127.0.5.2", 6881) not in ourselves


@pytest.mark.parametrize(
    ("bound", "host", "is_ours"),
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "127.9.9.9", True),
        ("0.0.0.0", "192.0.2.7", True),
        ("0.0.0.0", "192.0.2.8", False),
        ("0.0.0.0", "::1", False),
        ("::", "::1", True),
        ("::", "127.0.0.1", False),
        ("192.0.2.9", "192.0.2.7", False),
    ],
)
def test_who_listens_everywhere_is_at_every_address_of_the_machine(bound: str, host: str, is_ours: bool) -> None:
    """All of loopback, and wherever a connection of ours had its end; in the family that is listened to."""
    ourselves = listening(bound)
    ourselves.are_at("192.0.2.7")
    assert (Address(host, 6881) in ourselves) == is_ours
    assert Address(host, 6882) not in ourselves


def test_where_our_own_peer_id_answered_we_are() -> None:
    """A router's outside, say. The latest are remembered."""
    ourselves = listening("10.0.0.1")
    ourselves.learn(Address("203.0.113.5", 40000))
    assert Address("203.0.113.5", 40000) in ourselves
    for port in range(100):
        ourselves.learn(Address("203.0.113.6", port))
    assert Address("203.0.113.5", 40000) not in ourselves
    assert Address("203.0.113.6", 99) in ourselves


def test_what_most_networks_say_is_our_address() -> None:
    """A network has one voice, however many of it speak."""
    ourselves = listening("0.0.0.0", "::")
    assert ourselves.seen_as(v6=False) is None
    ourselves.are_at("192.168.1.7")
    assert ourselves.seen_as(v6=False) == Address("192.168.1.7", 6881)
    for number in (1, 2):
        ourselves.told("203.0.113.5", by=f"198.51.100.{number}")
    for number in range(9):
        ourselves.told("2001:db8::bad", by=f"2001:db8:6:6::{number}")
        ourselves.told("203.0.113.66", by="198.51.100.66")
    assert ourselves.seen_as(v6=False) == Address("203.0.113.5", 6881)
    assert ourselves.seen_as(v6=True) == Address("2001:db8::bad", 6881)
    for number in (1, 2):
        ourselves.told("2001:db8::1", by=f"2001:db8:{number}::1")
    assert ourselves.seen_as(v6=True) == Address("2001:db8::1", 6881)


def test_voices_of_old_are_forgotten() -> None:
    """Addresses change."""
    ourselves = listening("0.0.0.0")
    for number in range(200):
        ourselves.told("203.0.113.5" if number < 100 else "203.0.113.6", by=f"198.51.100.{number}")
    assert ourselves.seen_as(v6=False) == Address("203.0.113.6", 6881)


def test_priorities_are_of_the_address_that_peers_see() -> None:
    """0 for all while it is unknown; whenever they change, that is told."""
    ourselves = Ourselves()
    theirs = Address("198.51.100.1", 1)
    assert ourselves.priority(theirs) == 0
    before = ourselves.changes
    ourselves.listen([Address("192.0.2.7", 6881)])
    assert ourselves.changes > before
    assert ourselves.priority(theirs) == peer_priority(Address("192.0.2.7", 6881), theirs)
    assert ourselves.priority(Address("2001:db8::1", 1)) == 0
    before = ourselves.changes
    ourselves.are_at("192.0.2.7")
    ourselves.are_at("0.0.0.0")
    assert ourselves.changes == before
    ourselves.told("203.0.113.5", by="198.51.100.1")
    assert ourselves.changes == before + 1
    ourselves.told("203.0.113.5", by="198.51.100.1")
    assert ourselves.changes == before + 1


def test_peers_tell_at_what_address_they_see_us() -> None:
    """BEP 24, in their extended handshake."""
    content = sample(pieces=3, blocks=1)
    node = Node(Clock())
    remote = Remote(node, node.seed(content), content, pieces=[], tells=False)
    remote.talk.send_extended_handshake(OurExtensions(names={}, version="", reqq=1, yourip=bytes([203, 0, 113, 5])))
    remote.send()
    node.settle()
    seen = node.loop.ourselves.seen_as(v6=False)
    assert seen is not None
    assert seen.host == "203.0.113.5"
