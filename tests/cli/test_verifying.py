"""What verify finds: against the plain way, and with files that change or fail under its hands."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from anabranch.cli.verifying import Findings, Found, Subject, check, look_for, verify
from anabranch.metainfo import Crew, Hand, Metainfo, PieceLayers, Version, create
from anabranch.metainfo.hashing import WARM_SIZE
from anabranch.model import InputRefused
from trees import make_file

K = 1024


def made(top: Path, version: Version, piece_length: int) -> tuple[Metainfo, list[Found]]:
    """A torrent of what lies there, and where its files are."""
    metainfo = Metainfo.parse(create(top, version=version, piece_length=piece_length))
    return metainfo, [look_for(str(top.parent), metainfo.info, file) for file in metainfo.info.files]


def checked(metainfo: Metainfo, found: list[Found]) -> Findings:
    """All in one stretch, by one hand."""
    info = metainfo.info
    layers = PieceLayers(info, metainfo.layers) if info.v2 is not None else None
    hand = Hand(Crew("test-verify"))
    findings = check(Subject(info, layers, found), range(info.geometry.piece_count), hand)
    assert hand.through == info.geometry.content
    return findings


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("piece_length", [16 * K, 64 * K, 2 * WARM_SIZE])
def test_exactly_the_pieces_that_were_changed_are_wrong(tmp_path: Path, version: Version, piece_length: int) -> None:
    """Of files shorter and longer than a piece and than the buffer, in every kind of torrent."""
    draw = Random(piece_length)
    for number, length in enumerate((1, 40_000, 0, 3 * WARM_SIZE + 5, 16 * K, 100, 5 * piece_length, 70_001)):
        make_file(tmp_path / "top" / str(number), length, number)
    metainfo, found = made(tmp_path / "top", version, piece_length)
    assert checked(metainfo, found) == Findings()
    files = [file for file in metainfo.info.files if file.length and not file.pad]
    expected = set()
    for file in draw.sample(files, 4):
        place = draw.randrange(file.length)
        path = tmp_path.joinpath(*file.path)
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        expected.add((file.offset + place) // piece_length)
    assert checked(metainfo, found) == Findings(wrong=sorted(expected))


@pytest.mark.parametrize("piece_length", [16 * K, 2 * WARM_SIZE])
def test_files_that_go_while_they_are_read_are_told_once_and_the_others_are_hashed(
    tmp_path: Path, piece_length: int
) -> None:
    """One removed, one cut short, one that became a folder: each has its line, and its pieces only are missing."""
    top = tmp_path / "top"
    for name in "abcde":
        make_file(top / name, 4 * piece_length, ord(name))
    metainfo, found = made(top, "v1", piece_length)
    (top / "b").unlink()
    os.truncate(top / "c", piece_length + 7)
    (top / "d").unlink()
    (top / "d").mkdir()
    findings = checked(metainfo, found)
    assert findings.missing == [4, 5, 6, 7, 9, 10, 11]
    assert findings.unreadable == [12, 13, 14, 15]
    assert not findings.wrong
    names = {metainfo.info.files[number].path[-1]: fault for number, fault in findings.faults.items()}
    assert names == {
        "b": "missing",
        "c": f"only {piece_length + 7} of {4 * piece_length} bytes",
        "d": "Is a directory at offset 0",
    }


def test_what_cannot_be_read_is_one_line_and_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """However many pieces it has; and so are neighbours that are wrong."""
    top = tmp_path / "top"
    for name in "abc":
        make_file(top / name, 160 * K, ord(name))
    torrent = tmp_path / "t.torrent"
    torrent.write_bytes(create(top, piece_length=16 * K))
    (top / "a").unlink()
    (top / "a").symlink_to("a")
    make_file(top / "b", 160 * K, 0)
    with pytest.raises(InputRefused, match="top: 10 of 30 pieces are right, 10 wrong, 10 missing"):
        verify(str(torrent), str(tmp_path), quiet=False)
    said = capfd.readouterr().out.splitlines()
    assert said == [
        f"top/a: {os.strerror(40)}",
        "pieces 10 to 19 are wrong (top/b offset 0)",
    ]


def test_each_file_is_opened_once_and_read_in_few_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: opening is what costs with small files, and short reads with small pieces."""
    top = tmp_path / "top"
    for number in range(60):
        make_file(top / f"{number:02}", number * 997, number)
    make_file(top / "large", 10 * WARM_SIZE, 1)
    metainfo, found = made(top, "v1", 16 * K)
    counted = Counter[str]()
    really_open, really_read = os.open, os.preadv

    def open_counted(path: str, flags: int) -> int:
        counted["open"] += 1
        return really_open(path, flags)

    def read_counted(fd: int, views: list[memoryview], place: int) -> int:
        counted["read"] += 1
        return really_read(fd, views, place)

    monkeypatch.setattr(os, "open", open_counted)
    monkeypatch.setattr(os, "preadv", read_counted)
    assert checked(metainfo, found) == Findings()
    assert counted["open"] == 60
    assert counted["read"] <= 60 + metainfo.info.geometry.total // WARM_SIZE + 1
