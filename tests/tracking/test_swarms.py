"""Who is told of whom, what is counted, and what is forgotten: without a socket, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.model import Address
from anabranch.tracker import Event
from anabranch.tracking import Counted, Limits
from anabranch.tracking.announces import Announce, Refusal
from anabranch.tracking.swarms import Swarms
from tracking.peers import HASH, OTHER, compact, peer

LIFE = 3600.0


def tracker(only: set[bytes] | None = None, **limits: int) -> Swarms:
    return Swarms(Random(1), Limits(**limits), only)


def hosts(told: list[bytes]) -> list[int]:
    """Ports of the IPv4 peers that were told, sorted."""
    return sorted(int.from_bytes(one[-2:], "big") for one in told)


def test_a_peer_is_told_of_all_others_and_not_of_itself() -> None:
    """BEP 3; whoever dials itself wastes a connection."""
    swarms = tracker()
    assert swarms.announce(peer(1), 0, LIFE).v4 == []
    assert swarms.announce(peer(2), 0, LIFE).v4 == [compact("192.0.2.1", 1001)]
    assert hosts(swarms.announce(peer(3), 0, LIFE).v4) == [1001, 1002]
    assert hosts(swarms.announce(peer(2), 0, LIFE).v4) == [1001, 1003]


def test_seeds_are_told_of_leechers_only() -> None:
    """Two seeds have nothing for each other."""
    swarms = tracker()
    for number, left in ((1, 0), (2, 0), (3, 5)):
        told = swarms.announce(peer(number, left=left), 0, LIFE)
    assert hosts(told.v4) == [1001, 1002]
    assert hosts(swarms.announce(peer(1, left=0), 0, LIFE).v4) == [1003]


def test_who_does_not_say_what_it_lacks_is_no_seed() -> None:
    """Magnet links know no length before their metadata."""
    assert tracker().announce(peer(1, left=None), 0, LIFE).counted == Counted(0, 1, 0)


def test_a_peer_that_completes_becomes_a_seed_and_is_counted_once() -> None:
    """UDP repeats what was not answered: a download is one download."""
    swarms = tracker()
    assert swarms.announce(peer(1, event=Event.STARTED), 0, LIFE).counted == Counted(0, 1, 0)
    for _ in range(3):
        told = swarms.announce(peer(1, event=Event.COMPLETED, left=0), 0, LIFE)
    assert told.counted == Counted(1, 0, 1)
    assert swarms.announce(peer(2, event=Event.COMPLETED, left=7), 0, LIFE).counted == Counted(1, 1, 1)


def test_a_peer_that_stops_is_gone_at_once() -> None:
    """And is told of nobody; the torrent's downloads are remembered."""
    swarms = tracker()
    swarms.announce(peer(1, event=Event.COMPLETED, left=0), 0, LIFE)
    swarms.announce(peer(2), 0, LIFE)
    told = swarms.announce(peer(1, event=Event.STOPPED, left=0), 0, LIFE)
    assert (told.counted, told.v4) == (Counted(0, 1, 1), [])
    swarms.announce(peer(2, event=Event.STOPPED), 0, LIFE)
    assert (swarms.torrents, swarms.seeders, swarms.leechers) == (0, 0, 0)
    assert swarms.scrape(HASH, 0, LIFE) == Counted(0, 0, 1)
    assert swarms.announce(peer(3), 0, LIFE).counted == Counted(0, 1, 1)


def test_a_stop_of_an_unknown_torrent_or_peer_leaves_nothing() -> None:
    """Else anybody could fill the memory with stops."""
    swarms = tracker()
    swarms.announce(peer(1, event=Event.STOPPED), 0, LIFE)
    assert swarms.torrents == 0
    assert swarms.scrape(HASH, 0, LIFE) is None
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(2, host="192.0.2.2", event=Event.STOPPED), 0, LIFE)
    assert swarms.scrape(HASH, 0, LIFE) == Counted(0, 1, 0)


def test_a_peer_with_a_key_stays_one_when_its_address_changes() -> None:
    """BEP 3's key: the old address is told to nobody any more."""
    swarms = tracker()
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(1, host="192.0.2.9"), 0, LIFE)
    told = swarms.announce(peer(2), 0, LIFE)
    assert (told.v4, told.counted.leechers) == ([compact("192.0.2.9", 1001)], 2)


