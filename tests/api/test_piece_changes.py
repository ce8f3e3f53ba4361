"""The feed of what becomes of pieces."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random

import pytest

from anabranch.api import Client, Closed, Misused, PieceChanges, PieceState, Priority, Torrent
from loops import Run
from origin import Origin
from threads import PATIENCE, background, on_engine


def states_of(torrent: Torrent) -> dict[int, PieceState]:
    return dict(enumerate(torrent.piece_states()))


def follow(changes: PieceChanges, states: dict[int, PieceState]) -> dict[int, PieceState]:
    """Read to the end."""
    for change in changes:
        states[change.piece] = change.state
    return states


def test_who_follows_every_change_knows_every_state(origin: Origin, client: Client) -> None:
    """W05: priorities change from several threads during a download; in the end the feed tells what is so."""
    torrent = origin.served(client)
    changes, states = torrent.piece_changes(), states_of(torrent)
    following = background(lambda: follow(changes, states))

    def change_all(seed: int) -> None:
        draw = Random(seed)
        for _ in range(60):
            torrent.piece(draw.randrange(37)).priority = draw.choice([Priority.NONE, Priority.NORMAL, Priority.HIGH])

    for changing in [background(partial(change_all, seed)) for seed in range(4)]:
        changing.result(PATIENCE)
    torrent.download_all()
    assert torrent.complete.wait(PATIENCE)
    torrent.piece(3).verify()
    assert torrent.checked.wait(PATIENCE)
    real = states_of(torrent)
    torrent.drop()
    assert following.result(PATIENCE) == real
    assert all(state.complete for state in real.values())


def test_a_piece_comes_once_however_often_it_changed(origin: Origin, client: Client) -> None:
    """Who does not read misses what is past, and nothing piles up."""
    torrent = origin.added(client)
    changes = torrent.piece_changes()
    for worth in (*[Priority.HIGH, Priority.NORMAL] * 500, Priority.HIGH):
        torrent.piece(5).priority = worth
    piece, state = changes.get(PATIENCE)
    assert (piece, state.priority) == (5, Priority.HIGH)
    with pytest.raises(TimeoutError):
        changes.get(0.15)
    assert not changes._changed.is_set  # who waits now sleeps
    torrent.piece(5).priority = Priority.NORMAL
    torrent.piece(5).priority = Priority.HIGH
    with pytest.raises(TimeoutError):  # it is as it was told to be
        changes.get(0.15)


def test_a_closed_feed_ends(origin: Origin, client: Client) -> None:
    """Also for who waits."""
    changes = origin.added(client).piece_changes()
    reading = background(lambda: list(changes))
    changes.close()
    assert reading.result(PATIENCE) == []
    with pytest.raises(Closed):
        changes.get()


def test_a_task_reads_it_too(origin: Origin, client: Client, run: Run[None]) -> None:
    """And it ends with the torrent."""

    async def read() -> None:
        torrent = await asyncio.to_thread(origin.added, client)
        changes = torrent.piece_changes()
        torrent.piece(1).priority = Priority.HIGH
        change = await anext(changes)
        assert (change.piece, change.state.priority) == (1, Priority.HIGH)
        torrent.drop()
        assert [change async for change in changes] == []

    run(read())


def test_reading_it_where_the_engine_would_wait_for_itself_is_refused(origin: Origin, client: Client) -> None:
    """As everything that waits."""
    changes = origin.added(client).piece_changes()
    with pytest.raises(Misused):
        on_engine(client, changes.get)
    with client._core.turn, pytest.raises(Misused):
        changes.get()


def test_runs_tell_the_same_as_the_states(origin: Origin, client: Client) -> None:
    """In the torrent's order, neighbours that are alike together."""
    torrent = origin.added(client)
    torrent.download_pieces(3, 10)
    runs = torrent.piece_state_runs()
    assert [(run.length, run.state.priority) for run in runs] == [(3, 0), (7, 1), (27, 0)]
    assert [run.state for run in runs for _ in range(run.length)] == torrent.piece_states()
