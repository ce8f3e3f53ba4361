"""download and seed, as real programs that exchange real bytes over loopback."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from programs import run, running, seeding, small_torrent
from trees import digest

NOT_HERE = ("--bind", "127.0.0.2", "--port", "0")


@pytest.fixture
def torrent(tmp_path: Path) -> Path:
    return small_torrent(tmp_path)[0]


def test_a_download_ends_with_0_when_everything_is_there(tmp_path: Path, torrent: Path) -> None:
    """Two programs, one of which has the data; stdout says the result, stderr is the place for progress."""
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        done = run(tmp_path, "download", torrent, "-d", "got", "--peer", address, *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("complete: folder, 976.6 KiB")
    assert digest(tmp_path / "got" / "folder") == digest(tmp_path / "source" / "folder")


def test_json_is_one_object_a_line_and_complete_is_said_once(tmp_path: Path, torrent: Path) -> None:
    """Programs read stdout: nothing else goes there."""
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        done = run(tmp_path, "download", torrent, "-d", "got", "--peer", address, "--json", *NOT_HERE)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    events = [one["event"] for one in told]
    assert done.returncode == 0
    assert events[:2] == ["added", "metadata"]
    assert events.count("complete") == 1
    files = [one["path"] for one in told if one["event"] == "file_complete"]
    assert sorted(files) == sorted(set(files))
    assert "folder/deep/two.bin" in files
    assert len({one["torrent"] for one in told}) == 1
    last = [one for one in told if one["event"] == "progress"][-1]
    assert last["done"] == last["total"] == 1_000_006
    assert {"rate_down", "rate_up", "peers", "seeds", "stage", "eta"} <= set(last)


def test_quiet_says_nothing_and_a_second_run_fetches_nothing(tmp_path: Path, torrent: Path) -> None:
    """What is complete stays complete: the second run has nobody to ask."""
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        first = run(tmp_path, "download", torrent, "-d", "got", "--peer", address, "--quiet", *NOT_HERE)
    again = run(tmp_path, "download", torrent, "-d", "got", *NOT_HERE)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert (again.returncode, again.stderr) == (0, "")


def test_only_selected_files_are_fetched(tmp_path: Path, torrent: Path) -> None:
    """By the path below the torrent's folder."""
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        done = run(tmp_path, "download", torrent, "-d", "got", "--peer", address, "--select", "deep/*", *NOT_HERE)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "got" / "folder"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["empty.txt", "two.bin"]
    assert digest(folder / "deep") == digest(tmp_path / "source" / "folder" / "deep")


