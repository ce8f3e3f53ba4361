"""A torrent's web seeds through all that happens to torrents."""

from __future__ import annotations

from pathlib import Path

import pytest
from bitarray import bitarray

from anabranch.engine import events, failing, planning, relocating, wanting, webseeding
from anabranch.engine.checking import want_check
from anabranch.engine.resting import is_awake
from anabranch.engine.stage import Checking, Failed, Live
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet
from anabranch.model import BLOCK_SIZE, Priority, StorageFailed, all_pieces
from anabranch.storage import SessionStore
from anabranch.webseed import Source, State
from engine.clocks import Clock
from engine.places import settled
from engine.remotes import Teacher
from engine.rig import Node, run, until
from engine.samples import PlainStorage, Sample, changed, on_disk, sample
from engine.spaces import Space, Tenancy
from engine.test_fetching import read
from engine.web_world import Server, Web, check

ONE, TWO = "http://one.test/content", "http://two.test/content"
BLOCKS = 4
PIECE = BLOCKS * BLOCK_SIZE


def served(
    content: Sample | None = None, rate: float = 1e6, **settings: object
) -> tuple[Clock, Node, TorrentState, Sample, Server]:
    """A torrent in the middle of a download from one web seed."""
    clock = Clock()
    content = content or sample(pieces=100, blocks=BLOCKS)
    node = Node(clock, **settings)  # type: ignore[arg-type]  # they are whatever Node takes
    torrent = node.add(content)
    node.settle()
    server = Server(rate=rate)
    Web(node).add(torrent, content, {ONE: server})
    run(clock, node, 2, lambda: check(node))
    assert torrent.swarm.webseeds.fetches
    return clock, node, torrent, content, server


def nothing_is_asked(node: Node, torrent: TorrentState) -> bool:
    check(node)
    return not (len(node.engine.due.web.requests) or torrent.swarm.webseeds.fetches or node.loop.fetches)


# Which there are.


def test_a_web_seed_that_is_removed_gives_nothing_from_that_turn_on() -> None:
    """What it was asked for is free, and what comes late lands nowhere. Removing it twice does nothing."""
    clock, node, torrent, content, server = served()
    with node.engine.turn:
        assert webseeding.remove(node.engine, torrent, f" {ONE}\n")
        assert not webseeding.remove(node.engine, torrent, ONE)
    assert nothing_is_asked(node, torrent)
    sent = server.sent
    run(clock, node, 20)
    assert server.sent == sent
    assert torrent.pieces.free().count() + torrent.pieces.complete_count == content.geometry.piece_count


def test_a_web_seed_that_is_added_again_begins_anew() -> None:
    """What was held against the one before is forgotten: the user wants it."""
    clock, node, torrent, _, _ = served()
    before = torrent.swarm.webseeds[ONE]
    with node.engine.turn:
        before.convict(clock(), "for the test")
        webseeding.remove(node.engine, torrent, ONE)
        webseeding.add(node.engine, torrent, [Source(ONE)])
    after = torrent.swarm.webseeds[ONE]
    assert before.closed
    assert after is not before
    assert not after.penance_until
    until(clock, node, lambda: torrent.pieces.is_seed)


def test_what_is_known_already_is_not_asked_anew() -> None:
    """Adding it again changes nothing, unless the user names it, or says something else with it."""
    clock, node, torrent, _, _ = served()
    [seed] = torrent.swarm.webseeds.values()
    asked = list(torrent.swarm.webseeds.fetches)
    with node.engine.turn:
        assert not webseeding.add(node.engine, torrent, [Source(ONE)])  # it is trusted: that stays
        assert not webseeding.add(node.engine, torrent, [Source(ONE, trusted=True)])
    assert torrent.swarm.webseeds[ONE] is seed
    assert list(torrent.swarm.webseeds.fetches) == asked
    with node.engine.turn:
        more = Source(ONE, trusted=True, headers=(("X-Key", "1"),))
        assert webseeding.add(node.engine, torrent, [more]) == [more]
    assert seed.closed
    assert torrent.swarm.webseeds[ONE].source is more
    assert len(torrent.swarm.webseeds) == 1
    check(node)
    until(clock, node, lambda: torrent.pieces.is_seed)


def test_a_web_seed_that_can_never_be_asked_is_told_and_does_no_harm() -> None:
    """The others go on."""
    clock, node, torrent, _, _ = served()
    with node.engine.turn:
        webseeding.add(node.engine, torrent, [Source("gopher://one.test/"), Source("http://[")])
    assert sum(isinstance(event, events.WebSeedFailed) for event in node.told()) == 2
    assert all(torrent.swarm.webseeds[url].unusable for url in ("gopher://one.test/", "http://["))
    until(clock, node, lambda: torrent.pieces.is_seed)
    check(node)


