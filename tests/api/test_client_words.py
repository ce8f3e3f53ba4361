"""What a client and its handles say of themselves, and what they are told in words that nothing can be made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anabranch.api import Client, InputRefused, events
from origin import Origin
from ours import make_client
from threads import held


def test_handles_say_what_they_are_of(origin: Origin, client: Client) -> None:
    """In a log or at a prompt; an address in memory says nothing."""
    torrent = origin.added(client)
    assert repr(client) == f"<Client on {client.listen_addresses[0]}>"
    assert repr(torrent.piece(36)) == f"<Piece {36} length={torrent.piece(36).length}>"
    with torrent.reader() as reader:
        reader.seek(5)
        assert repr(reader) == f"<Reader of {torrent.name} at 5 of {torrent.length}>"
    assert repr(reader) == f"<Reader of {torrent.name} closed>"
    assert repr(torrent.passive_reader()) == f"<passive Reader of {torrent.name} at 0 of {torrent.length}>"


@pytest.mark.parametrize("kind", ["Completed", 42, int, None])
def test_what_is_no_type_of_events_is_refused(client: Client, kind: Any) -> None:
    """In the caller's thread; the engine would meet it with the next event."""
    with pytest.raises(InputRefused, match="not a type of events"):
        client.events(events.Completed, kind)


def test_a_callback_that_cannot_be_called_is_refused(client: Client) -> None:
    """Once, and not with every event."""
    nothing: Any = None
    with pytest.raises(InputRefused, match="a callback is a function: None"):
        client.on_event(nothing)


def test_who_holds_the_turn_is_told_only_when_asked_for(client: Client) -> None:
    """TORRENT_LOCK_DEBUG costs nothing when off."""
    assert not client.lock_debug().enabled


def test_who_holds_the_turn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for it."""
    monkeypatch.setenv("TORRENT_LOCK_DEBUG", "1")
    with make_client(tmp_path) as client, held(client):
        debug = client.lock_debug()
        assert debug.enabled
        assert debug.held
