"""Programs that have one torrent each, ours and others, and whom they meet: without a tracker and without a DHT."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from anabranch.api import Client, Torrent
from ours import address_of, finished, make_client

from .libtorrent_peer import LibtorrentPeer
from .transmission_peer import TransmissionPeer

Address = tuple[str, int]
TRICKLE = 5_000  # bytes per second, of 1.3 MiB: who is slow gets nothing to speak of


class Party(Protocol):
    """A program with one torrent."""

    @property
    def address(self) -> Address: ...
    def begin(self, torrent: bytes, folder: Path) -> None: ...
    def dial(self, where: Address) -> None: ...
    def is_finished(self) -> bool: ...
    def wait_finished(self, timeout: float) -> None: ...


class Ours:
    """Our client in that manner."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.torrent: Torrent | None = None

    @property
    def address(self) -> Address:
        """Where it listens."""
        return address_of(self.client)

    def begin(self, torrent: bytes, folder: Path) -> None:
        """Add, check and, if something is missing, download."""
        self.torrent = self.client.add(torrent, data_dir=folder)
        assert self.torrent.checked.wait(30)
        self.torrent.download_all()

    def dial(self, where: Address) -> None:
        """Tell it of a peer."""
        assert self.torrent is not None
        self.torrent.add_peers([where])

    def is_finished(self) -> bool:
        """Whether all is there."""
        assert self.torrent is not None
        return self.torrent.complete.is_set

    def wait_finished(self, timeout: float) -> None:
        """Wait until all is there, and written."""
        assert self.torrent is not None
        finished(self.torrent, timeout)


class Theirs:
    """Another program in that manner."""

    def __init__(self, program: LibtorrentPeer | TransmissionPeer) -> None:
        self.program = program

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.program.host, self.program.port

    def begin(self, torrent: bytes, folder: Path) -> None:
        """Add, check and, if something is missing, download."""
        self.program.add(torrent, folder)

    def dial(self, where: Address) -> None:
        """Tell it of a peer; Transmission cannot be told."""
        assert isinstance(self.program, LibtorrentPeer)
        self.program.connect(*where)

    def is_finished(self) -> bool:
        """Whether all is there."""
        return bool(self.program.stats()["finished"])

    def wait_finished(self, timeout: float) -> None:
        """Wait until all is there, and written."""
        self.program.wait_finished(timeout)


def started(
    name: str, place: Path, host: str, open_ones: ExitStack, *, slow: bool = False, local: bool = False
) -> Party:
    """The program of that name, running. Nothing tells it of peers but peers and, if *local*, their multicast."""
    place.mkdir(parents=True, exist_ok=True)
    match name:
        case "ours":
            limits = {"download_rate": TRICKLE} if slow else {}
            client = make_client(place, host, disable_dht=True, disable_lsd=not local, **limits)
            return Ours(open_ones.enter_context(client))
        case "libtorrent":
            settings: Mapping[str, Any] = {
                "min_reconnect_time": 1,
                "outgoing_interfaces": host,
                "enable_lsd": local,
                **({"download_rate_limit": TRICKLE} if slow else {}),
            }
            return Theirs(open_ones.enter_context(LibtorrentPeer(host, settings=dict(settings), as_strangers=slow)))
        case "transmission":
            words = {
                "pex-enabled": True,
                "lpd-enabled": local,
                "speed-limit-down": TRICKLE // 1000,
                "speed-limit-down-enabled": slow,
            }
            return Theirs(open_ones.enter_context(TransmissionPeer(place / "daemon", host, settings=words)))
        case unknown:
            raise ValueError(unknown)
