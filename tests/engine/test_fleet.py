"""How much trackers are asked by all torrents together, and how a dead one is found out once."""

from __future__ import annotations

import pytest

from anabranch.engine.fleet import PACE, PER_HOST, PER_URL, SILENCE, Busy, Fleet, host_of, shown
from anabranch.tracker import FaultKind, TrackerFault

ONE, TWO, OTHER = "http://one.example/a", "http://one.example/b", "http://other.example/a"
SILENT = TrackerFault(FaultKind.TIMEOUT, "no answer")


def test_a_url_and_a_host_have_so_many_announces_at_once() -> None:
    """Some trackers have another URL for each torrent: they are one host."""
    fleet = Fleet()
    assert fleet.admits(ONE, 0.0, Busy([ONE] * (PER_URL - 1)))
    assert not fleet.admits(ONE, 0.0, Busy([ONE] * PER_URL))
    assert fleet.admits(TWO, 0.0, Busy([ONE] * PER_URL))
    many = [f"http://one.example:{port}/a" for port in range(1, PER_HOST + 1)]
    assert not fleet.admits(TWO, 0.0, Busy(many))
    assert fleet.admits(TWO, 0.0, Busy(many[1:]))
    assert fleet.admits(OTHER, 0.0, Busy(many))


def test_a_host_is_not_stormed() -> None:
    """However fast it answers: so many announces begin in a second, after a pause as many at once."""
    fleet = Fleet()
    begun = 0
    for step in range(1000):
        now = step / 100
        while fleet.admits(ONE, now, Busy()):
            fleet.begins(ONE, now)
            begun += 1
    assert 10 * PACE <= begun <= 11 * PACE + 1
    assert fleet.admits(OTHER, 0.0, Busy())


def test_a_silent_tracker_is_left_alone_longer_and_longer_and_then_one_asks() -> None:
    """After three in a row 2, 4, 8, 8 minutes; one answer, of whatever kind, and it is as any other."""
    fleet, now = Fleet(), 0.0
    for _ in range(SILENCE - 1):
        fleet.failed(ONE, SILENT, now)
        assert fleet.left_alone(ONE, now) is None
    for pause in (120, 240, 480, 480):
        fleet.failed(TWO, SILENT, now)
        quiet = fleet.left_alone(ONE, now)
        assert quiet is not None
        assert quiet.fault is SILENT
        assert fleet.left_alone(ONE, now + pause - 1) is not None
        assert fleet.left_alone(OTHER, now) is None
        now += pause
        assert fleet.left_alone(ONE, now) is None
        assert fleet.admits(ONE, now, Busy())
        assert not fleet.admits(ONE, now, Busy([TWO]))
    fleet.failed(ONE, TrackerFault(FaultKind.STATUS, "no", status=500), now)
    assert fleet.left_alone(ONE, now) is None
    assert fleet.admits(ONE, now, Busy([TWO]))


@pytest.mark.parametrize("kind", FaultKind)
def test_only_what_says_that_nobody_is_there_counts(kind: FaultKind) -> None:
    """A refusal comes from somebody; what is our own doing says nothing of the tracker."""
    fleet = Fleet()
    for _ in range(SILENCE - 1):
        fleet.failed(ONE, SILENT, 0.0)
    fleet.failed(ONE, TrackerFault(kind, "x"), 0.0)
    fleet.failed(ONE, SILENT, 0.0)
    nobody = {FaultKind.NAME, FaultKind.NETWORK, FaultKind.TIMEOUT, FaultKind.TLS}
    ours = {FaultKind.CANCELLED, FaultKind.CLOSED, FaultKind.INTERNAL, FaultKind.FORBIDDEN, FaultKind.URL}
    assert (fleet.left_alone(ONE, 0.0) is not None) == (kind in nobody | ours)


def test_an_answer_forgets_that_there_was_silence() -> None:
    """The next failures are counted anew."""
    fleet = Fleet()
    for _ in range(SILENCE):
        fleet.failed(ONE, SILENT, 0.0)
    fleet.answered(TWO)
    assert fleet.left_alone(ONE, 0.0) is None
    fleet.failed(ONE, SILENT, 0.0)
    assert fleet.left_alone(ONE, 0.0) is None


def test_what_is_remembered_of_hosts_is_bounded() -> None:
    """Torrents may name any number."""
    fleet = Fleet()
    for number in range(5000):
        fleet.begins(f"http://{number}.example/", 0.0)
        fleet.failed(f"http://{number}.example/", SILENT, 0.0)
    assert len(fleet.budgets) == len(fleet.quiet) == 4096


def test_what_is_no_url_has_no_host() -> None:
    """It is asked once, and found out."""
    assert (host_of("secret"), shown("secret")) == ("", "not a URL")
    assert host_of("udp://Tracker.Example:80/x") == "tracker.example"
