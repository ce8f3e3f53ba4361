"""UDP trackers on the running loop: one socket for each family, one conversation for each tracker's address.

A socket may be shared with whoever else speaks UDP: what comes from a tracker's address is offered to its machine,
which knows what answers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from secrets import randbits

from anabranch.model import Address, InputRefused
from anabranch.net import Datagrams, source_for, udp_socket

from .faults import FaultKind, TrackerFault
from .messages import AnnounceReply, AnnounceRequest
from .udp import Scraped, UdpTracker

_Outcome = AnnounceReply | Scraped | TrackerFault
_IDLE_LIFE = 60.0  # seconds that a conversation is kept for its connection id, which is good for no longer
_MOST_SILENT = 1000  # addresses that are remembered; they come from strangers' torrents


class _Conversation:
    """A machine, its socket, who waits for what it brings, and its alarm."""

    def __init__(self, machine: UdpTracker, through: Datagrams) -> None:
        self.machine = machine
        self.through = through
        self.asking: dict[int, asyncio.Future[_Outcome]] = {}
        self.alarm: asyncio.TimerHandle | None = None


class UdpTrackers:
    """All conversations with UDP trackers. Belongs to the loop where it is first asked; close it there.

    Args:
        bind: Our own IP addresses to speak from, none for the system's choice; a family without one is not spoken.
        shared: Sockets of others to speak through, by "is IPv6", looked up for each new conversation and never closed
            here; a family without one has one of its own.
    """

    def __init__(self, bind: Sequence[str] = (), shared: Mapping[bool, Datagrams] | None = None) -> None:
        self._bind = bind
        self._shared: Mapping[bool, Datagrams] = {} if shared is None else shared
        self._sockets: dict[bool, Datagrams] = {}  # by "is IPv6"
        self._conversations: dict[Address, _Conversation] = {}
        self._silent: dict[Address, None] = {}  # those that did not answer when last asked, the latest last

    @property
    def conversations(self) -> int:
        """With how many trackers we speak, or may want to go on."""
        return len(self._conversations)

    async def announce(self, address: Address, target: str, request: AnnounceRequest, patience: float) -> AnnounceReply:
        """Announce to the tracker at *address*.

        Args:
            address: Whom to ask.
            target: The URL's path and query.
            request: What to tell.
            patience: Seconds to wait for an answer.

        Raises:
            TrackerFault: no answer, or a refusal.
        """
        answer = await self._ask(address, lambda machine, now: machine.announce(request, target, now, patience))
        assert isinstance(answer, AnnounceReply)  # the machine matches answers with what was asked
        return answer

    def by_hope(self, addresses: Sequence[Address]) -> list[Address]:
        """Addresses of one tracker in the order in which to ask: those that were silent when last asked come last."""
        return sorted(addresses, key=self._silent.__contains__)

    async def scrape(self, address: Address, info_hashes: Sequence[bytes], patience: float) -> Scraped:
        """Ask for the numbers of at most MAX_SCRAPED torrents. As announce()."""
        answer = await self._ask(address, lambda machine, now: machine.scrape(info_hashes, now, patience))
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        """End all conversations; who still waits is told so by a TrackerFault."""
        for address in list(self._conversations):
            self._end(address)
        sockets, self._sockets = self._sockets, {}
        for datagrams in sockets.values():
            datagrams.close()

    async def _ask(self, address: Address, question: Callable[[UdpTracker, float], int]) -> AnnounceReply | Scraped:
        loop = asyncio.get_running_loop()
        conversation = self._conversation(address)
        number = question(conversation.machine, loop.time())
        waiting: asyncio.Future[_Outcome] = loop.create_future()
        conversation.asking[number] = waiting
        try:
            self._push(address, conversation)
            answer = await waiting
        finally:
            conversation.asking.pop(number, None)
            if waiting.cancelled() and self._conversations.get(address) is conversation:
                conversation.machine.forget(number, loop.time())
                self._push(address, conversation)
        self._silent.pop(address, None)
        if isinstance(answer, TrackerFault):
            if answer.kind is FaultKind.TIMEOUT:
                self._silent[address] = None
                if len(self._silent) > _MOST_SILENT:
                    del self._silent[next(iter(self._silent))]
            raise answer
        return answer

    def _conversation(self, address: Address) -> _Conversation:
        conversation = self._conversations.get(address)
        if conversation is None:
            through = self._socket(address.is_v6)
            conversation = _Conversation(UdpTracker(v6=address.is_v6, draw=partial(randbits, 32)), through)
            self._conversations[address] = conversation
            through.expect(address, partial(self._heard, address), partial(self._lost, address))
        return conversation

    def _socket(self, v6: bool) -> Datagrams:
        if v6 in self._shared:
            return self._shared[v6]
        if v6 not in self._sockets:
            source = source_for(self._bind, v6=v6)
            if source is None:
                raise TrackerFault(FaultKind.NETWORK, f"we are bound to no {'IPv6' if v6 else 'IPv4'} address")
            try:
                self._sockets[v6] = Datagrams(udp_socket(source))
            except InputRefused as refusal:
                raise TrackerFault(FaultKind.NETWORK, str(refusal)) from refusal
        return self._sockets[v6]

    def _heard(self, address: Address, datagram: bytes) -> None:
        conversation = self._conversations[address]
        answers = conversation.machine.receive(datagram, asyncio.get_running_loop().time())
        self._deliver(conversation, answers)
        self._push(address, conversation)

    def _lost(self, address: Address, datagram: bytes, why: OSError) -> None:
        conversation = self._conversations[address]
        now = asyncio.get_running_loop().time()
        self._deliver(conversation, conversation.machine.undelivered(datagram, why.strerror or str(why), now))
        self._push(address, conversation)

    def _woken(self, address: Address) -> None:
        conversation = self._conversations[address]
        now = asyncio.get_running_loop().time()
        self._deliver(conversation, conversation.machine.tick(now))
        if conversation.machine.idle_at(now):
            self._end(address)
        else:
            self._push(address, conversation)

    def _deliver(self, conversation: _Conversation, answers: Sequence[tuple[int, _Outcome]]) -> None:
        for number, answer in answers:
            waiting = conversation.asking.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    def _push(self, address: Address, conversation: _Conversation) -> None:
        """Send what is due and set the alarm. Where the system will not send, all questions have their answer."""
        loop = asyncio.get_running_loop()
        machine = conversation.machine
        for datagram in machine.outgoing():
            if refusal := conversation.through.send(datagram, address):
                words = refusal.strerror or str(refusal)
                self._deliver(conversation, machine.undelivered(datagram, words, loop.time()))
        if conversation.alarm is not None:
            conversation.alarm.cancel()
        due = machine.deadline()
        if due == inf:  # nothing is open: the connection id stays for who comes next, and is forgotten with its time
            due = loop.time() + _IDLE_LIFE
        conversation.alarm = loop.call_at(due, self._woken, address)

    def _end(self, address: Address) -> None:
        conversation = self._conversations.pop(address)
        conversation.through.forget(address)
        if conversation.alarm is not None:
            conversation.alarm.cancel()
        text = "the client was closed before there was an answer"
        ended = [(number, TrackerFault(FaultKind.CLOSED, text)) for number in conversation.asking]
        self._deliver(conversation, ended)
