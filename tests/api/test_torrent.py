"""A torrent, as users see it: what is wanted of it, what it says, how it ends."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

import trees
from anabranch.api import Client, Closed, InputRefused, Priority, Torrent, events
from origin import PIECE, Origin
from ours import KIB, make_client, stages, until
from threads import PATIENCE, background, held


def connected(torrent: Torrent, many: int = 1) -> None:
    """Wait until it has that many connections."""
    until(lambda: len(torrent.peers()) == many, what=f"{many} connections")


def dribbling(origin: Origin, client: Client) -> Torrent:
    """The torrent, with all of it wanted and one peer that gives some of it, slowly."""
    client.set_rates(64 * KIB, None)
    torrent = origin.added(client)
    torrent.download_all()
    torrent.add_peers([origin.address])
    until(lambda: any(peer.downloaded for peer in torrent.peers()))
    return torrent


def complete_pieces(torrent: Torrent) -> set[int]:
    """The pieces that are complete."""
    return {piece for piece, state in enumerate(torrent.piece_states()) if state.complete}


def test_a_torrent_says_what_it_is(origin: Origin, client: Client, tmp_path: Path) -> None:
    """As its metainfo has it."""
    torrent = origin.added(client)
    assert torrent.got_info.is_set
    assert torrent.info_hash == origin.metainfo.info.info_hash
    assert (torrent.name, torrent.length, torrent.piece_count) == ("content", len(origin.content), 37)
    assert torrent.metainfo.raw == origin.torrent
    assert torrent.data_dir == str(tmp_path / "data")
    assert "content" in repr(torrent)


def test_handles_of_one_torrent_are_equal(origin: Origin, client: Client) -> None:
    """They hold nothing; a torrent that was dropped and added again is another one."""
    torrent = origin.added(client)
    again = client.get(torrent.info_hash)
    assert again == torrent
    assert {again} == {torrent}
    torrent.drop()
    assert origin.added(client) != torrent
    assert torrent != "torrent"


def test_everything_is_downloaded(origin: Origin, client: Client) -> None:
    """As it was, names and all."""
    torrent = origin.copied(client)
    assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)
    assert complete_pieces(torrent) == set(range(37))


def test_nothing_is_wanted_of_a_new_torrent(origin: Origin, client: Client) -> None:
    """A torrent is added to be looked at, too."""
    torrent = origin.added(client)
    assert torrent.stats().wanted == 0
    assert not torrent.complete.is_set
    assert {file.priority for file in torrent.files} == {Priority.NONE}


def test_download_all_leaves_what_is_preferred(origin: Origin, client: Client) -> None:
    """It wants what is not wanted yet."""
    torrent = origin.added(client)
    torrent.files[2].priority = Priority.HIGH
    torrent.download_all()
    assert [file.priority for file in torrent.files] == [1, 1, 2, 1]


def test_all_priorities_are_changed_at_once(origin: Origin, client: Client) -> None:
    """And none where the list is wrong."""
    torrent = origin.added(client)
    torrent.set_priorities([Priority.HIGH, Priority.NONE, Priority.NORMAL, Priority.NONE])
    assert [file.priority for file in torrent.files] == [2, 0, 1, 0]
    assert [torrent.piece(piece).priority for piece in (0, 15, 16, 36)] == [2, 2, 1, 1]
    with pytest.raises(InputRefused, match="1 priorities for 4 files"):
        torrent.set_priorities([Priority.NONE])
    with pytest.raises(ValueError, match="9"):
        torrent.set_priorities([9, 9, 9, 9])  # type: ignore[list-item]  # the mistake under test
    assert [file.priority for file in torrent.files] == [2, 0, 1, 0]


def test_pieces_are_downloaded_and_cancelled_by_themselves(origin: Origin, client: Client) -> None:
    """Whatever their files are worth; numbers beyond the torrent's count for nothing."""
    torrent = origin.added(client)
    torrent.download_pieces(3, 8)
    torrent.download_pieces(35, 99)
    torrent.cancel_pieces(-5, 5)
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    assert complete_pieces(torrent) == {5, 6, 7, 35, 36}


