"""A torrent of terabytes and hundreds of thousands of pieces is opened at the price of its files, not of its pieces."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.engine.stage import Live
from anabranch.engine.state import Policy, TorrentState
from anabranch.metainfo import Metainfo
from anabranch.model import BLOCK_SIZE
from anabranch.storage import FileStorage, SessionStore, session_key
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import Sample

PIECE_LENGTH = 8 * 1024 * 1024
PIECES = 530_000  # of zeros: 4 TiB, and the file is a single hole
CALLS = ("open", "stat", "fstat", "lstat", "scandir", "listdir", "lseek", "preadv", "pread", "rename", "ftruncate")


@pytest.fixture(scope="module")
def vast() -> Sample:
    digest = sha1(bytes(PIECE_LENGTH)).digest()
    info = {"name": "vast", "piece length": PIECE_LENGTH, "pieces": digest * PIECES, "length": PIECE_LENGTH * PIECES}
    return Sample(Metainfo.parse(encode({"info": info})), b"")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count the system calls that Python's os module is asked for."""
    calls: Counter[str] = Counter()

    def counting(name: str, call: Any) -> Any:
        def count(*words: Any, **named: Any) -> Any:
            calls[name] += 1
            return call(*words, **named)

        return count

    with monkeypatch.context() as patches:
        for name in CALLS:
            if hasattr(os, name):
                patches.setattr(os, name, counting(name, getattr(os, name)))
        yield calls


def opened(node: Node, vast: Sample, home: FileStorage, policy: Policy) -> TorrentState:
    torrent = node.prepare(vast, home, policy=policy)
    node.settle()
    return torrent


@pytest.mark.parametrize("check", [False, True])
def test_terabytes_that_are_recorded_complete_are_served_at_once(
    vast: Sample, check: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved from another server: nothing is hashed, and neither system calls nor turns go by the piece."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "vast").touch()
    os.truncate(data / "vast", vast.geometry.total)
    sessions = SessionStore(tmp_path / "state")
    store = sessions.completion(session_key(vast.info_hash, data))
    store.record(range(PIECES), [])
    node = Node(Clock())
    with counted(monkeypatch) as calls:
        torrent = opened(node, vast, FileStorage(data, lambda _: store), Policy(check=check))
        assert isinstance(torrent.stage, Live)
        assert torrent.pieces.is_seed
        assert sum(calls.values()) < 100, calls
        assert node.engine.turn.taken < 50
        leech = Remote(node, torrent, vast, pieces=[])
        leech.talk.interested()
        leech.send()
        node.settle()
        leech.ask(PIECES - 1, 0, BLOCK_SIZE)
        node.settle()
        assert leech.answers()[PIECES - 1, 0] == bytes(BLOCK_SIZE)
        assert sum(calls.values()) < 150, calls
    assert torrent.totals.hashed == 0
    assert not torrent.disk.checks.left
    sessions.close()


def test_what_nothing_is_known_of_and_was_hardly_begun_is_looked_at_run_by_run(
    vast: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part file with some blocks of two pieces, after a kill: only these are hashed, and holes cost no call each."""
    part = tmp_path / "vast.part"
    with part.open("wb") as file:
        file.truncate(vast.geometry.total)
        for piece in (5, 300_000):
            file.seek(piece * PIECE_LENGTH)
            file.write(b"begun")
    node = Node(Clock())
    with counted(monkeypatch) as calls:
        torrent = opened(node, vast, FileStorage(tmp_path), Policy())
        assert isinstance(torrent.stage, Live)
        assert sum(calls.values()) < 200, calls
    assert torrent.totals.hashed == 2 * PIECE_LENGTH
    assert torrent.pieces.known.all()
    assert not torrent.pieces.complete.any()