def test_nobody_takes_a_peers_place_by_its_id_alone() -> None:
    """Ids are told to others: without the key it is another peer."""
    swarms = tracker()
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(1, host="192.0.2.66", key=b"guess"), 0, LIFE)
    swarms.announce(peer(1, host="192.0.2.67", key=b"", event=Event.STOPPED), 0, LIFE)
    told = swarms.announce(peer(2), 0, LIFE)
    assert compact("192.0.2.1", 1001) in told.v4


def test_who_is_new_at_an_address_takes_it_over() -> None:
    """A client that was killed comes back with another id: it would be told twice."""
    swarms = tracker()
    swarms.announce(peer(1, port=7), 0, LIFE)
    swarms.announce(peer(2, port=7), 0, LIFE)
    told = swarms.announce(peer(3), 0, LIFE)
    assert (told.v4, told.counted.leechers) == ([compact("192.0.2.1", 7)], 2)


def test_without_a_key_the_host_stands_for_it() -> None:
    """Another port is the same peer, another host is not."""
    swarms = tracker()
    swarms.announce(peer(1, key=b"", port=7), 0, LIFE)
    swarms.announce(peer(1, key=b"", port=8), 0, LIFE)
    assert swarms.announce(peer(1, key=b"", port=9, host="192.0.2.2"), 0, LIFE).counted.leechers == 2


def test_who_is_not_heard_of_for_its_life_is_forgotten() -> None:
    """In the torrent that is asked for at once, in others by tick()."""
    swarms = tracker()
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(1, info_hash=OTHER), 500, LIFE)
    swarms.announce(peer(2), 1000, LIFE)
    assert swarms.scrape(HASH, LIFE - 1, LIFE) == Counted(0, 2, 0)
    assert swarms.scrape(HASH, LIFE, LIFE) == Counted(0, 1, 0)
    swarms.tick(LIFE + 600, LIFE)
    assert (swarms.torrents, swarms.leechers) == (1, 1)
    swarms.tick(LIFE + 1000, LIFE)
    assert (swarms.torrents, swarms.leechers) == (0, 0)


def test_time_passes_a_bounded_number_of_torrents_at_once() -> None:
    """A tick is a step of the loop: the rest comes with the next."""
    swarms = tracker()
    for number in range(1500):
        swarms.announce(peer(1, info_hash=number.to_bytes(20, "big")), 0, LIFE)
    swarms.tick(LIFE, LIFE)
    assert swarms.torrents == 500
    swarms.tick(LIFE, LIFE)
    assert swarms.torrents == 0


def test_a_large_torrent_is_forgotten_by_and_by() -> None:
    """Of its peers, too, a bounded number at once; by announces as by time."""
    swarms = tracker(of_caller_in_torrent=10_000)
    for number in range(2500):
        swarms.announce(peer(number), 0, LIFE)
    assert swarms.announce(peer(1, wanted=0), LIFE, LIFE).counted.leechers == 1501
    assert swarms.scrape(HASH, LIFE, LIFE) == Counted(0, 501, 0)
    for number in range(2500):
        swarms.announce(peer(number), LIFE, LIFE)
    for left in (1500, 500, 0):
        swarms.tick(2 * LIFE, LIFE)
        assert swarms.leechers == left


def test_by_udp_each_family_is_told_of_its_own() -> None:
    """BEP 15 has one size of addresses in an answer."""
    swarms = tracker()
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(2, host="2001:db8::2"), 0, LIFE)
    four, six = swarms.announce(peer(3), 0, LIFE), swarms.announce(peer(4, host="2001:db8::4"), 0, LIFE)
    assert (len(four.v4), four.v6) == (1, [])
    assert (six.v4, len(six.v6)) == ([], 1)


def test_by_http_the_other_family_fills_up() -> None:
    """BEP 7; aria2 asks a tracker that has both by one of them, and can dial both."""
    swarms = tracker()
    for number in range(1, 4):
        swarms.announce(peer(number), 0, LIFE)
        swarms.announce(peer(number + 10, host=f"2001:db8::{number}"), 0, LIFE)
    told = swarms.announce(peer(20, host="2001:db8::20", carrier="http", wanted=5), 0, LIFE)
    assert (hosts(told.v6), len(told.v4)) == ([1011, 1012, 1013], 2)
    told = swarms.announce(peer(21, carrier="http", wanted=3), 0, LIFE)
    assert (hosts(told.v4), told.v6) == ([1001, 1002, 1003], [])


