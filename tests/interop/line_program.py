"""A program of a test's own that is asked in lines: one JSON object a line in, one answer a line out.

libtorrent_program.py and npm_dht.mjs are such. An answer is {"answer": ...}, or {"error": "in words"}.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Self

from .real_program import PeerProgramFailed

_MARGIN = 10.0  # seconds that an answer may take beyond the time the program was given


class LineProgram:
    """Runs from `with` to the end of the block. It says first at which port it listens.

    Args:
        name: What it is called when it fails.
        command: The program and its words.
        host: Loopback address to listen on.
    """

    def __init__(self, name: str, command: list[str], host: str) -> None:
        self.name = name
        self.host = host
        self.port = 0
        self._command = command
        self._answers: SimpleQueue[str] = SimpleQueue()

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._listener = Thread(target=self._listen, name=f"{self.name} answers", daemon=True)
        self._listener.start()
        try:
            self.port = self._answer(30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.kill()  # a session that ends in order announces to trackers first, which takes seconds
        self._program.wait()
        self._listener.join()
        with suppress(BrokenPipeError):  # closing flushes: a request that a dead program has not read
            self._program.stdin.close()
        self._program.stdout.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.host, self.port

    @property
    def pid(self) -> int:
        """The program's number, for those who look it up in /proc."""
        return self._program.pid

    def _ask(self, do: str, allowance: float = 0, **request: Any) -> Any:
        assert self._program.stdin is not None
        try:
            self._program.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._program.stdin.flush()
        except OSError as broken:
            raise PeerProgramFailed(f"{self.name} is gone: exit code {self._program.poll()}") from broken
        return self._answer(allowance + _MARGIN)

    def _answer(self, timeout: float) -> Any:
        try:
            line = self._answers.get(timeout=timeout)
        except Empty:
            raise PeerProgramFailed(f"{self.name} did not answer within {timeout} s") from None
        if not line:
            raise PeerProgramFailed(f"{self.name} is gone: exit code {self._program.wait()}")
        told = json.loads(line)
        if "error" in told:
            raise PeerProgramFailed(told["error"])
        return told["answer"]

    def _listen(self) -> None:
        assert self._program.stdout is not None
        for line in self._program.stdout:
            self._answers.put(line)
        self._answers.put("")
