"""Numbers for those who ask again and again."""

from __future__ import annotations

import pytest

from anabranch.engine import snapshots
from anabranch.engine.engine import Engine
from anabranch.engine.snapshots import FRESH, picture_of
from anabranch.engine.state import TorrentState
from anabranch.engine.stats import TorrentStats, stats_of
from engine.clocks import Clock
from engine.crowd import together
from engine.rig import Node
from engine.samples import sample


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each picture was made."""
    made: list[float] = []

    def counting(engine: Engine, torrent: TorrentState) -> TorrentStats:
        stats = stats_of(engine, torrent)
        made.append(stats.at)
        return stats

    monkeypatch.setattr(snapshots, "stats_of", counting)
    return made


def test_a_fresh_picture_is_given_again(counted: list[float]) -> None:
    """W40: a thousand polls in a second make five pictures."""
    node = Node(clock := Clock())
    torrent = node.add(sample())
    node.settle()
    for _ in range(1000):
        clock.now += 0.001
        assert clock.now - picture_of(node, torrent).at <= FRESH
    assert len(counted) <= 6
    assert FRESH == 0.2


def test_a_stale_picture_is_given_while_the_turn_is_taken_and_one_refresh_is_queued(counted: list[float]) -> None:
    """W40: nobody waits, however long somebody has the turn; then the picture is new again."""
    node = Node(clock := Clock())
    torrent = node.add(sample())
    node.settle()
    first = picture_of(node, torrent)
    clock.now += 10
    with node.engine.turn:
        got: list[TorrentStats] = []
        together(*[lambda: got.append(picture_of(node, torrent))] * 5)
        assert got == [first] * 5
        assert clock.now - got[0].at == pytest.approx(10)
    assert len(node.loop.calls) == 1
    node.settle()
    assert picture_of(node, torrent).at == clock.now
    assert len(counted) == 2


def test_who_has_the_turn_gets_a_new_picture_at_once(counted: list[float]) -> None:
    """It cannot wait for itself."""
    node = Node(clock := Clock())
    torrent = node.add(sample())
    node.settle()
    picture_of(node, torrent)
    clock.now += 1
    with node.engine.turn:
        assert picture_of(node, torrent).at == clock.now


def test_only_the_first_picture_waits_for_the_turn() -> None:
    """There is nothing else that could be given."""
    node = Node(Clock())
    torrent = node.add(sample())
    node.settle()
    got: list[TorrentStats] = []
    together(lambda: got.append(picture_of(node, torrent)), lambda: got.append(picture_of(node, torrent)))
    assert len(got) == 2


def test_many_torrents_are_polled_at_five_computations_a_second_each(counted: list[float]) -> None:
    """W40: 500 torrents, two polls of each in every hundredth of a second, with the turn taken now and then."""
    node = Node(clock := Clock())
    torrents = [node.add(sample(seed=number)) for number in range(500)]
    node.settle()
    for hundredth in range(100):
        clock.now += 0.01
        for torrent in torrents:
            picture_of(node, torrent)
        if hundredth % 7 == 0:
            with node.turn:
                together(lambda: [picture_of(node, torrent) for torrent in torrents])
        if hundredth % 10 == 0:
            node.settle()
    assert len(counted) <= 500 * 6  # five, and the first


def test_who_comes_to_the_turn_late_does_not_compute_again(counted: list[float]) -> None:
    """W40: a refresh that was queued finds that somebody else has made the picture."""
    node = Node(clock := Clock())
    torrent = node.add(sample())
    node.settle()
    picture_of(node, torrent)
    clock.now += 1
    with node.turn:
        together(lambda: picture_of(node, torrent))
        fresh = picture_of(node, torrent)
    assert torrent.snapshot.due
    node.settle()
    assert not torrent.snapshot.due
    assert picture_of(node, torrent) is fresh
    assert len(counted) == 2


def test_a_stuck_engine_costs_the_pollers_nothing(counted: list[float]) -> None:
    """W40: while a refresh is on its way all get the old picture with its age, also where the turn is free again."""
    node = Node(clock := Clock())
    torrent = node.add(sample())
    node.settle()
    first = picture_of(node, torrent)
    with node.turn:
        for _ in range(10):
            clock.now += 1
            together(lambda: picture_of(node, torrent))
    assert picture_of(node, torrent) is first
    assert clock.now - first.at == pytest.approx(10)
    assert len(counted) == len(node.loop.calls) == 1
