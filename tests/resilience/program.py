"""Starts downloader.py and talks with it; and looks at what a killed one left on the disk."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anabranch.api import Metainfo
from anabranch.engine.homes_io import CACHE, CACHE_SIZE, DATABASE
from anabranch.model import StorageFailed
from anabranch.storage import CacheStorage, Completion, SessionStore, SqliteStorage, TorrentStorage, session_key
from ours import until

PROGRAM = Path(__file__).with_name("downloader.py")
_LEAF = 16 * 1024  # bytes of a block, of which the hash is a leaf


class DownloaderRefused(Exception):
    """The program could not do it. The text is the error's, *kind* the name of its type."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class Downloader:
    """Our client in another program, from `with` to the end of the block or kill().

    Args:
        folder: It writes to *folder*/data and remembers in *folder*/state.
        host: Loopback address to listen on and to dial from.
        retry_every: Seconds between attempts after a failure of the disk; 0 for those of the engine.
        keep_every: Seconds between syncs of unfinished pieces; 0 for those of the engine.
        obey_permissions: Let the permissions of files count, also for root.
        settings: Config's fields beside or instead of these.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        *,
        retry_every: float = 0,
        keep_every: float = 0,
        obey_permissions: bool = False,
        **settings: Any,
    ) -> None:
        chosen = {
            "data_dir": str(folder / "data"),
            "state_dir": str(folder / "state"),
            "listen_host": [host],
            "listen_port": 0,
            **settings,
        }
        self._start = {
            "settings": chosen,
            "retry_every": retry_every,
            "keep_every": keep_every,
            "obey_permissions": obey_permissions,
        }
        self.address = ("", 0)
        self.torrent = ""

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(self._start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        try:
            host, port = self._answer()
        except BaseException:
            self.kill()
            raise
        self.address = (host, port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it between any two of its steps. Killing twice does nothing."""
        self._program.kill()
        self._program.communicate()

    def add(
        self,
        path: Path | str,
        peers: list[tuple[str, int]] | None = None,
        *,
        want: bool = True,
        data_dir: Path | None = None,
    ) -> str:
        """Add the torrent of that file or link; the other methods mean the one added last where none is named."""
        where = str(data_dir) if data_dir is not None else None
        self.torrent = self.ask("add", path=str(path), peers=peers or [], want=want, data_dir=where)
        return self.torrent

    def pieces(self, timeout: float = 30) -> set[int]:
        """Wait until nothing is to be hashed; which pieces are complete then."""
        return set(self.ask("pieces", torrent=self.torrent, timeout=timeout))

    def wait_complete(self, timeout: float = 60, torrent: str = "") -> bool:
        """Wait until all that is wanted is there. Says whether it was in time."""
        return bool(self.ask("wait_complete", torrent=torrent or self.torrent, timeout=timeout))

    def stats(self, torrent: str = "") -> dict[str, Any]:
        """TorrentStats as a dictionary."""
        told = self.ask("stats", torrent=torrent or self.torrent)
        assert isinstance(told, dict)
        return told

    def until_downloaded(self, length: int) -> None:
        """Wait until it has received *length* bytes, over all its runs."""
        until(lambda: self.stats()["downloaded"] >= length)

    def ask(self, do: str, **request: Any) -> Any:
        """Send one request. Raises DownloaderRefused where it meets an error."""
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._program.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._program.stdout is not None
        line = self._program.stdout.readline()
        if not line:
            raise DownloaderRefused(f"the program is gone: exit code {self._program.wait()}", "EOFError")
        told = json.loads(line)
        if "error" in told:
            raise DownloaderRefused(told["error"], told["kind"])
        return told["answer"]


def pieces_on_disk(metainfo: Metainfo, data: Path, storage: str = "file") -> set[int]:
    """Hash what is there: of files, under either of their names, without any code of ours.

    A piece is right when it has every hash that the torrent has of it.
    """
    if storage != "file":
        return _pieces_in(_kept(metainfo, data, storage), metainfo)
    info = metainfo.info
    geometry = info.geometry
    length, pieces = geometry.piece_length, range(geometry.piece_count)
    whole = bytearray()
    wrong: set[int] = set()
    for file in info.files:
        path = data.joinpath(*file.path)
        found = next((one for one in (path.with_name(path.name + ".part"), path) if one.exists()), None)
        content = found.read_bytes() if found and not file.pad else b""
        content = content[: file.length].ljust(file.length, b"\0")
        whole += bytes(file.offset - len(whole))  # a file of v2 begins at a piece
        whole += content
        if file.root:
            due = metainfo.layers.get(file.root, file.root)
            width = min(length, max(1 << (file.length - 1).bit_length(), _LEAF)) // _LEAF
            roots = [_root(content[begin : begin + length], width) for begin in range(0, file.length, length)]
            first = file.offset // length
            wrong |= {first + at for at, root in enumerate(roots) if root != due[at * 32 : at * 32 + 32]}
    if info.v1 is not None:
        digests = [hashlib.sha1(whole[piece * length : (piece + 1) * length]).digest() for piece in pieces]
        wrong |= {piece for piece in pieces if digests[piece] != info.hash_of(piece)}
    return set(pieces) - wrong


def _root(content: bytes, width: int) -> bytes:
    """The root of the tree of *width* leaves over the content's blocks (BEP 52)."""
    layer = [hashlib.sha256(content[begin : begin + _LEAF]).digest() for begin in range(0, len(content), _LEAF)]
    layer += [bytes(32)] * (width - len(layer))
    while len(layer) > 1:
        layer = [hashlib.sha256(left + right).digest() for left, right in zip(layer[::2], layer[1::2], strict=True)]
    return layer[0]


def _kept(metainfo: Metainfo, data: Path, storage: str) -> TorrentStorage:
    home = SqliteStorage(data / DATABASE) if storage == "sqlite" else CacheStorage(data / CACHE, CACHE_SIZE)
    return home.open(metainfo.info, metainfo.info.info_hash)


def _pieces_in(storage: TorrentStorage, metainfo: Metainfo) -> set[int]:
    info, right = metainfo.info, set()
    for piece in range(info.geometry.piece_count):
        content = bytearray(info.geometry.length_of(piece))
        with suppress(StorageFailed):
            storage.piece(piece).readinto(0, content)
            if hashlib.sha1(content).digest() == info.hash_of(piece):
                right.add(piece)
    storage.close()
    return right


def pieces_recorded(metainfo: Metainfo, folder: Path, storage: str = "file") -> set[int]:
    """What is recorded as complete: of files, in the session store below *folder*."""
    if storage != "file":
        database = _kept(metainfo, folder / "data", storage)
        recorded = {
            piece
            for piece in range(metainfo.info.geometry.piece_count)
            if database.piece(piece).completion() is Completion.COMPLETE
        }
        database.close()
        return recorded
    store = SessionStore(folder / "state")
    try:
        completion = store.completion(session_key(metainfo.info.info_hash, folder / "data"))
        _, complete = completion.load(metainfo.info.geometry.piece_count)
    finally:
        store.close()
    return set(complete.search(1))
