"""Our client as a program of its own, to be killed or starved: one JSON object a line in, one answer a line out.

Started by program.py. It runs on Linux and macOS.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from anabranch.api import Client, Config, Torrent, TorrentError
from anabranch.engine import failing, keeping

_CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3, capget(2)


def obey_permissions() -> None:
    """Let the bits of a file count for root too: give up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (capabilities(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) or sets[0] & 0b110 == 0:
        return  # they are not ours to begin with
    sets[0] &= ~0b110
    sets[1] &= ~0b110
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def die_after_unlinks(count: int) -> None:
    """End as by a kill when so many files have been removed."""
    unlink, left = os.unlink, iter(range(count))

    def counted(*args: Any, **keys: Any) -> None:
        if next(left, None) is None:
            os._exit(9)
        unlink(*args, **keys)

    os.unlink = counted


class Program:
    """The client and its torrents by info hash."""

    def __init__(self, settings: dict[str, Any]) -> None:
        settings["listen_host"] = tuple(settings["listen_host"])
        self.client = Client(Config(**settings))

    def torrent(self, info_hash: str) -> Torrent:
        """The torrent of that info hash."""
        found = self.client.get(info_hash)
        if found is None:
            raise KeyError(info_hash)
        return found

    def add(self, path: str, peers: list[tuple[str, int]], want: bool, data_dir: str | None) -> str:
        """Add a torrent, perhaps want all of it, and say where it may come from."""
        torrent = self.client.add(path if path.startswith("magnet:") else Path(path), data_dir=data_dir)
        if want:
            torrent.download_all()
        torrent.add_peers([(host, port) for host, port in peers])
        return str(torrent.info_hash)

    def pieces(self, torrent: str, timeout: float) -> list[int]:
        """Wait until nothing is to be hashed; which pieces are complete then."""
        if not self.torrent(torrent).checked.wait(timeout):
            raise TimeoutError(f"not checked within {timeout} s")
        return [n for n, state in enumerate(self.torrent(torrent).piece_states()) if state.complete]

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what one line asks for."""
        match request.pop("do"):
            case "add":
                return self.add(**request)
            case "pieces":
                return self.pieces(**request)
            case "wait_complete":
                return self.torrent(request["torrent"]).complete.wait(request["timeout"])
            case "stats":
                told = self.torrent(request["torrent"]).stats()._asdict()
                return {**told, "info_hash": request["torrent"]}
            case "move":
                self.torrent(request["torrent"]).move(request["directory"])
            case "where":
                found = self.torrent(request["torrent"])
                return [found.data_dir, found.files_dir, [file.path for file in found.files]]
            case "drop_data":
                die_after_unlinks(request["unlinks"])
                self.torrent(request["torrent"]).drop(delete_data=True).wait()
            case "restore":
                return [str(torrent.info_hash) for torrent in self.client.restore()]
            case "limit_file_size":
                resource.setrlimit(resource.RLIMIT_FSIZE, (request["size"], resource.RLIM_INFINITY))
            case "limit_open_files":
                resource.setrlimit(
                    resource.RLIMIT_NOFILE, (request["size"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
                )
            case "close":
                return self.client.close()
            case unknown:
                raise KeyError(unknown)
        return None


def main() -> None:
    """Say which port listens, then serve requests until the input ends."""
    start = json.loads(sys.argv[1])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is an error and not the end
    if start["obey_permissions"]:
        obey_permissions()
    if start["retry_every"]:
        failing.RETRY_EVERY = start["retry_every"]
    if start["keep_every"]:
        keeping.KEEP_EVERY = start["keep_every"]
    program = Program(start["settings"])
    print(json.dumps({"answer": list(program.client.listen_addresses[0])}), flush=True)
    for line in sys.stdin:
        try:
            told = {"answer": program.answer(json.loads(line))}
        except (TorrentError, KeyError, TimeoutError, OSError) as refusal:
            told = {"error": str(refusal), "kind": type(refusal).__name__}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
