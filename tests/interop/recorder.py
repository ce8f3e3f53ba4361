"""What leaves a network of a test's own, packet by packet, and what peers said in it. Linux, root: see own_network.py.

It records below all our code: what the system sends (packet(7)). It decodes by itself, too, what is said in clear.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Thread
from types import TracebackType
from typing import Any, Self

from anabranch.bencode import BencodeError, decode, decode_prefix

Port = tuple[str, int]  # an address and its port

_ALL_PROTOCOLS = 3  # ETH_P_ALL, linux/if_ether.h; in network order below
_SOL_PACKET, _STATISTICS = 263, 6  # linux/if_packet.h
_RCVBUFFORCE = 33  # asm-generic/socket.h
_BUFFER = 64 * 1024 * 1024  # bytes; a recording with a hole proves nothing, so none is made
_IPV4, _IPV6 = 0x0800, 0x86DD  # linux/if_ether.h
_TCP, _UDP = 6, 17  # RFC 790
_SYN = 0x02  # RFC 9293
_WRAP = 1 << 32

_GREETING = b"\x13BitTorrent protocol"  # BEP 3
_PORT, _EXTENDED = 9, 20  # messages: BEPs 5 and 10


@dataclass(frozen=True)
class Datagram:
    """One that left by UDP."""

    source: Port
    to: Port
    payload: bytes

    @property
    def krpc(self) -> dict[bytes, Any]:
        """What it says as a message of the DHT (BEP 5); nothing where it is none."""
        try:
            told = decode(self.payload)
        except BencodeError:
            return {}
        return told if isinstance(told, dict) and b"y" in told else {}


@dataclass(frozen=True)
class Spoken:
    """One direction of a conversation between peers that goes on in clear.

    Args:
        source: Who spoke.
        to: To whom.
        reserved: The handshake's bits.
        info_hash: The handshake's hash.
        messages: Number and body of each that was spoken to its end.
    """

    source: Port
    to: Port
    reserved: bytes
    info_hash: bytes
    messages: tuple[tuple[int, bytes], ...]

    @property
    def claims_dht(self) -> bool:
        """Whether the handshake says that there is a DHT node (BEP 5)."""
        return bool(self.reserved[7] & 1)

    @property
    def ports(self) -> list[int]:
        """What PORT messages said (BEP 5)."""
        return [int.from_bytes(body, "big") for number, body in self.messages if number == _PORT]

    @property
    def extensions(self) -> set[bytes]:
        """Every extension that any extended handshake names with a number (BEP 10)."""
        named: set[bytes] = set()
        for number, body in self.messages:
            if number == _EXTENDED and body[:1] == b"\0":
                told, _ = decode_prefix(body[1:])
                assert isinstance(told, dict)
                names = told.get(b"m", {})
                assert isinstance(names, dict)
                named.update(name for name, value in names.items() if value)
        return named

    def extended(self, number: int) -> list[bytes]:
        """The bodies of an extension's messages, by the number that *to* gave it."""
        return [body[1:] for kind, body in self.messages if kind == _EXTENDED and body[:1] == bytes([number])]


@dataclass
class _Flow:
    """One direction of a TCP connection: its bytes by where they belong, in one of several sendings."""

    begin: int  # sequence number of its first byte
    parts: dict[int, bytes] = field(default_factory=dict)

    def add(self, sequence: int, data: bytes) -> None:
        at = (sequence - self.begin) % _WRAP
        if len(data) > len(self.parts.get(at, b"")):
            self.parts[at] = data

    def joined(self) -> bytes:
        """All bytes; ValueError where some are missing."""
        whole = bytearray()
        for at, data in sorted(self.parts.items()):
            if at > len(whole):
                raise ValueError(f"{at - len(whole)} bytes were not recorded")
            whole[at : at + len(data)] = data
        return bytes(whole)


class Recorder:
    """Records from `with` to the end of the block what is sent in the network of the thread that enters it.

    Loopback and every other interface, by everybody who is in that network. What was said by TCP is to be read after
    the block.

    Attributes:
        datagrams: Those that left so far.
    """

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self._flows: dict[tuple[Port, Port], list[_Flow]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
        self._tap.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        self._tap.setblocking(False)
        self._end, self._listener_end = socket.socketpair()
        self._listener = Thread(target=self._listen, name="recorder", daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()
        self._listener.join()
        self._listener_end.close()
        lost = struct.unpack("II", self._tap.getsockopt(_SOL_PACKET, _STATISTICS, 8))[1]
        self._tap.close()
        assert not lost, f"{lost} packets were not recorded"

    def spoken(self, source: str) -> list[Spoken]:
        """All that peers at that address said to others, one for each connection whose handshake is in clear."""
        return list(self._spoken(source))

    def sent(self, source: str) -> list[Datagram]:
        """All datagrams of that address."""
        return [each for each in self.datagrams if each.source[0] == source]

    def streams(self, source: str) -> list[bytes]:
        """All that this address sent by TCP, one for each connection."""
        return [flow.joined() for (sender, _), flows in self._flows.items() if sender[0] == source for flow in flows]

    def _listen(self) -> None:
        """Take packets until the end is told, and then what is still there."""
        going_on = True
        while going_on:
            ready, _, _ = select.select([self._tap, self._listener_end], [], [])
            going_on = self._listener_end not in ready
            while True:
                try:
                    packet, (_, protocol, kind, *_) = self._tap.recvfrom(1 << 18)
                except BlockingIOError:
                    break
                if kind == socket.PACKET_OUTGOING:  # on loopback everything is there twice
                    self._read(protocol, packet)

    def _read(self, protocol: int, packet: bytes) -> None:
        """Tell UDP from TCP. All else (ARP, ICMP, fragments, which none of ours are) says nothing of torrents."""
        if protocol == _IPV4:
            begin, length = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
            carried = packet[9]
            sender, to = (socket.inet_ntop(socket.AF_INET, packet[at : at + 4]) for at in (12, 16))
        elif protocol == _IPV6:
            begin, length = 40, 40 + int.from_bytes(packet[4:6], "big")
            carried = packet[6]
            sender, to = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
        else:
            return
        body = packet[begin : length if length > begin else None]  # what leaves in one go may have no length
        if carried not in (_TCP, _UDP):
            return
        source_port, to_port = struct.unpack_from(">HH", body)
        source, destination = (sender, source_port), (to, to_port)
        if carried == _UDP:
            self.datagrams.append(Datagram(source, destination, body[8:]))
            return
        sequence, offset, flags = struct.unpack_from(">I4xBB", body, 4)
        flows = self._flows[source, destination]
        if flags & _SYN and not (flows and flows[-1].begin == (sequence + 1) % _WRAP):
            flows.append(_Flow((sequence + 1) % _WRAP))
        data = body[(offset >> 4) * 4 :]
        if data and flows and not flags & _SYN:
            flows[-1].add(sequence, data)

    def _spoken(self, source: str) -> Iterator[Spoken]:
        for (sender, to), flows in self._flows.items():
            for flow in flows if sender[0] == source else ():
                data = flow.joined()
                if data.startswith(_GREETING):
                    yield Spoken(sender, to, data[20:28], data[28:48], tuple(_messages(data[68:])))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and body of each whole message."""
    at = 0
    while at + 4 <= len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        if end > at + 4:
            yield data[at + 4], data[at + 5 : end]
        at = end