def test_nobody_is_asked_where_web_seeds_are_switched_off() -> None:
    """They are known, and that is all."""
    clock = Clock()
    node, content = Node(clock, disable_webseeds=True), sample(pieces=4, blocks=BLOCKS)
    torrent = node.add(content)
    node.settle()
    assert not Web(node).add(torrent, content, {ONE: (server := Server())})
    run(clock, node, 10)
    assert not server.sent
    assert not torrent.swarm.webseeds
    assert [status.state for status in webseeding.statuses(node.engine, torrent)] == ["off"]


def test_a_private_torrent_is_fetched_from_the_web_seeds_it_names() -> None:
    """BEP 27 is about peers."""
    content = changed(sample(pieces=8, blocks=BLOCKS), private=1)
    clock, node, torrent, _, _ = served(content, rate=1e5)
    until(clock, node, lambda: torrent.pieces.is_seed)


def test_the_web_seeds_of_a_link_are_asked_when_its_files_are_known() -> None:
    """ws= of a magnet link: peers give the metadata, and the web seed the rest."""
    content = sample(pieces=20, blocks=BLOCKS)
    node = Node(clock := Clock())
    link = Magnet.parse(f"{Magnet.of(content.metainfo)}&ws={ONE}")
    torrent = node.learn(link)
    web = Web(node)
    web.contents[content.info_hash], web.servers[ONE] = content, (server := Server())
    run(clock, node, 3)
    assert not server.sent
    assert ONE in torrent.swarm.webseeds.sources
    Teacher(node, torrent, content, pieces=[])
    until(clock, node, lambda: torrent.pieces.is_seed, 30)
    assert server.sent == len(content.content)
    check(node)


# What the torrent goes through.


def test_a_torrent_whose_disk_fails_asks_for_nothing_until_it_works_again() -> None:
    """All is given back in the same turn."""
    clock, node, torrent, _, server = served(rate=3e5)
    with node.engine.turn:
        failing.fail(node.engine, torrent, StorageFailed("/data", "no space"))
    assert isinstance(torrent.stage, Failed)
    assert nothing_is_asked(node, torrent)
    sent = server.sent
    run(clock, node, 1)
    assert server.sent == sent or isinstance(torrent.stage, Live)
    until(clock, node, lambda: torrent.pieces.is_seed)
    check(node)


def test_a_torrent_that_moves_asks_for_nothing_until_it_is_there(tmp_path: Path) -> None:
    """And then goes on with what is missing."""
    content = sample(pieces=40, blocks=BLOCKS)
    node, clock, torrent, _ = settled(tmp_path, content)
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server(rate=3e5))})
    run(clock, node, 2)
    had = torrent.pieces.complete_count
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    for _ in range(200):
        if not isinstance(torrent.stage, Live):
            assert not torrent.swarm.webseeds.fetches
        check(node)
        if not node.step():
            break
    until(clock, node, lambda: done.is_set, 10)
    assert torrent.pieces.complete_count >= had > 0
    until(clock, node, lambda: torrent.pieces.is_seed)
    assert on_disk(torrent.opened(), content) == content.content
    assert server.sent < 1.2 * len(content.content)


def test_a_piece_that_a_check_finds_wrong_is_fetched_again() -> None:
    """From the same web seed, which need not be added again for that."""
    clock = Clock()
    content, home = sample(pieces=20, blocks=BLOCKS), PlainStorage()
    node = Node(clock)
    torrent = node.add(content, home)
    node.settle()
    [seed] = Web(node).add(torrent, content, {ONE: (server := Server())})
    until(clock, node, lambda: torrent.pieces.is_seed)
    run(clock, node, 20)
    assert not node.engine.due.web.torrents, "a complete torrent is not looked at"
    home.data[7][:100] = bytes(100)
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(20))
    node.settle(lambda: check(node))
    assert not isinstance(torrent.stage, Checking)
    until(clock, node, lambda: torrent.pieces.is_seed, 20)
    assert on_disk(torrent.opened(), content) == content.content
    assert server.sent == len(content.content) + PIECE
    assert not seed.penance_until


def test_a_torrent_that_is_checked_in_the_middle_of_a_download_goes_on() -> None:
    """Nothing that is being checked is asked for, and in the end all is there."""
    clock, node, torrent, content, _ = served(rate=5e5)
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(100))
    node.settle(lambda: check(node))
    until(clock, node, lambda: torrent.pieces.is_seed)
    assert read(torrent, content) == content.content


