"""What a peer owes us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.wire.events import ExpectedRun
from anabranch.wire.expected import MAX_CANCELLED, Expected, Run
from anabranch.wire.messages import BLOCK_HEADER


def views(*lengths: int) -> list[memoryview]:
    return [memoryview(bytearray(length)) for length in lengths]


def expecting(*runs: Run) -> Expected:
    expected = Expected()
    for run in runs:
        expected.add(run)
    return expected


def test_a_run_is_of_one_length_but_for_the_last() -> None:
    """A shorter one within, a longer or an empty last one are refused."""
    run = Run(2, 8, views(8, 8, 3), "token")
    assert run.as_expected() == ExpectedRun(2, 8, 19, "token")
    assert run.headers == b"".join(BLOCK_HEADER.pack(9 + n, 7, 2, at) for at, n in ((8, 8), (16, 8), (24, 3)))
    for wrong in ((8, 3, 8), (8, 9), (8, 0), (0,)):
        with pytest.raises(ValueError, match="one length"):
            Run(0, 0, views(*wrong), None)


def test_a_block_from_the_middle_leaves_two_runs_in_their_order() -> None:
    """The rest is still expected where it stood."""
    first, second = Run(0, 0, views(8, 8, 8), "a"), Run(1, 0, views(8), "b")
    expected = expecting(first, second)
    assert expected.take(0, 8, 8) == (first.views[1], "a")
    assert expected.leftovers() == [ExpectedRun(0, 0, 8, "a"), ExpectedRun(0, 16, 8, "a"), ExpectedRun(1, 0, 8, "b")]
    assert expected.outstanding == 3
    assert expected.take(0, 8, 8) is None
    assert expected.take(0, 16, 8) == (first.views[2], "a")


@pytest.mark.parametrize("wrong", [(0, 0, 7), (0, 4, 8), (0, 24, 8), (1, 8, 8), (0, 0, 8)])
def test_only_what_was_asked_for_is_expected(wrong: tuple[int, int, int]) -> None:
    """Another length, a begin between blocks, outside the run, another piece."""
    assert expecting(Run(0, 8, views(8, 8), None)).take(*wrong) is None


def test_what_is_withdrawn_becomes_cancelled_block_by_block() -> None:
    """Every block with a byte in the stretch goes; whole blocks are told."""
    expected = expecting(Run(0, 0, views(8, 8, 8, 3), None))
    assert expected.withdraw(0, 15, 2) == [(8, 16, 8)]
    assert (expected.outstanding, expected.cancelled) == (2, 2)
    assert expected.withdraw(0, 0, 100) == [(0, 8, 8), (24, 3, 8)]
    assert expected.withdraw(0, 0, 100) == []
    assert (expected.outstanding, expected.cancelled) == (0, 4)
    assert [expected.answered(0, begin) for begin in (8, 8, 24)] == [True, False, True]
    assert expected.cancelled == 2


def test_a_block_cancelled_twice_may_come_twice() -> None:
    """It was asked for again in between."""
    expected = Expected()
    for _ in range(2):
        expected.add(Run(0, 0, views(8), None))
        expected.withdraw(0, 0, 8)
    assert expected.cancelled == 2
    assert [expected.answered(0, 0) for _ in range(3)] == [True, True, False]


def test_cancelled_blocks_are_not_remembered_without_end() -> None:
    """A peer that never answers them costs a bounded memory; the oldest are forgotten."""
    expected = expecting(Run(0, 0, views(*[1] * (MAX_CANCELLED + 5)), None))
    expected.withdraw(0, 0, MAX_CANCELLED + 5)
    assert expected.cancelled == MAX_CANCELLED
    assert not expected.answered(0, 4)
    assert expected.answered(0, 5)


@given(st.data())
def test_runs_are_the_same_as_a_list_of_blocks(data: st.DataObject) -> None:
    """The plain twin: blocks one by one, in order, with the same things done to them."""
    expected = Expected()
    plain: list[tuple[int, int, int, str]] = []
    for number in range(data.draw(st.integers(1, 4), label="runs")):
        count = data.draw(st.integers(1, 5))
        piece, begin, last = number % 2, number // 2 * 60, data.draw(st.integers(1, 8))
        expected.add(Run(piece, begin, views(*[8] * (count - 1), last if count > 1 else 8), str(number)))
        lengths = [8] * (count - 1) + [last if count > 1 else 8]
        plain += [(piece, begin + 8 * at, length, str(number)) for at, length in enumerate(lengths)]
    for what in data.draw(st.lists(st.sampled_from(["take", "arrive", "withdraw"]), max_size=8)):
        if not plain:
            break
        if what == "take":
            piece, begin, length, token = block = data.draw(st.sampled_from(plain))
            found = expected.take(piece, begin, length)
            assert found is not None
            assert (len(found[0]), found[1]) == (length, token)
            plain.remove(block)
        elif what == "arrive":
            head = expected.runs[0]
            count = data.draw(st.integers(1, head.end - head.at))
            expected.arrived(count)
            del plain[:count]
        else:
            piece, begin, length = data.draw(st.tuples(st.integers(0, 1), st.integers(0, 100), st.integers(1, 60)))
            gone = [b for b in plain if b[0] == piece and b[1] < begin + length and b[1] + b[2] > begin]
            told = expected.withdraw(piece, begin, length)
            assert sum(size for _, size, _ in told) == sum(b[2] for b in gone)
            plain = [b for b in plain if b not in gone]
    assert expected.outstanding == len(plain)
    left = [
        (run.piece, run.begin + at, min(8, run.length - at), run.token)
        for run in expected.leftovers()
        for at in range(0, run.length, 8)
    ]
    assert left == plain
    assert expected.latest(3) == expected.leftovers()[::-1][:3]
