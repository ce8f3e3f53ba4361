"""The examples run as they stand, against a real seeder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from anabranch.testing import WebServer
from anabranch.tracker import ErrorType, remedy_for
from dht_nodes import dht_nodes
from programs import PATIENCE, environment, run, seeding, small_torrent
from small_servers import HttpServer, http_reply
from trees import digest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
HERE = ("--bind", "127.7.9.98")  # from there nothing leaves this machine: neither to the DHT nor to the local network


def example(place: Path, name: str, *words: str | Path) -> str:
    """Run one to its end. Gives what it printed."""
    line = [sys.executable, EXAMPLES / name, *words]
    done = subprocess.run(
        line, cwd=place, env=environment(place), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_download_with_threads(tmp_path: Path) -> None:
    """Everything arrives, and the files can be read through the engine."""
    torrent, source = small_torrent(tmp_path)
    with seeding(tmp_path, torrent, source) as address:
        said = example(tmp_path, "download.py", *HERE, torrent, "-d", "got", "--peer", address)
    assert digest(tmp_path / "got") == digest(source)
    assert "folder: complete" in said


def test_stream_with_asyncio(tmp_path: Path) -> None:
    """The longest file comes out as it went in."""
    torrent, source = small_torrent(tmp_path)
    with seeding(tmp_path, torrent, source) as address:
        example(tmp_path, "stream_asyncio.py", *HERE, torrent, "-d", "got", "-o", "streamed", "--peer", address)
    assert digest(tmp_path / "streamed") == digest(source / "folder" / "deep" / "two.bin")


def test_a_service_hands_torrents_to_another_machine(tmp_path: Path) -> None:
    """The second machine has other state and believes the resume data."""
    torrent, source = small_torrent(tmp_path)
    (tmp_path / "torrents").mkdir()
    torrent = torrent.rename(tmp_path / "torrents" / torrent.name)
    with seeding(tmp_path, torrent, source) as address:
        said = example(tmp_path, "service.py", *HERE, "torrents", "-d", "got", "--state", "one", "--peer", address)
    assert "folder: handed over" in said
    assert digest(tmp_path / "got") == digest(source)
    said = example(tmp_path, "service.py", *HERE, "torrents", "-d", "got", "--state", "two", "--adopt")
    assert "folder: complete" in said


def test_web_seeds(tmp_path: Path) -> None:
    """Everything comes from one server, and another one is told to have failed."""
    torrent, source = small_torrent(tmp_path)
    with WebServer(source, host="127.0.7.9") as server:
        named = ("--webseed", f"{server.url}/", "--webseed", "http://127.0.7.9:9/")
        said = example(tmp_path, "webseeds.py", *HERE, torrent, "-d", "got", *named)
    assert digest(tmp_path / "got") == digest(source)
    assert f"{server.url}: idle, 1000006 bytes" in said or f"{server.url}: active, 1000006 bytes" in said


def test_a_monitor_of_trackers(tmp_path: Path) -> None:
    """Who works counts, who fails is told once, with what to do, and without the passkey."""
    torrent, _ = small_torrent(tmp_path)
    refusal = b"d14:failure reason20:Unregistered torrente"
    reply = b"d8:intervali1800e5:peers0:e"
    with HttpServer(lambda target: http_reply(refusal if "s3cret" in target else reply)) as tracker:
        urls = f"&tr={tracker.url}/announce&tr={tracker.url}/announce/s3cret"
        link = run(tmp_path, "magnet", torrent).stdout.strip() + urls
        said = example(tmp_path, "tracker_monitor.py", *HERE, link, "--every", "0.3", "--patience", "0", "--looks", "5")
    assert "health 50%: 1 of 2 trackers work; 1 torrent_not_registered" in said
    assert said.count(f"{tracker.url}: Unregistered torrent [torrent_not_registered, for ") == 1
    assert said.count(remedy_for(ErrorType.TORRENT_NOT_REGISTERED)) == 1
    assert "s3cret" not in said


def test_the_dht_is_asked(tmp_path: Path) -> None:
    """Who was announced there is found, and a value that is signed comes back."""
    here, name = ("--bind", "127.7.9.99"), "159ecfca2671791d88186a7f89e6cb1aa64fb29b"
    with dht_nodes(3, "127.7.9") as nodes:
        run(tmp_path, "dht", "announce", name, "--port", "777", "--seed", *here, "--dht-bootstrap", nodes.entry)
        said = example(tmp_path, "dht_lookup.py", name, *here, "--bootstrap", nodes.entry, "--note", "at noon")
    assert f"{name}: 1 peers, 1 seeds; " in said
    assert "  127.7.9.99:777\n" in said
    assert said.endswith(": b'at noon'\n")


def test_messages_of_an_extension_of_ones_own(tmp_path: Path) -> None:
    """There and back."""
    torrent, _ = small_torrent(tmp_path)
    assert example(tmp_path, "extension.py", torrent) == "good day, you said hello\n"


def test_a_storage_of_ones_own(tmp_path: Path) -> None:
    """What is recorded there is known in the next run, and every rule is kept."""
    torrent, source = small_torrent(tmp_path)
    with seeding(tmp_path, torrent, source) as address:
        said = example(tmp_path, "own_storage.py", *HERE, torrent, "-d", "pieces", "--peer", address)
    count = sum(path.name.isdigit() for path in (tmp_path / "pieces").rglob("*"))
    assert said == f"folder: complete, 0 of {count} pieces were there\n"
    assert example(tmp_path, "own_storage.py", *HERE, torrent, "-d", "pieces") == said.replace(" 0 ", f" {count} ")
    line = [sys.executable, "-m", "anabranch.testing", "storage", "own_storage:empty", "--persistent"]
    surroundings = environment(tmp_path) | {"PYTHONPATH": str(EXAMPLES), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        line, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
