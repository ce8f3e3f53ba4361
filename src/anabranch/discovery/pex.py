"""Peer exchange messages (BEP 11, "ut_pex"): who came to the sender's swarm and who left it, and the bytes of that.

They are payloads of the extension protocol. When they go and come is gossip.py's affair. Addresses are what a stranger
says of strangers: whether one is ours, known, or may be dialed at all is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from anabranch.bencode import BencodeError, Limits, Value, decode, encode
from anabranch.model import Address, PeerFault

PEX = "ut_pex"
MOST_READ = 100  # addresses that came, and that left, of one message; BEP 11 has senders stop at 50
_LARGEST = 64 * 1024  # bytes; libtorrent tells of all its losses at once, a few thousand where a network fails
_LIMITS = Limits(depth=8, items=128, string_length=_LARGEST)  # real ones have 13 items in one dictionary
_ENCRYPTION, _SEED, _UTP, _HOLEPUNCH, _REACHABLE = (1 << bit for bit in range(5))
_HOST_LENGTHS = {False: 4, True: 16}  # bytes, by whether it is IPv6
_PORT_LENGTH = 2  # bytes


@dataclass(frozen=True, slots=True)
class PexPeer:
    """Somebody of the swarm, with what the teller knows of it.

    Args:
        address: An IP address, and the port where it listens.
        prefers_encryption: Obfuscated connections first.
        seed: It wants nothing any more.
        utp: It speaks uTP.
        holepunch: It answers to BEP 55.
        reachable: Somebody has dialed it with success.
    """

    address: Address
    prefers_encryption: bool = False
    seed: bool = False
    utp: bool = False
    holepunch: bool = False
    reachable: bool = False

    @property
    def flags(self) -> int:
        """The byte of BEP 11."""
        return (
            self.prefers_encryption * _ENCRYPTION
            | self.seed * _SEED
            | self.utp * _UTP
            | self.holepunch * _HOLEPUNCH
            | self.reachable * _REACHABLE
        )


@dataclass(frozen=True, slots=True)
class PexMessage:
    """Who came and who left since the last one."""

    added: tuple[PexPeer, ...] = ()
    dropped: tuple[Address, ...] = ()

    @classmethod
    def parse(cls, payload: bytes) -> PexMessage:
        """Read what a peer sent; beyond the first MOST_READ that came or left nothing is kept.

        Flags may be missing, or fewer than peers: then nothing is known of those. What else is told is passed over.

        Raises:
            PeerFault: larger than any real one, no dictionary, or no list of whole addresses.
        """
        if len(payload) > _LARGEST:
            raise PeerFault(f"{PEX} of {len(payload)} bytes, at most {_LARGEST} are read")
        try:
            said = decode(payload, lenient=True, limits=_LIMITS)
        except BencodeError as bad:
            raise PeerFault(f"{PEX}: {bad}") from bad
        if not isinstance(said, dict):
            raise PeerFault(f"{PEX} without a dictionary")
        came = [
            _peer(address, flags)
            for name, v6 in ((b"added", False), (b"added6", True))
            for address, flags in zip(_addresses(said, name, v6=v6), _flags(said, name + b".f"), strict=False)
        ]
        left = [*_addresses(said, b"dropped", v6=False), *_addresses(said, b"dropped6", v6=True)]
        return cls(tuple(came[:MOST_READ]), tuple(left[:MOST_READ]))

    def payload(self) -> bytes:
        """The bytes to send."""
        said: dict[bytes, bytes] = {}
        for v6, ending in ((False, b""), (True, b"6")):
            came = [peer for peer in self.added if peer.address.is_v6 == v6]
            said[b"added" + ending] = _compact(peer.address for peer in came)
            said[b"added" + ending + b".f"] = bytes(peer.flags for peer in came)
            said[b"dropped" + ending] = _compact(address for address in self.dropped if address.is_v6 == v6)
        return encode(said)


def _peer(address: Address, flags: int) -> PexPeer:
    return PexPeer(
        address,
        prefers_encryption=bool(flags & _ENCRYPTION),
        seed=bool(flags & _SEED),
        utp=bool(flags & _UTP),
        holepunch=bool(flags & _HOLEPUNCH),
        reachable=bool(flags & _REACHABLE),
    )


def _addresses(said: dict[bytes, Value], name: bytes, *, v6: bool) -> list[Address]:
    """The first MOST_READ addresses of a list; an IPv4 address in IPv6 clothes is shown as IPv4."""
    listed = said.get(name, b"")
    length = _HOST_LENGTHS[v6]
    stride = length + _PORT_LENGTH
    if not isinstance(listed, bytes) or len(listed) % stride:
        raise PeerFault(f"{PEX}: {name.decode()} is no list of addresses of {stride} bytes")
    spell = _host_v6 if v6 else _host_v4
    return [
        Address(spell(listed[start : start + length]), int.from_bytes(listed[start + length : start + stride], "big"))
        for start in range(0, min(len(listed), MOST_READ * stride), stride)
    ]


def _host_v4(packed: bytes) -> str:
    return ".".join(map(str, packed))


def _host_v6(packed: bytes) -> str:
    host = IPv6Address(packed)
    return str(host.ipv4_mapped or host)


def _flags(said: dict[bytes, Value], name: bytes) -> Iterator[int]:
    """A byte for each peer, zeroes where there are no more: flags are a favour, some clients leave them out."""
    flags = said.get(name)
    yield from flags[:MOST_READ] if isinstance(flags, bytes) else b""
    while True:
        yield 0


def _compact(addresses: Iterable[Address]) -> bytes:
    return b"".join(_packed(host) + port.to_bytes(_PORT_LENGTH, "big") for host, port in addresses)


def _packed(host: str) -> bytes:
    return IPv6Address(host).packed if ":" in host else bytes(map(int, host.split(".")))
