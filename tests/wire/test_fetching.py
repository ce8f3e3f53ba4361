"""The info dictionary from many peers, of whom any but one may lie: a swarm in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.wire.fetching import ANSWER_DUE, MAX_ASKED, MAX_ATTEMPTS, MAX_HELD, TURN, Doubt, MetadataFetch
from anabranch.wire.metadata import MAX_METADATA, METADATA_PIECE

INFO = b"".join(bytes([number]) * METADATA_PIECE for number in range(4)) + b"end"  # five pieces
PIECES = 5
WRONG = b"\xff" * METADATA_PIECE


class Prompt(MetadataFetch):
    """One whose owner judges at once."""

    def data(self, peer: Hashable, piece: int, total_size: int, payload: bytes, now: float) -> None:
        super().data(peer, piece, total_size, payload, now)
        for doubt in self.doubts():
            self.judged(doubt, doubt.judge(), now)


def fetching(info: bytes = INFO) -> MetadataFetch:
    return Prompt(lambda whole: whole == info)


def part(piece: int, info: bytes = INFO) -> bytes:
    return info[piece * METADATA_PIECE : (piece + 1) * METADATA_PIECE]


def wrong(piece: int, size: int) -> bytes:
    return WRONG[: min(METADATA_PIECE, size - piece * METADATA_PIECE)]


def give(fetch: MetadataFetch, peer: str, piece: int, payload: bytes | None = None, now: float = 0.0) -> None:
    fetch.data(peer, piece, len(INFO), part(piece) if payload is None else payload, now)


@dataclass
class Remote:
    """A peer of the swarm: what it claims, and what it does when it is asked.

    Args:
        size: What it says how long the metadata is.
        kind: "right", "wrong" (all pieces), "spoiler" (one piece), "contradicts" (itself), "rejects", "silent".
        delay: Seconds from question to answer.
        stays: So many answers it gives; then it leaves, and comes back as somebody else.
    """

    size: int
    kind: str
    delay: float
    stays: int = 1 << 30

    def answer(self, fetch: MetadataFetch, name: str, piece: int, now: float) -> None:
        match self.kind:
            case "right":
                fetch.data(name, piece, len(INFO), part(piece), now)
            case "spoiler" if piece != PIECES - 1 and self.size == len(INFO):
                fetch.data(name, piece, len(INFO), part(piece), now)
            case "contradicts":
                fetch.data(name, piece, self.size + 1, wrong(piece, self.size), now)
            case "rejects":
                fetch.rejected(name, piece, now)
            case "wrong" | "spoiler":
                fetch.data(name, piece, self.size, wrong(piece, self.size), now)


@dataclass
class Swarm:
    """Peers and a fetch, and the time. It looks at the fetch's promises after every step."""

    fetch: MetadataFetch = field(default_factory=fetching)
    now: float = 0.0
    there: dict[str, Remote] = field(default_factory=dict)
    honest: set[str] = field(default_factory=set)
    open: dict[str, set[int]] = field(default_factory=dict)
    agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    def join(self, remote: Remote) -> None:
        name = f"{remote.kind} {next(self.numbers)}"
        self.there[name] = remote
        if remote.kind in ("right", "silent", "rejects"):
            self.honest.add(name)
        self.fetch.offer(name, remote.size, self.now)

    def answer(self, name: str, piece: int) -> None:
        remote = self.there.get(name)
        if remote is None:
            return
        if remote.stays == 0:
            del self.there[name]
            self.fetch.left(name)
            self.join(Remote(remote.size, remote.kind, remote.delay, 3))
            return
        remote.stays -= 1
        remote.answer(self.fetch, name, piece, self.now)

    def run(self, until: float) -> None:
        """Let the swarm live until the metadata is there."""
        while self.fetch.result is None and self.now < until:
            for name, piece in self.fetch.requests(self.now):
                assert isinstance(name, str)
                assert name in self.there
                assert name not in self.fetch.convicted
                assert 0 <= piece * METADATA_PIECE < self.there[name].size
                due = self.now + self.there[name].delay
                heapq.heappush(self.agenda, (due, next(self.numbers), lambda n=name, p=piece: self.answer(n, p)))  # type: ignore[misc]  # lambda defaults have no types
            soonest = min(self.fetch.deadline(), self.agenda[0][0] if self.agenda else until)
            assert soonest > self.now or self.agenda[0][0] <= self.now, "a deadline that has passed spins"
            self.now = max(self.now, min(soonest, until))
            self.fetch.tick(self.now)
            while self.agenda and self.agenda[0][0] <= self.now:
                heapq.heappop(self.agenda)[2]()
            assert self.fetch.held <= MAX_HELD
            assert self.honest.isdisjoint(self.fetch.convicted)


