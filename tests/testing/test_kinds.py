"""Every kind of hostile peer, played against our side of the wire in virtual time."""

from __future__ import annotations

from functools import cache

import pytest

from anabranch.testing import KINDS
from anabranch.wire import BlocksLanded, Rejected, RequestRun, UnexpectedBlock
from testing.conversation import Played, play

_BREAKING = """
    garbage late-garbage wrong-hash self-id endless-key huge-length long-bitfield short-bitfield spare-bits
    have-beyond fast-beyond fast-unsaid request-beyond request-huge request-zero deep-handshake
    half-handshake slow-handshake silent-crowd
"""
BREAKS_THE_PROTOCOL = frozenset(_BREAKING.split())


@cache
def first_play(kind: str, dials: bool) -> Played:
    """How it goes."""
    return play(KINDS[kind].script, dials=dials)


both_ways = pytest.mark.parametrize("dials", [True, False], ids=["dials", "listens"])


@both_ways
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_comes_of_a_hostile_peer_but_events_and_its_own_fault(kind: str, dials: bool) -> None:
    """Whoever speaks so to our wire is understood or blamed; no other error comes up."""
    played = first_play(kind, dials)
    if kind in BREAKS_THE_PROTOCOL:
        assert played.fault is not None
    assert played.steps


@both_ways
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_bytes(kind: str, dials: bool) -> None:
    """What a test has seen once it can see again."""
    assert play(KINDS[kind].script, dials=dials).sent == first_play(kind, dials).sent


@pytest.mark.parametrize("kind", ["wrong-data", "mixed-data"])
def test_who_serves_is_asked_and_answers(kind: str) -> None:
    """A liar has to be believed first."""
    assert first_play(kind, True).heard(BlocksLanded)


def test_who_rejects_is_asked_and_rejects() -> None:
    """The requests come back."""
    assert first_play("reject-all", True).heard(Rejected)


@pytest.mark.parametrize("kind", ["flood-requests", "flood-cancels", "never-reads"])
def test_who_takes_is_unchoked_and_asks(kind: str) -> None:
    """Its requests are right ones."""
    assert first_play(kind, True).heard(RequestRun)


def test_blocks_that_nobody_asked_for_are_told_as_such() -> None:
    """They are in bounds."""
    assert first_play("unasked-blocks", True).heard(UnexpectedBlock)


def test_made_up_peers_are_nobodys() -> None:
    """A peer list leads a client to addresses for documentation (RFC 5737), never to somebody's machine."""
    sent = bytes(first_play("flood-peers", True).sent)
    added = sent.partition(b"5:added300:")[2][:300]
    assert len(added) == 300
    assert {added[at : at + 3] for at in range(0, 300, 6)} <= {b"\xc0\x00\x02", b"\xc6\x33\x64", b"\xcb\x00\x71"}


def test_every_kind_says_what_it_does_in_words_of_its_own() -> None:
    """They are read in a list."""
    assert len({attack.about for attack in KINDS.values()}) == len(KINDS)
    assert all(attack.crowd >= 1 and attack.again >= 0 for attack in KINDS.values())
