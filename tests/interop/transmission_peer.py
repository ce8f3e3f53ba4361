"""transmission-daemon as the other side of a test. Debian's is 3.00: v1 torrents alone, and it refuses hybrid ones.

It never dials a loopback address: connect to it. It looks after its peers every ten seconds and serves twice a second,
so that a transfer of any length takes about twenty: let several run at once.
"""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from .real_program import PeerProgramFailed, RealProgram, free_port

ENCRYPTION = {"allow": 0, "prefer": 1, "require": 2}  # its words: tolerated, preferred, required
_SESSION = "X-Transmission-Session-Id"
_FIELDS = (
    "hashString",
    "status",
    "percentDone",
    "leftUntilDone",
    "errorString",
    "downloadedEver",
    "uploadedEver",
    "peers",
)
_CHECKING = (1, 2)  # or waiting for that
_SEEDING = 6


class TransmissionPeer(RealProgram):
    """A transmission-daemon that runs from `with` to the end of the block.

    Args:
        place: Directory of its own.
        host: Loopback address to listen on.
        encryption: "allow" (what the other one does), "prefer" or "require" (RC4 only).
        settings: Words of its settings.json beside or instead of ours: no DHT, no local discovery, no peer exchange.
    """

    def __init__(
        self,
        place: Path,
        host: str = "127.0.10.1",
        *,
        encryption: str = "allow",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(place, host)
        self._settings = settings or {}
        self._rpc_port = free_port(host)
        self._encryption = encryption
        self._session = ""
        self._last = ""

    def add(self, torrent: bytes | Path | str, save_path: Path, *, timeout: float = 60) -> str:
        """Add a torrent and check what is there already.

        Args:
            torrent: The bytes of a .torrent, its path, or a magnet link.
            save_path: Directory of the content; made where it is missing.
            timeout: Seconds that checking may take.

        Returns:
            The info hash in hex; the other methods take it where there are several torrents.
        """
        save_path.mkdir(parents=True, exist_ok=True)
        data = torrent.read_bytes() if isinstance(torrent, Path) else torrent
        source = {"filename": data} if isinstance(data, str) else {"metainfo": base64.b64encode(data).decode()}
        told = self._ask("torrent-add", **source, **{"download-dir": str(save_path), "paused": False})
        if "torrent-added" not in told:
            raise PeerProgramFailed(f"transmission-daemon did not add it: {told}")
        name = self._last = str(told["torrent-added"]["hashString"])
        self._until(lambda: self.stats(name)["status"] not in _CHECKING, timeout, "done with checking")
        return name

    def wait_finished(self, timeout: float = 60, torrent: str = "") -> None:
        """Wait until every piece is verified and written.

        Raises:
            PeerProgramFailed: not within *timeout* seconds; with how far it got.
        """
        name = torrent or self._last
        try:
            self._until(lambda: self.stats(name)["finished"], timeout, "finished")
        except PeerProgramFailed as late:
            raise PeerProgramFailed(f"{late}: {self.stats(name)}") from None

    def stats(self, torrent: str = "") -> dict[str, Any]:
        """Status (its number), progress (0 to 1), whether it is finished, its error, payload bytes, and its peers."""
        told = self._ask("torrent-get", ids=[torrent or self._last], fields=_FIELDS)["torrents"]
        if not told:
            raise PeerProgramFailed(f"transmission-daemon has no torrent {torrent or self._last}")
        return {
            "status": told[0]["status"],
            "progress": told[0]["percentDone"],
            "finished": told[0]["status"] == _SEEDING and told[0]["leftUntilDone"] == 0,
            "error": told[0]["errorString"],
            "downloaded": told[0]["downloadedEver"],
            "uploaded": told[0]["uploadedEver"],
            "peers": [
                {
                    "host": peer["address"],
                    "port": peer["port"],
                    "client": peer["clientName"],
                    "encrypted": peer["isEncrypted"],
                }
                for peer in told[0]["peers"]
            ],
        }

    def _ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One question by its RPC; asked twice where it wants to see its session's id."""
        question = json.dumps({"method": method, "arguments": arguments}).encode()
        url = f"http://{self.host}:{self._rpc_port}/transmission/rpc"
        try:
            request = urllib.request.Request(url, question, {_SESSION: self._session})
            with urllib.request.urlopen(request, timeout=10) as reply:
                told = json.load(reply)
        except HTTPError as refusal:
            with refusal:
                if refusal.code != 409 or refusal.headers[_SESSION] == self._session:
                    raise PeerProgramFailed(f"transmission-daemon: {refusal}") from None
                self._session = refusal.headers[_SESSION]
            return self._ask(method, **arguments)
        except OSError as broken:
            raise PeerProgramFailed(f"transmission-daemon is gone: {broken}") from broken
        if told["result"] != "success":
            raise PeerProgramFailed(f"transmission-daemon, {method}: {told['result']}")
        answer: dict[str, Any] = told["arguments"]
        return answer

    def _command(self) -> list[str]:
        return ["transmission-daemon", "--foreground", "--config-dir", str(self.place)]

    def _prepare(self) -> None:
        settings = {
            "bind-address-ipv4": self.host,
            "bind-address-ipv6": "::1",
            "peer-port": self.port,
            "peer-port-random-on-start": False,
            "port-forwarding-enabled": False,
            "encryption": ENCRYPTION[self._encryption],
            "dht-enabled": False,
            "lpd-enabled": False,
            "pex-enabled": False,
            "utp-enabled": False,
            "rpc-bind-address": self.host,
            "rpc-port": self._rpc_port,
            "rpc-authentication-required": False,
            "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False,
            "download-queue-enabled": False,
            "seed-queue-enabled": False,
            "ratio-limit-enabled": False,
            "idle-seeding-limit-enabled": False,
            "cache-size-mb": 0,  # what it calls complete is in the files
            "rename-partial-files": False,
            **self._settings,
        }
        (self.place / "settings.json").write_text(json.dumps(settings))

    def _is_up(self) -> bool:
        try:
            self._ask("session-get")
        except PeerProgramFailed:
            return False
        return True
