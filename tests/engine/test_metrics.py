"""What is counted inside: the catalogue, how it is told, and that nobody pays for it when it is off."""

from __future__ import annotations

import linecache
import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from anabranch.engine import metrics as module
from anabranch.engine.metrics import (
    ASKED,
    BLOCKS,
    CATALOGUE,
    DIALS,
    EXTENDED_READ,
    EXTENDED_WRITTEN,
    HASHED,
    JOINED,
    LEFT,
    OFFERED,
    PREFIX,
    READ,
    REDUNDANT,
    REFUSED,
    WRITTEN,
    Counter,
    Metrics,
    metrics_mapping,
    metrics_text,
)
from anabranch.engine.receiving import take
from anabranch.wire import BlocksLanded, Connection
from benchmarks.micro.counting import bytecodes_of
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, connect, run, settle
from engine.samples import sample

CONTENT = sample(pieces=6, blocks=4)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def transfer(*, debug: bool) -> tuple[Node, Node]:
    """Six pieces of four blocks go from one engine to another."""
    clock = Clock()
    one, two = Node(clock, 1, debug=debug), Node(clock, 2, debug=debug)
    for node in (one, two):
        node.engine.metrics = Metrics() if debug else None
    seeded, wanted = one.seed(CONTENT), two.add(CONTENT)
    settle(one, two)
    connect(one, seeded, two, wanted)
    run(clock, (one, two), 12)
    assert wanted.pieces.is_seed
    return one, two


def counted(node: Node, counter: Counter, word: str = "") -> int:
    """How often something was counted."""
    assert node.engine.metrics is not None
    return {(found, its): count for found, its, count in node.engine.metrics.series()}.get((counter, word), 0)


def test_the_document_has_every_counter_with_its_label_and_its_text() -> None:
    """docs/metrics.md is what people read."""
    told = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? *\| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert told == [(counter.name, counter.label, counter.text) for counter in CATALOGUE]


def test_names_are_as_prometheus_wants_them_and_given_once() -> None:
    """What only grows ends in _total."""
    names = [counter.name for counter in CATALOGUE]
    assert len(set(names)) == len(names) > 40
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*_total", name) for name in names)
    assert all(re.fullmatch(r"[a-z]*", counter.label) for counter in CATALOGUE)


def test_labels_are_worded_only_when_somebody_asks() -> None:
    """The fork built some of its labels also where nobody counted."""
    words: list[object] = []

    def word(label: object) -> str:
        words.append(label)
        return f"<{label}>"

    counter = Counter("x_total", "X.", "label", word)
    metrics = Metrics()
    for label in (1, 2, 1):
        metrics.add(counter, label)
    assert words == []
    assert metrics_mapping(metrics)["dials_failed_total"] == 0


def test_what_was_counted_is_a_mapping() -> None:
    """Values of one word are one; what has no label is there from the beginning."""
    metrics = Metrics()
    metrics.add(DIALS, True)
    metrics.add(DIALS, False, 2)
    metrics.add(READ, 99)
    metrics.add(READ, 98)
    told = metrics_mapping(metrics)
    assert told['dials_total{network="tcp4"}'] == 2
    assert told['dials_total{network="tcp6"}'] == 1
    assert told['messages_read_total{type="unknown"}'] == 2
    assert told["peers_left_total"] == 0
    assert not any(name.startswith("messages_written_total") for name in told)


def test_the_text_is_prometheus_format() -> None:
    """Version 0.0.4: HELP and TYPE before the samples of each name; labels in quotes, escaped."""
    metrics = Metrics()
    metrics.add(REFUSED, 'a "b"\\c\nd')
    text = metrics_text(metrics)
    assert text.endswith("\n")
    kinds = ("# HELP ", "# TYPE ", PREFIX)
    assert all(line.startswith(kinds) for line in text.splitlines())
    at = text.index(f"# HELP {PREFIX}requests_refused_total ")
    lines = text[at:].splitlines()
    assert lines[1] == f"# TYPE {PREFIX}requests_refused_total counter"
    assert lines[2] == f'{PREFIX}requests_refused_total{{reason="a \\"b\\"\\\\c\\nd"}} 1'
    assert text.count("# TYPE ") == text.count("# HELP ") == len(CATALOGUE)


