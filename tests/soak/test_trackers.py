"""Ten thousand torrents and one tracker, in real time: all are announced, nobody is stormed, and no turn is long.

ANABRANCH_SOAK says how many seconds it may take; what is shorter than ten minutes has fewer torrents. `make soak`.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from anabranch.api import Client, Torrent
from anabranch.bencode import encode
from anabranch.engine import core_io
from anabranch.engine.fleet import AT_ONCE, PACE, PER_HOST, PER_URL
from anabranch.engine.turn_io import Turn
from anabranch.model import InfoHash
from anabranch.testing import TrackerServer
from anabranch.tracker import Event
from anabranch.tracking import Announce
from ours import KIB, make_client

SECONDS = float(os.environ.get("ANABRANCH_SOAK", "600"))
MOST = 600.0  # seconds until each torrent has been announced
COUNT = round(min(10_000, SECONDS * PACE * 0.6))
HOLD = 0.02  # seconds that the tracker takes
CLOSES_IN = 120.0  # seconds: every torrent's state is written, and this machine may have other work
MOST_MEMORY = 40 * KIB  # bytes of a torrent, with all that trackers cost

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MOST + CLOSES_IN + 300)]


class Timed(Turn):
    """A turn that counts its own processor time: others' work on this machine does not make it longer.

    Attributes:
        longest: Seconds, with what is done for others after it was released.
    """

    __slots__ = ("longest",)

    def __init__(self) -> None:
        super().__init__(time.thread_time)
        self.longest = 0.0

    def __exit__(self, *error: object) -> None:
        since = self._since
        super().__exit__(*error)  # type: ignore[arg-type]  # whatever `with` gives
        self.longest = max(self.longest, time.thread_time() - since)


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Timed:
    """The turn of the next client."""
    turn = Timed()
    monkeypatch.setattr(core_io, "make_turn", lambda: turn)
    return turn


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """The collector leaves what is here alone: docs/decisions/0011 says when, and why a library does not do so."""
    yield
    gc.unfreeze()
    gc.enable()


def torrent_of(number: int, url: str) -> bytes:
    """A torrent of one piece, that nobody has."""
    info = {"length": 16384, "name": f"{number}", "piece length": 16384, "pieces": number.to_bytes(20, "big")}
    return encode({"announce": url, "info": info})


def memory() -> int:
    """Bytes of our own in memory."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * KIB


def processor() -> float:
    """Seconds of it that we have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def busiest_second(announces: list[Announce]) -> int:
    """How many came within a second, at most."""
    within: deque[float] = deque()
    most = 0
    for at in sorted(one.at for one in announces):
        within.append(at)
        while within[0] <= at - 1.0:
            within.popleft()
        most = max(most, len(within))
    return most


def added(client: Client, urls: tuple[str, str], want: bool) -> list[Torrent]:
    """So many torrents, every other one with another tracker's URL."""
    gc.disable()  # as who adds thousands should
    torrents = [client.add(torrent_of(number, urls[number % 2])) for number in range(COUNT)]
    for torrent in torrents:
        if want:
            torrent.download_all()
    gc.collect()
    gc.freeze()
    gc.enable()
    return torrents


@pytest.mark.parametrize(("state", "want"), [(False, False), (True, True)], ids=["seeds", "hungry, with state"])
def test_thousands_of_torrents_share_a_tracker(state: bool, want: bool, turn: Timed, tmp_path: Path) -> None:
    """By HTTP and by UDP at one host; those that want peers come again each minute, and keep nobody from coming."""
    with TrackerServer(decide=lambda _: HOLD) as tracker:
        client = make_client(tmp_path, state_dir=tmp_path / "state" if state else None)
        gc.collect()
        before, used, began = memory(), processor(), time.monotonic()
        torrents = added(client, (tracker.announce_url, tracker.udp_url), want)
        adding, longest_adding, turn.longest = time.monotonic() - began, turn.longest, 0.0
        with_torrents = memory()
        everyone = {bytes(torrent.info_hash) for torrent in torrents}
        news: set[bytes] = set()
        seen = 0
        while len(news) < COUNT and time.monotonic() - began < MOST:
            time.sleep(0.5)
            came = len(tracker.announces)
            news.update(one.info_hash for one in tracker.announces[seen:came])
            seen = came
        took, used = time.monotonic() - began, processor() - used
        gc.collect()
        after = memory()
        burst, most_at_once = busiest_second(tracker.announces), tracker.most_busy
        longest, turn.longest = turn.longest, 0.0
        assert news == everyone
        assert most_at_once <= min(2 * PER_URL, PER_HOST, AT_ONCE)
        assert tracker.most_open <= PER_URL + 1  # kept alive, not opened for each
        assert burst <= 2 * PACE + PER_HOST
        statuses = [status for torrent in torrents for status in torrent.tracker_statuses()]
        assert Counter(status.is_working for status in statuses)[True] >= COUNT - 2 * PER_URL
        came = len(tracker.announces)

        assert turn.slow == 0
        gc.disable()  # what 10,000 torrents leave is looked through for longer than any turn takes: 80 ms
        closing = time.monotonic()
        assert client.close(CLOSES_IN)
        closing = time.monotonic() - closing
        last = tracker.announces[came:]
        farewells = [one for one in last if one.event is Event.STOPPED]
        print(
            f"{COUNT} torrents: added in {adding:.1f} s, announced after {took:.1f} s ({came} announces, at most "
            f"{burst} in a second, {most_at_once} at once, {tracker.connections} connections), "
            f"{used / came * 1000:.2f} ms of processor for each, tracker and adding included; "
            f"{(with_torrents - before) / COUNT / KIB:.1f} -> {(after - before) / COUNT / KIB:.1f} KiB each; longest "
            f"turns {longest_adding * 1000:.1f}, {longest * 1000:.1f}, {turn.longest * 1000:.1f} ms (adding, running, "
            f"closing); {len(farewells)} farewells, closed in {closing:.1f} s"
        )
        assert turn.slow == 0
        assert (after - before) / COUNT < MOST_MEMORY
        assert len({InfoHash(one.info_hash) for one in farewells}) == len(farewells)
        assert len(farewells) > min(COUNT, 1000) * 0.9  # in the 5 s that they have
