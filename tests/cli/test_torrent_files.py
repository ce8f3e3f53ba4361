"""create, show, magnet and verify, as real programs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from anabranch import Metainfo
from anabranch.metainfo import Magnet, Version, compose, create
from programs import run, running, small_torrent
from trees import digest, make_file


def test_create_says_what_it_made(tmp_path: Path) -> None:
    """Every option arrives in the file."""
    make_file(tmp_path / "data.bin", 1_000_000)
    done = run(
        tmp_path, "create", "data.bin", "--piece-length", "256k", "--private", "--comment", "hä", "--source", "here",
        "--tracker", "http://one/a", "--tracker", "http://two/a", "--webseed", "http://seed/", "--name", "other",
        "--httpseed", "http://seed/x.php",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metainfo = Metainfo.parse((tmp_path / "other.torrent").read_bytes())
    assert str(metainfo.info.info_hash) in done.stdout
    assert (metainfo.info.name, metainfo.info.private, metainfo.info.source) == ("other", True, "here")
    assert metainfo.info.geometry.piece_length == 256 * 1024
    assert metainfo.trackers == (("http://one/a",), ("http://two/a",))
    assert (metainfo.webseeds, metainfo.comment) == (("http://seed/",), "hä")
    assert metainfo.httpseeds == ("http://seed/x.php",)
    assert "HTTP seeds  http://seed/x.php\n" in run(tmp_path, "show", "other.torrent").stdout
    assert json.loads(run(tmp_path, "show", "other.torrent", "--json").stdout)["httpseeds"] == ["http://seed/x.php"]


@pytest.mark.parametrize("version", ["v2", "hybrid"])
def test_v2_hashes_are_made_and_shown(tmp_path: Path, version: str) -> None:
    """By create, show and show --json the same; a size is that of the content, without what fills its pieces."""
    make_file(tmp_path / "data" / "a", 40_000)
    make_file(tmp_path / "data" / "b", 1)
    made = run(tmp_path, "create", "data", f"--{version}", "--piece-length", "16K", "--tracker", "http://t/a?k=%2B")
    assert made.returncode == 0, made.stderr
    info = Metainfo.parse((tmp_path / "data.torrent").read_bytes()).info
    assert (info.v1 is not None, info.v2 is not None) == (version == "hybrid", True)
    due = [*([f"Info hash   {info.v1}"] if info.v1 else []), *([f"v2 hash     {info.v2}"] if info.v2 else [])]
    shown = run(tmp_path, "show", "data.torrent").stdout
    for text in (made.stdout, shown):
        assert [line for line in text.splitlines() if "hash  " in line] == due
        assert "(40001 bytes), 2 files" in text
    told = json.loads(run(tmp_path, "show", "data.torrent", "--json").stdout)
    assert told["info_hash"] == str(info.info_hash)
    assert (told["info_hash_v1"], told["info_hash_v2"]) == (info.v1 and str(info.v1), info.v2 and str(info.v2))
    assert told["length"] == 40_001
    assert [bool(file["root"]) for file in told["files"] if not file["pad"]] == [True, True]


def test_the_versions_exclude_each_other(tmp_path: Path) -> None:
    """Rather than the last one taking it."""
    done = run(tmp_path, "create", "x", "--v1", "--hybrid")
    assert done.returncode == 2
    assert "of --v1, --v2 and --hybrid only one can be made at a time" in done.stderr


def test_magnet_prints_the_link_and_show_reads_it(tmp_path: Path) -> None:
    """The same link stands in what show says of the file; a tracker that is none is told on stderr."""
    make_file(tmp_path / "dä ta", 40_000)
    run(tmp_path, "create", "dä ta", "--hybrid", "--tracker", "http://t/a?k=%2B", "--tracker", "tt", "-o", "x.torrent")
    metainfo = Metainfo.parse((tmp_path / "x.torrent").read_bytes())
    done = run(tmp_path, "magnet", "x.torrent")
    assert (done.returncode, done.stdout) == (0, f"{Magnet.of(metainfo)}\n")
    assert done.stderr == "anabranch: a tracker that is no URL for one is left out\n"
    link = done.stdout.strip()
    assert link in run(tmp_path, "show", "x.torrent").stdout
    assert json.loads(run(tmp_path, "show", "x.torrent", "--json").stdout)["magnet"] == link
    told = json.loads(run(tmp_path, "show", f"{link}&x.pe=[::1]:80&so=1-3", "--json").stdout)
    assert told == {
        "name": "dä ta",
        "info_hash": str(metainfo.info.v1),
        "info_hash_v1": str(metainfo.info.v1),
        "info_hash_v2": str(metainfo.info.v2),
        "magnet": f"{link}&x.pe=[::1]:80&so=1-3",
        "trackers": ["http://t/a?k=%2B"],
        "webseeds": [],
        "sources": [],
        "peers": [["::1", 80]],
        "select": [[1, 3]],
        "warnings": [],
    }
    shown = run(tmp_path, "show", f"{link}&dn=a%1bb&x.pe=[::1]:80&so=1-3,5&x.pe=:").stdout
    for word in (link[20:60], str(metainfo.info.v2), "a\\x1bb", "[::1]:80", "files 1 to 3, 5, c", "HOST:PORT"):
        assert word in shown


@pytest.mark.parametrize("link", ["magnet:", "magnet:?dn=x", "magnet:?xt=urn:btih:00"])
def test_a_link_that_is_none_is_refused_in_one_line(tmp_path: Path, link: str) -> None:
    done = run(tmp_path, "show", link)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_create_replaces_a_file_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    """-o may be a directory; what was there is replaced in one step."""
    make_file(tmp_path / "data.bin", 100_000)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "data.bin.torrent").write_text("old")
    assert run(tmp_path, "create", "data.bin", "-o", "out", "--quiet").returncode == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data.bin.torrent"]
    Metainfo.parse((tmp_path / "out" / "data.bin.torrent").read_bytes())


def test_create_that_cannot_write_says_why(tmp_path: Path) -> None:
    """One line with the system's words."""
    make_file(tmp_path / "data.bin", 100_000)
    done = run(tmp_path, "create", "data.bin", "-o", "nowhere/x.torrent", "--quiet")
    assert (done.returncode, done.stderr) == (1, "anabranch: nowhere/x.torrent: No such file or directory\n")