def test_who_asks_over_both_families_is_one_peer() -> None:
    """Counted once, and not told of itself by its other address."""
    swarms = tracker()
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(3), 0, LIFE)
    told = swarms.announce(peer(3, host="2001:db8::3", carrier="http"), 0, LIFE)
    assert told.counted == Counted(0, 2, 0)
    assert (hosts(told.v4), hosts(told.v6)) == ([1001], [])


def test_an_address_of_the_other_family_that_is_silent_is_forgotten_alone() -> None:
    """A peer that lost its IPv4 is still there."""
    swarms = tracker()
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(1, host="2001:db8::1"), LIFE - 1, LIFE)
    swarms.announce(peer(1, host="2001:db8::1"), LIFE, LIFE)
    assert swarms.announce(peer(2), LIFE, LIFE).v4 == []
    assert len(swarms.announce(peer(3, host="2001:db8::3"), LIFE, LIFE).v6) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::", "ff02::1"])
def test_who_nobody_can_dial_is_served_and_not_told(host: str) -> None:
    """Nor is one without a port."""
    swarms = tracker()
    swarms.announce(peer(1), 0, LIFE)
    swarms.announce(peer(2, host=host), 0, LIFE)
    told = swarms.announce(replace(peer(3), port=0), 0, LIFE)
    assert (hosts(told.v4), told.counted.leechers) == ([1001], 1)


def test_peers_of_this_machine_are_told_on_this_machine_only() -> None:
    """Elsewhere 127.0.0.1 is somebody else."""
    swarms = tracker()
    swarms.announce(peer(1, host="127.0.0.1"), 0, LIFE)
    assert swarms.announce(peer(2), 0, LIFE).v4 == []
    assert hosts(swarms.announce(peer(3, host="127.0.0.3"), 0, LIFE).v4) == [1001, 1002]
    near = peer(4, host="192.0.2.4", asker=Address("127.0.0.1", 5))
    assert hosts(swarms.announce(near, 0, LIFE).v4) == [1001, 1002, 1003]


def test_as_many_are_told_as_were_asked_for_and_chance_chooses() -> None:
    """Else all would know the same few."""
    swarms = tracker(of_caller_in_torrent=1000)
    for number in range(1, 301):
        swarms.announce(peer(number, left=number % 2), 0, LIFE)
    seen: set[bytes] = set()
    for _ in range(60):
        told = swarms.announce(peer(300, wanted=20), 0, LIFE).v4
        assert len(told) == len(set(told)) == 20
        assert compact("192.0.2.1", 1300) not in told
        seen.update(told)
    assert len(seen) > 200
    assert len(swarms.announce(peer(1, wanted=10**6), 0, LIFE).v4) == 200
    assert swarms.announce(peer(1, wanted=0), 0, LIFE).v4 == []


def test_only_listed_torrents_are_served_where_there_is_a_list() -> None:
    """The reason is in the words that clients know."""
    swarms = tracker(only={HASH})
    swarms.announce(peer(1), 0, LIFE)
    with pytest.raises(Refusal, match="not registered"):
        swarms.announce(peer(1, info_hash=OTHER), 0, LIFE)
    assert swarms.scrape(OTHER, 0, LIFE) is None
    swarms.only = None
    swarms.announce(peer(1, info_hash=OTHER), 0, LIFE)


def test_a_full_torrent_forgets_who_was_heard_least_recently() -> None:
    """Newcomers are there for certain, the oldest may be gone."""
    swarms = tracker(peers_of_torrent=3)
    for number, now in ((1, 0), (2, 1), (3, 2), (1, 3), (4, 4)):
        told = swarms.announce(peer(number), now, LIFE)
    assert hosts(told.v4) == [1001, 1003]


def test_a_full_tracker_forgets_the_torrent_heard_least_recently() -> None:
    """So a flood of made-up torrents does not grow."""
    swarms = tracker(torrents=3)
    for number in range(10):
        swarms.announce(peer(number, info_hash=bytes([number]) * 20), number, LIFE)
    assert swarms.torrents == 3
    assert swarms.scrape(bytes([6]) * 20, 10, LIFE) is None
    assert swarms.scrape(bytes([7]) * 20, 10, LIFE) is not None


