"""Trackers of somebody's making: hundreds of one torrent, one that listens to no farewell, one with much to say."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from anabranch.engine import announcer_io, announcing, core_io
from anabranch.engine.agenda import Agenda
from anabranch.engine.fleet import AT_ONCE
from anabranch.tracker import FaultKind, TrackerFault
from engine.test_announcer_io import HOST, NOBODY, announced, content, over_http, torrent_of
from engine.trackers import due, failed, live, only, told, tracked
from ours import make_client, until
from small_servers import HttpServer

__all__ = ["content"]

MANY = [[f"http://{number}.example/announce"] for number in range(100)]


@pytest.mark.parametrize("outcome", [told, failed], ids=["answer", "failure"])
def test_an_answer_of_one_of_hundreds_of_trackers_leaves_the_others_appointments_alone(
    outcome: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With announce_to_all each has its own: 500 new ones for each answer would be most of what the client does."""
    node, _, _ = live(tracked(*MANY), announce_to_all=True)
    begun = due(node)
    assert len(begun) > 1
    made: Counter[object] = Counter()
    put = Agenda.put
    monkeypatch.setattr(Agenda, "put", lambda agenda, one, at: made.update([one]) or put(agenda, one, at))
    for one in begun:
        outcome(node, one)
    assert made == Counter(one.line for one in begun)


def test_all_lines_of_a_torrent_hear_when_it_becomes_hungry_or_is_no_longer() -> None:
    """Whichever of its trackers is due first finds that out: the others are asked each minute from then on, too."""
    node, clock, torrent = live(tracked(*MANY[:10], private=False), announce_to_all=True)
    torrent.policy.download = False
    for one in due(node):
        told(node, one)
    assert not due(node)
    torrent.policy.download = True
    [tiers] = torrent.swarm.trackers
    node.engine.due.announces.put(tiers.lines[0], clock.now)  # as if it were its time
    clock.now += 61
    first = due(node)
    assert len(first) + len(due(node)) == 10


def test_a_tracker_with_a_url_for_each_torrent_that_listens_to_no_farewell_keeps_none_from_others(
    content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a few of the places, as one that has the same URL for all."""
    monkeypatch.setattr(announcer_io, "_LAST_PATIENCE", 30.0)
    monkeypatch.setattr(core_io, "_FAREWELL", 0.2)
    over = threading.Event()

    def deaf(target: str) -> bytes:
        if over_http(target).event == "stopped":
            over.wait(30)
        return NOBODY

    with (
        HttpServer(deaf, "127.0.7.22") as hanging,
        HttpServer(lambda _: NOBODY) as good,
        make_client(tmp_path, HOST) as client,
    ):
        torrents = [
            client.add(torrent_of(content, f"{hanging.url}/announce?passkey={number:032}", name=f"{number}"))
            for number in range(AT_ONCE)
        ]
        last = client.add(torrent_of(content, f"{good.url}/announce", name="last"))
        until(lambda: all(map(announced, [*torrents, last])))
        for torrent in [*torrents, last]:
            torrent.drop()
        try:
            until(lambda: [over_http(target).event for target in good.targets] == ["started", "stopped"], 10)
        finally:
            over.set()


@pytest.mark.parametrize("status", [0, 503])
def test_nobody_is_kept_from_a_tracker_for_years_by_a_number(status: int) -> None:
    """A day is the most that counts, of what is not for ever; asking again does not make it shorter."""
    node, clock, torrent = live()
    kind = FaultKind.STATUS if status else FaultKind.REFUSED
    failed(node, only(node), TrackerFault(kind, "later", status=status, retry_in=1e9))
    clock.now += 24 * 3600 - 1
    with node.engine.turn:
        announcing.again(node.engine, torrent)
    assert due(node) == []
    clock.now += 1
    assert only(node).tracker.fails == 1


@pytest.mark.parametrize("how", ["set", "drop"])
def test_a_tracker_that_was_left_and_named_again_while_it_was_asked_knows_us_in_the_end(
    how: str, content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That we go is told when it has answered, and that we are there after that; not the other way round."""
    gate = threading.Event()

    def answer(_: str) -> bytes:
        gate.wait(10)
        return NOBODY

    looks: Counter[str] = Counter()
    take = announcing.take
    monkeypatch.setattr(announcing, "take", lambda *given: (looks.update(["take"]), take(*given))[1])
    with HttpServer(answer) as tracker, make_client(tmp_path, HOST) as client:
        source = torrent_of(content, url := f"{tracker.url}/announce")
        torrent = client.add(source)
        until(lambda: tracker.targets)
        if how == "set":
            torrent.set_trackers([])
            torrent.set_trackers([url])
        else:
            torrent.drop()
            client.add(source)
        seen = looks.total()
        until(lambda: looks.total() >= seen + 2)
        gate.set()
        until(lambda: len(tracker.targets) == 3)
        assert [over_http(target).event for target in tracker.targets] == ["started", "stopped", "started"]


def test_a_failure_that_is_remembered_keeps_nothing_of_who_asked() -> None:
    """Its traceback would: two KiB for each tracker of each torrent."""
    node, _, torrent = live()
    with pytest.raises(TrackerFault) as raised:
        raise TrackerFault(FaultKind.TIMEOUT, "no answer")
    failed(node, only(node), raised.value)
    [tiers] = torrent.swarm.trackers
    [tracker] = tiers.every()
    assert tracker.heard is not None
    assert tracker.heard.fault is not None
    assert tracker.heard.fault.__traceback__ is None
