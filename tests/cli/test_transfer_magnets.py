"""download and seed of torrents that are named by links, hashes and URLs: real programs, real bytes over loopback."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from anabranch.metainfo import Magnet, Metainfo, Version, create
from anabranch.model import Address
from programs import run, running
from small_servers import HttpServer, http_reply
from trees import digest, make_file
from unusable import giving

NOT_HERE = ("--bind", "127.0.0.2", "--port", "0")
VERSIONS: tuple[Version, ...] = ("v1", "v2", "hybrid")
LENGTHS = {"a.bin": 300_000, "deep/b.bin": 100_001, "deep/c.txt": 5}


@dataclass(frozen=True)
class Swarm:
    """Who has everything.

    Args:
        data: The directory that the torrents' folder is in.
        torrents: The .torrent file of each version.
        links: The links to them.
        address: HOST:PORT of a program that seeds them all.
    """

    data: Path
    torrents: dict[Version, Path]
    links: dict[Version, str]
    address: str

    def link_with_peer(self, version: Version) -> str:
        """The link, and it says who has it."""
        return f"{self.links[version]}&x.pe={self.address}"

    def is_copied(self, place: Path) -> bool:
        """Whether everything is there as it was."""
        return digest(place / "folder") == digest(self.data / "folder")


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    place = tmp_path_factory.mktemp("swarm")
    data = place / "data"
    for seed, (name, length) in enumerate(LENGTHS.items()):
        make_file(data / "folder" / name, length, seed)
    torrents: dict[Version, Path] = {}
    links: dict[Version, str] = {}
    for version in VERSIONS:
        made = create(data / "folder", version=version, piece_length=32 * 1024)
        torrents[version] = place / f"{version}.torrent"
        torrents[version].write_bytes(made)
        links[version] = str(Magnet.of(Metainfo.parse(made)))
    with seeding_all(place, torrents.values(), data) as address:
        yield Swarm(data, torrents, links, address)


@contextmanager
def seeding_all(place: Path, torrents: Any, data: Path) -> Iterator[str]:
    """A program that seeds them. Gives its HOST:PORT."""
    sources = list(torrents)
    with running(place, "seed", *sources, "-d", data, "--bind", "127.0.0.1", "--port", "0", "--json") as program:
        for _ in sources:
            [address] = program.told("seeding")["addresses"]
        yield address


def told_by(output: str, event: str) -> list[dict[str, Any]]:
    """The JSON objects of that event."""
    return [one for one in map(json.loads, output.splitlines()) if one["event"] == event]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_link_is_all_that_a_download_needs(tmp_path: Path, swarm: Swarm, version: Version) -> None:
    """What `magnet` prints, and somebody who has it; people are told what it turned out to be."""
    link = run(tmp_path, "magnet", swarm.torrents[version]).stdout.strip()
    assert link == swarm.links[version]
    done = run(tmp_path, "download", link, "-d", "got", "--peer", swarm.address, *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("complete: folder, 390.6 KiB")
    assert done.stderr == "folder: 3 files, 390.6 KiB\n"
    assert swarm.is_copied(tmp_path / "got")


def test_programs_are_told_what_a_link_turned_out_to_be(tmp_path: Path, swarm: Swarm) -> None:
    """Before it is complete; what only fills pieces is no file and has no length."""
    done = run(tmp_path, "download", swarm.link_with_peer("hybrid"), "-d", "got", "--json", *NOT_HERE)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events[0] == "added"
    assert events.index("metadata") < events.index("complete")
    assert (events.count("metadata"), events.count("complete")) == (1, 1)
    [metadata] = told_by(done.stdout, "metadata")
    assert (metadata["files"], metadata["length"]) == (3, sum(LENGTHS.values()))
    first = told_by(done.stdout, "progress")[0]
    assert (first["stage"], first["total"], first["share"]) == ("learning", 0, 0.0)
    assert {json.loads(line)["torrent"] for line in done.stdout.splitlines()} == {
        str(Magnet.parse(swarm.links["hybrid"]).info_hash)
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_bare_hash_will_do(tmp_path: Path, swarm: Swarm, version: Version) -> None:
    """In hex, of either version. --quiet says nothing of all this."""
    info = Metainfo.parse(swarm.torrents[version].read_bytes()).info
    done = run(tmp_path, "download", str(info.v1 or info.v2), "-d", "got", "--peer", swarm.address, "-q", *NOT_HERE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert swarm.is_copied(tmp_path / "got")


def test_a_torrent_file_is_fetched_by_its_url(tmp_path: Path, swarm: Swarm) -> None:
    """By show and download; what a server has instead is told in one line."""
    body = swarm.torrents["v2"].read_bytes()
    with HttpServer(lambda target: http_reply(body if target == "/a.torrent" else b"<html>")) as server:
        url = f"{server.url}/a.torrent"
        shown = run(tmp_path, "show", url)
        done = run(tmp_path, "download", url, "-d", "got", "--peer", swarm.address, *NOT_HERE)
        refused = run(tmp_path, "download", f"{server.url}/index.html", *NOT_HERE)
    assert f"Magnet      {swarm.links['v2']}\n" in shown.stdout
    assert done.returncode == 0, done.stderr
    assert swarm.is_copied(tmp_path / "got")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith(f"anabranch: {server.url}: ")


def test_a_link_may_select_files_and_the_next_run_more(tmp_path: Path, swarm: Swarm) -> None:
    """BEP 53. What is known from the first run is not asked for again, but the link's peers still count."""
    link = swarm.link_with_peer("v2")
    some = run(tmp_path, "download", f"{link}&so=0,2", "-d", "got", *NOT_HERE)
    assert some.returncode == 0, some.stderr
    folder = tmp_path / "got" / "folder"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["a.bin", "c.txt"]
    rest = run(tmp_path, "download", link, "-d", "got", *NOT_HERE)
    assert (rest.returncode, rest.stderr) == (0, "")
    assert swarm.is_copied(tmp_path / "got")


