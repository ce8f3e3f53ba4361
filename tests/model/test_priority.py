"""What things are worth."""

from __future__ import annotations

from anabranch.model import Priority


def test_priorities_are_ordered_by_urgency() -> None:
    """Nothing, wanted, preferred, soon read, waited for: max() of two is the one that counts."""
    assert list(Priority) == sorted(Priority)
    assert Priority.NONE < Priority.NORMAL < Priority.HIGH < Priority.READAHEAD < Priority.NEXT < Priority.NOW
    assert max(Priority.NORMAL, Priority.NOW) is Priority.NOW


def test_priorities_have_the_numbers_of_the_go_engine_and_only_none_is_false() -> None:
    """They are stored as numbers, and asked whether anything is wanted at all."""
    assert [int(priority) for priority in Priority] == [0, 1, 2, 3, 4, 5]
    assert [bool(priority) for priority in Priority] == [False, True, True, True, True, True]
