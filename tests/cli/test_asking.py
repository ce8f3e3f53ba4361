"""announce and scrape, as real programs, against trackers on loopback."""

from __future__ import annotations

import json
import re
from base64 import b32encode
from pathlib import Path

import pytest

from anabranch.bencode import encode
from anabranch.cli.asking import LEFT_UNKNOWN, known_by
from anabranch.tracker import ErrorType, remedy_for
from programs import run
from small_servers import HttpServer, UdpServer, http_reply
from trees import make_file

HASH = bytes.fromhex("159ecfca2671791d88186a7f89e6cb1aa64fb29b")
SECRET = "0123456789abcdefs3cret"


def test_announce_prints_what_the_tracker_says(tmp_path: Path) -> None:
    """For people, and as one JSON object."""
    reply = encode(
        {
            "complete": 2,
            "external ip": b"\xc0\0\2\7",
            "incomplete": 1,
            "interval": 1800,
            "min interval": 90,
            "peers": bytes.fromhex("c0000201 1ae1"),
            "warning message": "be nice",
        }
    )
    with HttpServer(lambda _: http_reply(reply)) as tracker:
        done = run(tmp_path, "announce", f"{tracker.url}/announce", HASH.hex(), "--event", "started", "--left", "7")
        told = run(
            tmp_path, "announce", f"{tracker.url}/announce", HASH.hex(), "--json", "--port", "99", "--numwant", "5"
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Interval    30m00s, 1m30s at least",
        "Seeders     2",
        "Leechers    1",
        "We are      192.0.2.7",
        "Warning     be nice",
        "Peers       1",
        "  192.0.2.1:6881",
    ]
    assert json.loads(told.stdout) == {
        "interval": 1800,
        "min_interval": 90,
        "seeders": 2,
        "leechers": 1,
        "downloaded": None,
        "peers": ["192.0.2.1:6881"],
        "external_ip": "192.0.2.7",
        "warning": "be nice",
    }
    first, second = tracker.targets
    assert re.search(r"peer_id=-DE211s-.*port=42069&.*left=7&.*event=started&numwant=200&", first)
    assert re.search(rf"port=99&.*left={LEFT_UNKNOWN}&.*key=[0-9A-F]{{8}}&numwant=5&", second)


def test_scrape_prints_the_numbers_of_each(tmp_path: Path) -> None:
    """In the order in which they were asked for."""
    with UdpServer() as tracker:
        done = run(tmp_path, "scrape", tracker.url, HASH.hex(), "00" * 20)
        assert done.stdout.splitlines() == [
            f"{HASH.hex()}  seeders 2, leechers 1, downloaded 7",
            f"{'00' * 20}  seeders 2, leechers 1, downloaded 7",
        ]
        assert (done.returncode, done.stderr) == (0, "")
        told = run(tmp_path, "scrape", tracker.url, HASH.hex(), "--json")
        assert json.loads(told.stdout) == {"info_hash": HASH.hex(), "seeders": 2, "leechers": 1, "downloaded": 7}


def test_a_torrent_that_the_tracker_does_not_know_is_said_to_be_so(tmp_path: Path) -> None:
    """Where it knows none, that is the exit code."""
    files = {bytes(20): {"complete": 1}}
    with HttpServer(lambda _: http_reply(encode({"files": files}))) as tracker:
        one = run(tmp_path, "scrape", f"{tracker.url}/announce", HASH.hex())
        both = run(tmp_path, "scrape", f"{tracker.url}/announce", HASH.hex(), "00" * 20, "--json")
    assert (one.returncode, one.stdout) == (1, f"{HASH.hex()}  not known to the tracker\n")
    assert both.returncode == 0
    assert [json.loads(line)["seeders"] for line in both.stdout.splitlines()] == [None, 1]


@pytest.mark.parametrize("command", ["announce", "scrape"])
def test_a_failure_is_told_without_the_passkey(tmp_path: Path, command: str) -> None:
    """In the tracker's words, and below that its category and what to do. No passkey with all logs on either."""
    refusal = encode({"failure reason": f"{SECRET}\nis\x1b banned"})
    with HttpServer(lambda _: http_reply(refusal)) as tracker:
        url = f"{tracker.url}/{SECRET}/announce"
        done = run(tmp_path, command, url, HASH.hex())
        assert (done.returncode, done.stdout) == (1, "")
        said, remedy = done.stderr.splitlines()
        assert said == f"anabranch: {tracker.url}: *** is\ufffd banned"
        assert remedy.startswith("anabranch: authentication_failed: ")
        assert "account" in remedy
        assert SECRET not in run(tmp_path, command, url, HASH.hex(), "-vv").stderr
    gone = run(tmp_path, command, url, HASH.hex())
    said, remedy = gone.stderr.splitlines()
    assert (gone.returncode, said) == (1, f"anabranch: {tracker.url}: Connection refused")
    assert remedy == f"anabranch: network_error: {remedy_for(ErrorType.NETWORK_ERROR)}"
    unknown = run(tmp_path, command, f"ftp://tracker.example/{SECRET}", HASH.hex())
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 2)
    assert "'ftp' are not supported" in unknown.stderr
    assert SECRET not in unknown.stderr


@pytest.mark.parametrize("command", ["announce", "scrape"])
def test_websocket_trackers_are_asked(tmp_path: Path, command: str) -> None:
    """A server that knows nothing of WebSockets is said to be just that: it was asked for one."""
    with HttpServer(lambda _: http_reply(b"no", status="400 Bad Request")) as tracker:
        done = run(tmp_path, command, f"ws{tracker.url.removeprefix('http')}/{SECRET}", HASH.hex())
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 2)
    assert re.search(r"(?mi)^upgrade: websocket", tracker.heads[0])
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("announce", "http://a.example/announce", "nonsense"),
        ("announce", "http://a.example/announce", "12" * 20, "--port", "0"),
        ("announce", "http://a.example/announce", "12" * 20, "--event", "x"),
        ("announce", "http://a.example/announce", "12" * 20, "--bind", "x"),
        ("scrape", "http://a.example/announce"),
    ],
)
def test_bad_usage_is_said_before_anybody_is_asked(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert run(tmp_path, *words).returncode == 2


def test_a_torrent_is_named_in_many_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hex and base32, v1 and v2, magnet links, files; trackers know a v2 torrent by 20 bytes."""
    monkeypatch.chdir(tmp_path)
    v2 = HASH.hex() + "00" * 12
    for name in (HASH.hex(), HASH.hex().upper(), b32encode(HASH).decode(), b32encode(HASH).decode().lower(), v2):
        assert known_by(name) == (HASH, LEFT_UNKNOWN)
    for link in (f"magnet:?xt=urn:btih:{HASH.hex()}", f"magnet:?xt=urn:btmh:1220{v2}"):
        assert known_by(link) == (HASH, LEFT_UNKNOWN)
    make_file(tmp_path / "data", 1000)
    run(tmp_path, "create", "data")
    info_hash, length = known_by("data.torrent")
    assert length == 1000
    (tmp_path / "data.torrent").rename(HASH.hex())
    assert known_by(HASH.hex()) == (info_hash, 1000)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    """Not taken for a hash."""
    done = run(tmp_path, "scrape", "http://a.example/announce", "x.torrent")
    assert (done.returncode, done.stderr) == (1, "anabranch: x.torrent: No such file or directory\n")