def test_the_number_of_all_addresses_is_bounded() -> None:
    """Whatever torrents they are of; also where it is the only torrent there is."""
    swarms = tracker(peers=4)
    for number in range(1, 9):
        swarms.announce(peer(number, info_hash=bytes([number % 2]) * 20), number, LIFE)
        assert swarms.seeders + swarms.leechers <= 4
    swarms = tracker(peers=1)
    for number in range(1, 4):
        assert swarms.announce(peer(number), number, LIFE).v4 == []
    assert (swarms.torrents, swarms.leechers) == (1, 1)


def test_downloads_are_remembered_of_a_bounded_number_of_torrents() -> None:
    """The oldest are forgotten."""
    swarms = tracker(torrents=2)
    for number in range(4):
        one = peer(1, info_hash=bytes([number]) * 20, left=0, event=Event.COMPLETED)
        swarms.announce(one, 0, LIFE)
        swarms.announce(replace(one, event=Event.STOPPED), 0, LIFE)
    assert [swarms.scrape(bytes([number]) * 20, 0, LIFE) for number in range(4)] == [
        None,
        None,
        Counted(0, 0, 1),
        Counted(0, 0, 1),
    ]


def test_one_caller_has_a_share_and_no_more() -> None:
    """An IPv6 caller is its network; who is known already goes on; our own machine is not counted."""
    swarms = tracker(of_caller_in_torrent=2, of_caller=3)
    for number in (1, 2):
        swarms.announce(peer(number, host=f"2001:db8::{number}"), 0, LIFE)
    with pytest.raises(Refusal, match="of this torrent"):
        swarms.announce(peer(3, host="2001:db8::3"), 0, LIFE)
    swarms.announce(peer(3, host="2001:db8::3", info_hash=OTHER), 0, LIFE)
    with pytest.raises(Refusal, match="from your address"):
        swarms.announce(peer(4, host="2001:db8::4", info_hash=OTHER), 0, LIFE)
    swarms.announce(peer(1, host="2001:db8::1"), 0, LIFE)
    swarms.announce(peer(4, host="2001:db8:0:1::4", info_hash=OTHER), 0, LIFE)
    swarms.announce(peer(1, host="2001:db8::1", event=Event.STOPPED), 0, LIFE)
    swarms.announce(peer(5, host="2001:db8::5"), 0, LIFE)
    for number in range(10, 20):
        swarms.announce(peer(number, host="127.0.0.1"), 0, LIFE)


ANNOUNCES = st.builds(
    peer,
    st.integers(1, 4),
    host=st.sampled_from(["192.0.2.1", "192.0.2.2", "127.0.0.1", "2001:db8::1", "2001:db8:1::2", "fe80::1"]),
    port=st.integers(1, 3),
    info_hash=st.sampled_from([HASH, OTHER, bytes(20)]),
    left=st.sampled_from([None, 0, 1]),
    event=st.sampled_from(list(Event)),
    key=st.sampled_from([b"", b"1", b"2"]),
    wanted=st.sampled_from([0, 1, 200]),
    carrier=st.sampled_from(["http", "udp"]),
)


@given(st.lists(st.tuples(ANNOUNCES, st.floats(0, 2000)), max_size=40), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_numbers_agree_whatever_happens(life: list[tuple[Announce, float]], peers: int, torrents: int) -> None:
    """Totals are sums, limits are kept, nobody is told of itself, and everybody is forgotten in the end."""
    swarms, now = tracker(peers=peers, torrents=torrents, peers_of_torrent=torrents, of_caller=9), 0.0
    for announce, passed in life:
        now += passed
        try:
            told = swarms.announce(announce, now, LIFE)
        except Refusal:
            continue
        assert announce.spot.compact not in told.v4 + told.v6
        assert all(told.id_at(one) for one in told.v4 + told.v6)
        assert swarms.torrents <= torrents
        assert swarms.seeders + swarms.leechers <= peers
        counted = [swarms.scrape(one, now, LIFE) or Counted() for one in (HASH, OTHER, bytes(20))]
        assert sum(one.leechers for one in counted) == swarms.leechers
        assert sum(one.seeders for one in counted) == swarms.seeders
    swarms.tick(now + LIFE + 1, LIFE)
    assert (swarms.torrents, swarms.seeders, swarms.leechers) == (0, 0, 0)
    assert swarms._totals.of_host == {}
    assert swarms._totals.places == 0