def test_a_selection_of_an_empty_file_is_complete_at_once(tmp_path: Path, torrent: Path) -> None:
    """It has no bytes that a piece could bring."""
    done = run(tmp_path, "download", torrent, "-d", "got", "--select", "*/empty.txt", *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got" / "folder" / "deep" / "empty.txt").read_bytes() == b""


def test_a_selection_of_nothing_names_the_files(tmp_path: Path, torrent: Path) -> None:
    """Before anything is begun."""
    done = run(tmp_path, "download", torrent, "--select", "*.iso", *NOT_HERE)
    assert done.returncode == 1
    assert "deep/two.bin" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_verify_finds_what_changed_behind_the_record(tmp_path: Path, torrent: Path) -> None:
    """A record is believed, unless the user wants everything hashed anew; what is wrong is fetched again."""
    wrong = tmp_path / "got" / "folder" / "one.bin"
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        run(tmp_path, "download", torrent, "-d", "got", "--peer", address, *NOT_HERE)
        with wrong.open("r+b") as file:
            file.seek(100_000)
            file.write(b"!")
        done = run(tmp_path, "download", torrent, "-d", "got", "--peer", address, "--verify", *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert digest(wrong) == digest(tmp_path / "source" / "folder" / "one.bin")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_download_goes_on_where_it_was(tmp_path: Path, torrent: Path, number: int) -> None:
    """130, with the state saved: the next run has less to fetch."""
    words = ("download", torrent, "-d", "got", "--json", *NOT_HERE)
    with (
        seeding(tmp_path, torrent, tmp_path / "source", "--limit-up", "200K") as slow,
        running(tmp_path, *words, "--peer", slow) as program,
    ):
        while not 0 < program.told("progress")["done"] < 1_000_006:
            pass
        assert program.end(number) == 130
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        done = run(tmp_path, *words, "--peer", address)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert any(one["event"] == "progress" and one["stage"] == "live" and one["done"] for one in told)
    assert digest(tmp_path / "got" / "folder") == digest(tmp_path / "source" / "folder")


def test_seed_tells_what_is_missing_and_fetches_nothing(tmp_path: Path, torrent: Path) -> None:
    """It serves what is there, and changes nothing where the data are."""
    (tmp_path / "source" / "folder" / "one.bin").unlink()
    before = digest(tmp_path / "source")
    with running(tmp_path, "seed", torrent, "-d", "source", "--bind", "127.0.0.1", "--port", "0") as program:
        assert program.child.stdout is not None
        line = program.child.stdout.readline()
        assert program.end() == 130
    assert line.startswith("seeding folder on 127.0.0.1:")
    assert line.endswith("(67% of it is here)\n")
    assert digest(tmp_path / "source") == before


def test_seed_of_nothing_fails(tmp_path: Path, torrent: Path) -> None:
    """Most likely -d is wrong, and waiting for ever would hide it."""
    (tmp_path / "elsewhere").mkdir()
    done = run(tmp_path, "seed", torrent, "-d", "elsewhere", "--bind", "127.0.0.1", "--port", "0")
    assert done.returncode == 1
    assert "nothing of folder is in" in done.stderr


def test_seed_goes_on_serving_what_a_download_fetched(tmp_path: Path, torrent: Path) -> None:
    """download --seed: the third gets all from the second, after the first has gone."""
    with running(
        tmp_path, "download", torrent, "-d", "second", "--seed", "--json", "--bind", "127.0.0.3", "--port", "0"
    ) as second:
        [address] = second.told("added")["listen"]
        with seeding(tmp_path, torrent, tmp_path / "source", "--peer", address):
            second.told("complete")
        done = run(tmp_path, "download", torrent, "-d", "third", "--peer", address, *NOT_HERE)
        assert done.returncode == 0, done.stderr
        assert second.end(signal.SIGINT) == 130
    assert digest(tmp_path / "third") == digest(tmp_path / "source")


def test_a_super_seeder_gives_it_all_to_two_that_know_each_other(tmp_path: Path, torrent: Path) -> None:
    """seed --super-seeding: a newcomer hears of nothing, then of one piece after another."""
    with seeding(tmp_path, torrent, tmp_path / "source", "--super-seeding") as address:
        words = ("--bind", "127.0.0.3", "--port", "0", "--peer", address)
        with running(tmp_path, "download", torrent, "-d", "second", "--seed", "--json", *words) as second:
            [other] = second.told("added")["listen"]
            done = run(tmp_path, "download", torrent, "-d", "third", "--peer", address, "--peer", other, *NOT_HERE)
            assert done.returncode == 0, done.stderr
            second.told("complete")
    assert digest(tmp_path / "third") == digest(tmp_path / "second") == digest(tmp_path / "source")


def test_two_programs_cannot_use_the_same_files(tmp_path: Path, torrent: Path) -> None:
    """One clear line, not two writers."""
    with seeding(tmp_path, torrent, tmp_path / "source"):
        done = run(tmp_path, "download", torrent, "-d", "source", *NOT_HERE)
    assert done.returncode == 1
    assert "in use by process" in done.stderr


def test_all_torrents_are_read_before_one_is_begun(tmp_path: Path, torrent: Path) -> None:
    """A bad one among them ends the command with nothing done."""
    done = run(tmp_path, "download", torrent, "missing.torrent", "-d", "got", *NOT_HERE)
    assert (done.returncode, done.stderr) == (1, "anabranch: missing.torrent: No such file or directory\n")
    assert not (tmp_path / "got").exists()


def test_a_disk_that_says_no_is_told_in_the_systems_words(tmp_path: Path, torrent: Path) -> None:
    """The command goes on trying; Ctrl-C ends it."""
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "folder").write_text("in the way of the folder")
    with (
        seeding(tmp_path, torrent, tmp_path / "source") as address,
        running(tmp_path, "download", torrent, "-d", "got", "--peer", address, "--json", *NOT_HERE) as program,
    ):
        message = program.told("error")["message"]
        assert program.end() == 130
    assert "Not a directory" in message or "File exists" in message
    assert "trying again every 10 s" in message


def test_memory_keeps_nothing_on_the_disk(tmp_path: Path, torrent: Path) -> None:
    """--storage memory."""
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        done = run(tmp_path, "download", torrent, "-d", "got", "--storage", "memory", "--peer", address, *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "got").exists()


def test_a_complete_folder_that_is_already_there_needs_no_peers(tmp_path: Path, torrent: Path) -> None:
    """It is hashed, found right, and used."""
    shutil.copytree(tmp_path / "source", tmp_path / "got")
    done = run(tmp_path, "download", torrent, "-d", "got", *NOT_HERE)
    assert done.returncode == 0, done.stderr
