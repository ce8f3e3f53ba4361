"""One node on its socket: what comes is handed to it, what it wants to send is sent, and it is woken in time.

A flood comes in batches: the answers to all datagrams that were read at once leave together, in the loop's next turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf

from anabranch.model import Address
from anabranch.net import Datagrams, is_this_machine

from .node import Node
from .remembering import Remembered

log = logging.getLogger(__name__)

_KIND = b"d"  # messages are dictionaries
_AFTER_FAULT = 1.0  # seconds until a node that failed is woken again


class Side:
    """A node, its socket and its alarm. Belongs to the running loop.

    Args:
        node: The node.
        datagrams: Its socket, which stays its owner's.
        remembered: What was kept of the node, by an earlier run or this one.
        clock: Seconds, as the node is to be told.
        moved: Called after whatever may have changed what the node knows.

    Attributes:
        is_local: Whether nobody outside this machine can be reached from its socket.
    """

    def __init__(
        self,
        node: Node,
        datagrams: Datagrams,
        remembered: Remembered,
        clock: Callable[[], float],
        moved: Callable[[], None],
    ) -> None:
        self.node = node
        self.datagrams = datagrams
        self.remembered = remembered
        self.is_local = is_this_machine(datagrams.address.host)
        self._clock = clock
        self._moved = moved
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at = inf
        self._waking = False
        self._closed = False
        datagrams.take(_KIND, self._heard, self._lost)
        self.wake()

    def reaches(self, address: Address) -> bool:
        """Whether the socket is one to reach that address by."""
        return address.is_v6 == self.datagrams.address.is_v6 and (not self.is_local or is_this_machine(address.host))

    def wake(self) -> None:
        """Something was asked of the node: have it speak in the loop's next turn."""
        if not self._waking and not self._closed:
            self._waking = True
            self._loop.call_soon(self._push)

    def close(self) -> None:
        """Hear and send nothing more, what waits to be sent excepted."""
        if self._closed:
            return
        self._push()
        self._closed = True
        self.datagrams.take(_KIND, None)
        if self._alarm is not None:
            self._alarm.cancel()

    def _heard(self, datagram: bytes, source: Address) -> None:
        self.wake()
        self.node.receive(datagram, source, self._clock())

    def _lost(self, datagram: bytes, address: Address, _: OSError) -> None:
        self.wake()
        self.node.lost(datagram, address, self._clock())

    def _push(self) -> None:
        """Send what is due and set the alarm."""
        self._waking = False
        if self._closed:
            return
        try:
            for datagram, address in self.node.outgoing():
                refusal = self.datagrams.send(datagram, address)
                if refusal is not None:
                    self._lost(datagram, address, refusal)
            due = self.node.deadline()
            self._moved()
        except Exception:  # bulkhead: without its alarm the node would be dead
            log.exception("internal error in the DHT")
            due = self._clock() + _AFTER_FAULT
        self._arm(due)

    def _arm(self, due: float) -> None:
        """Have the alarm ring at *due* at the latest. One that rings before costs less than a new one each time."""
        if due == inf:
            return
        at = self._loop.time() + max(0.0, due - self._clock())
        if self._alarm is not None:
            if self._rings_at <= at:
                return
            self._alarm.cancel()
        self._rings_at = at  # uvloop's handles of what is due at once do not tell
        self._alarm = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._closed:
            return
        try:
            self.node.tick(self._clock())
        except Exception:  # bulkhead, as above
            log.exception("internal error in the DHT")
            self._arm(self._clock() + _AFTER_FAULT)
            return
        self._push()
