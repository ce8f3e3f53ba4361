"""Who may come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.doorkeeping import (
    BURST,
    CALLS_PER_SECOND,
    FAULTS,
    FAULTS_WITHIN,
    FORGOTTEN_AFTER,
    MOST_OF_ONE,
    MOST_UNFINISHED,
    SHUT_FOR,
    Doorkeeper,
)

BAD, GOOD = "203.0.113.66", "192.0.2.1"


class Caller:
    """A connection that came; *peer* once it has shaken hands."""

    def __init__(self) -> None:
        self.peer: object = None


def crowd(door: Doorkeeper[Caller], host: str, count: int) -> list[Caller]:
    """So many connections of one address, of which none has to go nor to wait."""
    callers = [Caller() for _ in range(count)]
    assert [door.enter(one, host) for one in callers] == [None] * count
    return callers


def test_300_silent_connections_of_one_address_keep_nobody_out() -> None:
    """Nor anybody who comes from that same address and shakes hands: the oldest that did not gives way."""
    door: Doorkeeper[Caller] = Doorkeeper()
    silent = [Caller() for _ in range(300)]
    gone = []
    for one in silent:
        assert door.admits(BAD, 0.0)
        gone.append(door.enter(one, BAD))
    assert gone == [None] * MOST_OF_ONE + silent[: 300 - MOST_OF_ONE]
    for host in (GOOD, BAD):
        assert door.admits(host, 0.0)
        assert door.enter(Caller(), host) is not silent[-1]


def test_an_ipv6_network_is_one_caller() -> None:
    """It has addresses without end."""
    door: Doorkeeper[Caller] = Doorkeeper()
    callers = [Caller() for _ in range(MOST_OF_ONE + 1)]
    gone = [door.enter(one, f"2001:db8::{number:x}") for number, one in enumerate(callers)]
    assert gone[-1] is callers[0]
    assert door.enter(Caller(), "2001:db8:0:1::1") is None


def test_who_has_shaken_hands_or_left_is_counted_no_longer() -> None:
    """A seedbox comes with a connection for each torrent."""
    door: Doorkeeper[Caller] = Doorkeeper()
    for _ in range(5):
        for one in crowd(door, GOOD, MOST_OF_ONE):
            one.peer = "a peer"
    stayed, *left = crowd(door, GOOD, MOST_OF_ONE)
    for one in (*left, Caller()):
        door.leave(one)
    crowd(door, GOOD, MOST_OF_ONE - 1)
    assert door.enter(Caller(), GOOD) is stayed


def test_of_too_many_the_oldest_of_the_greatest_crowd_goes() -> None:
    """Whoever comes next; where all are alone, the oldest of all."""
    door: Doorkeeper[Caller] = Doorkeeper()
    alone = [Caller() for _ in range(MOST_UNFINISHED - 3)]
    for number, one in enumerate(alone):
        assert door.enter(one, f"198.51.{number // 250}.{number % 250 + 1}") is None
    three = crowd(door, BAD, 3)
    gone = [door.enter(Caller(), f"192.0.2.{number}") for number in range(4)]
    assert gone == [*three[:2], *alone[:2]]
    for one in alone:
        one.peer = "a peer"
    crowd(door, BAD, MOST_OF_ONE - 1)


def test_where_there_is_no_room_at_all_those_who_said_nothing_go_first() -> None:
    """For connections or for files; until there are none."""
    door: Doorkeeper[Caller] = Doorkeeper()
    assert door.turn_away() is None
    [alone] = crowd(door, GOOD, 1)
    two = crowd(door, BAD, 3)[:2]
    assert [door.turn_away() for _ in range(2)] == two
    alone.peer = "a peer"
    assert door.turn_away() is not alone
    assert door.turn_away() is None


def test_a_storm_of_calls_is_let_in_at_a_rate() -> None:
    """Of each caller apart."""
    door: Doorkeeper[Caller] = Doorkeeper()
    assert sum(door.admits(BAD, 0.0) for _ in range(5000)) == BURST
    assert sum(door.admits(BAD, 1 + number / 5000) for number in range(5000)) == 2 * CALLS_PER_SECOND - 1
    assert door.admits(GOOD, 1.0)
    assert sum(door.admits(BAD, 1000.0) for _ in range(5000)) == BURST


def test_who_breaks_the_protocol_again_and_again_is_not_let_in_for_a_while() -> None:
    """Ten times within a minute; slower ones are let be, and everybody else."""
    door: Doorkeeper[Caller] = Doorkeeper()
    for number in range(FAULTS - 1):
        door.blame(BAD, float(number))
    assert door.admits(BAD, 10.0)
    door.blame(BAD, 10.0)
    assert not door.admits(BAD, 10.0 + SHUT_FOR - 0.1)
    assert door.admits(BAD, 10.0 + SHUT_FOR)
    assert door.admits(GOOD, 10.0)
    for number in range(100):
        now = 1000 + number * (FAULTS_WITHIN / (FAULTS - 2))
        door.blame(BAD, now)
        assert door.admits(BAD, now)


def test_only_so_many_callers_are_remembered() -> None:
    """A storm from everywhere must not fill the memory."""
    door: Doorkeeper[Caller] = Doorkeeper()
    for number in range(10_000):
        door.admits(f"10.{number // 60000}.{number // 250 % 250}.{number % 250}", 0.0)
    assert len(door._callers) <= 2048


def test_callers_of_a_quarter_of_an_hour_ago_are_forgotten() -> None:
    """With what they did; each new caller makes room for itself, and nobody looks at all of them."""
    door: Doorkeeper[Caller] = Doorkeeper()
    for _ in range(FAULTS):
        door.blame(BAD, 0.0)
    for number in range(1000):
        door.admits(f"10.0.{number // 250}.{number % 250}", 1.0)
    assert not door.admits(BAD, 1.0)
    for number in range(600):
        assert door.admits(f"10.1.{number // 250}.{number % 250}", 2 + FORGOTTEN_AFTER)
    assert len(door._callers) == 600
    assert door.admits(BAD, 2 + FORGOTTEN_AFTER)


@given(st.lists(st.tuples(st.sampled_from("eeeelfta"), st.integers(0, 400)), max_size=600))
def test_there_are_never_more_than_allowed_and_nobody_is_counted_twice(acts: list[tuple[str, int]]) -> None:
    """Whoever comes, leaves, shakes hands, or is turned away."""
    door: Doorkeeper[Caller] = Doorkeeper()
    there: dict[Caller, str] = {}
    for act, number in acts:
        waiting = [one for one in there if one.peer is None]
        chosen = waiting[number % len(waiting)] if waiting else None
        if act == "e":
            host = f"10.0.0.{number % 40}"
            caller = Caller()
            gone = door.enter(caller, host)
            there[caller] = host
            if gone is not None:
                del there[gone]
        elif act == "t":
            gone = door.turn_away()
            assert (gone is None) == (chosen is None)
            if gone is not None:
                del there[gone]
        elif act == "l" and chosen is not None:
            del there[chosen]
            door.leave(chosen)
        elif act == "f" and chosen is not None:
            chosen.peer = "a peer"
        hosts = [there[one] for one in there if one.peer is None]
        assert len(hosts) <= MOST_UNFINISHED
        assert all(hosts.count(host) <= MOST_OF_ONE for host in set(hosts))
