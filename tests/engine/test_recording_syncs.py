"""What it costs to make pieces durable, counted in syncs: by files and groups, not by pieces."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from anabranch.metainfo import Metainfo
from anabranch.model import InfoHash, Priority
from anabranch.storage import FileStorage, MemoryCompletion, SessionStore, session_key
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Sample, _torrent, sample


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a file or a directory was synced, by name of the call; all of it is left out."""
    counted: Counter[str] = Counter()

    def counting(name: str) -> Any:
        def count(fd: int) -> None:
            counted[name] += 1

        return count

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, counting(name))
    return counted


@pytest.mark.parametrize(
    ("files", "pieces"),
    [(1_500, 600), pytest.param(50_000, 20_000, marks=[pytest.mark.deep, pytest.mark.timeout(600)])],
)
def test_many_small_files_are_synced_once_each_and_not_once_for_each_piece(
    files: int, pieces: int, tmp_path: Path, syncs: Counter[str]
) -> None:
    """W42, the flaw: one completed piece cost a sync of every file of the torrent. Each of its own is the most.

    Of a file that lies in several pieces there is one for each group of pieces that it has a part in, and a group is
    what a second brings.
    """
    draw = Random(files)
    total = pieces * 16_384
    cuts = sorted(draw.sample(range(1, total), files - 1))
    lengths = tuple(end - start for start, end in zip([0, *cuts], [*cuts, total], strict=True))
    content = sample(files=lengths, blocks=1)
    parts_of_files = sum(
        (offset % 16_384 + length - 1) // 16_384 + 1 for offset, length in zip([0, *cuts], lengths, strict=True)
    )
    node = Node(clock := Clock())
    torrent = node.add(content, FileStorage(tmp_path))
    node.settle()
    for _ in range(4):
        Remote(node, torrent, content, rate=pieces / 50)
    seconds = until(clock, node, lambda: torrent.signals.complete.is_set, 120)
    assert files <= syncs["fdatasync"] <= parts_of_files  # files of each piece, summed up
    assert syncs["fsync"] <= 2 * seconds + 5  # directories
    print(f"{pieces} pieces, {files} files, {parts_of_files} parts of files: {syncs}")


def tiny(pieces: int) -> Sample:
    """Very many pieces of one byte, which has the right hash."""
    digests = [hashlib.sha1(bytes([byte])).digest() for byte in range(256)]
    content = Random(pieces).randbytes(pieces)
    return Sample(Metainfo.parse(_torrent(1, pieces, b"".join(digests[byte] for byte in content), (), 0)), content)


@pytest.mark.parametrize("pieces", [40_000, pytest.param(350_000, marks=pytest.mark.deep)])
def test_very_many_pieces_are_recorded_in_some_groups(pieces: int, tmp_path: Path, syncs: Counter[str]) -> None:
    """W42: found by a check, as data from another program are: one sync, and the store has a group now and then."""
    content = tiny(pieces)
    (tmp_path / content.metainfo.info.files[0].path[0]).write_bytes(content.content)
    groups = 0

    class Store(MemoryCompletion):
        def record(self, *words: Any) -> None:
            nonlocal groups
            groups += 1
            super().record(*words)

    store = Store()
    node = Node(clock := Clock())
    torrent = node.add(content, FileStorage(tmp_path, lambda _: store), want=Priority.NORMAL)
    while not torrent.signals.complete.is_set:
        for _ in range(20):
            node.step()
        if not node.disk.waiting:
            run(clock, node, 1)
    assert torrent.pieces.is_seed
    assert syncs["fdatasync"] <= 1
    assert groups <= 5
    known, complete = store.load(pieces)
    assert known.all()
    assert complete.all()


def test_a_group_of_many_pieces_is_one_transaction(tmp_path: Path) -> None:
    """W42, the flaw: 333,000 pieces were 333,000 transactions of one row."""
    store = SessionStore(tmp_path).completion(session_key(InfoHash(bytes(20)), tmp_path))
    store.record(range(350_000), [])
    known, complete = store.load(350_000)
    assert known.all()
    assert complete.all()
