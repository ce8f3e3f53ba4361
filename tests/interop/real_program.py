"""A real BitTorrent program as the other side of a test: started, waited for and ended here, in a place of its own.

What each of them is told is its driver's affair: opentracker.py, npm_tracker.py, transmission_peer.py, aria2_peer.py.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

KEPT_OUTPUT = 4000  # characters of what it said last, for whoever wonders why a test failed
_TRIES = 50  # ports; no rule


class PeerProgramFailed(Exception):
    """The other side could not do what the test asked of it, or is gone."""


def free_port(host: str) -> int:
    """A port of a loopback address, of either family, that nobody listens on, neither by TCP nor by UDP."""
    for _ in range(_TRIES):
        with (
            socket.socket(_family(host), socket.SOCK_STREAM) as stream,
            socket.socket(_family(host), socket.SOCK_DGRAM) as datagrams,
        ):
            stream.bind((host, 0))
            port: int = stream.getsockname()[1]
            try:
                datagrams.bind((host, port))
            except OSError:
                continue
            return port
    raise PeerProgramFailed(f"no port of {host} is free for both TCP and UDP")


def is_listening(host: str, port: int) -> bool:
    """Whether a connection is accepted there."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as caller:
        caller.settimeout(1)
        return caller.connect_ex((host, port)) == 0


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class RealProgram:
    """A program that runs from `with` to the end of the block. A test that fails in the block tells what it said.

    Args:
        place: Directory of its own, for its settings and its output; made here.
        host: Loopback address to listen on.
    """

    never_root = False  # it insists on being somebody else

    def __init__(self, place: Path, host: str) -> None:
        self.place = place
        self.host = host
        self.port = free_port(host)

    def __enter__(self) -> Self:
        words = self._command()
        found = shutil.which(words[0], path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
        if found is None:
            pytest.skip(f"{words[0]} is not installed; `make programs` installs it")
        self.place.mkdir(parents=True, exist_ok=True)
        self._prepare()
        with self._said.open("wb") as output:
            self._program = subprocess.Popen(
                [*self._fetters(), found, *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.place,
                env={**os.environ, "HOME": str(self.place)},
            )
        try:
            self._until(self._is_up, 20, "up")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.kill()
        self._program.wait()
        if error is not None:
            said = self._said.read_text(encoding="utf-8", errors="replace")[-KEPT_OUTPUT:]
            error.add_note(f"{self._name} at {self.host} said:\n{said}")

    def _fetters(self) -> list[str]:
        """What to put before the command so that it dies when we do, even where a test run is killed (util-linux)."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return []
        other = ["--reuid=65534", "--regid=65534", "--clear-groups"] if self.never_root and os.geteuid() == 0 else []
        return [setpriv, "--pdeathsig=KILL", *other]

    def _command(self) -> list[str]:
        """The program and its words."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Write what it reads at its start."""

    def _is_up(self) -> bool:
        """Whether it can be used."""
        return is_listening(self.host, self.port)

    def _until(self, is_so: Callable[[], object], timeout: float, what: str) -> None:
        """Ask again and again until it is so; PeerProgramFailed where it ends before, or after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while not is_so():
            if (code := self._program.poll()) is not None:
                raise PeerProgramFailed(f"{self._name} is gone: exit code {code}")
            if time.monotonic() > deadline:
                raise PeerProgramFailed(f"{self._name}: not {what} within {timeout} s")
            time.sleep(0.05)

    @property
    def _name(self) -> str:
        return self._command()[0]

    @property
    def _said(self) -> Path:
        return self.place / "output.txt"
