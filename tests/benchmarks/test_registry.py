"""Cases are found by name."""

from __future__ import annotations

import pytest

from benchmarks.registry import all_cases, chosen


def test_cases_are_chosen_by_globs() -> None:
    """All of them without any; one that matches nothing is a mistake."""
    cases = all_cases()
    assert chosen(cases, []) == cases
    assert [case.name for case in chosen(cases, ["transfer-v*", "swarm-1-*"])] == ["transfer-v2", "swarm-1-to-8"]
    with pytest.raises(ValueError, match="no case is called 'nothing'"):
        chosen(cases, ["nothing"])


def test_every_case_is_called_by_one_name_and_its_targets_by_contenders_that_it_has() -> None:
    """A target against nobody would never be met, and nobody would see why."""
    cases = all_cases(0.01)
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        names = [contender.name for contender in case.contenders]
        assert len(set(names)) == len(names), case.name
        assert {target.against for target in case.targets} | {target.of for target in case.targets} <= {"", *names}
