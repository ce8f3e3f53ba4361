"""The command line as a whole: help, bad usage, exit codes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anabranch import VERSION
from programs import command, environment, run


def test_version_and_help(tmp_path: Path) -> None:
    """A newcomer sees the commands and examples."""
    assert run(tmp_path, "--version").stdout == f"anabranch {VERSION}\n"
    told = run(tmp_path, "--help")
    assert told.returncode == 0
    for word in ("download", "seed", "create", "show", "magnet", "verify", "trackers", "dht", "demo", "Examples:"):
        assert word in told.stdout


@pytest.mark.parametrize("name", ["download", "seed", "create", "show", "magnet", "verify", "trackers", "dht", "demo"])
def test_every_command_explains_itself(tmp_path: Path, name: str) -> None:
    """Also with -h."""
    told = run(tmp_path, name, "-h")
    assert told.returncode == 0
    assert "Usage: anabranch " + name in told.stdout


@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        ("--help", {"anabranch.metainfo", "anabranch.engine", "asyncio", "uvloop", "rich", "sqlite3"}),
        ("show magnet:?xt=urn:btih:" + "ab" * 20, {"anabranch.engine", "asyncio", "cryptography", "aiohttp"}),
        ("download x.torrent", {"aiohttp", "rich"}),
    ],
)
def test_a_command_loads_nothing_that_it_does_not_need(tmp_path: Path, line: str, unwanted: set[str]) -> None:
    """It has to come at once: no engine for help, no HTTP client where nothing is asked for."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", *command(*line.split())[1:]],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert "anabranch.cli" in loaded
    assert loaded.isdisjoint(unwanted)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "announce http://x 00",
        "download",
        "download x --storage tape",
        "download x --cache-size 0",
        "download x --cache-size 1G",
        "seed x --storage mmap --cache-size 1G",
        "download x --storage sqlite --incomplete-dir y",
        "download x --storage cache --preallocate",
        "verify x --storage tape",
        "download x --encryption rot13",
        "download x --dht-bootstrap 127.0.0.1",
        "dht get",
        "download x --limit-down fast",
        "download x --limit-up 0",
        "download x --peer 127.0.0.1",
        "download x --peer ::1:80",
        "download x --bind localhost",
        "download x --port 70000",
        "download x --max-peers 0",
        "create x --v1 --v2",
        "create x --v2 --hybrid",
        "magnet",
        "magnet magnet:?xt=urn:btih:00",
        "create x --piece-length 100K",
        "create x --piece-length 8K",
        "create . --webseed http://host.example/folder",
        "create x --webseed ftp://host.example/x",
        "create x --httpseed script",
        "verify x --storage memory",
        "--log loud show x",
    ],
)
def test_bad_usage_is_2(tmp_path: Path, line: str) -> None:
    """Also what asks for a part that is not there yet."""
    told = run(tmp_path, *line.split())
    assert told.returncode == 2, told.stderr
    assert told.stdout == ""
    assert "Traceback" not in told.stderr


def test_parts_that_are_not_there_can_be_switched_off(tmp_path: Path) -> None:
    """So that a script written for later versions runs today; here it fails for want of its torrent only."""
    parts = ["dht", "pex", "lsd", "utp", "trackers", "webseeds", "portmap"]
    told = run(tmp_path, "-v", "download", "x.torrent", "--encryption", "off", *(f"--no-{part}" for part in parts))
    assert (told.returncode, told.stderr) == (1, "anabranch: x.torrent: No such file or directory\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_an_interrupt_is_heeded_by_what_a_shell_runs_behind_too(tmp_path: Path) -> None:
    """It is started with the signal ignored; who sends it to such a program by name means it."""
    line = f"{shlex.join(command('tracker', '--bind', '127.0.0.1', '--port', '0', '--no-udp'))} & echo $!; wait $!"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True, env=environment(tmp_path)) as shell:
        assert shell.stdout is not None
        number = int(shell.stdout.readline())
        while not shell.stdout.readline().startswith("Peers are"):
            continue
        os.kill(number, signal.SIGINT)
        said = shell.stdout.read()
        assert shell.wait(10) == 130
    assert said.startswith("0 torrents")