def test_a_file_that_is_not_wanted_any_more_ends_what_is_asked_of_it() -> None:
    """In the middle of a request; the other file comes, and no more than was on its way of this one."""
    content = sample(pieces=100, blocks=BLOCKS, files=(50 * PIECE, 50 * PIECE))
    clock = Clock()
    node = Node(clock)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {"http://one.test/": (server := Server(rate=5e5))})
    run(clock, node, 2)
    done = torrent.pieces.complete_count
    assert 0 < done < 40
    node.want(torrent, [Priority.NONE, Priority.NORMAL])
    node.settle(lambda: check(node))
    until(clock, node, lambda: not torrent.pieces.missing_wanted)
    assert torrent.pieces.complete[:50].count() <= done + 2
    assert server.sent < (50 + done + 4) * PIECE
    run(clock, node, 5)
    assert nothing_is_asked(node, torrent)
    assert not node.engine.pool.lent or torrent.pieces.begun
    node.want(torrent, [Priority.NORMAL, Priority.NORMAL])
    until(clock, node, lambda: torrent.pieces.is_seed)
    assert read(torrent, content) == content.content


def test_choosing_anew_does_not_break_off_what_is_wanted_still() -> None:
    """While the storage learns which files are wanted nothing new is asked for, and nothing is cut off."""
    _, node, torrent, _, _ = served(rate=3e5, slice_size=1)
    before = list(torrent.swarm.webseeds.fetches)
    torrent.disk.selecting = True  # the storage is being told, which may take a while
    node.loop.run(planning.run, node.engine, "for the test")
    node.settle(lambda: check(node))
    assert [fetch.request.state for fetch in before] == [State.READING] * len(before)


def test_begun_pieces_of_an_earlier_run_are_finished_with_what_is_missing() -> None:
    """The blocks that are on disk are not asked for."""
    content, home = sample(pieces=4, blocks=BLOCKS), PlainStorage()
    home.hold(content, [1])
    home.data[1][:BLOCK_SIZE] = bytes(BLOCK_SIZE)
    node = Node(clock := Clock())
    torrent = node.prepare(content, home, partial={1: bitarray("0111", endian="big").tobytes()})
    node.want(torrent, [Priority.NORMAL])
    node.settle()
    assert set(torrent.pieces.begun) == {1}
    Web(node).add(torrent, content, {ONE: (server := Server())})
    until(clock, node, lambda: torrent.pieces.is_seed, 30)
    assert server.sent == 3 * PIECE + BLOCK_SIZE
    assert on_disk(torrent.opened(), content) == content.content
    check(node)


def test_a_torrent_whose_metainfo_rests_is_woken_first(tmp_path: Path) -> None:
    """Hashes are read by a worker; nothing is asked for before they are there."""
    content = sample(pieces=8, blocks=BLOCKS)
    node = Node(clock := Clock(), sessions=SessionStore(tmp_path))
    torrent = node.add(content, PlainStorage())
    node.settle()
    for _ in range(3):
        node.tick()
        node.settle()
    assert not is_awake(torrent)
    Web(node).add(torrent, content, {ONE: Server()})
    until(clock, node, lambda: torrent.pieces.is_seed, 10)
    run(clock, node, 20)
    assert not is_awake(torrent)


def test_a_limited_space_gets_only_what_it_has_room_for() -> None:
    """Pieces without room are not asked for again and again, each time in place of others."""
    clock = Clock()
    content, node = sample(pieces=40, blocks=BLOCKS), Node(clock)
    space = Space(10 * PIECE)
    torrent = node.add(content, Tenancy(space))
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server())})
    run(clock, node, 60, lambda: check(node))
    assert torrent.pieces.complete_count == 10
    assert server.sent == 10 * PIECE
    assert space.given_up == 0
    reader = object()
    with node.engine.turn:
        wanting.read_ahead(node.engine, torrent, reader, range(30, 34), 30)
    node.settle()
    run(clock, node, 10, lambda: check(node))
    assert torrent.pieces.complete[30:34].all()
    sent = server.sent
    run(clock, node, 60, lambda: check(node))
    assert server.sent <= sent + 2 * PIECE
    assert space.given_up <= 6


@pytest.mark.parametrize("blocks", [1, 64])
def test_several_torrents_share_a_web_seed_s_host(blocks: int) -> None:
    """All of them come; the host has no more connections than it may."""
    clock = Clock()
    node = Node(clock, pool=8 << 20)
    contents = [sample(pieces=6, blocks=blocks, seed=seed) for seed in range(30)]
    torrents = [node.add(content) for content in contents]
    node.settle()
    web = Web(node)
    for number, (torrent, content) in enumerate(zip(torrents, contents, strict=True)):
        web.add(torrent, content, {f"http://one.test/{number}": Server(rate=3e5)})
    until(clock, node, lambda: all(torrent.pieces.is_seed for torrent in torrents))
    check(node)
    assert not node.engine.pool.lent
    for torrent, content in zip(torrents, contents, strict=True):
        assert read(torrent, content) == content.content
