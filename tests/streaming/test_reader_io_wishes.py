"""What readers want of the engine: when, how much, and until when."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from anabranch.api import Client, Priority, Reader, Torrent
from origin import PIECE, Origin
from streaming.waiting import nobody_waits, readers_wait, wishes
from threads import PATIENCE, background, held

NOW, AHEAD = Priority.NOW, Priority.READAHEAD

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def complete(origin: Origin, client: Client) -> Torrent:
    """A torrent that has everything already: reads come back at once, and wish for what comes next."""
    return origin.copied(client)


@pytest.fixture
def wanted_nowhere(complete: Torrent) -> Torrent:
    """The same, with no file wanted."""
    complete.set_priorities([Priority.NONE] * len(complete.files))
    return complete


def test_a_reader_that_has_not_read_wants_nothing(origin: Origin, client: Client) -> None:
    """Nor does seeking make it."""
    torrent = origin.added(client)
    with torrent.reader() as reader:
        reader.readahead = 5 * PIECE
        reader.seek(7 * PIECE)
        assert wishes(torrent) == {}


def test_a_reader_wants_the_piece_it_waits_for_now_and_its_window_soon(origin: Origin, client: Client) -> None:
    """And nothing once it is closed."""
    torrent = origin.added(client)
    reader = torrent.reader()
    reader.readahead = 2 * PIECE
    reader.seek(7 * PIECE + 1)
    reading = background(lambda: reader.read(1))
    readers_wait(torrent)
    assert wishes(torrent) == {7: NOW, 8: AHEAD, 9: AHEAD}
    torrent.add_peers([origin.address])
    assert reading.result(PATIENCE) == origin.content[7 * PIECE + 1 :][:1]
    reader.close()
    assert wishes(torrent) == {}


def test_the_window_changes_with_the_read_ahead(origin: Origin, client: Client) -> None:
    """At once, also for a reader that is waiting."""
    torrent = origin.added(client)
    with torrent.reader() as reader:
        reading = background(lambda: reader.read(1))
        readers_wait(torrent)
        assert wishes(torrent) == {0: NOW}
        reader.readahead = 3 * PIECE
        assert wishes(torrent) == {0: NOW, 1: AHEAD, 2: AHEAD}
        reader.readahead = lambda start, position: PIECE + 1
        assert wishes(torrent) == {0: NOW, 1: AHEAD}
        assert callable(reader.readahead)
        torrent.add_peers([origin.address])
        reading.result(PATIENCE)


def test_by_default_the_window_grows_with_what_was_read_in_one_go(wanted_nowhere: Torrent) -> None:
    """And begins anew after a seek, with the next read."""
    with wanted_nowhere.reader() as reader:
        reader.read(3 * PIECE)
        assert wishes(wanted_nowhere) == {3: NOW, 4: AHEAD, 5: AHEAD}
        reader.seek(20 * PIECE)
        assert wishes(wanted_nowhere) == {}
        reader.read(1)
        assert wishes(wanted_nowhere) == {20: NOW}


def test_a_seek_to_where_it_is_changes_nothing(wanted_nowhere: Torrent) -> None:
    """Players do that a lot."""
    with wanted_nowhere.reader() as reader:
        reader.read(2 * PIECE)
        before = wishes(wanted_nowhere)
        reader.seek(reader.tell())
        assert wishes(wanted_nowhere) == before == {2: NOW, 3: AHEAD}


def test_the_window_ends_with_the_file(origin: Origin, client: Client) -> None:
    """However far the reader looks ahead: what lies behind belongs to others."""
    torrent = origin.added(client)
    first, *_ = torrent.files
    with first.reader() as reader:
        reader.readahead = len(origin.content)
        reader.seek(-PIECE, 2)
        reading = background(lambda: reader.read(1))
        readers_wait(torrent)
        last = (first.length - 1) // PIECE
        assert wishes(torrent) == {last - 1: NOW, last: AHEAD}
        torrent.add_peers([origin.address])
        reading.result(PATIENCE)


def test_at_the_end_nothing_more_is_wanted(wanted_nowhere: Torrent) -> None:
    """Who has read it all needs nothing, even before the reader is closed."""
    reader = wanted_nowhere.reader()
    reader.read()
    assert wishes(wanted_nowhere) == {}


def test_what_files_are_worth_is_seen_again_when_the_reader_has_gone(complete: Torrent) -> None:
    """The reader's wishes stand above, and take nothing away."""
    complete.files[0].priority = Priority.HIGH
    before = wishes(complete)
    with complete.reader() as reader:
        reader.read(PIECE + 1)
        assert wishes(complete) == before | {1: NOW, 2: AHEAD}
    assert wishes(complete) == before