def test_off_there_is_nothing_to_tell() -> None:
    assert metrics_mapping(None) == {}
    assert metrics_text(None) == ""


def test_a_transfer_is_counted_once_on_each_side() -> None:
    """Blocks, pieces, peers and messages: what one wrote the other read."""
    one, two = transfer(debug=True)
    assert counted(two, BLOCKS) == counted(one, WRITTEN, "piece") == counted(two, READ, "piece") == 24
    assert counted(two, REDUNDANT) == 0
    assert counted(two, HASHED, "right") == 6
    assert counted(two, WRITTEN, "request") == counted(one, READ, "request") == counted(one, ASKED, "16384") == 24
    for name in ("unchoke", "interested", "not_interested", "have", "have_all", "have_none", "bitfield", "extended"):
        assert counted(one, WRITTEN, name) == counted(two, READ, name), name
        assert counted(two, WRITTEN, name) == counted(one, READ, name), name
    assert counted(one, EXTENDED_WRITTEN, "handshake") == counted(two, EXTENDED_READ, "handshake") >= 1
    assert counted(two, EXTENDED_WRITTEN, "handshake") == counted(one, EXTENDED_READ, "handshake") >= 1
    for node in (one, two):
        assert counted(node, JOINED, "incoming") + counted(node, JOINED, "outgoing") == 1
        assert counted(node, LEFT) <= 1


def test_a_peer_that_makes_up_names_and_lengths_makes_no_new_counters() -> None:
    """However many it thinks of."""
    metrics = Metrics()
    for number in range(1000):
        metrics.extension_offered(f"x{number}")
        metrics.blocks_asked(number, 1)
        metrics.message_read(number % 256)
    told = [(counter, word) for counter, word, _ in metrics.series()]
    assert sum(counter is OFFERED for counter, _ in told) == 1
    assert sum(counter is ASKED for counter, _ in told) <= 11
    assert sum(counter is READ for counter, _ in told) <= 21


def test_threads_that_count_at_a_time_lose_nothing() -> None:
    """The lock is handed in."""
    metrics = Metrics(threading.Lock())

    def leave_often() -> None:
        for _ in range(2000):
            metrics.add(LEFT)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=leave_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert metrics_mapping(metrics)["peers_left_total"] == 8000


@pytest.mark.parametrize("debug", [False, True])
def test_off_nothing_of_it_is_called(debug: bool) -> None:
    """W20: from the handshake to the last piece, but for making the plain conversation of each peer."""
    called: list[str] = []

    def see(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename in (module.__file__, counted_file):
            called.append(frame.f_code.co_name)

    counted_file = str(Path(sys.modules["anabranch.wire.counted"].__file__ or ""))
    sys.setprofile(see)
    try:
        one, _ = transfer(debug=debug)
    finally:
        sys.setprofile(None)
    if debug:
        assert len(called) > 100
    else:
        assert called == ["converse", "converse"]
        assert one.engine.metrics is None


def test_off_a_peer_has_the_plain_conversation() -> None:
    """W20: not one that asks each time."""
    node = Node(Clock())
    torrent = node.add(CONTENT)
    node.settle()
    assert type(Remote(node, torrent, CONTENT).peer.talk) is Connection


def test_off_to_look_costs_less_than_a_hundredth_of_the_blocks() -> None:
    """W20: how often the switch is looked at while a run of 64 blocks lands, and what that is beside the run."""
    node = Node(Clock())
    content = sample(pieces=2, blocks=128)
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, rate=0.001)
    node.settle()
    engine, peer = node.engine, remote.peer
    token = torrent.holding.buffers[0, 0]

    def land(first: int) -> None:
        with engine.turn:
            take(engine, peer, [BlocksLanded(0, first * 16384, 64 * 16384, token)], engine.clock())

    looks: list[str] = []

    def see(frame: FrameType, event: str, _: object) -> Any:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and "engine.metrics" in line:
            looks.append(line)
        return see

    work = bytecodes_of(lambda: land(0))
    sys.settrace(see)
    try:
        land(64)
    finally:
        sys.settrace(None)
    a_look = bytecodes_of(lambda: (metrics := engine.metrics) is not None and metrics)
    assert looks
    assert len(looks) * a_look < 0.01 * work
