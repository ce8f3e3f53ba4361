"""A client, as users see it: adding, finding, watching and remembering torrents, and its end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import trees
from anabranch.api import (
    Client,
    Closed,
    Config,
    Encryption,
    InputRefused,
    Misused,
    Priority,
    StorageFailed,
    Torrent,
    create,
    events,
)
from loops import Run
from origin import PIECE, Origin
from ours import KIB, make_client, stages, until
from threads import PATIENCE, background, on_engine

LAST = 36  # piece of the origin's torrent


def other_torrent(folder: Path, seed: int) -> bytes:
    """A small torrent of its own, below *folder*/data."""
    return create(trees.make_file(folder / "data" / f"other {seed}.bin", 50_000, seed=seed), piece_length=16 * KIB)


# Adding and finding


def test_a_torrent_is_added_once_however_it_is_named(origin: Origin, client: Client, tmp_path: Path) -> None:
    """By path, by its bytes, or read already: the one that is there is given back, and said to be new once."""
    path = tmp_path / "a.torrent"
    path.write_bytes(origin.torrent)
    feed = client.events()
    torrent = client.add(path)
    assert client.add(str(path)) == client.add(origin.torrent) == client.add(origin.metainfo) == torrent
    assert client.add(origin.torrent, data_dir=tmp_path / "elsewhere").data_dir == torrent.data_dir
    assert client.torrents == [torrent]
    client.close()
    assert sum(isinstance(event, events.TorrentAdded) for event in feed) == 1


def test_a_torrent_is_added_once_by_many_threads_at_a_time(origin: Origin, client: Client) -> None:
    """Whoever is first: all get the same."""
    together = threading.Barrier(8)

    def add() -> Torrent:
        together.wait(PATIENCE)
        return client.add(origin.torrent)

    for _ in range(5):
        adding = [background(add) for _ in range(8)]
        [torrent] = {one.result(PATIENCE) for one in adding}
        assert client.torrents == [torrent]
        torrent.drop()


@pytest.mark.parametrize(
    "source", ["no such file.torrent", "magnet:?xt=urn:btih:00", "http://127.0.0.1:1/x.torrent", b"junk"]
)
def test_what_cannot_be_added_is_refused_and_nothing_changes(client: Client, source: str | bytes) -> None:
    """With words for the user; test_source.py has them all."""
    with pytest.raises(InputRefused):
        client.add(source)
    assert client.torrents == []


def test_torrents_are_found_by_their_info_hash(origin: Origin, client: Client) -> None:
    """As bytes, as 40 digits in either case, or as it is given out."""
    torrent = origin.added(client)
    name = torrent.info_hash
    for key in (name, bytes(name), str(name), str(name).upper()):
        assert client.get(key) == torrent
    assert client.get(b"x" * 20) is None
    for wrong in ("ab", b"ab", "x" * 40):
        with pytest.raises(InputRefused, match="info hash"):
            client.get(wrong)


def test_torrents_are_told_in_the_order_of_adding(client: Client, tmp_path: Path) -> None:
    """Also after one of them is gone."""
    torrents = [client.add(other_torrent(tmp_path, seed)) for seed in (3, 1, 2)]
    assert client.torrents == torrents
    torrents[1].drop()
    assert client.torrents == [torrents[0], torrents[2]]


def test_a_torrent_with_its_files_belongs_to_one_client(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Two that share the state directory must not write to the same files; to other files they may."""
    torrent = origin.added(client)
    with make_client(tmp_path, "127.0.7.3") as second:
        with pytest.raises(InputRefused):
            second.add(origin.torrent)
        assert second.restore() == []
        assert origin.added(second, data_dir=tmp_path / "elsewhere").stats().stage == "live"
        torrent.drop().wait(PATIENCE)
        second.torrents[0].drop().wait(PATIENCE)
        assert origin.added(second).stats().stage == "live"


def test_what_is_on_disk_may_be_taken_as_missing(origin: Origin, client: Client, tmp_path: Path) -> None:
    """For those who know better: nothing is hashed with check=False, and all is fetched."""
    trees.make_file(tmp_path / "data" / "content" / "a.bin", 1_000_001, seed=77)
    feed = client.events()
    torrent = origin.added(client, check=False)
    assert stages(feed) == ["live"]
    assert torrent.stats().pieces_complete == 0
    torrent.download_all()
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)


# What happens


