"""Hostile peers against what users switch on: handlers of extension messages, metrics, super-seeding, events."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from anabranch.api import Client
from anabranch.engine import extending
from anabranch.storage import MemoryStorage
from anabranch.testing import HostilePeer
from origin import Origin
from ours import address_of, finished, make_client, until

FLOODS = ("flood-extensions", "flood-introductions", "flood-unknown", "flood-suggestions", "flood-rejects")
MOST_SERIES = 250  # all that the catalogue can tell apart, with what this program registers


def pressed(stack: ExitStack, origin: Origin, victim: Client, *kinds: str) -> list[HostilePeer]:
    """One attacker of each kind, at work."""
    attackers = [
        stack.enter_context(
            HostilePeer(kind, origin.metainfo, host=f"127.0.63.{number}", victim=address_of(victim), seed=number)
        )
        for number, kind in enumerate(kinds, 1)
    ]
    until(lambda: all(one.sent > 32 * 1024 for one in attackers))
    return attackers


@pytest.mark.parametrize("handler", ["hangs", "raises"])
def test_a_flood_of_extension_messages_holds_up_nobody(
    handler: str, origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever handlers do: what waits for them is bounded, so are the metrics, and others get what they want."""
    caplog.set_level(logging.ERROR, "anabranch")
    called, done = threading.Event(), threading.Event()

    def act(*_: object) -> None:
        called.set()
        if handler == "raises":
            raise ValueError("a handler of the user's")
        done.wait()

    with ExitStack() as stack, make_client(tmp_path / "v", "127.0.6.2", storage=MemoryStorage(), debug=True) as victim:
        stack.callback(done.set)
        for name in ("ut_one", "ü" * 32, "a b"):
            victim.extensions.register(name, act)
        seeding = origin.copied(victim)
        feed = victim.events()
        attackers = pressed(stack, origin, victim, *FLOODS)
        stop = victim.extensions.register("ut_late", act)
        with make_client(tmp_path / "o", "127.0.6.3", storage=MemoryStorage()) as other:
            torrent = origin.added(other)
            torrent.download_all()
            torrent.add_peers([address_of(victim)])
            finished(torrent, 30)
        assert called.wait(20)
        stop()
        extensions = victim._core.engine.workshop.extensions
        assert extensions.messages_in_all <= extending._MOST_MESSAGES_IN_ALL
        assert extensions.waiting_in_all <= extending._MOST_WAITING_IN_ALL
        told = victim.metrics()
        assert len(told) < MOST_SERIES
        assert told['messages_read_total{type="unknown"}']
        assert len(victim.metrics_text()) < 64 * 1024
        assert seeding.stats().stage == "live"
        assert all(one.connections for one in attackers)
        done.set()
        feed.close()
    ours = [record for record in caplog.records if not record.message.startswith("hook failed")]
    assert not ours
    assert bool(caplog.records) == (handler == "raises")


def test_a_client_closes_while_a_handler_hangs(origin: Origin, tmp_path: Path) -> None:
    """It waits for the handler as long as it was told to, and no longer."""
    begun, done = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        begun.set()
        done.wait()

    try:
        with ExitStack() as stack:
            victim = make_client(tmp_path / "v", "127.0.6.2", storage=MemoryStorage())
            victim.extensions.register("ut_one", hang)
            origin.copied(victim)
            pressed(stack, origin, victim, "flood-extensions")
            assert begun.wait(20)
            before = time.monotonic()
            victim.close(1.0)
            assert time.monotonic() - before < 20
    finally:
        done.set()


def test_who_lies_to_a_super_seeder_does_not_keep_others_from_the_torrent(origin: Origin, tmp_path: Path) -> None:
    """Of all that it says to have got, and of all that it asks for nothing, honest ones notice nothing."""
    with ExitStack() as stack, make_client(tmp_path / "v", "127.0.6.2", storage=MemoryStorage()) as victim:
        origin.copied(victim).set_super_seeding(True)
        for number, kind in enumerate(("lying-haves", "allowed-again", "flood-haves"), 1):
            stack.enter_context(
                HostilePeer(kind, origin.metainfo, host=f"127.0.63.{number}", victim=address_of(victim))
            )
        with make_client(tmp_path / "o", "127.0.6.3", storage=MemoryStorage()) as other:
            torrent = origin.added(other)
            torrent.download_all()
            torrent.add_peers([address_of(victim)])
            until(lambda: torrent.stats().pieces_complete >= 3)
            assert torrent.stats().peers