def test_cancelling_pieces_takes_nothing_from_files(origin: Origin, client: Client) -> None:
    """What was asked for the file stays asked for."""
    torrent = origin.added(client)
    torrent.download_pieces(0, 37)
    torrent.files[0].download()
    torrent.cancel_pieces(0, 37)
    assert [state.priority for state in torrent.piece_states(13, 18)] == [1, 1, 1, 0, 0]


def test_the_states_of_some_pieces_can_be_asked_for(origin: Origin, client: Client) -> None:
    """From and to; what is beyond the torrent's is left out."""
    torrent = origin.added(client)
    torrent.download_pieces(2, 3)
    assert [state.priority for state in torrent.piece_states(1, 4)] == [0, 1, 0]
    assert len(torrent.piece_states(30)) == len(torrent.piece_states(30, 99)) == 7
    assert len(torrent.piece_states(-5, 3)) == 3
    assert torrent.piece_states(5, 2) == []


def test_complete_is_not_set_any_more_when_more_is_wanted(origin: Origin, client: Client) -> None:
    """And is again when that is there. It is told each time."""
    torrent = origin.served(client)
    feed = client.events()
    torrent.download_pieces(0, 1)
    assert torrent.complete.wait(PATIENCE)
    torrent.pause()
    torrent.download_all()
    assert not torrent.complete.is_set
    assert not torrent.complete.wait(0)
    torrent.resume()
    assert torrent.complete.wait(PATIENCE)
    client.close()
    assert sum(isinstance(event, events.Completed) for event in feed) == 2


def test_a_paused_torrent_keeps_its_connections_and_asks_for_nothing(origin: Origin, client: Client) -> None:
    """Until it is resumed."""
    torrent = dribbling(origin, client)
    torrent.pause()
    until(lambda: not torrent.peers()[0].interesting and not torrent.peers()[0].outstanding)
    client.set_rates(None, None)
    torrent.piece(36).priority = Priority.HIGH
    [peer] = torrent.peers()
    assert (peer.interesting, peer.outstanding) == (False, 0)
    assert not torrent.complete.is_set
    torrent.resume()
    assert torrent.complete.wait(PATIENCE)


def test_who_may_not_upload_serves_nobody(origin: Origin, client: Client) -> None:
    """Its peers are choked until it may again."""
    seeding = origin.client.torrents[0]
    seeding.allow_upload(False)
    try:
        torrent = origin.served(client)
        torrent.download_all()
        until(lambda: any(peer.interested for peer in seeding.peers()))
        [peer] = torrent.peers()
        assert peer.choking
        assert torrent.stats().downloaded == 0
    finally:
        seeding.allow_upload(True)
    assert torrent.complete.wait(PATIENCE)


def test_a_torrent_may_be_added_with_downloading_forbidden(origin: Origin, client: Client) -> None:
    """It asks once it is allowed to."""
    torrent = origin.added(client, download=False)
    torrent.download_all()
    torrent.add_peers([origin.address])
    assert torrent.stats().downloaded == 0
    torrent.allow_download(True)
    assert torrent.complete.wait(PATIENCE)


def test_without_connections_allowed_there_are_none(origin: Origin, client: Client) -> None:
    """Those there are end, and none is dialed."""
    torrent = dribbling(origin, client)
    torrent.set_max_connections(0)
    connected(torrent, 0)
    assert torrent.add_peers([("127.0.7.9", 9)]) == 1
    assert torrent.stats().half_open == 0


def test_addresses_of_peers_are_counted_once_and_must_be_some(origin: Origin, client: Client) -> None:
    """However they are spelled; none of a list with a wrong one is taken."""
    torrent = origin.added(client)
    assert torrent.add_peers([("127.0.0.9", 5), ("::ffff:127.0.0.9", 5), ("127.0.0.9", 6)]) == 2
    assert torrent.add_peers([("127.0.0.9", 5)]) == 0
    for peer, words in [(("example.org", 5), "example.org"), (("127.0.0.9", 0), "0"), (("127.0.0.9", 65536), "65536")]:
        with pytest.raises(InputRefused, match=words):
            torrent.add_peers([("127.0.0.9", 7), peer])
    assert torrent.stats().candidates == 2


