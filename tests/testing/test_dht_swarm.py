"""Whole DHTs in virtual time: what the node comes to among thousands, a fifth of whom lie, and all of whom go some day.

The same seed gives the same life, so a limit that holds once holds always, until a decision of the node changes.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import mean

import pytest

from anabranch.testing import LIAR_KINDS, DhtReport, SimulatedDht

MIB = 1024 * 1024
LIARS = 0.2
# Of those who can be in a table (10 % of the honest cannot be asked), liars are 22 %: no more of them get a place.
MOST_LYING = 0.25
# Of the look-ups, those that end with most of the nearest honest nodes.
LEAST_MET = 0.97


@lru_cache
def small() -> DhtReport:
    """A hundred and twenty nodes, with everything that befalls two thousand."""
    return SimulatedDht(120, liars=LIARS, seed=1).run(minutes=5, searches=50)


def holds(report: DhtReport) -> None:
    """The limits of a network of any size."""
    assert report.found >= 0.99
    assert mean(one.succeeded for one in report.finds) >= LEAST_MET
    assert report.thumb <= 1.0
    assert report.reflected <= 3.0
    assert report.lured <= 3.0
    assert report.dead <= 0.1
    assert report.lying <= MOST_LYING
    assert report.silent <= 0.1
    assert report.weight < MIB / 2


def test_a_small_network_with_liars_serves() -> None:
    """Peers are found, tables are clean, nobody is drowned."""
    holds(small())


def test_the_same_seed_gives_the_same_life() -> None:
    """Who finds a limit broken can look at it again."""
    first, again, other = (SimulatedDht(40, seed=seed).run(minutes=3, searches=5) for seed in (1, 1, 2))
    assert (first.searches, first.finds, first.carried) == (again.searches, again.finds, again.carried)
    assert first.carried != other.carried


def test_a_network_of_the_honest_finds_everything_with_few_questions() -> None:
    """Each search ends with the eight that are nearest, and costs less than two thirds of the rule of thumb."""
    report = SimulatedDht(100, liars=0, churn=0, natted=0, loss=0, seed=1).run(minutes=3, searches=20)
    assert (report.found, report.dead, report.lying, report.silent) == (1, 0, 0, 0)
    assert mean(one.near for one in [*report.searches, *report.finds]) > 0.99
    assert report.thumb < 0.66


@pytest.mark.parametrize("kind", LIAR_KINDS)
def test_no_kind_of_liar_hides_a_peer(kind: str) -> None:
    """A fifth of the network, all of one mind."""
    report = SimulatedDht(40, liars=LIARS, kinds=(kind,), seed=2).run(minutes=3, searches=8)
    assert report.found == 1
    assert report.reflected <= 3.0


def test_ipv6_is_a_network_like_the_other() -> None:
    """BEP 32."""
    report = SimulatedDht(40, liars=LIARS, seed=1, v6=True).run(minutes=3, searches=8)
    assert report.found == 1
    assert report.reflected <= 3.0


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_two_thousand_nodes_serve_though_a_fifth_lies_and_three_in_ten_leave_each_hour() -> None:
    """Ten percent of the honest are behind routers that let nobody in, one datagram in a hundred is lost."""
    report = SimulatedDht(2000, liars=LIARS, churn=0.3, seed=1).run(minutes=8, searches=300)
    print(report)
    holds(report)
