"""Who owes what, after anything that peers and users may do in any order."""

from __future__ import annotations

from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from anabranch.engine.asking import ask, ask_everybody
from anabranch.engine.wanting import allow_download, choose_pieces, read_ahead
from anabranch.model import Priority
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import on_disk, sample
from engine.truth import check

PIECES = 12


class World:
    """A download, its peers, and what may happen to them."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.content = sample(pieces=PIECES, blocks=6, cut=3000)
        self.node = Node(clock := Clock(), pool=40 * 16384 if seed % 3 == 0 else 1 << 30)
        self.clock = clock
        self.torrent = self.node.add(self.content)
        self.node.settle()
        self.remotes: list[Remote] = []

    def anyone(self) -> Remote | None:
        self.remotes = [remote for remote in self.remotes if not remote.link.closed]
        return self.draw.choice(self.remotes) if self.remotes else None

    def join(self) -> None:
        if len(self.remotes) < 8:
            pieces = None if self.draw.random() < 0.5 else self.draw.sample(range(PIECES), self.draw.randrange(PIECES))
            fast = self.draw.random() < 0.7
            self.remotes.append(Remote(self.node, self.torrent, self.content, pieces, rate=0, fast=fast))

    def leave(self) -> None:
        if (remote := self.anyone()) is not None:
            remote.leave()

    def choke(self) -> None:
        if (remote := self.anyone()) is not None and not remote.talk.am_choking:
            remote.talk.choke()
            for piece, begin, length in remote.asked:
                remote.talk.reject(piece, begin, length, length)
            remote.asked.clear()
            remote.send()

    def unchoke(self) -> None:
        if (remote := self.anyone()) is not None:
            remote.talk.unchoke()
            remote.send()

    def reject(self) -> None:
        if (remote := self.anyone()) is not None and remote.talk.fast:
            remote.withdraw(self.draw.randint(0, len(remote.asked)))
            remote.send()

    def deliver(self) -> None:
        if (remote := self.anyone()) is not None:
            if self.draw.random() < 0.3:
                self.draw.shuffle(remote.asked)
            remote.serve(self.draw.randint(0, len(remote.asked)))
            remote.send()

    def tell(self) -> None:
        if (remote := self.anyone()) is not None:
            piece = self.draw.randrange(PIECES)
            say = self.draw.choice([remote.talk.have, remote.talk.suggest, remote.talk.allowed_fast])
            say(piece)
            remote.send()

    def want(self) -> None:
        first = self.draw.randrange(PIECES)
        pieces = range(first, min(first + 4, PIECES))
        with self.node.engine.turn:
            if self.draw.random() < 0.5:
                choose_pieces(self.node.engine, self.torrent, pieces, self.draw.choice(list(Priority)))
            else:
                read_ahead(self.node.engine, self.torrent, "reader", pieces, first)

    def forbid(self) -> None:
        with self.node.engine.turn:
            allow_download(self.node.engine, self.torrent, self.draw.random() < 0.8)

    def look(self) -> None:
        now = self.clock()
        if (remote := self.anyone()) is not None:
            self.node.loop.run(ask, self.node.engine, remote.peer, now)
        self.node.loop.run(ask_everybody, self.node.engine, self.torrent, now)

    def pass_time(self) -> None:
        self.clock.now += self.draw.choice([0.01, 0.1, 0.3, 0.6])
        self.node.begin_tenth()

    def pass_seconds(self) -> None:
        run(self.clock, self.node, self.draw.choice([1, 1, 1, 2, 6, 35]), lambda: check(self.node))


ACTS = (
    *[World.join] * 3,
    *[World.deliver] * 6,
    *[World.pass_time] * 4,
    *[World.look, World.unchoke, World.reject, World.tell, World.want] * 2,
    *[World.leave, World.choke, World.forbid, World.pass_seconds],
)


@given(st.integers(0, 1 << 30))
@example(1000098)  # those who owe the last block are silent
@example(2001606)  # a newcomer is called off before it can answer
@settings(max_examples=25, deadline=None)
def test_every_block_has_one_owner_and_in_the_end_game_three_at_most(seed: int) -> None:
    """W16: whatever happens in whatever order, who owes what and what is booked agree; and the download ends."""
    world = World(seed)
    for _ in range(40):
        world.draw.choice(ACTS)(world)
        world.node.settle(lambda: check(world.node))
    with world.node.engine.turn:
        read_ahead(world.node.engine, world.torrent, "reader", range(0), -1)
        allow_download(world.node.engine, world.torrent, True)
        choose_pieces(world.node.engine, world.torrent, range(PIECES), Priority.NORMAL)
    Remote(world.node, world.torrent, world.content)
    for _ in range(10):
        if world.torrent.pieces.is_seed:
            break
        run(world.clock, world.node, 10, lambda: check(world.node))
    assert world.torrent.pieces.is_seed
    assert on_disk(world.torrent.opened(), world.content) == world.content.content