def test_connections_are_told(origin: Origin, client: Client) -> None:
    """Who it is, who dialed, what it has and what it gave."""
    torrent = dribbling(origin, client)
    [peer] = torrent.peers()
    assert peer.address == origin.address
    assert peer.outgoing
    assert peer.client == origin.client.config.identity.extended_version
    assert peer.pieces == 37
    assert peer.interesting
    assert not peer.choking
    assert 0 < peer.downloaded < len(origin.content)
    assert peer.uploaded == 0


def test_everything_is_hashed_again_when_the_user_wishes(origin: Origin, client: Client) -> None:
    """What is wrong is fetched again, and only that."""
    torrent = origin.copied(client)
    assert torrent.checked.is_set
    path = Path(torrent.data_dir, "content", "deep", "b.bin")
    with path.open("r+b") as file:
        file.write(b"damaged")
        file.seek(-1, 2)
        file.write(b"!")
    torrent.verify()
    assert not torrent.checked.is_set
    assert torrent.checked.wait(PATIENCE)
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    until(lambda: torrent.stats().pieces_complete == 37)
    assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)
    assert torrent.stats().downloaded <= len(origin.content) + 2 * PIECE


def test_resume_data_take_a_finished_torrent_elsewhere(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Another client, another directory, other state: nothing is hashed, nothing is fetched, totals go on."""
    torrent = origin.copied(client)
    torrent.files[1].priority = Priority.HIGH
    resume = torrent.resume_data()
    shutil.copytree(torrent.data_dir, tmp_path / "elsewhere" / "data")
    with make_client(tmp_path / "elsewhere", "127.0.7.3") as other:
        feed = other.events()
        moved = origin.added(other, resume=resume)
        assert moved.complete.wait(PATIENCE)
        assert stages(feed) == ["live"]
        assert [file.priority for file in moved.files] == [1, 2, 1, 1]
        assert moved.stats().downloaded == len(origin.content)
        with moved.passive_reader() as reader:
            assert reader.read() == origin.content


@pytest.mark.parametrize("remembers", [True, False])
def test_resume_data_take_an_unfinished_torrent_elsewhere(
    origin: Origin, client: Client, tmp_path: Path, remembers: bool
) -> None:
    """The rest is fetched there, and nothing else; also where the client remembers nothing."""
    torrent = origin.served(client)
    torrent.download_pieces(0, 20)
    torrent.download_pieces(36, 37)
    assert torrent.complete.wait(PATIENCE)
    resume = torrent.resume_data()
    torrent.drop().wait(PATIENCE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path(torrent.data_dir).rename(elsewhere / "data")
    with make_client(elsewhere, "127.0.7.3", state_dir=elsewhere / "state" if remembers else None) as other:
        feed = other.events()
        moved = origin.added(other, resume=resume)
        assert stages(feed) == ["live"]
        assert complete_pieces(moved) == {*range(20), 36}
        before = moved.stats().downloaded
        moved.download_all()
        moved.add_peers([origin.address])
        assert moved.complete.wait(PATIENCE)
        assert moved.stats().downloaded - before == 16 * PIECE


def test_resume_data_do_not_vouch_for_files_that_are_not_there(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Sizes are looked at: one file was not copied."""
    torrent = origin.copied(client)
    shutil.copytree(torrent.data_dir, tmp_path / "elsewhere" / "data")
    (tmp_path / "elsewhere" / "data" / "content" / "a.bin").unlink()
    with make_client(tmp_path / "elsewhere", "127.0.7.3") as other:
        moved = origin.added(other, resume=torrent.resume_data())
        assert not complete_pieces(moved) & set(range(15))
        moved.download_all()
        moved.add_peers([origin.address])
        assert moved.complete.wait(PATIENCE)
        assert trees.digest(Path(moved.data_dir, "content")) == trees.digest(origin.path)


@pytest.mark.parametrize("resume", [b"", b"junk", b"de", b"d6:format18:anabranch resume 1e"])
def test_what_is_no_resume_data_is_refused_and_nothing_is_added(origin: Origin, client: Client, resume: bytes) -> None:
    """The torrent may be added without afterwards."""
    with pytest.raises(InputRefused, match="resume data"):
        client.add(origin.torrent, resume=resume)
    assert client.torrents == []
    assert origin.added(client).stats().stage == "live"


def test_a_dropped_torrent_is_gone_and_its_files_stay(origin: Origin, client: Client) -> None:
    """Nobody finds it; the signal tells when it has let go of everything. Dropping twice does nothing."""
    torrent = origin.copied(client)
    closed = torrent.drop()
    assert client.torrents == []
    assert client.get(torrent.info_hash) is None
    assert torrent.drop() is closed is torrent.closed
    assert closed.wait(PATIENCE)
    torrent.drop().wait(PATIENCE)
    assert torrent.stats().stage == "dropped"
    assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)


