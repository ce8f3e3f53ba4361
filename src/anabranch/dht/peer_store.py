"""Who has announced himself at our node: the peers of torrents, bounded, forgotten after half an hour.

Source: BEP 5 ("announce_peer"), BEP 33 (seeds apart), BEP 51 (samples). Who announces must have shown a token, which is
the node's affair. The store belongs to everybody: no host may fill a torrent, and no network the whole; of what is
left, who did not announce himself for longest gives way.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TypeVar

from anabranch.model import Address
from anabranch.net import network

from .blooms import Bloom
from .contacts import is_local, pack_address

EXPIRY = 1800.0  # seconds; clients announce themselves every 15 minutes, the slowest every 28
MOST_ENTRIES = 10_000  # about 10 MB where each is of another torrent
PER_TORRENT = 500  # peers
PER_HOST = 8  # peers of one torrent at one address, or in one /64: some stand behind one NAT
PER_NETWORK = 500  # entries that hosts of one network have brought
SAMPLE = 20  # info hashes
SAMPLE_LIFE = 3600.0  # seconds in which the same sample is told, so that nobody asks for it again and again

FILTERS_LIFE = 60.0  # seconds in which the same filters are told: making them takes half a millisecond
MOST_FILTERS = 64  # torrents whose filters are kept

_Element = TypeVar("_Element")


class PeerStore:
    """Peers by torrent. The time is handed in; no call costs more than one torrent's peers do.

    Args:
        draw: Gives that many random bytes.
    """

    __slots__ = ("_draw", "_filters", "_order", "_sample", "_sampled", "_shares", "_torrents")

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw = draw
        self._torrents: dict[bytes, dict[bytes, bool]] = {}  # its peers, the latest last, and whether they are seeds
        self._order: OrderedDict[tuple[bytes, bytes], tuple[float, str]] = OrderedDict()  # when; network; latest last
        self._shares: Counter[str | bytes] = Counter()  # by network, and by torrent and host
        self._filters: dict[bytes, tuple[float, bytes, bytes]] = {}  # when they were made
        self._sample: tuple[bytes, ...] = ()
        self._sampled = 0.0

    def __len__(self) -> int:
        """How many peers are known, each once for each of its torrents."""
        return len(self._order)

    @property
    def torrents(self) -> int:
        """How many torrents have peers."""
        return len(self._torrents)

    def announce(self, info_hash: bytes, address: Address, seed: bool, now: float) -> bool:
        """Remember that somebody is in a swarm; whether there was room. Again is to be remembered for longer.

        Raises:
            ValueError: not an IP address.
        """
        self.tick(now)
        peer = pack_address(address)
        entry = info_hash, peer
        if entry not in self._order:
            brought_by = network(address.host)
            peers = self._torrents.get(info_hash, {})
            if not is_local(address.host):  # private networks and the machine itself have let in whom they know
                if self._shares[brought_by] >= PER_NETWORK:
                    return False
                host = _host_of(peer)
                if self._shares[info_hash + host] >= PER_HOST:
                    self._drop((info_hash, next(other for other in peers if other.startswith(host))))
            if len(peers) >= PER_TORRENT:
                self._drop((info_hash, next(iter(peers))))
            elif len(self._order) >= MOST_ENTRIES:
                self._drop(next(iter(self._order)))
            self._count(info_hash, peer, brought_by, 1)
        else:
            brought_by = self._order[entry][1]
            del self._torrents[info_hash][peer]  # it is the latest now
        self._order[entry] = now, brought_by
        self._order.move_to_end(entry)
        self._torrents.setdefault(info_hash, {})[peer] = seed
        return True

    def get(self, info_hash: bytes, now: float, *, most: int, noseed: bool = False) -> list[bytes]:
        """At most *most* of a torrent's peers, each with the same chance, in the 6 or 18 bytes of BEP 5.

        With *noseed* (BEP 33) none of those that have everything.
        """
        self.tick(now)
        peers = self._torrents.get(info_hash)
        if peers is None:
            return []
        return self._some([peer for peer, seed in peers.items() if not seed] if noseed else list(peers), most)

    def blooms(self, info_hash: bytes, now: float) -> tuple[bytes, bytes] | None:
        """Filters (BEP 33) of the hosts of a torrent's seeds, and of its other peers; None where nobody is known."""
        self.tick(now)
        peers = self._torrents.get(info_hash)
        if peers is None:
            return None
        made = self._filters.get(info_hash)
        if made is None or now - made[0] >= FILTERS_LIFE:
            seeds, leechers = Bloom(), Bloom()
            for peer, seed in peers.items():
                (seeds if seed else leechers).add_packed(peer[:-2])
            if len(self._filters) >= MOST_FILTERS:
                self._filters.clear()
            made = self._filters[info_hash] = now, bytes(seeds), bytes(leechers)
        return made[1:]

    def sample(self, now: float) -> tuple[bytes, int, int]:
        """Info hashes that have peers (BEP 51): at most 20 one behind the other, how many there are, and for how many
        seconds from now on the same are told.
        """
        self.tick(now)
        total = len(self._torrents)
        if total <= SAMPLE:  # all of them
            return b"".join(self._torrents), total, 0
        left = SAMPLE_LIFE - (now - self._sampled)
        told = [info_hash for info_hash in self._sample if info_hash in self._torrents]
        if left <= 0 or len(told) < SAMPLE // 2:
            told = self._some(list(self._torrents), SAMPLE)
            self._sampled, left = now, SAMPLE_LIFE
        self._sample = tuple(told)
        return b"".join(told), total, int(left)

    def tick(self, now: float) -> None:
        """Forget who did not announce himself again."""
        while self._order:
            entry, (at, _) = next(iter(self._order.items()))
            if now - at < EXPIRY:
                break
            self._drop(entry)

    def _drop(self, entry: tuple[bytes, bytes]) -> None:
        info_hash, peer = entry
        _, brought_by = self._order.pop(entry)
        peers = self._torrents[info_hash]
        del peers[peer]
        if not peers:
            del self._torrents[info_hash]
        self._count(info_hash, peer, brought_by, -1)

    def _count(self, info_hash: bytes, peer: bytes, brought_by: str, by: int) -> None:
        for share in (brought_by, info_hash + _host_of(peer)):
            self._shares[share] += by
            if not self._shares[share]:
                del self._shares[share]

    def _some(self, of: list[_Element], most: int) -> list[_Element]:
        """Shuffle as many as are wanted to the front."""
        count = len(of)
        if count <= most:
            return of
        chances = memoryview(self._draw(4 * most)).cast("I")
        for place, chance in enumerate(chances):
            other = place + chance % (count - place)
            of[place], of[other] = of[other], of[place]
        return of[:most]


def _host_of(peer: bytes) -> bytes:
    """What counts as one host: an IPv4 address, or the /64 network of an IPv6 address."""
    return peer[:4] if len(peer) == 6 else peer[:8]
