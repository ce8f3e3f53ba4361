"""A piece that came wrong from several is asked of one address at a time: the liar gives itself away."""

from __future__ import annotations

import pytest

from anabranch.engine import asking, choosing, parole
from anabranch.engine.stage import Live
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import PlainStorage, sample
from engine.truth import check

CONTENT = sample(pieces=1, blocks=64)
LIAR, SEEDS = "10.9.9.9", ("10.9.9.1", "10.9.9.2")


def swarm() -> tuple[Node, Clock]:
    """A liar among seeds, as fast as they are, so that it has a part in each copy that all are asked for."""
    node = Node(clock := Clock())
    torrent = node.add(CONTENT, PlainStorage())
    node.settle()
    Remote(node, torrent, CONTENT, host=LIAR, rate=40, spoil=lambda piece, begin: True)
    for host in SEEDS:
        Remote(node, torrent, CONTENT, host=host, rate=40)
    return node, clock


def test_the_second_copy_is_from_one_address_and_the_liar_is_found_by_the_third() -> None:
    """It is banned as the only sender, or when the piece is right; nobody else is, and little is fetched in vain."""
    node, clock = swarm()
    [torrent] = node.engine.torrents.values()
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    check(node)
    assert node.engine.banned == {LIAR}
    assert torrent.totals.corrupt <= 2 * CONTENT.geometry.total
    assert not torrent.evidence.repeated


def test_without_that_the_liar_has_a_part_in_every_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested above would not come by itself."""
    for module in (asking, choosing):
        monkeypatch.setattr(module, "barred", lambda torrent, peer, piece: False)
    node, clock = swarm()
    [torrent] = node.engine.torrents.values()
    run(clock, node, 30)
    assert torrent.totals.corrupt > 2 * CONTENT.geometry.total
    assert not isinstance(torrent.stage, Live) or not torrent.signals.complete.is_set


def test_an_owner_that_leaves_is_followed_by_another() -> None:
    """And one that owes nothing of it any more: nobody keeps a piece from the others by silence."""
    node, clock = swarm()
    [torrent] = node.engine.torrents.values()
    until(clock, node, lambda: bool(torrent.evidence.repeated), 30)
    until(clock, node, lambda: torrent.evidence.repeated[0].owner != "", 30)
    owner = torrent.evidence.repeated[0].owner
    others = [peer for peer in torrent.swarm.peers.values() if peer.address.host != owner]
    assert all(parole.barred(torrent, peer, 0) for peer in others)
    for peer in list(torrent.swarm.peers.values()):
        if peer.address.host == owner:
            peer.link.close("gone")
    entry = torrent.evidence.repeated[0]
    until(clock, node, lambda: entry.owner != owner, 5)
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
