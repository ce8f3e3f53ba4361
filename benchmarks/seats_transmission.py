"""transmission-daemon. It dials nobody on loopback, so as a leecher it is dialed; a hook tells when it is complete.

Its timers set its pace (3.00: interest every 10 s, requests twice a second), so it has cases of its own.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from .case import BenchmarkFailed
from .gauge import Address
from .program import installed
from .seats import Job, Seat, free_port

MISSING = installed("transmission-daemon")

_RPC_HOST = "127.0.63.2"  # apart from where peers meet
_SESSION = "X-Transmission-Session-Id"  # it refuses the first question and tells the word that the next must bring
_SEEDING = 6  # tr_torrent_activity


class Transmission(Seat):
    """The daemon with its defaults, but for what keeps it on loopback and TCP, and writes what is complete."""

    can_dial = False

    def __init__(self, job: Job, place: Path, host: str) -> None:
        super().__init__(job, place, host)
        self._rpc_port = free_port(_RPC_HOST)
        self._session = ""

    def seed(self, peers: Sequence[Address] = ()) -> None:
        """As of every seat."""
        self._run(self.job.content.parent)
        self.until(lambda: self._status() == _SEEDING, 60, "seeding")

    def fetch(self, peers: Sequence[Address]) -> None:
        """As of every seat."""
        self._run(self.data)

    def _run(self, data: Path) -> None:
        self.addresses = [(self.host, free_port(self.host))]
        hook = self.place / "complete.sh"
        hook.write_text(f"#!/bin/sh\ntouch {self.place / 'complete'}\n")
        hook.chmod(0o755)
        (self.place / "settings.json").write_text(json.dumps(self._settings(hook)))
        self.start("transmission-daemon", "--foreground", "--config-dir", self.place)
        self.until(self._is_up, 20, "answering")
        torrent = base64.b64encode(self.job.torrent.read_bytes()).decode()
        self._ask("torrent-add", {"metainfo": torrent, "download-dir": str(data), "paused": False})

    def _settings(self, hook: Path) -> Mapping[str, object]:
        return {
            "bind-address-ipv4": self.host,
            "bind-address-ipv6": "::1",
            "peer-port": self.addresses[0][1],
            "peer-port-random-on-start": False,
            "port-forwarding-enabled": False,
            "encryption": 2 if self.job.rc4 else 0,  # required; clear preferred
            "dht-enabled": False,
            "lpd-enabled": False,
            "pex-enabled": False,
            "utp-enabled": False,
            "rpc-bind-address": _RPC_HOST,
            "rpc-port": self._rpc_port,
            "rpc-whitelist-enabled": False,
            "ratio-limit-enabled": False,
            "cache-size-mb": 0,  # what it calls complete is in the files
            "script-torrent-done-enabled": True,
            "script-torrent-done-filename": str(hook),
        }

    def wait_complete(self, timeout: float) -> bool:
        """As of every seat. Its hook cannot reach its stdout, but the disk."""
        deadline = time.monotonic() + timeout
        while not (self.place / "complete").exists():
            if time.monotonic() > deadline:
                self.alive()
                return False
            time.sleep(0.005)
        return True

    def _is_up(self) -> bool:
        time.sleep(0.05)
        try:
            self._ask("session-get", {})
        except OSError:
            return False
        return True

    def _status(self) -> int:
        time.sleep(0.05)
        told = self._ask("torrent-get", {"fields": ["status"]})
        return int(told["torrents"][0]["status"]) if told["torrents"] else 0

    def _ask(self, method: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        """One question by its RPC. OSError where it does not listen, BenchmarkFailed where it refuses."""
        question = json.dumps({"method": method, "arguments": arguments}).encode()
        url = f"http://{_RPC_HOST}:{self._rpc_port}/transmission/rpc"
        request = urllib.request.Request(url, question, {_SESSION: self._session})
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                told = json.load(reply)
        except HTTPError as refusal:
            with refusal:
                if refusal.code != 409 or refusal.headers[_SESSION] == self._session:
                    raise BenchmarkFailed(f"transmission-daemon: {refusal}") from None
                self._session = refusal.headers[_SESSION]
            return self._ask(method, arguments)
        if told["result"] != "success":
            raise BenchmarkFailed(f"transmission-daemon, {method}: {told['result']}")
        answer: dict[str, Any] = told["arguments"]
        return answer

    def hear(self, line: str) -> None:
        """Nothing is told by it."""