def test_events_tell_a_download_from_beginning_to_end(origin: Origin, client: Client) -> None:
    """In order; a piece is said to be complete once; `for` ends when the client closes."""
    feed = client.events()
    told = background(lambda: list(feed))
    torrent = origin.copied(client)
    client.close()
    every = told.result(PATIENCE)
    assert {event.torrent for event in every} == {torrent.info_hash}
    kinds = [type(event) for event in every]
    assert kinds[:2] == [events.TorrentAdded, events.StageChanged]
    assert [event.stage for event in every if isinstance(event, events.StageChanged)] == ["live", "closing", "dropped"]
    pieces = [event.piece for event in every if isinstance(event, events.PieceChanged) and event.complete]
    assert sorted(pieces) == list(range(37))
    assert kinds.count(events.Completed) == 1
    assert kinds.index(events.PeerConnected) < kinds.index(events.PieceChanged) < kinds.index(events.Completed)
    assert kinds.index(events.PeerLost) > kinds.index(events.Completed)


def test_a_task_uses_a_client_as_a_thread_does(origin: Origin, tmp_path: Path, run: Run[list[events.Event]]) -> None:
    """async with, await for what is waited for, async for what happens, in whatever loop."""

    async def download() -> list[events.Event]:
        told: list[events.Event] = []

        async def watch(client: Client) -> None:
            told.extend([event async for event in client.events()])

        async with asyncio.TaskGroup() as group, make_client(tmp_path, "127.0.7.2") as client:
            group.create_task(watch(client))
            torrent = await asyncio.to_thread(client.add, origin.torrent)
            await torrent.got_info
            torrent.download_all()
            torrent.add_peers([origin.address])
            await torrent.complete
            await torrent.drop()
        return told

    told = run(download())
    assert any(isinstance(event, events.Completed) for event in told)
    assert told[-1] == events.StageChanged(origin.metainfo.info.info_hash, "dropped")


def test_a_callback_hears_everything_in_order_and_may_call_anything(origin: Origin, client: Client) -> None:
    """It runs on a thread of its own, so even dropping the torrent is allowed."""
    heard: list[events.Event] = []

    def hear(event: events.Event) -> None:
        heard.append(event)
        torrent = client.get(event.torrent)
        if torrent is not None:
            torrent.stats()
        if torrent is not None and isinstance(event, events.Completed):
            torrent.drop().wait(PATIENCE)

    client.on_event(hear)
    torrent = origin.served(client)
    torrent.download_all()
    assert torrent.closed.wait(PATIENCE)
    client.close()
    assert isinstance(heard[0], events.TorrentAdded)
    assert heard[-1] == events.StageChanged(torrent.info_hash, "dropped")