def test_dropping_wakes_who_waits(origin: Origin, client: Client) -> None:
    """What they wait for will not come."""
    torrent = origin.added(client)
    torrent.download_all()
    waiting = background(torrent.complete.wait)
    until(lambda: torrent.complete.waiting)
    torrent.drop()
    with pytest.raises(Closed):
        waiting.result(PATIENCE)


def test_a_dropped_torrent_may_be_added_again_at_once(origin: Origin, client: Client) -> None:
    """Many times over, also in the middle of downloading; in the end it is complete and right."""
    for pieces in range(1, 8):
        torrent = client.add(origin.torrent)
        torrent.download_pieces(0, pieces)
        torrent.add_peers([origin.address])
        if pieces % 2:
            torrent.checked.wait(PATIENCE)
        torrent.drop()
    torrent = origin.copied(client)
    assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)


def test_a_dropped_torrent_is_forgotten(origin: Origin, client: Client) -> None:
    """What is on disk is hashed when it comes again, and nothing is wanted of it."""
    origin.copied(client).drop().wait(PATIENCE)
    feed = client.events()
    torrent = origin.added(client)
    assert "checking" in stages(feed)
    assert complete_pieces(torrent) == set(range(37))
    assert {file.priority for file in torrent.files} == {Priority.NONE}


def test_a_dropped_torrent_s_handle_does_no_harm(origin: Origin, client: Client) -> None:
    """Some thread always comes too late: what cannot be done is Closed or nothing."""
    torrent = origin.copied(client)
    torrent.drop().wait(PATIENCE)
    torrent.set_priorities([Priority.NONE] * 4)
    torrent.download_all()
    torrent.download_pieces(0, 9)
    torrent.cancel_pieces(0, 9)
    torrent.files[0].priority = Priority.HIGH
    torrent.piece(0).priority = Priority.HIGH
    torrent.piece(0).verify()
    torrent.verify()
    torrent.pause()
    torrent.resume()
    torrent.set_max_connections(3)
    torrent.add_peers([origin.address])
    assert torrent.peers() == []
    assert torrent.stats().stage == torrent.cached_stats().stage == "dropped"
    assert torrent.resume_data()
    with pytest.raises(Closed):
        torrent.reader().read(1)
    again = origin.added(client)
    assert again.stats().stage == "live"
    assert torrent.stats().stage == "dropped"


