"""Who we say we are, towards real peers and trackers: all take every profile, and show what it says.

What each of them calls us was seen here: libtorrent 2.1.1, transmission-daemon 3.00, aria2c 1.36, npm's tracker 11.2.3.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from anabranch.model import VERSION
from anabranch.net import IDENTITIES, RANDOM_BYTES, Identity
from anabranch.tracker import AnnounceRequest, Event, TrackerClient
from interop.meeting import OTHERS, TRACKERS, meet
from interop.npm_tracker import NpmTracker
from interop.own_network import in_own_network
from interop.real_tracker import RealTracker
from ours import until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

CASES = [("http", *pair) for name in IDENTITIES for other in OTHERS for pair in ((name, other), (other, name))]
RATE = 600_000  # bytes per second: slow enough that the others can be asked who is there
NAMES = {  # that peers show, as patterns; libtorrent goes by the extended handshake, the others by the peer id
    ("deluge", "libtorrent"): r"Deluge 2\.1\.1",
    ("deluge", "transmission"): r"Deluge 2\.1\.1\.54",  # it takes the "s" of "-DE211s-" for a number
    ("deluge", "aria2"): r"-DE211s-.{12}",
    ("anabranch", "libtorrent"): re.escape(f"anabranch {VERSION}"),
    ("anabranch", "transmission"): r"-AB\w{4}-",
    ("anabranch", "aria2"): r"-AB\w{4}-.{12}",
    ("anonymous", "libtorrent"): r"(?!.*(Deluge|anabranch)).+",  # by chance some bytes are another program's name
    ("anonymous", "transmission"): r"(?!.*(Deluge|anabranch|-AB|-DE)).+",
    ("anonymous", "aria2"): r".{20}",
}
CLIENTS = {  # that npm's tracker shows
    "deluge": {"Deluge": {"2.1.1": 1}},
    "anabranch": {"unknown": {IDENTITIES["anabranch"].peer_id_prefix.decode(): 1}},
}
NAMELESS = Identity(b"", "", "", "")  # no User-Agent either
PROFILES = {**IDENTITIES, "nameless": NAMELESS}


def test_real_peers_take_us_for_whom_we_say_we_are(tmp_path: Path) -> None:
    """Both ways; and what they call us is what the profile says. All at once, one client of ours for each profile."""
    ours = {name: {"identity": name, "download_rate": RATE, "upload_rate": RATE} for name in IDENTITIES}
    outcomes = in_own_network(partial(meet, "npm", CASES, tmp_path, ours))
    assert list(outcomes) == CASES
    assert {case: outcome.failure for case, outcome in outcomes.items() if outcome.failure} == {}
    for pair, looks in NAMES.items():
        seen = {each for case, outcome in outcomes.items() if set(pair) <= set(case) for each in outcome.seen}
        seen -= {"", "\0" * 20}  # before the handshake
        assert seen, f"{pair}: nobody was seen"
        assert all(re.fullmatch(looks, each) for each in seen), (pair, seen)


@pytest.fixture(scope="module", params=TRACKERS)
def tracker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTracker]:
    """One of each kind."""
    with TRACKERS[request.param](tmp_path_factory.mktemp("tracker") / "root", "127.0.17.1") as tracker:
        yield tracker


@pytest.mark.parametrize("protocol", ["http", "udp"])
@pytest.mark.parametrize("name", PROFILES)
def test_real_trackers_take_us_for_whom_we_say_we_are(tracker: RealTracker, name: str, protocol: str) -> None:
    """They serve every profile, also one without any name; and npm's, which looks at names, shows ours."""
    profile, info_hash = PROFILES[name], f"{name} {protocol}".encode().ljust(20)
    tracker.allow(info_hash)
    request = AnnounceRequest(
        info_hash, profile.peer_id(os.urandom(RANDOM_BYTES)), port=6881, left=9, event=Event.STARTED, key=1
    )

    async def work() -> None:
        client = TrackerClient(profile.user_agent, bind=("127.0.17.2",))
        announced = await client.announce(getattr(tracker, protocol), request)
        assert announced.reply.leechers == 1
        await client.close()

    asyncio.run(work())
    assert tracker.swarm(info_hash) == (0, 1)
    if isinstance(tracker, NpmTracker):
        until(lambda: tracker.heard(info_hash))
        [heard] = tracker.heard(info_hash)
        assert heard["peer"] == request.peer_id.hex()
        assert heard["agent"] == (profile.user_agent or None if protocol == "http" else None)
        if name in CLIENTS:
            assert tracker.clients() == CLIENTS[name]