def test_what_a_callback_raises_is_logged_and_hurts_nobody(
    client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The other callbacks and the engine go on."""
    heard: list[events.Event] = []

    def fail(event: events.Event) -> None:
        raise RuntimeError("the user's own mistake")

    client.on_event(fail)
    client.on_event(heard.append)
    with caplog.at_level(logging.ERROR):
        client.add(other_torrent(tmp_path, 1)).checked.wait(PATIENCE)
        client.close()
    assert len(heard) > 2
    assert "the user's own mistake" in caplog.text


def test_a_callback_that_is_stopped_hears_nothing_more(client: Client, tmp_path: Path) -> None:
    """Others do; stopping twice does nothing."""
    stopped: list[events.Event] = []
    heard: list[events.Event] = []
    stop = client.on_event(stopped.append)
    client.on_event(heard.append)
    stop()
    stop()
    client.add(other_torrent(tmp_path, 1))
    client.close()
    assert heard
    assert not stopped


# Numbers


def test_the_client_s_numbers_are_its_torrents_together(origin: Origin, client: Client, tmp_path: Path) -> None:
    """And those of each are in the order of adding."""
    torrents = [client.add(other_torrent(tmp_path, 1)), origin.copied(client)]
    stats, every = client.stats(), client.stats_all()
    assert [one.info_hash for one in every] == [torrent.info_hash for torrent in torrents]
    assert (stats.torrents, stats.downloaded, stats.uploaded) == (2, len(origin.content), 0)
    assert stats.banned == frozenset()


def test_the_numbers_of_many_torrents_take_few_turns(client: Client) -> None:
    """A turn per slice and not per torrent."""
    small = b"d4:infod6:lengthi1e4:name%d:%s12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee"
    torrents = [client.add(small % (len(name), name)) for name in (b"%d" % number for number in range(300))]
    for torrent in torrents:
        assert torrent.checked.wait(PATIENCE)
    taken = client._core.turn.taken
    assert len(client.stats_all()) == 300
    assert client._core.turn.taken - taken < 30  # three of them ours
    assert client.stats().torrents == 300


def test_all_torrents_are_waited_for_together(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Or those one names; it says whether they were in time."""
    done, late = client.add(other_torrent(tmp_path, 1)), origin.added(client)
    done.download_all()
    assert client.wait_all(PATIENCE, [done])
    late.download_all()
    assert not client.wait_all(0)
    late.add_peers([origin.address])
    assert client.wait_all(PATIENCE)


def test_limits_change_while_data_flow(origin: Origin, client: Client) -> None:
    """A download that would take a minute is let go, and takes no time; so with what others may have of us."""
    client.set_rates(40 * KIB, None)
    torrent = origin.served(client)
    torrent.download_all()
    until(lambda: torrent.stats().downloaded)
    assert not torrent.complete.is_set
    origin.client.set_rates(None, 40 * KIB)
    try:
        client.set_rates(None, None)
        assert not torrent.complete.is_set
    finally:
        origin.client.set_rates(None, None)
    assert torrent.complete.wait(10)


# Remembering


def test_a_client_goes_on_where_the_last_one_stopped(origin: Origin, tmp_path: Path) -> None:
    """Each torrent where its files are, with its priorities, its pieces and its permissions; nothing is hashed."""
    with make_client(tmp_path, "127.0.7.2") as client:
        torrent = origin.served(client)
        torrent.files[0].priority = Priority.HIGH
        torrent.piece(LAST).priority = Priority.NORMAL
        assert torrent.complete.wait(PATIENCE)
        torrent.allow_upload(False)
        other = client.add(other_torrent(tmp_path / "other", 1), data_dir=tmp_path / "other" / "data")
        assert other.checked.wait(PATIENCE)
        gone = client.add(other_torrent(tmp_path, 2))
        gone.drop().wait(PATIENCE)
    with make_client(tmp_path, "127.0.7.2") as client:
        feed = client.events()
        restored = {torrent.name: torrent for torrent in client.restore()}
        assert set(restored) == {"content", "other 1.bin"}
        assert all(torrent.checked.wait(PATIENCE) for torrent in restored.values())
        assert set(stages(feed)) == {"live"}
        torrent, other = restored["content"], restored["other 1.bin"]
        assert [file.priority for file in torrent.files] == [2, 0, 0, 0]
        complete = [piece for piece, state in enumerate(torrent.piece_states()) if state.complete]
        assert complete == [*range(1_000_001 // PIECE + 1), LAST]
        assert torrent.complete.wait(PATIENCE)
        assert not torrent._state.policy.upload
        assert other.data_dir == str(tmp_path / "other" / "data")
        assert other.stats().pieces_complete == other.piece_count
        assert {*client.restore()} == {torrent, other}  # they are there already


def test_a_client_without_a_state_directory_remembers_nothing(origin: Origin, tmp_path: Path) -> None:
    """Its files are hashed the next time."""
    for run in range(2):
        with make_client(tmp_path, "127.0.7.2", state_dir=None) as client:
            assert client.restore() == []
            feed = client.events()
            origin.copied(client)
            assert ("checking" in stages(feed)) == bool(run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


# Beginning and end


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    """An address of another machine, a port that is taken and must not be another, a storage that is none."""
    with make_client(tmp_path / "first") as first:
        taken = first.listen_addresses[0].port
        refused: list[dict[str, Any]] = [
            {"listen_host": ("192.0.2.1",)},
            {"listen_port": taken, "listen_port_fixed": True},
        ]
        for settings in refused:
            with pytest.raises(InputRefused):
                make_client(tmp_path / "second", **settings)
        with make_client(tmp_path / "second", listen_port=taken) as second:
            assert second.listen_addresses[0].port != taken
    with pytest.raises(InputRefused, match="tape"), make_client(tmp_path / "third", storage="tape") as third:
        third.add(other_torrent(tmp_path, 1))


@pytest.mark.parametrize("encryption", ["", "always", "PREFER", "on"])
def test_an_encryption_that_is_none_is_refused(encryption: str) -> None:
    """With those that there are, before anything is opened."""
    with pytest.raises(InputRefused, match=f"off, allow, prefer or require, not {encryption!r}"):
        Config(encryption=encryption)


@pytest.mark.parametrize("encryption", ["off", Encryption.ALLOW, "prefer", Encryption.REQUIRE])
def test_encryption_is_chosen_in_words_or_by_name(origin: Origin, tmp_path: Path, encryption: str) -> None:
    """A seeder that says nothing of it goes along with each."""
    with make_client(tmp_path, "127.0.7.4", encryption=encryption) as client:
        assert client.config.encryption == encryption
        assert origin.copied(client).stats().complete


def test_a_state_directory_that_cannot_be_one_is_told_in_the_system_s_words(tmp_path: Path) -> None:
    """There is a file of that name."""
    (tmp_path / "a file").touch()
    with pytest.raises(StorageFailed, match="a file: File exists"):
        make_client(tmp_path, state_dir=tmp_path / "a file")


def test_a_client_that_accepts_nobody_listens_nowhere(origin: Origin, tmp_path: Path) -> None:
    """It downloads all the same."""
    with make_client(tmp_path, accept_peers=False) as client:
        assert client.listen_addresses == []
        origin.copied(client)


def test_the_settings_of_a_client_can_be_read(tmp_path: Path) -> None:
    """As they were given; the defaults seed and do not limit."""
    config = Config(data_dir=tmp_path, state_dir=None, listen_host=("127.0.0.1",), listen_port=0)
    with Client(config) as client:
        assert client.config is config
    assert config.seed
    assert config.download_rate is None


def test_closing_twice_does_nothing(origin: Origin, client: Client) -> None:
    """Everything has ended after the first."""
    torrent = origin.served(client)
    torrent.download_all()
    assert client.close()
    assert client.close()
    assert torrent.closed.is_set
    assert torrent.stats().stage == "dropped"


def test_a_closed_client_is_closed(origin: Origin, client: Client) -> None:
    """What needs the engine raises Closed, also for who waits; the rest says that there is nothing."""
    torrent = origin.added(client)
    torrent.download_all()
    feed = client.events()
    waiting = background(torrent.complete.wait)
    until(lambda: torrent.complete.waiting)
    client.close()
    with pytest.raises(Closed):
        waiting.result(PATIENCE)
    calls: list[Callable[[], object]] = [
        lambda: client.add(origin.torrent),
        client.restore,
        lambda: client.wait_all(1, [torrent]),
        torrent.reader().readall,
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()
    assert client.torrents == client.stats_all() == []
    assert client.get(torrent.info_hash) is None
    assert client.stats().torrents == 0
    assert list(client.events()) == []
    assert isinstance(list(feed)[-1], events.StageChanged)
    client.set_rates(1000, 1000)
    client.on_event(print)()
    torrent.download_all()
    torrent.drop()
    assert torrent.closed.wait(PATIENCE)


def test_a_callback_may_close_the_client(client: Client, tmp_path: Path) -> None:
    """It does not wait for itself."""
    closed: list[bool] = []
    client.on_event(lambda event: closed.append(client.close()))
    torrent = client.add(other_torrent(tmp_path, 1))
    until(lambda: closed)
    assert closed[0]
    assert torrent.closed.is_set


def test_what_would_make_the_engine_wait_for_itself_is_refused(origin: Origin, client: Client) -> None:
    """Closing and adding on its thread, closing with the turn, reading events there."""
    feed = client.events()
    calls: list[Callable[[], object]] = [client.close, lambda: client.add(origin.torrent), lambda: feed.get(1)]
    for call in calls:
        with pytest.raises(Misused):
            on_engine(client, call)
    with client._core.turn, pytest.raises(Misused):
        client.close()
    assert origin.added(client).stats().stage == "live"


def test_every_call_may_be_made_from_a_thread_that_did_not_make_the_client(origin: Origin, tmp_path: Path) -> None:
    """Made in one thread, used in another, closed in a third."""
    client = background(lambda: make_client(tmp_path, "127.0.7.2")).result(PATIENCE)
    torrent: Torrent = background(lambda: origin.copied(client)).result(PATIENCE)
    assert background(torrent.stats).result(PATIENCE).complete
    assert background(client.close).result(PATIENCE)


def test_clients_do_not_disturb_each_other(origin: Origin, tmp_path: Path) -> None:
    """Three in one program fetch from each other's neighbour."""
    with ExitStack() as stack:
        clients = [stack.enter_context(make_client(tmp_path / f"{n}", f"127.0.7.{n}")) for n in (2, 3, 4)]
        torrents = [origin.added(client) for client in clients]
        for torrent in torrents:
            torrent.download_all()
        torrents[0].add_peers([origin.address])
        torrents[1].add_peers(clients[0].listen_addresses)
        torrents[2].add_peers(clients[1].listen_addresses)
        for torrent in torrents:
            assert torrent.complete.wait(PATIENCE)
            assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)
