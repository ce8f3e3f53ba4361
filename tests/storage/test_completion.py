"""Completion stores: the rows, and the one in memory."""

from __future__ import annotations

from anabranch.storage.completion import PAGE, PAGE_SIZE, CompletionStore, MemoryCompletion, by_page, page_bits


def test_memory_remembers_what_it_is_told_last() -> None:
    store: CompletionStore = MemoryCompletion()
    store.record([0, 1, 2], [3])
    store.record([3], [0])
    store.forget([1, 4])
    known, complete = store.load(5)
    assert known.to01() == "10110"
    assert complete.to01() == "00110"
    assert store.load(1)[0].to01() == "1"


def test_pieces_are_sorted_into_rows() -> None:
    assert by_page([0, PAGE - 1, PAGE, 3 * PAGE + 5]) == {0: [0, PAGE - 1], 1: [0], 3: [5]}


def test_a_row_of_the_wrong_size_counts_as_nothing_known() -> None:
    """A row that was cut is no reason to believe its rest."""
    full = b"\xff" * PAGE_SIZE
    assert page_bits(full).all()
    assert not page_bits(full[1:]).any()
    assert not page_bits(None).any()
