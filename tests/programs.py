"""Running our own command line, and other programs of the project, as a user does: in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trees import make_file

PATIENCE = 30  # seconds until a test gives a program up; no rule


def environment(place: Path) -> dict[str, str]:
    """A world in which nothing outside of *place* is touched."""
    return {**os.environ, "XDG_STATE_HOME": str(place / "state home"), "PYTHONUNBUFFERED": "1"}


def command(*words: str | Path) -> list[str]:
    """The command line that runs ours."""
    return [sys.executable, "-m", "anabranch", *map(str, words)]


def run(place: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in *place* to its end."""
    return subprocess.run(
        command(*words),
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Program:
    """A command that runs, with --json lines or lines of text on its stdout.

    Args:
        place: The directory that it runs in.
        words: What follows the program's name.
        stderr: A descriptor for it; a pipe unless given.
    """

    def __init__(self, place: Path, *words: str | Path, stderr: int = subprocess.PIPE) -> None:
        self.child = subprocess.Popen(
            command(*words),
            cwd=place,
            env=environment(place),
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def told(self, event: str) -> dict[str, Any]:
        """The next JSON object of that event."""
        for line in self.child.stdout or ():
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
        raise AssertionError(f"it ended before {event!r}: {self.child.communicate()[1]}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait. Answers the exit code."""
        self.child.send_signal(number)
        self.child.communicate(timeout=PATIENCE)
        return self.child.returncode


@contextmanager
def running(place: Path, *words: str | Path, stderr: int = subprocess.PIPE) -> Iterator[Program]:
    """A command that runs for as long as the block; killed at its end if it still does."""
    program = Program(place, *words, stderr=stderr)
    try:
        yield program
    finally:
        if program.child.poll() is None:
            program.child.kill()
            program.child.communicate()


@contextmanager
def seeding(place: Path, torrent: Path, data: Path, *more: str) -> Iterator[str]:
    """A seeder of that torrent. Gives its HOST:PORT."""
    with running(place, "seed", torrent, "-d", data, "--bind", "127.0.0.1", "--port", "0", "--json", *more) as program:
        [address] = program.told("seeding")["addresses"]
        yield address


def small_torrent(place: Path) -> tuple[Path, Path]:
    """Files below *place*/source/folder and a torrent of them: (torrent, directory that the folder is in)."""
    source = _small_content(place)
    torrent = place / "folder.torrent"
    torrent.write_bytes(_made_of_small_content())
    return torrent, source


def _small_content(place: Path) -> Path:
    source = place / "source"
    make_file(source / "folder" / "one.bin", 300_000, 1)
    make_file(source / "folder" / "deep" / "two.bin", 700_001, 2)
    make_file(source / "folder" / "deep" / "empty.txt", 0)
    make_file(source / "folder" / "grün.txt", 5, 3)
    return source


@lru_cache(maxsize=1)
def _made_of_small_content() -> bytes:
    """The torrent that our program makes: once, for the content is always the same."""
    with TemporaryDirectory() as name:
        place = Path(name)
        done = run(place, "create", _small_content(place) / "folder", "-o", "folder.torrent", "--piece-length", "16K")
        assert done.returncode == 0, done.stderr
        return (place / "folder.torrent").read_bytes()
