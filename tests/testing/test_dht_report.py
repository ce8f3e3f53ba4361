"""What a simulated DHT is held against."""

from __future__ import annotations

import pytest

from anabranch.testing import DhtReport, LookUp, rule_of_thumb


def test_the_rule_of_thumb_grows_with_the_logarithm() -> None:
    """k + 5 * log2(n / k): five more questions for twice as many nodes, and no less than k."""
    assert rule_of_thumb(8) == rule_of_thumb(3) == 8
    assert rule_of_thumb(2048) == 48
    assert rule_of_thumb(4096) == 53


def test_a_report_tells_in_words_and_numbers() -> None:
    """Shares, averages and the measure of the rule."""
    looks = [LookUp(number != 0, 40 + number, 30, 2.0, 1.0, 0.25, 3) for number in range(4)]
    report = DhtReport(1948, 100, looks, looks, (8, 6), 2.5, 0.25, 0.01, 0.2, 0.0, 2048.0, 12345)
    assert report.found == 0.75
    assert report.asked == 41.5
    assert report.thumb == pytest.approx(41.5 / 48)
    told = str(report)
    for words in (
        "75.0% found",
        "1948 honest, 100 liars",
        "12,345",
        "by 6 at least",
        "0.86 x",
        "2.50 reflected",
        "2.0 KiB",
    ):
        assert words in told
