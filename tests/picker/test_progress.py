"""A begun piece against a model that keeps a set of askers for each block."""

from __future__ import annotations

from itertools import pairwise

from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from anabranch.picker import PieceProgress, Run, runs_in

BLOCKS = 9


@given(st.lists(st.booleans(), max_size=40))
def test_the_runs_of_a_set_are_its_neighbours(bits: list[bool]) -> None:
    """Together they are the set, and no two of them touch."""
    runs = list(runs_in(bitarray(bits)))
    assert [block for run in runs for block in range(run.first, run.first + run.blocks)] == [
        block for block, here in enumerate(bits) if here
    ]
    assert all(one.first + one.blocks < other.first for one, other in pairwise(runs))


class AgainstTheModel(RuleBasedStateMachine):
    """Blocks are asked, copied, given back, gained and lost as the engine does it."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = PieceProgress(3, BLOCKS, 0.0)
        self.askers: list[set[int]] = [set() for _ in range(BLOCKS)]
        self.sender: dict[int, str | None] = {}
        self.peers = 0

    @rule(limit=st.integers(1, BLOCKS), align=st.integers(1, BLOCKS))
    def ask_for_free_blocks(self, limit: int, align: int) -> None:
        run = self.progress.free_run(limit, align)
        free = [block for block in range(BLOCKS) if not self.askers[block] and block not in self.sender]
        if run is None:
            assert not free
            return
        blocks = range(run.first, run.first + run.blocks)
        assert run.first == free[0]
        assert set(blocks) <= set(free)
        assert 0 < run.blocks <= limit
        assert len({block // align for block in blocks}) == 1
        rest = run.first + run.blocks
        assert run.blocks == limit or rest not in free or rest % align == 0
        self.progress.ask(run)
        self.peers += 1
        for block in blocks:
            self.askers[block].add(self.peers)

    @rule(limit=st.integers(1, BLOCKS), most=st.integers(2, 3))
    def ask_for_copies(self, limit: int, most: int) -> None:
        blocks = self.progress.ask_again(limit, most)
        possible = [block for block in range(BLOCKS) if 0 < len(self.askers[block]) < most and block not in self.sender]
        assert set(blocks) <= set(possible)
        assert len(blocks) == min(limit, len(possible))
        copies = [len(self.askers[block]) for block in blocks]
        assert copies == sorted(copies)
        assert not copies or copies[-1] <= min(
            (len(self.askers[block]) for block in possible if block not in blocks), default=most
        )
        self.peers += 1
        for block in blocks:
            self.progress.copy(block)
            self.askers[block].add(self.peers)

    @precondition(lambda self: any(self.askers))
    @rule(draw=st.randoms(use_true_random=False))
    def give_back(self, draw: st.DrawFn) -> None:
        peer = draw.choice(sorted(set().union(*self.askers)))  # type: ignore[attr-defined]  # a Random, says hypothesis
        theirs = bitarray([peer in self.askers[block] for block in range(BLOCKS)])
        for run in runs_in(theirs):
            self.progress.give_back(run)
        for askers in self.askers:
            askers.discard(peer)

    @rule(first=st.integers(0, BLOCKS - 1), blocks=st.integers(1, BLOCKS), sender=st.sampled_from("abc"))
    def gain(self, first: int, blocks: int, sender: str) -> None:
        run = Run(first, min(blocks, BLOCKS - first))
        fresh = self.progress.gain(run, sender, 1.0)
        new = [block for block in range(run.first, run.first + run.blocks) if block not in self.sender]
        assert [block for part in fresh for block in range(part.first, part.first + part.blocks)] == new
        for block in range(run.first, run.first + run.blocks):  # whoever else was asked is told to keep it
            self.progress.copies.pop(block, None)
            self.askers[block].clear()
            self.sender.setdefault(block, sender)

    @rule(lost=st.sets(st.integers(0, BLOCKS - 1)))
    def lose(self, lost: set[int]) -> None:
        lost &= set(self.sender)
        self.progress.lose(bitarray([block in lost for block in range(BLOCKS)], endian="big"))
        for block in lost:
            del self.sender[block]

    @rule(found=st.sets(st.integers(0, BLOCKS - 1)))
    def restore(self, found: set[int]) -> None:
        found -= {block for block in range(BLOCKS) if self.askers[block]}
        self.progress.restore(bitarray([block in found for block in range(BLOCKS)], endian="big"))
        for block in found:
            self.sender.setdefault(block, None)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        progress = self.progress
        free = [block for block in range(BLOCKS) if not self.askers[block] and block not in self.sender]
        assert set(progress.got.search(1)) == set(self.sender)
        assert progress.missing == BLOCKS - len(self.sender)
        assert progress.free_count == len(free)
        assert progress.has_free == bool(free)
        shares = {
            block: sender for run, sender in progress.shares() for block in range(run.first, run.first + run.blocks)
        }
        assert shares == {block: sender for block, sender in self.sender.items() if sender is not None}
        assert sum(run.blocks for run, _ in progress.shares()) == len(shares)
        for block in range(BLOCKS):
            if len(self.askers[block]) > 1:
                assert progress.copies[block] == len(self.askers[block])
            else:
                assert progress.copies.get(block, 1) == 1


AgainstTheModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstTheModel = AgainstTheModel.TestCase


def test_when_it_last_gained_is_when_a_block_came() -> None:
    """What has stalled is known by this."""
    progress = PieceProgress(0, 4, 5.0)
    assert progress.last_gain == 5.0
    progress.ask(Run(0, 4))
    progress.gain(Run(1, 1), "a", 7.0)
    assert progress.last_gain == 7.0


def test_shares_that_continue_each_other_are_one() -> None:
    """A piece from one sender has one share, however many runs it came in."""
    progress = PieceProgress(0, 6, 0.0)
    for first in (0, 2, 4):
        progress.gain(Run(first, 2), "a", 0.0)
    assert progress.shares() == [(Run(0, 6), "a")]
