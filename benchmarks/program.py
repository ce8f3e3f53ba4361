"""A program that is measured: run in a process of its own, listened to line by line, killed when its block ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from .case import BenchmarkFailed

KEPT_OUTPUT = 40  # lines of a program that failed
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


def installed(program: str) -> str:
    """Why a program cannot take part; "" where it can."""
    return "" if shutil.which(program, path=PATH) else f"{program} is not installed"


class Program:
    """A program, from `with` to the end of the block.

    Args:
        place: A directory of its own, its home; made here.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.said: list[str] = []
        self._child: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return type(self).__name__

    @property
    def pid(self) -> int:
        """Its number. It has to have been started."""
        assert self._child is not None, "not started"
        return self._child.pid

    def start(self, *words: str | Path) -> None:
        """Run it, so that it dies when we do (by util-linux's setpriv, where there is one), and listen to it."""
        fetters = ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
        self._child = subprocess.Popen(
            [*fetters, *map(str, words)],
            cwd=self.place,
            env={**os.environ, "HOME": str(self.place), "PATH": PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._listener = Thread(target=self._listen, name=f"{self.name} says", daemon=True)
        self._listener.start()

    def hear(self, line: str) -> None:
        """Take a line of what it says on stdout or stderr. Called by a thread of its own."""

    def until(self, is_so: Callable[[], object], timeout: float, what: str) -> None:
        """Ask again and again until it is so; *is_so* takes its time.

        Raises:
            BenchmarkFailed: The program has ended, or *timeout* seconds are over.
        """
        deadline = time.monotonic() + timeout
        while not is_so():
            self.alive()
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{self.name}: not {what} within {timeout:.0f} s")

    def alive(self) -> None:
        """Raise BenchmarkFailed where it has ended."""
        assert self._child is not None, "not started"
        if (code := self._child.poll()) is not None:
            self._listener.join(1)
            last = self.said[-1] if self.said else "nothing"
            raise BenchmarkFailed(f"{self.name} ended with exit code {code}; it said last: {last}")

    def __enter__(self) -> Self:
        self.place.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        self._listener.join()
        if self._child.stdout is not None:
            self._child.stdout.close()
        if error is not None and self.said:
            error.add_note("\n".join([f"{self.name} said:", *self.said[-KEPT_OUTPUT:]]))

    def _listen(self) -> None:
        assert self._child is not None, "not started"
        for line in self._child.stdout or ():
            self.said = [*self.said[-KEPT_OUTPUT:], line.rstrip()]
            self.hear(line)
