"""Our own address, as those see it whom we ask (BEP 42): what many networks say alike is believed.

Anybody may lie, and an address that is believed makes us take another id. So each network has one vote, the last it
cast, and only the latest votes count.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from anabranch.model import Address
from anabranch.net import network, why_not_dialed

from .contacts import is_local

VOTES = 32  # the latest of so many networks count
NEEDED = 5  # networks that say the same, and they must be more than half of all


class Votes:
    """What others say about where we are."""

    __slots__ = ("_by_network", "elected")

    def __init__(self) -> None:
        self._by_network: OrderedDict[str, str] = OrderedDict()  # who says which host; latest last
        self.elected = ""

    def cast(self, host: str, by: str) -> bool:
        """The node at *by* sees us at *host*. Returns whether that makes it another address than was believed.

        What nodes of our own network see is nothing to others, nor is an address that only our network knows.
        """
        if is_local(by) or is_local(host) or why_not_dialed(Address(host, 1)):
            return False
        voter = network(by)
        if self._by_network.get(voter) == host == self.elected:
            return False
        self._by_network[voter] = host
        self._by_network.move_to_end(voter)
        if len(self._by_network) > VOTES:
            self._by_network.popitem(last=False)
        votes = Counter(self._by_network.values())[host]
        if host == self.elected or votes < NEEDED or 2 * votes <= len(self._by_network):
            return False
        self.elected = host
        return True
