"""aria2c as the other side of a test. Debian's is 1.36: v1 torrents alone; its hash of a hybrid one is wrong.

It cannot be told of a peer: connect to it, or give it an HTTP tracker (without a DHT it asks no UDP tracker).
"""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from .real_program import PeerProgramFailed, RealProgram, free_port, is_listening

ENCRYPTION = {  # its options; it cannot refuse encryption
    "allow": {"bt-require-crypto": "false", "bt-min-crypto-level": "plain"},
    "require": {"bt-require-crypto": "true", "bt-min-crypto-level": "arc4"},
}
_RPC_HOST = "127.0.0.1"  # the only one it offers


class _Refused(PeerProgramFailed):
    """It runs, and says no."""


class Aria2Peer(RealProgram):
    """An aria2c that runs from `with` to the end of the block.

    Args:
        place: Directory of its own.
        host: Loopback address to listen on and to dial from.
        encryption: "allow" (the lightest that the other one takes) or "require" (RC4 only).
    """

    def __init__(self, place: Path, host: str = "127.0.11.1", *, encryption: str = "allow") -> None:
        super().__init__(place, host)
        self._rpc_port = free_port(_RPC_HOST)
        self._encryption = encryption
        self._last = ""

    def add(self, torrent: bytes | Path | str, save_path: Path, *, timeout: float = 60) -> str:
        """Add a torrent and check what is there already.

        Args:
            torrent: The bytes of a .torrent, its path, or a magnet link.
            save_path: Directory of the content; made where it is missing.
            timeout: Seconds that checking may take.

        Returns:
            Its number (gid); the other methods take it where there are several torrents.
        """
        save_path.mkdir(parents=True, exist_ok=True)
        data = torrent.read_bytes() if isinstance(torrent, Path) else torrent
        options = {"dir": str(save_path)}
        if isinstance(data, str):
            self._last = str(self._ask("addUri", [data], options))
        else:
            self._last = str(self._ask("addTorrent", base64.b64encode(data).decode(), [], options))
            name = self._last
            self._until(lambda: self._is_checked(name), timeout, "done with checking")
        return self._last

    def wait_finished(self, timeout: float = 60, torrent: str = "") -> None:
        """Wait until every piece is verified and written.

        Raises:
            PeerProgramFailed: not within *timeout* seconds, or it has given up; with how far it got.
        """
        name = torrent or self._last
        try:
            self._until(lambda: self.stats(name)["finished"], timeout, "finished")
        except PeerProgramFailed as late:
            raise PeerProgramFailed(f"{late}: {self.stats(name)}") from None

    def stats(self, torrent: str = "") -> dict[str, Any]:
        """Status (its word), progress (0 to 1), whether it is finished, payload bytes, and its peers."""
        told = self._status(torrent or self._last)
        length = int(told["totalLength"])
        return {
            "status": told["status"],
            "progress": int(told["completedLength"]) / length if length else 0,
            "finished": told.get("seeder") == "true" and "verifiedLength" not in told,
            "downloaded": int(told["completedLength"]),
            "uploaded": int(told["uploadLength"]),
            "peers": [
                {"host": peer["ip"], "port": int(peer["port"]), "peer_id": peer["peerId"]}
                for peer in (self._peers(told["gid"]) if told["status"] == "active" else ())
            ],
        }

    def _peers(self, gid: str) -> list[dict[str, Any]]:
        """Its peers; none of what has ended since its status was told, as a magnet link's first half does."""
        try:
            return list(self._ask("getPeers", gid))
        except _Refused:
            return []

    def _status(self, gid: str) -> dict[str, Any]:
        """What it tells of a download; of what a magnet link has led to, once there is that."""
        told: dict[str, Any] = self._ask("tellStatus", gid)
        if told["status"] == "error":
            raise PeerProgramFailed(f"aria2c gave {gid} up: {told.get('errorCode')} {told.get('errorMessage')}")
        return self._status(told["followedBy"][0]) if told.get("followedBy") else told

    def _is_checked(self, gid: str) -> bool:
        told = self._status(gid)
        return told["status"] == "active" and not {"verifiedLength", "verifyIntegrityPending"} & told.keys()

    def _ask(self, method: str, *words: Any) -> Any:
        """One question by its JSON-RPC."""
        question = json.dumps({"jsonrpc": "2.0", "id": "1", "method": f"aria2.{method}", "params": words}).encode()
        try:
            with urllib.request.urlopen(f"http://{_RPC_HOST}:{self._rpc_port}/jsonrpc", question, timeout=10) as reply:
                return json.load(reply)["result"]
        except HTTPError as refusal:
            with refusal:
                raise _Refused(f"aria2c, {method}: {refusal.read().decode()}") from None
        except OSError as broken:
            raise PeerProgramFailed(f"aria2c is gone: {broken}") from broken

    def _command(self) -> list[str]:
        options = {
            "no-conf": "true",
            "interface": self.host,
            "listen-port": self.port,
            "disable-ipv6": "true",
            "enable-rpc": "true",
            "rpc-listen-port": self._rpc_port,
            "stop-with-process": os.getpid(),
            "enable-dht": "false",
            "enable-dht6": "false",
            "enable-peer-exchange": "false",
            "bt-enable-lpd": "false",
            "check-integrity": "true",
            "seed-ratio": "0.0",  # for ever
            "file-allocation": "none",
            "enable-color": "false",
            "max-concurrent-downloads": 100,
            "summary-interval": 0,
            **ENCRYPTION[self._encryption],
        }
        return ["aria2c", *(f"--{name}={value}" for name, value in options.items())]

    def _is_up(self) -> bool:
        return is_listening(_RPC_HOST, self._rpc_port)  # it listens for peers only while it has a torrent
