"""A torrent that is added by its name alone, as users see it: before it is known what it holds, and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trees
from anabranch.api import (
    Client,
    Closed,
    InfoHash,
    Magnet,
    Metainfo,
    Misused,
    Priority,
    Torrent,
    create,
    events,
)
from anabranch.engine import TorrentState
from anabranch.metainfo import Version
from loops import Run
from origin import PIECE, Origin
from ours import make_client, until
from threads import PATIENCE, background

VERSIONS: tuple[Version, ...] = ("v1", "v2", "hybrid")
NOBODY_S = Magnet(v1=InfoHash(b"\xab" * 20), name="album", trackers=("http://127.0.0.1:1",), select=((1, 2),))


@pytest.fixture(scope="module")
def torrents(origin: Origin) -> Iterator[dict[Version, Metainfo]]:
    """The origin's content as a torrent of each version, all served by it."""
    made: dict[Version, Metainfo] = {"v1": origin.metainfo}
    for version in VERSIONS[1:]:
        made[version] = Metainfo.parse(create(origin.path, version=version, piece_length=PIECE))
        assert origin.client.add(made[version]).checked.wait(PATIENCE)
    yield made
    for version in VERSIONS[1:]:
        origin.client.get(made[version].info.info_hash).drop().wait(PATIENCE)  # type: ignore[union-attr]  # it is there


@pytest.fixture
def linked(origin: Origin, client: Client, torrents: dict[Version, Metainfo]) -> Callable[[Version], Torrent]:
    """Adds a torrent of that version by its link, and tells it who has it."""

    def add(version: Version) -> Torrent:
        torrent = client.add(str(Magnet.of(torrents[version])))
        torrent.add_peers([origin.address])
        return torrent

    return add


def test_before_its_info_a_torrent_is_a_name(client: Client) -> None:
    """It has no files yet, and who asks for what is in them is told to wait."""
    torrent = client.add(NOBODY_S)
    assert torrent.magnet_only
    assert not torrent.got_info.is_set
    assert not torrent.got_info.wait(0)
    assert (torrent.name, torrent.length, torrent.files, torrent.piece_count) == ("album", 0, [], 0)
    assert (torrent.pieces, torrent.piece_states()) == ([], [])
    assert torrent.magnet == NOBODY_S
    assert torrent.stats().stage == "learning"
    assert client.get("ab" * 20) == torrent
    asking: list[Callable[[], Any]] = [
        lambda: torrent.metainfo,
        lambda: torrent.info,
        torrent.reader,
        torrent.passive_reader,
        lambda: torrent.set_priorities([]),
    ]
    for ask in asking:
        with pytest.raises(Misused, match="wait for got_info"):
            ask()
    with pytest.raises(ValueError, match="piece 0"):
        torrent.piece(0)