def test_two_readers_wish_side_by_side(wanted_nowhere: Torrent) -> None:
    """The more urgent wish counts; one that leaves does not take the other's along."""
    one, other = wanted_nowhere.reader(), wanted_nowhere.reader()
    one.read(3 * PIECE)
    other.seek(4 * PIECE)
    other.read(1)
    assert wishes(wanted_nowhere) == {3: NOW, 4: NOW, 5: AHEAD}
    other.close()
    assert wishes(wanted_nowhere) == {3: NOW, 4: AHEAD, 5: AHEAD}
    one.close()
    assert wishes(wanted_nowhere) == {}


def test_what_a_reader_waits_for_comes_before_all_else(origin: Origin, client: Client) -> None:
    """The whole torrent is wanted, at four pieces a second; the reader has its own at once, and what it reads next."""
    client.set_rates(4 * PIECE, None)
    torrent = origin.added(client)
    torrent.download_all()
    reader = torrent.reader()
    reader.readahead = 2 * PIECE
    reader.seek(30 * PIECE)
    reading = background(lambda: reader.read(1))
    readers_wait(torrent)
    torrent.add_peers([origin.address])
    assert reading.result(PATIENCE) == origin.content[30 * PIECE :][:1]
    reader.seek(31 * PIECE)
    assert reader.read(1) == origin.content[31 * PIECE :][:1]
    assert torrent.stats().pieces_complete <= 8


def test_a_passive_reader_changes_nothing(origin: Origin, client: Client) -> None:
    """W38: opening, seeking, reading and closing one leave every priority as it was, and nothing is asked for."""
    torrent = origin.served(client)
    torrent.piece(3).priority = Priority.HIGH
    assert torrent.complete.wait(PATIENCE)
    before = torrent.piece_states()
    reader = torrent.passive_reader()
    reader.readahead = 20 * PIECE
    reader.seek(3 * PIECE)
    assert reader.read(10) == origin.content[3 * PIECE :][:10]
    reading = background(lambda: reader.read())
    readers_wait(torrent)
    assert torrent.piece_states() == before
    assert torrent.stats().downloaded == PIECE
    torrent.download_all()
    assert reading.result(PATIENCE) == origin.content[3 * PIECE + 10 :]
    reader.close()
    assert nobody_waits(torrent)


def test_a_passive_reader_gets_what_others_wanted(origin: Origin, client: Client) -> None:
    """Here it is another reader that fetches."""
    torrent = origin.served(client)
    with torrent.files[0].passive_reader() as passive, torrent.files[0].reader() as active:
        reading = background(lambda: passive.read(1))
        readers_wait(torrent)
        assert active.read(1) == origin.content[:1]
        assert reading.result(PATIENCE) == origin.content[:1]


def test_a_closed_reader_wishes_nothing_any_more(wanted_nowhere: Torrent) -> None:
    """Nor when its read-ahead is changed afterwards, which some players do on their way out."""
    reader = wanted_nowhere.reader()
    reader.read(PIECE)
    reader.close()
    reader.readahead = 10 * PIECE
    assert wishes(wanted_nowhere) == {}


def test_a_reader_may_be_closed_with_the_turn(wanted_nowhere: Torrent) -> None:
    """For example by a finaliser of the user's, who knows where that runs."""
    reader = wanted_nowhere.reader()
    reader.read(PIECE)
    with wanted_nowhere._core.turn:
        reader.close()
    assert wishes(wanted_nowhere) == {}


def forgotten(torrent: Torrent) -> Reader:
    """A reader with wishes."""
    reader = torrent.reader()
    reader.read(2 * PIECE)
    assert wishes(torrent) == {2: NOW, 3: AHEAD}
    return reader


def in_a_circle(torrent: Torrent) -> None:
    """Leave a reader that only the garbage collector can find."""
    reader = forgotten(torrent)
    reader.me = reader  # type: ignore[attr-defined]  # anything that closes the circle


@pytest.mark.parametrize("forget", [forgotten, in_a_circle])
def test_a_forgotten_reader_takes_its_wishes_along(
    wanted_nowhere: Torrent, forget: Callable[[Torrent], object]
) -> None:
    """Whether its last name goes or the garbage collector finds it. The next turn hears of it."""
    forget(wanted_nowhere)
    gc.collect()
    assert wishes(wanted_nowhere) == {}


def test_a_finaliser_takes_no_turn_though_its_thread_has_it(wanted_nowhere: Torrent) -> None:
    """A finaliser may come at any instant, also within a turn: to take it would be an error, to change state a race."""
    worth = wanted_nowhere._state.pieces.worth
    reader = [forgotten(wanted_nowhere)]
    in_a_circle(wanted_nowhere)
    before = bytes(worth)
    with wanted_nowhere._core.turn:
        reader.clear()
        gc.collect()
        assert bytes(worth) == before
    assert wishes(wanted_nowhere) == {}


def test_a_finaliser_does_not_wait_for_the_turn(wanted_nowhere: Torrent, client: Client) -> None:
    """It would hold up whatever its thread is about, here while another thread has the turn."""
    reader = [forgotten(wanted_nowhere)]
    with held(client):
        reader.clear()
        gc.collect()
    assert wishes(wanted_nowhere) == {}