def test_create_of_nothing_fails(tmp_path: Path) -> None:
    """There is no such file, or it is empty."""
    make_file(tmp_path / "empty", 0)
    for name in ("empty", "missing"):
        done = run(tmp_path, "create", name)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1


def test_an_interrupted_create_leaves_nothing(tmp_path: Path) -> None:
    """No half file under any name."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(200 * 1024**3)  # a hole: no room is taken, and hashing it takes longer than the test
    screen, its_screen = os.openpty()
    with running(tmp_path, "create", "large", stderr=its_screen) as program:
        os.read(screen, 1)  # its first progress: it is hashing
        assert program.end() == 130
    os.close(screen)
    os.close(its_screen)
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


def test_show_tells_people(tmp_path: Path) -> None:
    """Files, hash, sizes; what a stranger wrote cannot reach the terminal's controls."""
    make_file(tmp_path / "data" / "bell\a.bin", 100_000)
    run(tmp_path, "create", "data", "--comment", "red\x1b[31m", "--tracker", "http://t/a?key=1")
    done = run(tmp_path, "show", "data.torrent")
    assert done.returncode == 0, done.stderr
    for word in ("data", "97.7 KiB (100000 bytes)", "http://t/a?key=1", "data/bell_.bin", "red\\x1b[31m"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout
    assert "\a" not in done.stdout


def test_show_tells_programs(tmp_path: Path) -> None:
    """One JSON object with everything."""
    torrent, _ = small_torrent(tmp_path)
    told = json.loads(run(tmp_path, "show", torrent, "--json").stdout)
    assert told["length"] == 1_000_006
    assert told["info_hash"] == str(Metainfo.parse(torrent.read_bytes()).info.info_hash)
    assert {file["path"]: file["length"] for file in told["files"]} == {
        "folder/deep/empty.txt": 0,
        "folder/deep/two.bin": 700_001,
        "folder/grün.txt": 5,
        "folder/one.bin": 300_000,
    }


@pytest.mark.parametrize("content", [b"", b"de", b"d4:infode", b"<html>", bytes(1000)])
def test_what_is_no_torrent_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """With the file's name in front."""
    (tmp_path / "x.torrent").write_bytes(content)
    done = run(tmp_path, "show", "x.torrent")
    assert done.returncode == 1
    assert done.stderr.startswith("anabranch: x.torrent: ")
    assert len(done.stderr.splitlines()) == 1


def test_verify_of_what_is_right_is_0(tmp_path: Path) -> None:
    """All of it, also where an unfinished download calls a file NAME.part."""
    torrent, source = small_torrent(tmp_path)
    done = run(tmp_path, "verify", torrent, "-d", source)
    assert (done.returncode, done.stdout) == (0, "folder: 62 of 62 pieces are right\n")
    two = source / "folder" / "deep" / "two.bin"
    two.rename(two.with_name("two.bin.part"))
    assert run(tmp_path, "verify", torrent, "-d", source).returncode == 0


def test_verify_names_what_is_wrong_and_what_is_missing(tmp_path: Path) -> None:
    """By piece, file and place; and changes nothing."""
    torrent, source = small_torrent(tmp_path)
    with (source / "folder" / "deep" / "two.bin").open("r+b") as file:
        file.seek(100_000)
        file.write(b"!!")
    (source / "folder" / "one.bin").unlink()
    (source / "folder" / "deep" / "empty.txt").unlink()
    before = digest(source)
    done = run(tmp_path, "verify", torrent, "-d", source)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "folder/deep/empty.txt: missing",
        "folder/one.bin: missing",
        "piece 6 is wrong (folder/deep/two.bin offset 98304)",
    ]
    assert done.stderr.splitlines()[-1].endswith("of 62 pieces are right, 1 wrong, 20 missing")
    assert digest(source) == before