def test_numbers_say_how_far_it_is(origin: Origin, client: Client) -> None:
    """Bytes wanted and left, pieces, block bytes."""
    torrent = origin.served(client)
    torrent.download_pieces(30, 37)
    last = len(origin.content) - 36 * PIECE
    stats = torrent.stats()
    assert (stats.info_hash, stats.name, stats.length) == (torrent.info_hash, "content", len(origin.content))
    assert stats.wanted == 6 * PIECE + last
    assert torrent.complete.wait(PATIENCE)
    stats = torrent.stats()
    assert stats.complete
    assert (stats.wanted_left, stats.pieces_complete, stats.pieces) == (0, 7, 37)
    assert (stats.downloaded, stats.wasted, stats.corrupt) == (6 * PIECE + last, 0, 0)
    assert (stats.stage, stats.error, stats.checked) == ("live", "", 1.0)


def test_cached_numbers_never_wait(origin: Origin, client: Client) -> None:
    """While another thread has the turn the old ones are given, and `at` says how old; then fresh ones are made."""
    torrent = origin.added(client)
    old = torrent.cached_stats()
    clock = client._core.engine.clock
    until(lambda: clock() - old.at > 0.2)
    with held(client):
        assert torrent.cached_stats() is old
        assert torrent.cached_stats() is old
    snapshot = torrent._state.snapshot
    until(lambda: snapshot.picture is not None and snapshot.picture.at > old.at)
    assert torrent.cached_stats().at > old.at


def test_cached_numbers_are_kept_for_a_while(origin: Origin, client: Client) -> None:
    """Who asks often gets the same picture, and is no burden."""
    torrent = origin.added(client)
    first = torrent.cached_stats()
    taken = client._core.turn.taken
    pictures = [torrent.cached_stats() for _ in range(100)]
    clock = client._core.engine.clock
    if clock() - first.at < 0.2:  # else this machine was very slow
        assert all(picture is first for picture in pictures)
        assert client._core.turn.taken - taken < 100


def test_calls_from_many_threads_during_a_download_do_no_harm(origin: Origin, tmp_path: Path) -> None:
    """W05: eight threads want, cancel, read, pause and look; in the end all is complete, and all see the same."""
    with make_client(tmp_path, "127.0.7.2", download_rate=4096 * KIB) as client:
        torrent = origin.served(client)
        torrent.download_all()
        over = threading.Barrier(8)

        def meddle(seed: int) -> None:
            draw = Random(seed)
            mine = client.get(torrent.info_hash)
            assert mine is not None
            piece, file = mine.piece(draw.randrange(37)), mine.files[draw.randrange(4)]
            acts: list[Callable[[], object]] = [
                lambda: mine.download_pieces(draw.randrange(37), 37),
                lambda: mine.cancel_pieces(0, draw.randrange(37)),
                lambda: setattr(file, "priority", draw.choice([Priority.NORMAL, Priority.HIGH])),
                lambda: setattr(piece, "priority", draw.choice(list(Priority)[:3])),
                lambda: mine.allow_download(draw.random() < 0.7),
                lambda: mine.allow_upload(draw.random() < 0.5),
                lambda: mine.set_max_connections(draw.randrange(1, 50)),
                lambda: mine.add_peers([origin.address]),
                mine.download_all,
                piece.verify,
                mine.resume_data,
                mine.peers,
                client.stats,
                lambda: mine.cached_stats().at,
                lambda: [mine.piece_states(), mine.stats(), file.bytes_completed],
            ]
            for _ in range(120):
                draw.choice(acts)()
            over.wait(PATIENCE)  # nobody forbids downloading any more
            mine.allow_download(True)
            with file.reader() as reader:
                reader.seek(draw.randrange(file.length + 1))
                begin = file.offset + reader.tell()
                assert reader.readall() == origin.content[begin : file.offset + file.length]

        for meddler in [background(partial(meddle, seed)) for seed in range(8)]:
            meddler.result(PATIENCE)
        torrent.resume()
        torrent.download_all()
        assert torrent.checked.wait(PATIENCE)
        assert torrent.complete.wait(PATIENCE)
        again = client.get(torrent.info_hash)
        assert again is not None
        assert again.piece_states() == torrent.piece_states()
        assert complete_pieces(torrent) == set(range(37))
        assert torrent.stats().pieces_complete == 37
        assert trees.digest(Path(torrent.data_dir, "content")) == trees.digest(origin.path)
