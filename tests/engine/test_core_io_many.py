"""Thousands of torrents in one client: what an event costs does not grow with how many there are."""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from anabranch import Client, Config
from anabranch.bencode import encode
from anabranch.engine import closing, dialing, ticking
from anabranch.engine.stage import Live
from anabranch.model import Address, Closed
from anabranch.storage import SessionStore
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import Held, sample
from ours import until

CROWD = 10_000


def count_calls(act: object) -> int:
    """How many Python functions were called, deferred ones included."""
    calls = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    assert callable(act)
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


def crowd(count: int) -> Node:
    """A node with so many idle torrents."""
    node = Node(Clock())
    for number in range(count):
        content = sample(pieces=2, blocks=1, seed=number)
        node.add(content, Held(content))
    node.settle()
    node.tick()
    node.settle()
    return node


def costs(node: Node) -> dict[str, int]:
    """Calls for each kind of event."""
    engine = node.engine
    content = sample(pieces=2, blocks=1, seed=99_999)
    added = node.prepare(content, Held(content))
    dials: list[dialing.Dial] = []

    def second() -> None:
        node.loop.run(ticking.tick_client, engine)
        for torrent in list(engine.due.lively):
            node.loop.run(ticking.tick, engine, torrent, engine.clock())

    def peer() -> None:
        with engine.turn:
            added.swarm.candidates.add(Address("10.9.9.9", 9), "user")
            engine.due.lively.add(added)

    def dial() -> None:
        with engine.turn:
            dials.extend(dialing.choose(engine, engine.clock()))
        assert len(dials) == 1

    def fail() -> None:
        with engine.turn:
            dialing.ended(engine, added, dials[0].candidate)
        node.settle()

    def drop() -> None:
        with engine.turn:
            closing.begin(engine, added, forget=True)
        node.settle()

    steps = {"open": node.settle, "second": second, "peer": peer, "dial": dial, "fail": fail, "drop": drop}
    return {what: count_calls(act) for what, act in steps.items()}


def test_an_event_costs_the_same_among_a_hundred_torrents_and_among_thousands() -> None:
    """W01, W47: opening, a second of time, a candidate, a dial that fails and a drop, counted in calls."""
    few, many = costs(crowd(100)), costs(crowd(2000))
    assert {what: many[what] <= few[what] * 1.2 + 20 for what in few} == dict.fromkeys(few, True), (few, many)


def test_idle_torrents_have_nothing_to_do_each_second() -> None:
    """And nobody to dial."""
    node = crowd(50)
    assert not node.engine.due.lively
    assert not len(node.engine.due.lively.dials)


def torrent_file(number: int, pieces: int = 1000) -> bytes:
    """A torrent of some files that are nowhere."""
    draw = Random(number)
    total, count = pieces << 20, draw.randint(1, 20)
    cuts = [0, *sorted(draw.randrange(total) for _ in range(count - 1)), total]
    info: dict[bytes, object] = {
        b"name": b"torrent %d" % number,
        b"piece length": 1 << 20,
        b"pieces": draw.randbytes(20 * pieces),
        b"files": [
            {b"length": stop - start, b"path": [b"folder", b"some file %d" % start]} for start, stop in pairwise(cuts)
        ],
    }
    return encode({b"info": dict(sorted(info.items()))})


def config(place: Path) -> Config:
    return Config(data_dir=place / "data", state_dir=place / "state", listen_host=("127.0.0.1",), listen_port=0)


def all_live(client: Client) -> bool:
    return all(one.stage == "live" for one in client.stats_all())


def test_many_are_added_remembered_restored_and_dropped(tmp_path: Path) -> None:
    """In the order in which they were added, each once, however often it is done."""
    files = [torrent_file(number, pieces=3) for number in range(150)]
    with Client(config(tmp_path)) as client:
        added = [client.add(data) for data in files]
        assert [client.add(data) for data in files] == added
        until(lambda: all_live(client))
        with Client(config(tmp_path)) as other:
            assert other.restore() == []
    with Client(config(tmp_path)) as client:
        restored = client.restore()
        assert [one.info_hash for one in restored] == [one.info_hash for one in added]
        assert client.restore() == restored
        assert [one.metainfo.raw for one in restored] == files
        until(lambda: all_live(client))
        for torrent in restored[:100]:
            torrent.drop()
        assert all(torrent.closed.wait(10) for torrent in restored[:100])
        assert client.torrents == restored[100:]
    assert len(SessionStore(tmp_path / "state").torrents()) == 50


