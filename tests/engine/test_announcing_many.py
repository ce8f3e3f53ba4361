"""Many torrents and many trackers: nobody is forgotten, nobody waits for others' trackers, and no turn is long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf
from random import Random

import pytest

from anabranch.engine import announcing
from anabranch.engine.announcing import AT_ONCE, PER_URL, Announce, Tiers
from anabranch.engine.state import TorrentState
from anabranch.model import InfoHash
from anabranch.tracker import FaultKind, TrackerFault
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample
from engine.trackers import ONE, PLAIN, THREE, TWO, due, failed, told, tracked


def crowd(node: Node, count: int, urls: Sequence[str]) -> list[Tiers]:
    """So many torrents, due at once; one stands for all."""
    node.add(PLAIN)
    node.settle()
    [torrent] = node.engine.torrents.values()
    every = []
    for number in range(count):
        trackers = [[announcing.Tracker(urls[number % len(urls)])]]
        every.append(Tiers(torrent, InfoHash(number.to_bytes(20, "big")), trackers, 0, 0))
        node.engine.due.announces.put(every[-1], node.engine.clock())
    return every


@pytest.mark.parametrize("trackers", [1, 10, 1000])
def test_ten_thousand_torrents_are_announced_a_few_at_a_time(trackers: int) -> None:
    """Two to a tracker, 32 in all, in bounded turns, and each torrent once."""
    node = Node(Clock())
    every = crowd(node, 10_000, [f"http://{number}.example/" for number in range(trackers)])
    agenda = node.engine.due.announces
    under_way: list[Announce] = []
    asked: list[Tiers] = []
    for _ in range(20_000):
        before = len(agenda._who)
        under_way += (fresh := due(node, [one.tracker.url for one in under_way]))
        assert before - len(agenda._who) <= 256
        asked += [one.tiers for one in fresh]
        assert len(under_way) <= AT_ONCE
        assert max(Counter(one.tracker.url for one in under_way).values()) <= PER_URL
        told(node, under_way.pop(0))
        if not under_way and len(asked) == len(every):
            break
    assert len(asked) == len(set(asked)) == len(every)
    assert len(agenda) == len(every)


def test_trackers_that_do_not_answer_do_not_keep_the_others_waiting() -> None:
    """Sixteen of them take all the room there is; who waits for another one has its turn with each that gives up."""
    node = Node(Clock())
    crowd(node, 3400, [f"http://{number}.dead/" for number in range(16)] + ["http://alive/"])
    under_way: list[Announce] = []
    heard = 0
    for _ in range(400):
        under_way += due(node, [one.tracker.url for one in under_way])
        alive = [one for one in under_way if one.tracker.url == "http://alive/"]
        for one in alive or under_way[:1]:
            under_way.remove(one)
            (told if alive else failed)(node, one)
        heard += len(alive)
    assert heard > 20


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nobody_is_forgotten_and_nobody_is_asked_twice(seed: int) -> None:
    """Each name of a torrent that is here has one appointment, or is being asked, or nobody may be asked any more."""
    draw = Random(seed)
    node = Node(clock := Clock(), seed)
    torrents: list[TorrentState] = []
    under_way: list[Announce] = []
    for step in range(300):
        here = [torrent for torrent in torrents if torrent.info_hash in node.engine.torrents]
        match draw.randrange(8):
            case 0 if len(here) < 5:
                trackers = draw.sample([[ONE], [TWO], [ONE, TWO], [THREE]], draw.randint(1, 3))
                content = sample(pieces=4, blocks=1, seed=draw.randrange(6))
                if content.info_hash not in node.engine.torrents:
                    torrents.append(node.add(tracked(*trackers, content=content)))
            case 1 if here and draw.random() < 0.3:
                node.drop(draw.choice(here))
            case 2 | 3 if under_way:
                told(node, under_way.pop(draw.randrange(len(under_way))), draw.choice([0, 60, 1800]))
            case 4 if under_way:
                fault = TrackerFault(FaultKind.REFUSED, "no", retry_in=draw.choice([None, 0.0, 600.0, inf]))
                failed(node, under_way.pop(draw.randrange(len(under_way))), fault)
            case 5 if here:
                with node.engine.turn:
                    torrent = draw.choice(here)
                    torrent.totals.downloaded += 1
                    announcing.completed(node.engine, torrent)
                    announcing.begin(node.engine, torrent)
            case 6:
                clock.now += draw.choice([1, 60, 1800, 100_000])
            case _:
                under_way += due(node, [one.tracker.url for one in under_way])
        if step % 3 == 0:
            node.settle()
        asked = [one.tiers for one in under_way]
        for torrent in node.engine.torrents.values():
            for tiers in torrent.swarm.trackers:
                assert tiers.busy == (tiers in asked)
                barred = all(one.not_before == inf for one in tiers.every())
                assert tiers.busy + (tiers in node.engine.due.announces) == 1 or barred
        assert len(set(asked)) == len(asked)
    for torrent in list(node.engine.torrents.values()):
        node.drop(torrent)
    node.settle()
    assert len(node.engine.due.announces) == 0
