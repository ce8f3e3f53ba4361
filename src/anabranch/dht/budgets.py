"""What strangers may cost us: how many of their queries are looked at, and how many bytes they are sent.

Source: the limits of libtorrent 2.1.1 (5 queries a second from one address, averaged over 10 seconds; what is sent to
it counts too), and RFC 9000, 8.1: whoever has not shown that he gets what we send may be somebody else, whom we would
help to flood; he is sent at most three times what came in his name. Asked for every datagram, so it is cheap, and what
is remembered does not grow with the number of addresses that a flood pretends to come from.

Programs on this machine are not counted (no datagram from outside has their address), but answered by the same measure.
"""

from __future__ import annotations

from collections import OrderedDict

from anabranch.net import is_this_machine, network

WINDOW = 10.0  # seconds over which everything is counted
PER_HOST = 50  # queries in a window: libtorrent's 5 a second
PER_NETWORK = 500  # queries in a window: ten busy hosts of one /24
PER_HOST_BYTES = 32 * 1024  # sent in a window: 50 large answers
LARGE = 512  # bytes; a query counts once more for each of these that it has
MOST_RATE = 8 * 1024 * 1024  # bytes per second that are sent in all: 20,000 answers of 400 bytes, what a core can do
AMPLIFICATION = 3
MOST_REPLY = 1400  # bytes; larger datagrams may come in fragments, or not at all
MOST_HOSTS = 10_000  # that are counted, and as many that are known to be there: about 3 MB
PROVEN_LIFE = 600.0  # seconds; as long as a token is good


class Budgets:
    """Counts who asks and what he is sent. The time is handed in; O(1) per call.

    Args:
        rate: Bytes per second that are sent in all, a second's worth at once.
    """

    __slots__ = ("_asked", "_level", "_proven", "_rate", "_seen", "_sent", "_window")

    def __init__(self, rate: float = MOST_RATE) -> None:
        self._rate = rate
        self._level = rate
        self._seen = 0.0  # when the level was right
        self._window = 0.0  # when it began
        self._asked: dict[str, int] = {}  # by host, and by network
        self._sent: dict[str, int] = {}  # by host
        self._proven: OrderedDict[str, float] = OrderedDict()  # until when, the latest last

    def admits(self, host: str, size: int, now: float) -> bool:
        """Whether a query of *size* bytes from there may be looked at. Counts it."""
        if not 0 <= now - self._window < WINDOW or len(self._asked) >= 2 * MOST_HOSTS or len(self._sent) >= MOST_HOSTS:
            self._window = now
            self._asked.clear()
            self._sent.clear()
        if _is_ours(host):
            return True
        asked = self._asked
        cost = 1 + size // LARGE
        whole = network(host)
        by_whole = asked.get(whole, 0) + cost
        asked[whole] = by_whole
        if whole == host or ":" in host:  # whoever has one address of such a network may have them all
            return by_whole <= PER_HOST
        by_host = asked.get(host, 0) + cost
        asked[host] = by_host
        return by_host <= PER_HOST and by_whole <= PER_NETWORK

    def proven(self, host: str, now: float) -> None:
        """Somebody there has got what we sent: he answered it, or showed a token that was in it."""
        self._proven[host] = now + PROVEN_LIFE
        self._proven.move_to_end(host)
        if len(self._proven) > MOST_HOSTS:
            self._proven.popitem(last=False)

    def room(self, host: str, size_in: int, now: float) -> int:
        """How many bytes the answer to a query of *size_in* bytes may have; spend() says whether it is sent."""
        if self._proven.get(host, now) > now:
            return MOST_REPLY
        return min(AMPLIFICATION * size_in, MOST_REPLY)

    def spend(self, host: str, size_in: int, size_out: int, now: float) -> bool:
        """Whether an answer of *size_out* bytes may be sent there. Counts it if so."""
        if size_out > self.room(host, size_in, now):
            return False
        if now > self._seen:
            self._level = min(self._rate, self._level + (now - self._seen) * self._rate)
            self._seen = now
        if size_out > self._level:
            return False
        if not _is_ours(host):
            whole = network(host) if ":" in host else host
            sent = self._sent.get(whole, 0) + size_out
            if sent > PER_HOST_BYTES:
                return False
            self._sent[whole] = sent
        self._level -= size_out
        return True


def _is_ours(host: str) -> bool:
    return host.startswith("127.") or (host.startswith("::") and is_this_machine(host))