def test_torrents_are_restored_by_a_few_transactions_for_many_and_one_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered, and where their files are, is asked for of many at once; completion of each as it opens."""
    count = 70
    with Client(config(tmp_path)) as client:
        for number in range(count):
            client.add(torrent_file(number, pieces=2))
        until(lambda: all_live(client))
    asked: list[str] = []

    class Traced(sqlite3.Connection):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self.set_trace_callback(asked.append)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Traced))
    with Client(config(tmp_path)) as client:
        assert len(client.restore()) == count
        until(lambda: all_live(client))
        assert len([query for query in asked if query.startswith("BEGIN")]) <= count + 12
        assert len([query for query in asked if "FROM places" in query or "JOIN places" in query]) <= 4


def test_a_client_that_is_closed_while_it_restores_ends_and_forgets_nothing(tmp_path: Path) -> None:
    """What is not there yet stays remembered."""
    with Client(config(tmp_path)) as client:
        for number in range(100):
            client.add(torrent_file(number, pieces=1))
    client = Client(config(tmp_path))
    done = threading.Event()

    def restore() -> None:
        with suppress(Closed):
            client.restore()
        done.set()

    threading.Thread(target=restore).start()
    until(lambda: client.torrents)
    assert client.close()
    assert done.wait(10)
    assert not client.torrents
    assert len(SessionStore(tmp_path / "state").torrents()) == 100


KILLED = """
import sys
from pathlib import Path
from engine.test_core_io_many import config, torrent_file
from anabranch import Client
client = Client(config(Path(sys.argv[1])))
print(len(client.restore()), flush=True)
for number in range(10_000):
    client.add(torrent_file(number, pieces=2))
    if number == 300:
        print("many", flush=True)
"""


def test_a_kill_among_many_adds_leaves_whole_torrents_and_no_locks(tmp_path: Path) -> None:
    """And few descriptors are needed: a limit of 256 is enough."""
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parent.parent))
    counts = []
    for _ in range(2):
        command = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", sys.executable, "-c", KILLED, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as killed:
            assert killed.stdout is not None
            counts.append(int(killed.stdout.readline()))
            assert killed.stdout.readline() == "many\n"
            killed.kill()
    with Client(config(tmp_path)) as client:
        restored = client.restore()
        assert len(restored) >= counts[1]
        assert len({torrent.metainfo.raw for torrent in restored}) == len(restored)
        until(lambda: all_live(client))


def resident() -> int:
    """KiB of memory that is the process's own."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))


@pytest.mark.deep
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_ten_thousand_torrents(tmp_path: Path) -> None:
    """Prints what they cost; only what does not depend on the machine's pace can fail."""
    with Client(config(tmp_path)) as client:
        for number in range(CROWD):
            client.add(torrent_file(number))
        until(lambda: all_live(client), 120)
    gc.collect()
    told: dict[str, float] = {}
    client = Client(config(tmp_path))
    before, began, cpu = resident(), time.monotonic(), time.process_time()
    restored = client.restore()
    told["restored per second"] = round(CROWD / (time.monotonic() - began))
    until(lambda: all_live(client), 120)
    told["live per CPU second"] = round(CROWD / (time.process_time() - cpu))
    told["KiB each"] = round((resident() - before) / CROWD, 1)
    cpu = time.process_time()
    client.stats_all()
    told["milliseconds for all stats"] = round((time.process_time() - cpu) * 1000, 1)
    told["slow turns"] = client._core.turn.slow
    assert len(restored) == CROWD
    assert isinstance(restored[-1]._state.stage, Live)
    assert client.close(60)
    print(json.dumps(told))
