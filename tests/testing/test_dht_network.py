"""Datagrams in virtual time."""

from __future__ import annotations

from math import inf
from random import Random

from anabranch.model import Address
from anabranch.testing.dht_network import LARGEST, MAPPING_TIME, DatagramNet

HERE, THERE, ELSEWHERE = (Address(f"{number}.1.1.1", 6881) for number in (1, 2, 3))


class Resident:
    """Keeps what comes, and echoes it where it is told to; wakes when it is told to."""

    def __init__(self, *, echoes: bool = False, wakes: float = inf) -> None:
        self.heard: list[tuple[float, bytes, Address]] = []
        self.woken: list[float] = []
        self.wakes = wakes
        self.outbox: list[tuple[bytes, Address]] = []
        self.echoes = echoes

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        self.heard.append((now, datagram, source))
        if self.echoes:
            self.outbox.append((datagram, source))

    def tick(self, now: float) -> None:
        self.woken.append(now)
        self.wakes = inf

    def deadline(self) -> float:
        return self.wakes

    def outgoing(self) -> list[tuple[bytes, Address]]:
        sent, self.outbox = self.outbox, []
        return sent


def net_of(seed: int = 1, *, loss: float = 0.0, natted: bool = False) -> tuple[DatagramNet, Resident, Resident]:
    net, here, there = DatagramNet(Random(seed), loss=loss, now=0.0), Resident(), Resident(echoes=True)
    net.settle(HERE, here, natted=natted)
    net.settle(THERE, there)
    return net, here, there


def test_a_datagram_takes_its_time_and_the_answer_as_long() -> None:
    """The latency of both ends, each way."""
    net, here, there = net_of()
    net.send(b"hello", HERE, THERE)
    net.run(10.0)
    [(arrived, datagram, source)] = there.heard
    [(back, _, answerer)] = here.heard
    assert (datagram, source, answerer) == (b"hello", HERE, THERE)
    assert 0 < arrived < 1
    assert abs(back - 2 * arrived) < 1e-9


def test_the_same_seed_loses_the_same_datagrams() -> None:
    """And about as many as is said."""
    counts = []
    for seed in (1, 1, 2):
        net, _, there = net_of(seed, loss=0.25)
        for number in range(400):
            net.send(b"%d" % number, HERE, THERE)
        net.run(10.0)
        counts.append([datagram for _, datagram, _ in there.heard])
    assert counts[0] == counts[1] != counts[2]
    assert 250 < len(counts[0]) < 350


def test_a_router_lets_in_only_answers() -> None:
    """From whom something was sent to, for a minute."""
    net, here, _ = net_of(natted=True)
    net.send(b"unasked", ELSEWHERE, HERE)
    net.send(b"asked", HERE, THERE)
    net.run(MAPPING_TIME - 1)
    net.send(b"in time", THERE, HERE)
    net.run(MAPPING_TIME + 5)
    net.send(b"too late", THERE, HERE)
    net.run(2 * MAPPING_TIME)
    assert [datagram for _, datagram, _ in here.heard] == [b"asked", b"in time"]


def test_nobody_hears_what_was_meant_for_who_left() -> None:
    """Not even who comes to the same address later."""
    net, _, there = net_of()
    net.send(b"lost", HERE, THERE)
    net.leave(THERE)
    newcomer = Resident()
    net.settle(THERE, newcomer)
    net.run(10.0)
    assert (there.heard, newcomer.heard) == ([], [])


def test_who_wishes_to_be_woken_is() -> None:
    """At the time, once, and again for each wish; a nearer one counts."""
    net, here, _ = net_of()
    here.wakes = 5.0
    net.attend_at(HERE)
    here.wakes = 3.0
    net.attend_at(HERE)
    net.run(10.0)
    assert here.woken == [3.0]
    here.wakes = 4.0  # long past
    net.attend_at(HERE)
    net.run(10.1)
    assert len(here.woken) == 2


def test_large_datagrams_are_lost_and_a_spy_sees_all() -> None:
    """Fragments are; what is sent is counted all the same."""
    net, _, there = net_of()
    seen: list[tuple[int, Address, Address]] = []
    net.spy = lambda datagram, source, target: seen.append((len(datagram), source, target))
    net.send(bytes(LARGEST + 1), ELSEWHERE, THERE)
    net.send(bytes(LARGEST), ELSEWHERE, THERE)
    net.run(1.0)
    assert [len(datagram) for _, datagram, _ in there.heard] == [LARGEST]
    assert seen[:2] == [(LARGEST + 1, ELSEWHERE, THERE), (LARGEST, ELSEWHERE, THERE)]
    assert net.carried == len(seen)