@pytest.mark.parametrize("version", ["v2", "hybrid"])
def test_verify_knows_v2_hashes(tmp_path: Path, version: Version) -> None:
    """The last piece of each file is short in v2, and filled up in a hybrid; without piece layers v2 has no hashes."""
    make_file(tmp_path / "x" / "a.bin", 100_000, 1)
    make_file(tmp_path / "x" / "b.bin", 70_001, 2)
    made = create(tmp_path / "x", version=version, piece_length=16 * 1024)
    (tmp_path / "x.torrent").write_bytes(made)
    right = run(tmp_path, "verify", "x.torrent")
    assert (right.returncode, right.stdout) == (0, "x: 12 of 12 pieces are right\n")
    with (tmp_path / "x" / "b.bin").open("r+b") as file:
        file.seek(70_000)
        file.write(b"!")
    wrong = run(tmp_path, "verify", "x.torrent")
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("piece 11 is wrong (x/b.bin offset 65536")
    (tmp_path / "x.torrent").write_bytes(compose(Metainfo.parse(made).info.raw, trackers=(), webseeds=()))
    bare = run(tmp_path, "verify", "x.torrent", "-q")
    assert bare.returncode == 1
    assert ("no piece layers" if version == "v2" else "1 wrong") in bare.stderr


def test_verify_tells_short_and_long_files(tmp_path: Path) -> None:
    """A length that is not due is a fault even if all pieces are right."""
    torrent, source = small_torrent(tmp_path)
    with (source / "folder" / "one.bin").open("ab") as file:
        file.write(b"more")
    (source / "folder" / "grün.txt").write_bytes(b"")
    done = run(tmp_path, "verify", torrent, "-d", source)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "folder/grün.txt: only 0 of 5 bytes",
        "folder/one.bin: 300004 bytes, 300000 are due",
    ]


def test_verify_finds_files_under_the_names_that_the_torrent_has(tmp_path: Path) -> None:
    """Whoever made the torrent has them under names that we would not give; they are shown without harm."""
    make_file(tmp_path / "data" / "bell\a.bin", 100_000)
    run(tmp_path, "create", "data")
    assert run(tmp_path, "verify", "data.torrent").returncode == 0
    (tmp_path / "data" / "bell\a.bin").write_bytes(b"short")
    assert run(tmp_path, "verify", "data.torrent").stdout == "data/bell\\x07.bin: only 5 of 100000 bytes\n"