def test_before_its_info_a_torrent_bears_what_it_will_bear_later(client: Client, tmp_path: Path) -> None:
    """What can be wished is remembered, what concerns pieces does nothing, and it can be left and moved."""
    torrent = client.add(NOBODY_S)
    torrent.download_pieces(0, 10)
    torrent.cancel_pieces(0, 10)
    torrent.verify()
    torrent.pause()
    torrent.resume()
    torrent.set_max_connections(3)
    assert torrent.add_peers([("127.0.7.9", 9)]) == 1
    torrent.download_all()
    assert not torrent.complete.is_set
    with make_client(tmp_path / "elsewhere", "127.0.7.3") as other:
        assert other.add(NOBODY_S, resume=torrent.resume_data()).magnet_only
    assert torrent.drop().wait(PATIENCE)
    assert client.torrents == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", "ab" * 20), ("a\x1b[31m/../b", "a_[31m..b"), ("..", "_"), ("x" * 400, "x" * 250)],
)
def test_the_name_of_a_link_is_safe(client: Client, name: str, shown: str) -> None:
    """It comes from a stranger, and ends up on terminals and in paths; where there is none the hash will do."""
    assert client.add(Magnet(v1=InfoHash(b"\xab" * 20), name=name)).name == shown


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thread_waits_until_the_files_are_known(
    linked: Callable[[Version], Torrent], torrents: dict[Version, Metainfo], version: Version
) -> None:
    """Then the torrent is like any other, and nothing of it is wanted."""
    torrent, whole = linked(version), torrents[version]
    assert torrent.got_info.wait(PATIENCE)
    assert not torrent.magnet_only
    assert torrent.info == whole.info
    assert torrent.name == "content"
    assert [file.path for file in torrent.files] == ["/".join(file.path) for file in whole.info.files]
    assert torrent.length == whole.info.geometry.content
    assert torrent.magnet == Magnet.of(whole)
    assert torrent.stats().wanted == 0
    assert Metainfo.parse(torrent.metainfo.raw).info == whole.info
    assert {file.priority for file in torrent.files} == {Priority.NONE}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_wished_before_the_files_are_known_is_done(
    origin: Origin, linked: Callable[[Version], Torrent], version: Version
) -> None:
    """download_all() need not wait for got_info."""
    torrent = linked(version)
    torrent.download_all()
    assert torrent.complete.wait(PATIENCE)
    assert torrent.got_info.is_set
    assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)


def test_a_link_s_selection_is_what_all_means(
    origin: Origin, client: Client, torrents: dict[Version, Metainfo]
) -> None:
    """BEP 53, for who wishes before the files are known; afterwards every file can be wished for."""
    torrent = client.add(f"{Magnet.of(torrents['v2'])}&so=1-2&x.pe={origin.address}")
    torrent.download_all()
    assert torrent.complete.wait(PATIENCE)
    assert [file.priority for file in torrent.files] == [0, 1, 1, 0]
    torrent.download_all()
    assert [file.priority for file in torrent.files] == [1, 1, 1, 1]
    assert torrent.complete.wait(PATIENCE)


def test_a_task_waits_until_the_files_are_known(
    origin: Origin, torrents: dict[Version, Metainfo], tmp_path: Path, run: Run[bytes]
) -> None:
    """In whatever loop; then it chooses and reads."""

    async def work() -> bytes:
        async with make_client(tmp_path, "127.0.7.4") as client:
            torrent = client.add(Magnet.of(torrents["hybrid"]))
            torrent.add_peers([origin.address])
            await torrent.got_info
            [file] = [file for file in torrent.files if file.path.endswith("d ü.txt")]
            torrent.set_priorities(
                [Priority.HIGH if one.index == file.index else Priority.NONE for one in torrent.files]
            )
            await torrent.complete
            with file.reader() as reader:
                return await reader.aread(100)

    assert run(work()) == (origin.path / "d ü.txt").read_bytes()


def test_events_tell_when_the_files_are_known(client: Client, linked: Callable[[Version], Torrent]) -> None:
    """Once, before anything of them is; whoever hears it may choose from the files at once."""
    chosen: list[str] = []

    def choose(event: events.Event) -> None:
        if isinstance(event, events.GotInfo):
            [torrent] = client.torrents
            torrent.files[0].download()
            chosen.append(torrent.files[0].path)

    feed = client.events()
    client.on_event(choose)
    torrent = linked("v1")
    until(lambda: chosen)
    assert torrent.complete.wait(PATIENCE)
    client.close()
    told = [type(event) for event in feed]
    assert told.count(events.GotInfo) == 1
    assert told.index(events.TorrentAdded) < told.index(events.GotInfo) < told.index(events.PieceChanged)
    assert chosen == ["content/a.bin"]


