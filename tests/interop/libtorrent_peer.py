"""libtorrent as the other side of a test: starts libtorrent_program.py and talks with it."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from .line_program import LineProgram

PROGRAM = Path(__file__).with_name("libtorrent_program.py")


class LibtorrentPeer(LineProgram):
    """A libtorrent session in a program of its own, from `with` to the end of the block.

    Args:
        host: Loopback address to listen on.
        port: 0 lets the system choose; `.port` tells.
        encryption: "off" (plain only), "allow", or "require" (RC4 only), both ways.
        settings: libtorrent settings beside or instead of those of libtorrent_program.py.
        as_strangers: Limit rates and choke as towards the world, which libtorrent does not do on local addresses.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        encryption: str = "allow",
        settings: dict[str, Any] | None = None,
        as_strangers: bool = False,
    ) -> None:
        start = {
            "host": host,
            "port": port,
            "encryption": encryption,
            "settings": settings or {},
            "as_strangers": as_strangers,
        }
        super().__init__("libtorrent", [sys.executable, str(PROGRAM), json.dumps(start)], host)
        self._last = ""

    def add(self, torrent: bytes | Path | str, save_path: Path, *, seed_mode: bool = False, timeout: float = 60) -> str:
        """Add a torrent and check what is there already.

        Args:
            torrent: The bytes of a .torrent, its path, or a magnet link.
            save_path: Directory of the content.
            seed_mode: Believe that all is there instead of checking.
            timeout: Seconds that checking may take.

        Returns:
            The info hash in hex; the other methods take it where there are several torrents.
        """
        data = torrent.read_bytes() if isinstance(torrent, Path) else torrent
        text = data if isinstance(data, str) else base64.b64encode(data).decode()
        request = {"torrent": text, "save_path": str(save_path), "seed_mode": seed_mode, "timeout": timeout}
        self._last = str(self._ask("add", timeout, **request))
        return self._last

    def connect(self, host: str, port: int, torrent: str = "") -> None:
        """Dial a peer. The connection is made soon after this returns."""
        self._ask("connect", name=torrent or self._last, host=host, port=port)

    def wait_finished(self, timeout: float = 60, torrent: str = "") -> None:
        """Wait until every wanted piece is verified and written to its file.

        Raises:
            PeerProgramFailed: not within *timeout* seconds; with what libtorrent said last.
        """
        self._ask("wait_finished", timeout + 30, name=torrent or self._last, timeout=timeout)

    def stats(self, torrent: str = "") -> dict[str, Any]:
        """State, progress (0 to 1), payload bytes, peers, CPU seconds and memory: see libtorrent_program.py."""
        told = self._ask("stats", name=torrent or self._last)
        assert isinstance(told, dict)
        return told

    def change(self, **settings: Any) -> None:
        """Apply libtorrent settings now, for example upload_rate_limit=100_000."""
        self._ask("settings", settings=settings)


def make_torrent(
    content: Path,
    piece_length: int = 0,
    trackers: tuple[str, ...] = (),
    *,
    version: str = "v1",
    in_order: bool = False,
) -> bytes:
    """A .torrent of a file or folder, made by libtorrent; its save path is *content*'s parent.

    Args:
        content: File or folder.
        piece_length: Bytes; 0 lets libtorrent choose.
        trackers: Announce URLs, each a tier.
        version: "v1", "v2" or "hybrid".
        in_order: Sort a folder's files by their names, instead of taking them as the directory gives them.
    """
    import libtorrent as lt  # only here: whoever asks for a peer keeps libtorrent out of the test's own memory

    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[version]
    files = lt.list_files(str(content))
    if in_order:
        files.sort(key=lambda file: Path(file.filename).parts)
    torrent = lt.create_torrent(files, piece_length, flags)
    for tier, url in enumerate(trackers):
        torrent.add_tracker(url, tier)
    lt.set_piece_hashes(torrent, str(content.parent))
    return bytes(lt.bencode(torrent.generate()))


def make_magnet(torrent: bytes, peers: tuple[tuple[str, int], ...] = ()) -> str:
    """The magnet link of a .torrent, made by libtorrent: its hashes, name and trackers, and *peers* as x.pe (BEP 9)."""
    import libtorrent as lt  # only here, as above

    link = lt.make_magnet_uri(lt.torrent_info(torrent))
    return link + "".join(f"&x.pe={host}:{port}" for host, port in peers)
