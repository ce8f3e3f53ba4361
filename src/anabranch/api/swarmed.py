"""What a torrent has to do with others: peers, web seeds, trackers. The part of Torrent that is about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from anabranch.engine import (
    Core,
    PeerStats,
    TorrentState,
    TrackerStatus,
    WebSeedStatus,
    adding,
    announcing,
    peer_stats,
    send_extension,
    trackers_of,
    webseeding,
    webseeds_of,
)
from anabranch.model import Address, InputRefused, canonical_host
from anabranch.net import headers_for, parse_url
from anabranch.tracker import SCHEMES
from anabranch.webseed import Source


class Swarmed:
    """The part of Torrent that is about those who have it, too."""

    _core: Core
    _state: TorrentState

    def add_peers(self, peers: Iterable[tuple[str, int] | Address]) -> int:
        """Add addresses to dial: (IP address, port) each. Answers how many were new.

        Raises:
            InputRefused: not an IP address, or a port outside 1-65535.
        """
        addresses = [_address(host, port) for host, port in peers]
        return self._core.add_peers(self._state, addresses, "user")

    def add_webseeds(self, urls: Iterable[str], *, headers: Mapping[str, str] | None = None) -> None:
        """Add HTTP servers that have its content (BEP 19). They are asked at once, and remembered with the torrent.

        What you name may be in your own network, whatever it looks like. One that is there already has these headers
        from now on. Of no use, as webseed_statuses() says then, is the URL of a single file for a torrent of several.

        Args:
            urls: Of a folder, ending in "/", in which the torrent lies; or of the torrent's only file. They may have a
                login: https://USER:PASSWORD@HOST/.
            headers: Sent with every request to them, and not where they redirect to another server.

        Raises:
            InputRefused: no http or https URL, or no header that can be sent; nothing has changed then.
        """
        if isinstance(urls, str):  # a sequence of its letters otherwise; it may have a passkey, and is not repeated
            raise InputRefused("web seeds are a list of URLs: [URL], not a single one")
        sent = tuple((headers or {}).items())
        sources = [Source(_web_url(url, dict(sent)), trusted=True, headers=sent) for url in urls]
        if not sources:
            return
        with self._core.turn:
            webseeding.add(self._core.engine, self._state, sources)
            adding.remember(self._core.engine, self._state)

    def remove_webseed(self, url: str) -> bool:
        """Ask a web seed no more, and let go of what is being received from it. Says whether it was there.

        One that the .torrent file or the link names is there again in the next run.
        """
        with self._core.turn:
            there = webseeding.remove(self._core.engine, self._state, url)
            if there:
                adding.remember(self._core.engine, self._state)
        return there

    def webseed_statuses(self) -> list[WebSeedStatus]:
        """How its web seeds are, in the order in which they became known; at most 200 ms old, as cached_stats()."""
        return webseeds_of(self._core, self._state)

    def add_trackers(self, trackers: Iterable[str | Iterable[str]]) -> None:
        """Add announce URLs behind those it has. They are asked at once, and remembered with the torrent.

        What you name may be in your own network, whatever it looks like.

        Args:
            trackers: Tiers, best first: a URL is a tier of its own, several are one whose order is shuffled (BEP 12).

        Raises:
            InputRefused: not a URL of http, https, udp, ws or wss; nothing has changed then.
        """
        tiers = _tiers(trackers)
        with self._core.turn:
            announcing.add(self._core.engine, self._state, tiers)
            adding.remember(self._core.engine, self._state)

    def set_trackers(self, trackers: Iterable[str | Iterable[str]]) -> None:
        """Have these trackers, and no others; as add_trackers(). Those that it leaves are told so.

        A private torrent that is given to other trackers leaves the peers that the former ones told of (BEP 27).
        """
        tiers = _tiers(trackers)
        with self._core.turn:
            announcing.replace_all(self._core.engine, self._state, tiers)
            adding.remember(self._core.engine, self._state)

    def announce(self) -> None:
        """Have its trackers asked as soon as they allow: a minute after the last time, or what they said is the least.

        Those that failed are asked again a minute after they did. What is due then says tracker_statuses().
        """
        with self._core.turn:
            announcing.again(self._core.engine, self._state)

    def tracker_statuses(self) -> list[TrackerStatus]:
        """How its trackers are, by tier and URL (docs/trackers.md); at most 200 ms old, as cached_stats()."""
        return trackers_of(self._core, self._state)

    def peers(self) -> list[PeerStats]:
        """Its connections."""
        with self._core.turn:
            return [peer_stats(self._core.engine, peer) for peer in self._state.swarm.peers.values()]

    def peer_extensions(self, peer: tuple[str, int] | Address) -> frozenset[str]:
        """The extensions that a connected peer has named (BEP 10); none of one that is not connected.

        Raises:
            InputRefused: not an IP address, or a port outside 1-65535.
        """
        address = _address(*peer)
        with self._core.turn:
            found = self._state.swarm.peers.get(address)
            return found.profile.extensions if found is not None else frozenset()

    def send_extension(self, peer: tuple[str, int] | Address, name: str, payload: bytes) -> bool:
        """Send a connected peer a message of an extension that it has named; see Extensions.register().

        Args:
            peer: Its address, as in peers() and in events.
            name: The extension.
            payload: At most 128 KiB.

        Returns:
            Whether the message is on its way; False where no such peer is connected, it has not named the extension, or
            1 MiB waits to be sent to it already.

        Raises:
            InputRefused: the payload is too long, the extension is one of the engine's own, or no address is given.
        """
        address = _address(*peer)
        with self._core.turn:
            return send_extension(self._core.engine, self._state, address, name, bytes(payload))


def _tiers(trackers: Iterable[str | Iterable[str]]) -> list[tuple[str, ...]]:
    if isinstance(trackers, str):  # a sequence of its letters otherwise; it may have a passkey, and is not repeated
        raise InputRefused("trackers are a list of URLs: [URL], not a single one")
    tiers = [(tier,) if isinstance(tier, str) else tuple(tier) for tier in trackers]
    for url in (url for tier in tiers for url in tier):
        try:
            parse_url(url, SCHEMES)
        except (InputRefused, UnicodeError) as bad:
            raise InputRefused(f"not a tracker's URL: {bad}") from bad
    return [tier for tier in tiers if tier]


def _web_url(text: str, headers: Mapping[str, str]) -> str:
    try:
        url = parse_url(text, ("http", "https"))
    except (InputRefused, UnicodeError) as bad:  # a lone half of a surrogate pair is no text
        raise InputRefused(f"not a web seed's URL: {bad}") from bad
    headers_for(url, "", more=headers)  # refuses those that are ours to choose
    return text


def _address(host: str, port: int) -> Address:
    try:
        address = Address(canonical_host(host), port)
    except ValueError as bad:
        raise InputRefused(f"not an IP address: {host!r}") from bad
    if not 1 <= port <= 65535:
        raise InputRefused(f"not a port: {port}")
    return address
