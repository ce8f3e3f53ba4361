"""What a simulated DHT has brought about, and the rule of thumb to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from statistics import mean, quantiles

K = 8  # nodes that are nearest to a target: BEP 5
BRANCHING = 5  # questions at a time: libtorrent's setting dht_search_branching


def rule_of_thumb(nodes: int) -> float:
    """Questions that a look-up among so many nodes takes: k + branching * log2(nodes / k).

    Each round halves the distance to the target at the least, which is Kademlia's bound of log2(n) rounds, less those
    within the last bucket; libtorrent has five questions under way in a round (dht_search_branching) and ends when the
    eight nearest that it knows of have answered. Loss, liars and those who have left are not in it.
    """
    return K + BRANCHING * max(0.0, log2(nodes / K))


@dataclass(frozen=True, slots=True)
class LookUp:
    """One look-up that has ended.

    Args:
        succeeded: It found the peer that had announced itself; or, where nodes were looked for, more than half of the
            honest ones among the eight that are nearest: two look-ups that did so have met.
        asked: Questions that it sent.
        answered: Answers that came.
        seconds: How long it took.
        near: Of the eight nearest nodes, the share of the honest ones that it ended with, 0 to 1.
        lying: The share of liars among those it ended with, 0 to 1.
        false: Peers that it was told of where nobody announced any.
    """

    succeeded: bool
    asked: int
    answered: int
    seconds: float
    near: float
    lying: float
    false: int = 0


@dataclass(frozen=True, slots=True)
class DhtReport:
    """Everything that is known in the end.

    Args:
        nodes: Honest nodes that take part in the end.
        liars: Liars in the end.
        searches: Look-ups for peers that had announced themselves before.
        finds: Look-ups for the nearest nodes.
        announces: For each announce, how many nodes took it.
        reflected: Bytes of honest answers to victims for each byte that was sent in their name.
        lured: Bytes of honest questions to victims for each byte of an answer that named them.
        dead: The share of nodes in honest tables that are not there.
        lying: The share of liars in honest tables.
        silent: The share of nodes in honest tables that say of themselves that they do not answer.
        weight: Bytes of memory that a node holds, on average.
        carried: Datagrams that were sent.
    """

    nodes: int
    liars: int
    searches: Sequence[LookUp]
    finds: Sequence[LookUp]
    announces: Sequence[int]
    reflected: float
    lured: float
    dead: float
    lying: float
    silent: float
    weight: float
    carried: int

    @property
    def found(self) -> float:
        """The share of searches that succeeded."""
        return mean(one.succeeded for one in self.searches)

    @property
    def asked(self) -> float:
        """Questions of a search, on average."""
        return mean(one.asked for one in self.searches)

    @property
    def thumb(self) -> float:
        """Questions of a search for each one of the rule of thumb."""
        return self.asked / rule_of_thumb(self.nodes + self.liars)

    def __str__(self) -> str:
        found = [one.succeeded for one in self.finds]
        rows = [
            ("nodes", f"{self.nodes} honest, {self.liars} liars; {self.carried:,} datagrams"),
            ("searches", f"{len(self.searches)}, of which {self.found:.1%} found the peer"),
            ("nodes looked for", f"{len(found)}, of which {mean(found):.1%} found most of the nearest"),
            ("announces", f"taken by {mean(self.announces):.1f} nodes, by {min(self.announces)} at least"),
            (
                "questions",
                f"{_spread([one.asked for one in self.searches])} a search; {self.thumb:.2f} x rule of thumb",
            ),
            ("seconds", f"{_spread([one.seconds for one in self.searches])} a search"),
            ("nearest", f"{mean(one.near for one in self.searches):.1%} of the nearest honest nodes are found"),
            ("liars", f"{mean(one.lying for one in self.searches):.1%} of the nodes that searches end with"),
            ("false peers", f"{mean(one.false for one in self.searches):.1f} a search"),
            ("amplification", f"{self.reflected:.2f} reflected, {self.lured:.2f} lured"),
            ("tables", f"{self.dead:.1%} gone, {self.lying:.1%} liars, {self.silent:.1%} silent"),
            ("memory", f"{self.weight / 1024:.1f} KiB a node"),
        ]
        return "\n".join(f"{name:17} {told}" for name, told in rows)


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.1f} (at most {quantiles(values, n=20)[-1]:.1f} for 19 of 20)"