@pytest.mark.parametrize("first", ["v1", "v2"])
def test_a_hybrid_is_one_torrent_by_each_of_its_names(
    origin: Origin, client: Client, torrents: dict[Version, Metainfo], first: str
) -> None:
    """As soon as it is known that they are its names, whichever came first; that one stays what it is called."""
    info = torrents["hybrid"].info
    assert info.v1 is not None
    assert info.v2 is not None
    torrent = client.add(info.v1 if first == "v1" else info.v2)
    torrent.add_peers([origin.address])
    assert torrent.got_info.wait(PATIENCE)
    assert torrent.info_hash == (info.v1 if first == "v1" else info.v2.truncated)
    for name in (str(info.v1), bytes(info.v2), str(info.v2), str(info.v2.truncated)):
        assert client.get(name) == torrent
    assert client.add(info.v1) == client.add(info.v2) == client.add(torrents["hybrid"]) == torrent
    assert client.torrents == [torrent]


def test_a_torrent_file_ends_the_waiting(client: Client, torrents: dict[Version, Metainfo]) -> None:
    """No peer is needed when the user has it after all."""
    torrent = client.add(Magnet.of(torrents["v2"]))
    assert client.add(torrents["v2"]) == torrent
    assert torrent.got_info.wait(PATIENCE)
    assert torrent.checked.wait(PATIENCE)
    assert torrent.stats().stage == "live"


@pytest.mark.parametrize("end", ["drop", "close"])
def test_who_waits_for_the_files_is_told_when_they_will_not_come(client: Client, end: str) -> None:
    """Rather than waiting for ever."""
    torrent = client.add(NOBODY_S)
    waiting = background(torrent.got_info.wait)
    until(lambda: torrent.got_info.waiting)
    torrent.drop() if end == "drop" else client.close()
    with pytest.raises(Closed):
        waiting.result(PATIENCE)


def test_hashes_of_v2_are_told(linked: Callable[[Version], Torrent], torrents: dict[Version, Metainfo]) -> None:
    """Of files from the start, of pieces once they have come; a torrent of v2 alone has no SHA-1."""
    torrent = linked("v2")
    torrent.download_all()
    assert torrent.complete.wait(PATIENCE)
    large, layer = torrent.files[0], torrents["v2"].layers
    assert [len(file.root) for file in torrent.files] == [32, 32, 32, 0]
    assert [torrent.piece(index).root for index in range(16)] == [
        layer[large.root][at : at + 32] for at in range(0, 16 * 32, 32)
    ]
    assert torrent.piece(0).hash == b""
    assert torrent.metainfo.layers == layer
    plain = linked("v1")
    assert plain.got_info.wait(PATIENCE)
    assert (plain.piece(0).root, plain.files[0].root) == (None, b"")
    assert len(plain.piece(0).hash) == 20


def test_who_reads_while_the_files_become_known_sees_all_of_them_or_none(
    client: Client, torrents: dict[Version, Metainfo]
) -> None:
    """Handles read without the turn: at no instant is a file without its priority, or a piece without its hash."""
    torrent = client.add(Magnet.of(torrents["hybrid"]))
    seen: list[tuple[int, int]] = []

    class Watched(TorrentState):
        __slots__ = ()

        def __setattr__(self, name: str, value: object) -> None:
            object.__setattr__(self, name, value)
            files, pieces = torrent.files, torrent.pieces
            assert [file.priority for file in files] == [Priority.NONE] * len(files)
            assert [len(piece.hash) for piece in pieces] == [20] * len(pieces)
            assert sum(piece.length for piece in pieces) == torrent.length
            assert torrent.magnet_only == (not files)
            assert Magnet.of(torrents["hybrid"]) == torrent.magnet
            seen.append((len(files), len(pieces)))

    torrent._state.__class__ = Watched
    client.add(torrents["hybrid"])
    assert torrent.got_info.wait(PATIENCE)
    assert torrent.checked.wait(PATIENCE)
    assert {(0, 0), (len(torrent.files), torrent.piece_count)} == set(seen)


def test_a_torrent_that_never_learned_what_it_is_bears_wishes_at_its_end(client: Client) -> None:
    """Whoever wishes need not know that another thread has just dropped it."""
    torrent = client.add(NOBODY_S)
    torrent.drop().wait(PATIENCE)
    torrent.download_all()
    torrent.download_pieces(0, 10)
    torrent.verify()
    assert torrent.files == []
