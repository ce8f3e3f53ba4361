"""Smart ban: the guilty are found, the innocent never accused."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.banning import Evidence, only_sender, senders_of
from anabranch.picker import Run

BLOCKS = 6
GOOD = [bytes([block]) for block in range(BLOCKS)]


def digests(bad: Sequence[int], attempt: int = 0) -> list[bytes]:
    return [b"bad %d" % attempt if block in bad else GOOD[block] for block in range(BLOCKS)]


def shares(senders: Sequence[str]) -> list[tuple[Run, str]]:
    return [(Run(block, 1), host) for block, host in enumerate(senders) if host]


def test_a_single_sender_of_a_wrong_piece_is_guilty_at_once() -> None:
    """There is nobody else."""
    assert Evidence().failed(0, [(Run(0, BLOCKS), "a")], digests([1])) == {"a"}


def test_a_single_sender_of_a_part_is_not_guilty_of_what_was_on_disk() -> None:
    """The blocks that an earlier run left may be the bad ones."""
    evidence = Evidence()
    assert evidence.failed(0, [(Run(0, 3), "a")], digests([5])) == set()
    assert evidence.passed(0, GOOD) == set()


@given(
    st.lists(
        st.lists(st.sampled_from(["good 1", "good 2", "bad 1", "bad 2", ""]), min_size=BLOCKS, max_size=BLOCKS),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_the_innocent_are_never_accused_and_the_guilty_are_when_the_piece_passes(
    rounds: list[list[str]], data: st.DataObject
) -> None:
    """Over random assignments of blocks to hosts; "" are blocks from the disk. W: good and bad share every piece."""
    evidence = Evidence()
    accused: set[str] = set()
    lied: set[str] = set()
    for attempt, senders in enumerate(rounds):
        bad = [
            block
            for block, host in enumerate(senders)
            if (host.startswith("bad") or not host) and data.draw(st.booleans(), label="spoilt")
        ]
        if not bad:
            continue
        accused |= evidence.failed(0, shares(senders), digests(bad, attempt))
        lied |= {senders[block] for block in bad if senders[block]}
    assert not {host for host in accused if host.startswith("good")}
    accused |= evidence.passed(0, GOOD)
    assert accused == lied
    assert 0 not in evidence


def test_a_piece_that_came_from_elsewhere_accuses_nobody() -> None:
    """A check of the disk found it right: what peers sent is not known to be what is there."""
    evidence = Evidence()
    evidence.failed(3, shares(["a", "b", "a", "b", "a", "b"]), digests([0]))
    assert 3 in evidence
    evidence.forget(3)
    assert 3 not in evidence
    assert evidence.passed(3, GOOD) == set()


def test_who_sent_which_blocks_is_known() -> None:
    """Of some blocks, or of all; what was on disk has no sender."""
    sent = shares(["a", "b", "", "a", "b", "b"])
    assert senders_of({0, 3}, sent) == {"a"}
    assert senders_of({1, 2, 3}, sent) == {"a", "b"}
    assert senders_of({2}, sent) == set()
    assert only_sender(sent, BLOCKS) == set()
    assert only_sender([(Run(0, BLOCKS), "a")], BLOCKS) == {"a"}
    assert only_sender([(Run(1, BLOCKS - 1), "a")], BLOCKS) == set()


def test_evidence_is_bounded() -> None:
    """A swarm of liars must not fill the memory: the oldest piece and the oldest rounds are forgotten."""
    evidence = Evidence()
    for piece in range(300):
        for attempt in range(12):
            evidence.failed(piece, shares(["a", "b"] * 3), digests([0], attempt))
    assert len(evidence._of_piece) == 256
    assert max(len(rounds) for rounds in evidence._of_piece.values()) == 8
    assert 0 not in evidence
    assert 299 in evidence