SIZES = st.sampled_from(
    [len(INFO)] * 6 + [1, len(INFO) - 1, len(INFO) + METADATA_PIECE, MAX_METADATA, MAX_METADATA - 1]
)
LIARS = st.builds(
    Remote,
    SIZES,
    st.sampled_from(["wrong", "spoiler", "contradicts", "rejects", "silent"]),
    st.sampled_from([0.01, 0.2, 4.9, 7.0]),
    st.sampled_from([1, 3, 1 << 30]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LIARS, max_size=14), st.sampled_from([0.05, 1.0, 4.0]), st.integers(0, 14))
def test_one_honest_peer_is_enough_among_any_liars(liars: list[Remote], delay: float, place: int) -> None:
    """Whatever they claim, send, or keep back; memory is bounded, and nobody honest is ever convicted."""
    swarm = Swarm()
    for remote in [*liars[:place], Remote(len(INFO), "right", delay), *liars[place:]]:
        swarm.join(remote)
    swarm.run(until=3600.0)
    assert swarm.fetch.result == INFO
    assert swarm.honest.isdisjoint(swarm.fetch.convicted)
    assert swarm.fetch.held == 0


def test_a_hundred_liars_cost_minutes() -> None:
    """They invent sizes, and dribble so that no attempt of theirs ever fails."""
    swarm = Swarm()
    for number in range(100):
        swarm.join(Remote(MAX_METADATA - number // 2, "wrong", 4.5))
    swarm.join(Remote(len(INFO), "right", 0.5))
    swarm.run(until=3600.0)
    assert swarm.fetch.result == INFO
    assert swarm.now < 20 * 60


def test_peers_that_agree_share_the_work() -> None:
    """Each piece is asked of one of them, three at a time."""
    fetch = fetching()
    for name in ("a", "b", "c"):
        fetch.offer(name, len(INFO), 0.0)
    assert fetch.requests(0.0) == [("a", 0), ("a", 1), ("a", 2), ("b", 3), ("b", 4)]
    assert fetch.requests(0.0) == []
    assert MAX_ASKED == 3
    for peer, piece in (("b", 4), ("a", 0), ("a", 1), ("b", 3)):
        give(fetch, peer, piece)
    assert (fetch.result, fetch.held) == (None, 3 * METADATA_PIECE + 3)
    give(fetch, "a", 2)
    assert (fetch.result, fetch.held, fetch.convicted) == (INFO, 0, set())


def test_sizes_that_cannot_be_true_are_not_asked_for() -> None:
    """Peers in the wild say 2 GB."""
    fetch = fetching()
    for number, size in enumerate((0, -1, MAX_METADATA + 1, 2**31)):
        fetch.offer(number, size, 0.0)
    assert fetch.requests(0.0) == []
    assert fetch.deadline() == float("inf")
    assert fetch.convicted == set()


def test_another_is_asked_when_an_answer_is_overdue_and_both_may_answer() -> None:
    """Five seconds; the late one rests, its answer is taken all the same, and the second is no waste."""
    info = b"short"
    fetch = fetching(info)
    fetch.offer("late", 5, 0.0)
    fetch.offer("second", 5, 0.0)
    assert fetch.requests(0.0) == [("late", 0)]
    assert fetch.deadline() == ANSWER_DUE
    assert fetch.requests(ANSWER_DUE - 0.1) == []
    assert fetch.requests(ANSWER_DUE) == [("second", 0)]
    fetch.data("late", 0, 5, info, 6.0)
    assert fetch.result == info
    fetch.data("second", 0, 5, info, 6.0)
    assert (fetch.convicted, fetch.wasted) == (set(), {})


def test_a_peer_that_rejects_or_is_silent_is_asked_ever_more_rarely() -> None:
    """5, 10, 20 seconds ... and a minute at most; an answer makes good for all."""
    fetch = fetching(b"x" * 2 * METADATA_PIECE)
    fetch.offer("one", 2 * METADATA_PIECE, 0.0)
    now, asked = 0.0, [0.0]
    fetch.requests(now)
    fetch.rejected("one", 0, now)
    fetch.rejected("one", 1, now)
    while len(asked) < 6:
        now = fetch.deadline()
        if fetch.requests(now):
            asked.append(now)
    # It was rejected twice, then four times nothing came for five seconds.
    assert [later - before for before, later in pairwise(asked)] == [10, 25, 45, 65, 65]
    fetch.data("one", 0, 2 * METADATA_PIECE, b"x" * METADATA_PIECE, now)
    assert fetch.deadline() == now + ANSWER_DUE
    assert fetch.requests(now + ANSWER_DUE) == []
    assert fetch.deadline() == now + 2 * ANSWER_DUE


def test_who_gave_all_of_a_wrong_whole_is_convicted_and_the_others_go_on() -> None:
    """Nothing of it is kept."""
    fetch = fetching()
    fetch.offer("liar", len(INFO), 0.0)
    for name, piece in [*fetch.requests(0.0)]:
        give(fetch, str(name), piece, wrong(piece, len(INFO)))
    for _, piece in fetch.requests(0.0):
        give(fetch, "liar", piece)
    assert (fetch.convicted, fetch.held) == ({"liar"}, 0)
    fetch.offer("liar", len(INFO), 1.0)
    assert fetch.requests(1.0) == []
    fetch.offer("good", len(INFO), 1.0)
    while fetch.result is None:
        for name, piece in fetch.requests(1.0):
            give(fetch, str(name), piece)
    assert fetch.convicted == {"liar"}


def test_when_several_gave_a_wrong_whole_each_is_tried_alone_and_the_liar_is_found() -> None:
    """What it gave is remembered until the right bytes are known."""
    fetch = fetching()
    for name in ("liar", "good"):
        fetch.offer(name, len(INFO), 0.0)
    for peer, piece in fetch.requests(0.0):
        give(fetch, str(peer), piece, b"\xff" * METADATA_PIECE if (peer, piece) == ("liar", 1) else None)
    assert (fetch.result, fetch.convicted, fetch.held) == (None, set(), 0)
    alone = fetch.requests(0.0)
    assert [piece for peer, piece in alone if peer == "good"] == [0, 1, 2]
    fetch.left("liar")
    for peer, piece in alone:
        if peer == "good":
            give(fetch, "good", piece)
    for _, piece in fetch.requests(0.0):
        give(fetch, "good", piece)
    assert (fetch.result, fetch.convicted) == (INFO, {"liar"})


def test_who_sent_anything_of_another_size_is_convicted_at_the_end() -> None:
    """Who only claimed it is not: some are confused."""
    fetch = fetching()
    fetch.offer("sender", len(INFO) + 1, 0.0)
    fetch.offer("claimant", len(INFO) + 2, 0.0)
    fetch.offer("good", len(INFO), 0.0)
    fetch.requests(0.0)
    fetch.data("sender", 0, len(INFO) + 1, part(0), 0.0)
    for piece in range(3):
        give(fetch, "good", piece)
    for name, piece in fetch.requests(0.0):
        if name == "good":
            give(fetch, "good", piece)
    assert (fetch.result, fetch.convicted) == (INFO, {"sender"})


@pytest.mark.parametrize("total", [len(INFO) + 1, 1])
def test_who_says_two_sizes_is_convicted(total: int) -> None:
    """In a piece; in another offer; and by a piece that is too short. What it gave before is thrown away."""
    fetch = fetching()
    fetch.offer("piece", len(INFO), 0.0)
    assert [piece for _, piece in fetch.requests(0.0)] == [0, 1, 2]
    fetch.offer("offer", len(INFO), 0.0)
    assert [piece for _, piece in fetch.requests(0.0)] == [3, 4]
    give(fetch, "piece", 0)
    give(fetch, "offer", 3)
    assert fetch.held == 2 * METADATA_PIECE
    fetch.data("piece", 1, total, part(1), 0.0)
    assert (fetch.convicted, fetch.held) == ({"piece"}, METADATA_PIECE)
    fetch.offer("offer", total, 0.0)
    assert (fetch.convicted, fetch.held) == ({"piece", "offer"}, 0)
    fetch.offer("length", len(INFO), 0.0)
    (asked, *_) = fetch.requests(0.0)
    fetch.data("length", asked[1], len(INFO), b"short", 0.0)
    assert "length" in fetch.convicted


def test_what_nobody_asked_for_is_counted_as_waste() -> None:
    """Whoever sends it; until that peer has left."""
    fetch = fetching()
    fetch.offer("flooder", len(INFO), 0.0)
    fetch.data("stranger", 0, 5, b"12345", 0.0)
    fetch.rejected("stranger", 0, 0.0)
    fetch.requests(0.0)
    give(fetch, "flooder", 0)
    give(fetch, "flooder", 0)
    give(fetch, "flooder", 4)
    assert fetch.wasted == {"stranger": 6, "flooder": METADATA_PIECE + 3}
    assert fetch.convicted == set()
    fetch.left("stranger")
    fetch.left("flooder")
    assert fetch.wasted == {}


def test_what_a_peer_gave_stays_when_it_leaves() -> None:
    """Another of the same mind completes it; its own open questions go to that one."""
    fetch = fetching()
    fetch.offer("first", len(INFO), 0.0)
    assert fetch.requests(0.0) == [("first", 0), ("first", 1), ("first", 2)]
    give(fetch, "first", 1)
    fetch.left("first")
    fetch.offer("second", len(INFO), 1.0)
    asked = [piece for _, piece in fetch.requests(1.0)]
    for piece in asked:
        give(fetch, "second", piece)
    (rest,) = fetch.requests(1.0)
    assert sorted([*asked, rest[1]]) == [0, 2, 3, 4]
    give(fetch, "second", rest[1])
    assert fetch.result == INFO


def test_few_attempts_are_under_way_and_they_take_turns() -> None:
    """The size that most claim stays; the others give way, first come first served, and come again for longer."""
    fetch = fetching()
    for name in ("many 1", "many 2"):
        fetch.offer(name, len(INFO), 0.0)
    for number in range(MAX_ATTEMPTS):
        fetch.offer(number, 100 + number, 0.0)
    assert [name for name, _ in fetch.requests(0.0) if isinstance(name, int)] == list(range(MAX_ATTEMPTS - 1))
    last = MAX_ATTEMPTS - 1
    give(fetch, "many 1", 0)
    assert fetch.deadline() == ANSWER_DUE
    assert all(name != last for name, _ in fetch.requests(TURN - 0.1))
    assert (last, 0) in fetch.requests(TURN)
    fetch.data(0, 0, 100, bytes(100), TURN)
    assert fetch.convicted == set()  # its turn was over, and nothing was made of it
    assert all(name != 0 for name, _ in fetch.requests(2 * TURN - 0.1))
    assert (0, 0) in fetch.requests(2 * TURN)
    assert fetch.held == METADATA_PIECE  # what the many have got is kept


def given_whole(fetch: MetadataFetch, peer: str, payload: bytes, now: float = 0.0) -> Doubt:
    """A peer gives a whole of one piece; the doubt that comes of it."""
    fetch.offer(peer, len(payload), now)
    assert (peer, 0) in fetch.requests(now)
    fetch.data(peer, 0, len(payload), payload, now)
    (doubt,) = fetch.doubts()
    return doubt


def test_what_is_being_judged_is_asked_for_no_more_and_counts_as_held() -> None:
    """A whole of 16 MiB is hashed elsewhere. Who comes meanwhile waits for the verdict, and is asked after it."""
    fetch = MetadataFetch(lambda whole: whole == b"right")
    doubt = given_whole(fetch, "liar", b"wrong")
    assert (fetch.result, fetch.held, fetch.doubts()) == (None, 5, [])
    fetch.offer("other", 5, 1.0)
    assert fetch.requests(1.0) == []
    assert fetch.deadline() == float("inf")
    fetch.judged(doubt, doubt.judge(), 2.0)
    assert (fetch.held, fetch.convicted) == (0, {"liar"})
    assert fetch.requests(2.0) == [("other", 0)]
    fetch.data("other", 0, 5, b"right", 3.0)
    (doubt,) = fetch.doubts()
    fetch.left("other")
    fetch.judged(doubt, doubt.judge(), 4.0)
    assert (fetch.result, fetch.held) == (b"right", 0)


def test_a_verdict_on_who_has_left_or_when_all_is_over_changes_nothing() -> None:
    """It comes back as somebody else; and of two that were judged at once one was right."""
    fetch = MetadataFetch(lambda whole: whole == b"right")
    doubt = given_whole(fetch, "gone", b"wrong")
    fetch.left("gone")
    fetch.judged(doubt, doubt.judge(), 1.0)
    assert fetch.convicted == set()
    late, first = given_whole(fetch, "liar", b"of another size"), given_whole(fetch, "good", b"right")
    fetch.judged(first, first.judge(), 2.0)
    assert (fetch.result, fetch.held, fetch.convicted) == (b"right", 0, {"liar"})
    fetch.judged(late, late.judge(), 3.0)
    assert (fetch.result, fetch.convicted) == (b"right", {"liar"})


CALLS = st.tuples(
    st.sampled_from(["offer", "left", "data", "rejected", "requests", "judged", "tick"]),
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from([0, 1, METADATA_PIECE, METADATA_PIECE + 1, 3 * METADATA_PIECE]),
    st.floats(0, 20),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CALLS, max_size=80))
def test_any_calls_in_any_order_are_borne(calls: list[tuple[str, int, int, int, float]]) -> None:
    """Peers come, go and speak as they like."""
    right = bytes(METADATA_PIECE + 1)
    fetch = MetadataFetch(lambda whole: whole == right)
    open_doubts: list[Doubt] = []
    now = 0.0
    for call, peer, piece, size, pause in calls:
        now += pause
        match call:
            case "offer":
                fetch.offer(peer, size, now)
            case "left":
                fetch.left(peer)
            case "data":
                fetch.data(peer, piece, size, bytes(max(0, min(METADATA_PIECE, size - piece * METADATA_PIECE))), now)
            case "rejected":
                fetch.rejected(peer, piece, now)
            case "requests":
                fetch.requests(now)
                assert fetch.deadline() > now
            case "judged" if open_doubts:
                doubt = open_doubts.pop(piece % len(open_doubts))
                fetch.judged(doubt, doubt.judge(), now)
            case _:
                fetch.tick(now)
        open_doubts += fetch.doubts()
        assert fetch.result in (None, right)
        assert fetch.held <= MAX_HELD
