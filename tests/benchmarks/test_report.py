"""What a reader of results.md sees."""

from __future__ import annotations

from benchmarks.case import Target
from benchmarks.report import markdown
from benchmarks.results import Result, Rounds

TARGETS = (Target("MB/s", 2.5, "theirs"), Target("MB/s", 5, "theirs"), Target("MB/s", 2, "nobody"))
CONTENDERS = {
    "ours": Rounds([{"MB/s": 900.0}, {"MB/s": 1000.0}, {"MB/s": 1234.0}], other=[0.1, 0.2, 0.3]),
    "theirs": Rounds([{"MB/s": 250.0, "relay s": 1.0}], ["it | gave up\nsaid more"], [0.0]),
    "nobody": Rounds(absent="not installed"),
}
PAGE = markdown([Result("case", "A case", "2026-01-01T12:30+00:00", {"cpu": "fast"}, 0.5, CONTENDERS, TARGETS)])


def test_targets_say_by_how_much_they_were_met_or_missed() -> None:
    """In one table before all else."""
    assert "## Targets: 1 of 3 met" in PAGE
    assert "| case | ours | MB/s | at least 2.5 x | theirs | met: 4.00 x |" in PAGE
    assert "| case | ours | MB/s | at least 5 x | theirs | **missed by 20%: 4.00 x** |" in PAGE
    assert "| case | ours | MB/s | at least 2 x | nobody | **not measured** |" in PAGE


def test_every_value_has_its_median_its_spread_and_how_many_times_a_rivals_ours_is() -> None:
    """What only one has stands alone."""
    assert "|  | ours | theirs |" in PAGE
    assert "| MB/s | 1,000 (900 to 1,234) | 250, 4.00 x |" in PAGE
    assert "| relay s |  | 1.00 |" in PAGE
    assert "| CPU-s used by others | 0.2 | 0 |" in PAGE


def test_who_was_absent_and_who_failed_is_told() -> None:
    """By the first line of the reason; results.json has all of it."""
    assert "nobody: not here: not installed" in PAGE
    assert "theirs: failed: it \\| gave up\n" in PAGE
    assert "said more" not in PAGE


def test_a_case_has_its_date_and_tells_that_it_was_scaled() -> None:
    """Cases are run one by one, on several days."""
    assert "## case: A case, scaled to 0.5\n\n2026-01-01 12:30 UTC, 3 rounds" in PAGE
    assert "- cpu fast" in PAGE
