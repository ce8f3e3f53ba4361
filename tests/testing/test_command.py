"""`python -m anabranch.testing`: hostile peers as a program of their own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from anabranch.testing import DHT_ATTACKS, KINDS, STORAGE_CHECKS, TRACKER_KINDS, WEB_KINDS
from origin import Origin
from udp_node import node, right

PROGRAM = [sys.executable, "-m", "anabranch.testing"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def torrent(origin: Origin, tmp_path: Path) -> str:
    (tmp_path / "it.torrent").write_bytes(origin.torrent)
    return str(tmp_path / "it.torrent")


def test_every_kind_is_listed_with_what_it_does() -> None:
    """One line each."""
    told = run("list").stdout.splitlines()
    assert [line.split()[0] for line in told] == list(KINDS)


def test_attackers_have_an_address_each_and_a_line_each(origin: Origin, torrent: str) -> None:
    """Where they listen comes first, and what became of them when the time is over."""
    words = ("attack", "wrong-hash", "half-handshake", "--victim", str(origin.address), "--torrent", torrent)
    done = run(*words, "--from", "127.0.7.200", "--seconds", "1.5", "--data", str(origin.path.parent))
    assert done.returncode == 0, done.stderr
    first, second, *ends = done.stdout.splitlines()
    assert first.startswith("wrong-hash listens on 127.0.7.200:")
    assert second.startswith("half-handshake listens on 127.0.7.201:")
    assert re.match(r"wrong-hash at 127\.0\.7\.200: [1-9][0-9]* connections \(.*closed by the victim", ends[0])
    assert re.match(r"half-handshake at 127\.0\.7\.201: [1-9][0-9]* connections \(", ends[1])
    assert len(ends) == 2


def test_a_signal_ends_it_in_order(torrent: str) -> None:
    """All kinds at once, and nobody to attack."""
    words = [*PROGRAM, "attack", "all", "--torrent", torrent, "--from", "127.0.8.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for _ in KINDS:
            assert "listens on 127.0.8." in program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        assert len(program.stdout.readlines()) == len(KINDS)
    assert program.returncode == 0


def test_a_web_server_of_some_kind_runs_until_a_signal(origin: Origin) -> None:
    """Its URL comes first; at the end, what it was asked."""
    told = run("serve", "--list").stdout.splitlines()
    assert [line.split()[0] for line in told] == list(WEB_KINDS)
    words = [*PROGRAM, "serve", "status-404", "--data", str(origin.path.parent), "--host", "127.0.7.200"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        url = program.stdout.readline().split()[-1]
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{url}content/a.bin", timeout=10)
        program.send_signal(signal.SIGTERM)
        assert "1 requests by 1 connections" in program.stdout.read()
    assert program.returncode == 0


def test_trackers_of_several_kinds_run_until_a_signal() -> None:
    """A URL for each comes first; at the end, how often it was asked."""
    told = run("trackers", "--list").stdout.splitlines()
    assert [(line.split()[0], line.rpartition("(")[2]) for line in told] == [
        (name, f"{kind.error_type or 'works'})") for name, kind in TRACKER_KINDS.items()
    ]
    words = [*PROGRAM, "trackers", "status-404", "udp-shut", "tls-expired", "status-404", "--host", "127.0.7.200"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        lines = [program.stdout.readline().split() for _ in range(4)]
        assert [line[0] for line in lines] == ["status-404", "udp-shut", "tls-expired", "trusted"]
        with pytest.raises(HTTPError, match="404") as refusal:
            urlopen(lines[0][1], timeout=10)
        refusal.value.close()
        program.send_signal(signal.SIGTERM)
        assert re.search(r"status-404 +asked 1 times", program.stdout.read())
    assert program.returncode == 0


BAD_USAGE = [
    ("trackers", "kindness"),
    ("trackers",),
    ("trackers", "honest", "--host", "192.0.2.1"),
    ("trackers", "honest", "--host", "localhost"),
    ("serve", "kindness", "--data", "/"),
    ("serve", "honest"),
    ("serve", "--data", "/", "--host", "192.0.2.1"),
    ("attack", "politeness", "--torrent", "TORRENT"),
    ("attack", "garbage"),
    ("attack", "garbage", "--torrent", "TORRENT", "--victim", "nowhere"),
    ("attack", "garbage", "--torrent", "TORRENT", "--from", "localhost"),
    ("attack", "garbage", "--torrent", "TORRENT", "--from", "192.0.2.1"),
    ("attack", "garbage", "knock", "--torrent", "TORRENT", "--from", "255.255.255.255"),
    ("attack", "garbage", "--torrent", __file__),
    ("storage", "nowhere:Storage"),
    ("storage", "anabranch.storage:Nothing"),
    ("storage", "anabranch.storage"),
    ("storage", ":x"),
]
ALL_IN_ONE = """
import json, sys
from click.testing import CliRunner
from anabranch.testing.command import commands

done = [CliRunner().invoke(commands, words) for words in json.load(sys.stdin)]
print(json.dumps([(one.exit_code, one.output) for one in done]))
"""


def test_bad_usage_is_told_in_words(torrent: str) -> None:
    """Exit code 2, and no traceback. All in one program, apart from this one: it changes what signals do."""
    asked = json.dumps([[torrent if word == "TORRENT" else word for word in words] for words in BAD_USAGE])
    program = [sys.executable, "-c", ALL_IN_ONE]
    done = subprocess.run(program, input=asked, capture_output=True, text=True, timeout=30, check=True)
    for words, (code, output) in zip(BAD_USAGE, json.loads(done.stdout), strict=True):
        assert code == 2, (words, output)
        assert "Error: " in output, words
        assert "cannot find" in output or words[0] != "storage", (words, output)
    assert "Traceback" not in done.stdout + done.stderr


def test_a_storage_back_end_is_checked_rule_by_rule() -> None:
    """A user's own, found by its module and the function that makes it; a line for each rule."""
    done = run("storage", "anabranch.storage:MemoryStorage")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [["ok", check.name] for check in STORAGE_CHECKS]
    forgetful = run("storage", "anabranch.storage:MemoryStorage", "--persistent")
    assert forgetful.returncode == 1
    assert "FAILED  what_was_recorded_outlives_closing: Of a persistent back end" in forgetful.stdout
    assert f"1 of {len(STORAGE_CHECKS)} rules are not kept" in forgetful.stderr


def test_a_dht_node_is_attacked_in_the_ways_that_are_named(dht_node: str) -> None:
    """A line each; and nothing where nobody answers."""
    told = run("dht", "--list").stdout.splitlines()
    assert [line.split()[0] for line in told] == list(DHT_ATTACKS)
    done = run("dht", dht_node, "long-numbers", "deep", "--from", "127.0.75.1")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["long-numbers", "deep"]
    assert "answers after" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("127.0.0.1:1", "no-such"), "there is no attack 'no-such'"),
        (("router.example:6881",), "'router.example' does not appear to be an IPv4 or IPv6 address"),
        (("127.0.0.1",), "HOST:PORT"),
    ],
)
def test_what_cannot_be_attacked_is_said(words: tuple[str, ...], told: str) -> None:
    """Bad usage is exit code 2."""
    done = run("dht", *words)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.fixture
def dht_node() -> Iterator[str]:
    """Somebody who answers pings, on a socket."""
    with node(right) as address:
        yield str(address)
