"""What can be configured: the Go engine's fields under Python names, as far as the parts they belong to are here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from anabranch.model import Address, InputRefused, split_host_port
from anabranch.net import DELUGE, Blocklist, Identity, Url, identity_named, parse_url
from anabranch.storage import ClientStorage

from .encryption import Encryption

STORAGES = ("file", "mmap", "sqlite", "cache", "memory")  # the kinds that have a name
LIMITED = ("sqlite", "cache")  # those that can be told how much they may keep


class _Named:
    """The field `identity`: given as a profile or by its name, read as a profile."""

    def __get__(self, config: object | None, owner: type) -> Identity:
        return DELUGE if config is None else config.__dict__["identity"]

    def __set__(self, config: object, given: Identity | str) -> None:
        config.__dict__["identity"] = identity_named(given) if isinstance(given, str) else given


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a client; fixed once it runs, except for the rates, which the client changes at any time.

    Args:
        data_dir: Where torrents are written to and read from.
        state_dir: Where state is kept between runs; "" for `$XDG_STATE_HOME/anabranch`, None for nowhere: nothing is
            remembered.
        incomplete_dir: Where files are until all that is wanted of their torrent is complete; then they go where they
            belong. Not of torrents whose files are there already. None for no such place.
        storage: "file", "mmap", "sqlite", "cache", "memory", the URL of an object store, or a storage of your own.
        storage_capacity: Bytes that "sqlite" and "cache" keep in a directory at most; None for no limit of "sqlite",
            and 10 GiB of "cache".
        preallocate: Take the whole room of wanted files at the first write; "file" and "mmap" only.
        listen_host: Addresses to listen on; empty for all, IPv4 and IPv6.
        listen_port: 0 for any.
        listen_port_fixed: A taken port is an error; otherwise another one is used.
        accept_peers: Listen at all.
        dial_peers: Dial candidates.
        blocklist: Addresses that are neither dialed nor let in; `Client.set_blocklist()` changes it. None for none.
        disable_ipv4, disable_ipv6: Leave a family out.
        disable_tcp: Neither listen for peers nor dial them by TCP.
        disable_utp: Neither by uTP, once there is one. The UDP port is open as long as uTP or the DHT is on.
        seed: Go on serving what is complete.
        no_upload: Serve nobody.
        download_rate, upload_rate: Bytes per second for the client, None for no limit.
        dial_rate: Dials per second.
        established_connections: Connections of a torrent.
        half_open_connections: Dials under way for a torrent.
        total_half_open_connections: Dials under way in all.
        total_connections: Connections of the client; None for as many as the system lets a process have, less what
            files need.
        max_unverified_bytes: Memory for pieces that are not verified yet.
        piece_hashers_per_torrent: Checks of one torrent under way at a time.
        nominal_dial_timeout, min_dial_timeout: Seconds; the more candidates wait, the shorter.
        handshake_timeout: Seconds from the connection to the end of the handshake.
        drop_mutually_complete_peers: Leave peers that have everything once we have, too.
        torrent_peers_high_water: Candidates that a torrent keeps.
        disable_trackers: Announce to nobody.
        disable_dht: Run no DHT node (BEP 5): neither ask it for peers nor answer it.
        dht_bootstrap: "HOST:PORT" of nodes to begin with where none are remembered; None for those that are well known,
            () for none.
        dht_announce: Look there for peers of torrents that are not private, and tell it that we have them.
        dht_read_only: Ask the DHT without being a part of it (BEP 43): for who cannot be reached.
        dht_on_query: Is told each query that comes, by its method and from where, on the network thread, and says
            whether it is answered. None: all are.
        disable_pex: Neither tell peers of other peers nor hear of them (BEP 11).
        disable_lsd: Do not look for peers in the local network (BEP 14).
        assume_private: Treat a torrent that is known by a link as private until its metadata says otherwise (BEP 27):
            only its trackers, and whom the user names, are asked for it.
        disable_webtorrent: Ask no WebSocket trackers (ws, wss), which tell of WebRTC peers.
        announce_to_all: Announce to every tracker of every tier, as the Go engine does; otherwise to one at a time, the
            next one where that fails (BEP 12).
        disable_webseeds: Ask no web seed for content.
        disable_metadata_sources: Do not fetch .torrent files from where magnet links say that they may be had.
        http_proxy: `http://[USER:PASSWORD@]HOST:PORT` through which web seeds, HTTP trackers and the URLs of .torrent
            files are asked; it looks up their names. None for none: what the environment says is not heard.
        ca_file: Certificates in PEM that those servers are verified by, beside the system's; read by Client().
        ssrf_mitigation: What a torrent, a link or a server's redirect names is not asked in our own network where that
            could do harm: web seeds there have no query string and are not redirected to from outside, HTTP trackers
            have a path that begins with "/announce". What the user names is not held to that; nobody may name
            link-local addresses. Without it the rest is asked, too.
        always_want_connections: Dial although a torrent has no use for peers.
        debug: Count what happens inside (`Client.metrics()`), and check the request order by samples.
        encryption: "off", "allow" (dial in clear first), "prefer" (obfuscated first) or "require" (RC4 or nothing).
        identity: Who we say we are: an Identity, or "deluge", "anabranch", "anonymous".
        peer_id: All 20 bytes of the peer id; b"" for the identity's prefix and random ones.

    Raises:
        InputRefused: a peer id of another length, no such identity, encryption or storage, no capacity, one where there
            can be none, a place for what is incomplete where nothing is stored in files, one address where several are
            due, or no proxy's URL.
    """

    data_dir: str | Path = "."
    state_dir: str | Path | None = ""
    incomplete_dir: str | Path | None = None
    storage: str | ClientStorage = "file"
    storage_capacity: int | None = None
    preallocate: bool = False
    listen_host: tuple[str, ...] = ()
    listen_port: int = 42069
    listen_port_fixed: bool = False
    accept_peers: bool = True
    dial_peers: bool = True
    blocklist: Blocklist | None = None
    disable_ipv4: bool = False
    disable_ipv6: bool = False
    disable_tcp: bool = False
    disable_utp: bool = False
    seed: bool = True
    no_upload: bool = False
    download_rate: float | None = None
    upload_rate: float | None = None
    dial_rate: float = 10.0
    established_connections: int = 50
    half_open_connections: int = 25
    total_half_open_connections: int = 100
    total_connections: int | None = None
    max_unverified_bytes: int = 64 * 1024 * 1024
    piece_hashers_per_torrent: int = 2
    nominal_dial_timeout: float = 20.0
    min_dial_timeout: float = 3.0
    handshake_timeout: float = 4.0
    drop_mutually_complete_peers: bool = True
    torrent_peers_high_water: int = 500
    disable_trackers: bool = False
    disable_dht: bool = False
    dht_bootstrap: tuple[str, ...] | None = None
    dht_announce: bool = True
    dht_read_only: bool = False
    dht_on_query: Callable[[str, Address], bool] | None = None
    disable_pex: bool = False
    disable_lsd: bool = False
    assume_private: bool = False
    disable_webtorrent: bool = False
    announce_to_all: bool = False
    disable_webseeds: bool = False
    disable_metadata_sources: bool = False
    http_proxy: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    ssrf_mitigation: bool = True
    always_want_connections: bool = False
    debug: bool = False
    encryption: str = Encryption.PREFER
    identity: _Named = _Named()
    peer_id: bytes = b""

    def __post_init__(self) -> None:
        for name in ("listen_host", "dht_bootstrap"):
            if isinstance(given := getattr(self, name), str):  # a sequence of its letters otherwise
                raise InputRefused(f"{name} is a tuple of addresses: ({given!r},)")
        for place in self.dht_bootstrap or ():
            split_host_port(place)
        if len(self.peer_id) not in (0, 20):
            raise InputRefused(f"a peer id has 20 bytes, not {len(self.peer_id)}")
        if self.encryption not in list(Encryption):
            raise InputRefused(f"encryption is off, allow, prefer or require, not {self.encryption!r}")
        if isinstance(self.storage, str) and self.storage not in STORAGES and "://" not in self.storage:
            raise InputRefused(f"storage is {', '.join(STORAGES)} or a URL, not {self.storage!r}")
        if self.incomplete_dir is not None and self.storage not in ("file", "mmap"):
            raise InputRefused("incomplete_dir is for what is stored in files")
        if self.preallocate and self.storage not in ("file", "mmap"):
            raise InputRefused("preallocate is for what is stored in files")
        if self.storage_capacity is not None and self.storage_capacity < 1:
            raise InputRefused(f"a storage has room for at least a byte, not {self.storage_capacity}")
        if self.storage_capacity is not None and self.storage not in LIMITED:
            raise InputRefused(f"storage_capacity is for {' and '.join(LIMITED)}")
        _ = self.proxy

    @property
    def proxy(self) -> Url | None:
        """What `http_proxy` says. Raises InputRefused, which a Config that was made does not."""
        if self.http_proxy is None:
            return None
        try:
            return parse_url(self.http_proxy, ("http",))
        except (InputRefused, UnicodeError) as bad:
            raise InputRefused(f"http_proxy is http://HOST:PORT: {bad}") from bad

    @property
    def encrypts(self) -> Encryption:
        """What `encryption` says, and what follows from it."""
        return Encryption(self.encryption)