def test_a_pattern_is_stronger_than_what_a_link_selects(tmp_path: Path, swarm: Swarm) -> None:
    """What the user asks for counts for more than what came with the link."""
    link = swarm.link_with_peer("v2")
    done = run(tmp_path, "download", f"{link}&so=0", "--select", "*.txt", "-d", "got", *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "got").rglob("*") if path.is_file()] == ["c.txt"]


def test_a_link_that_selects_nothing_fails_and_holds_up_no_other(tmp_path: Path, swarm: Swarm) -> None:
    """Known once its files are: the others are fetched all the same, and the exit code tells."""
    nothing, good = swarm.link_with_peer("v1"), swarm.link_with_peer("v2")
    done = run(tmp_path, "download", f"{nothing}&so=7-9", good, "-d", "got", "--json", *NOT_HERE)
    assert done.returncode == 1
    assert swarm.is_copied(tmp_path / "got")
    [error] = told_by(done.stdout, "error")
    [complete] = told_by(done.stdout, "complete")
    assert error["torrent"] == str(Magnet.parse(nothing).info_hash)
    assert complete["torrent"] == str(Magnet.parse(good).info_hash)
    assert done.stderr == f"anabranch: {error['message']}\n"
    assert "7-9" in done.stderr


@pytest.mark.parametrize("policy", ["off", "require"])
def test_encryption_may_be_switched_off_or_required(tmp_path: Path, swarm: Swarm, policy: str) -> None:
    """The seeder, which says nothing of it, goes along with both."""
    link = swarm.link_with_peer("hybrid")
    done = run(tmp_path, "download", link, "-d", "got", "--encryption", policy, *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert swarm.is_copied(tmp_path / "got")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_interrupted_while_learning_goes_on_later(tmp_path: Path, swarm: Swarm, number: int) -> None:
    """130, at once; the same command ends well when somebody is there."""
    words = ("download", swarm.links["v2"], "-d", "got", "--json", *NOT_HERE)
    with running(tmp_path, *words) as program:
        assert program.told("progress")["stage"] == "learning"
        assert program.end(number) == 130
    assert not (tmp_path / "got").exists()
    done = run(tmp_path, *words, "--peer", swarm.address)
    assert done.returncode == 0, done.stderr


def test_a_link_may_be_seeded(tmp_path: Path, swarm: Swarm) -> None:
    """It is learned from another, then what is here is checked; -d with nothing of it is an error, as ever."""
    words = ("seed", swarm.link_with_peer("v2"), "--json", *NOT_HERE)
    shutil.copytree(swarm.data, tmp_path / "here")
    with running(tmp_path, *words, "-d", "here") as program:
        told = program.told("seeding")
        assert told["pieces_complete"] == told["pieces"] > 0
        assert program.end() == 130
    done = run(tmp_path, *words, "-d", "elsewhere")
    assert done.returncode == 1
    assert "nothing of folder is in" in done.stderr


def test_a_link_s_data_may_be_verified_first(tmp_path: Path, swarm: Swarm) -> None:
    """Once it is known what they should be; what is wrong is fetched again."""
    shutil.copytree(swarm.data, tmp_path / "got")
    with (tmp_path / "got" / "folder" / "a.bin").open("r+b") as file:
        file.write(b"!!!")
    done = run(tmp_path, "download", swarm.link_with_peer("hybrid"), "-d", "got", "--verify", *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert swarm.is_copied(tmp_path / "got")


def test_metadata_of_which_nothing_can_be_made_end_the_download(tmp_path: Path) -> None:
    """They have the right hash, so there are no better ones: it says so once, and does not wait for ever."""
    with giving(b"d6:lengthi-1e4:name1:x12:piece lengthi16384e6:pieces0:e") as (link, address):
        done = run(tmp_path, "download", link, "--encryption", "off", "--peer", address, *NOT_HERE)
    assert done.returncode == 1
    assert done.stderr.startswith("anabranch: odd cannot be used: ")
    assert "Traceback" not in done.stderr
    assert "trying again" not in done.stderr


def test_peers_come_from_a_tracker_which_hears_how_it_goes(tmp_path: Path, swarm: Swarm) -> None:
    """started while only the name is known, then completed and stopped; --no-trackers asks nobody."""
    host, _, port = swarm.address.rpartition(":")
    peers = Address(host, int(port))
    compact = bytes(map(int, peers.host.split("."))) + peers.port.to_bytes(2, "big")
    with HttpServer(lambda target: http_reply(b"d8:intervali900e5:peers6:" + compact + b"e")) as tracker:
        link = f"{swarm.links['v1']}&tr={tracker.url}/announce/PASSKEY"
        with running(tmp_path, "download", link, "-d", "none", "--json", "--no-trackers", *NOT_HERE) as program:
            assert program.told("progress")["peers"] == 0
            assert program.end() == 130
        assert tracker.targets == []
        done = run(tmp_path, "download", link, "-d", "got", "--json", *NOT_HERE)
        assert done.returncode == 0, done.stderr
        said = [target.partition("event=")[2].partition("&")[0] for target in tracker.targets]
        assert said == ["started", "completed", "stopped"]
    [answered, *_] = told_by(done.stdout, "tracker")
    assert (answered["tracker"], answered["peers"]) == (tracker.url, 1)
    assert "PASSKEY" not in done.stdout + done.stderr
    assert swarm.is_copied(tmp_path / "got")


def test_a_tracker_that_fails_is_told_once_and_without_its_passkey(tmp_path: Path, swarm: Swarm) -> None:
    """Programs hear of each failure, people of each kind; stdout has results only."""
    with HttpServer(lambda target: http_reply(b"d14:failure reason12:go away nowxe")) as tracker:
        links = [f"{swarm.links[version]}&tr={tracker.url}/announce/PASSKEY" for version in VERSIONS]
        with running(tmp_path, "download", *links, "-d", "got", "--json", "-vv", *NOT_HERE) as program:
            told = program.told("tracker_failed")
            program.child.send_signal(signal.SIGINT)
            out, err = program.child.communicate(timeout=10)
        assert (told["tracker"], told["reason"]) == (tracker.url, "go away nowx")
        assert "PASSKEY" not in out + err
        with running(tmp_path, "download", *links, "-d", "got", *NOT_HERE) as program:
            assert program.child.stderr is not None
            assert program.child.stderr.readline() == f"tracker {tracker.url}: go away nowx (tracker_failure)\n"
            program.child.send_signal(signal.SIGINT)
            out, err = program.child.communicate(timeout=10)
        assert out == ""
        assert "go away" not in err
