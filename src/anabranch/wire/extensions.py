"""The extension protocol (BEP 10): who calls which extension by which number, and the handshake that says so.

Also what travels in that handshake (BEP 9 metadata_size, BEP 21 upload_only, BEP 24 yourip) and the one extension that
belongs to the wire itself, lt_donthave (BEP 54). What other extensions say is for their rooms to read.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from anabranch.bencode import BencodeError, Limits, Value, decode_prefix, encode
from anabranch.model import PeerFault, canonical_host

_T = TypeVar("_T")

DONT_HAVE = "lt_donthave"
_DONT_HAVE_ID = 7  # any number would do; names given by the owner may not use it
_DONT_HAVE_BODY = struct.Struct(">I")
_MAX_VERSION = 128  # characters of the peer's name for itself that we keep
_MAX_IDS = 64  # extensions a peer may name; real ones name about ten
_MAX_NAME = 64  # bytes of an extension's name
_LIMITS = Limits(depth=16, items=4096, string_length=64 * 1024)  # real handshakes have 60 items, 3 deep


@dataclass(frozen=True, slots=True)
class DontHave:
    """The peer has lost this piece, or never had it (BEP 54)."""

    piece: int


@dataclass(frozen=True, slots=True)
class ExtendedMessage:
    """A message of an extension that we named, in the sender's own format."""

    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ExtendedHandshake:
    """What the peer has said about itself so far, all its handshakes together.

    Args:
        ids: The number by which the peer wants each extension to be called.
        version: The peer's name for itself, "" where it gave none.
        reqq: How many requests it queues; None where it did not say.
        port: Where it listens; None where it did not say.
        yourip: Our address as the peer sees it, shortest spelling.
        upload_only: Whether it wants nothing (BEP 21).
        metadata_size: Length of the info dictionary in bytes (BEP 9).
        prefers_encryption: The field "e".
    """

    ids: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    version: str = ""
    reqq: int | None = None
    port: int | None = None
    yourip: str | None = None
    upload_only: bool = False
    metadata_size: int | None = None
    prefers_encryption: bool = False

    def updated(self, payload: bytes) -> ExtendedHandshake:
        """This and what a further handshake says. A field of the wrong type or out of range is as good as absent.

        Raises:
            PeerFault: not a bencoded dictionary.
        """
        try:
            said, _ = decode_prefix(payload, lenient=True, limits=_LIMITS)  # bytes may follow the dictionary
        except BencodeError as bad:
            raise PeerFault(f"extended handshake: {bad}") from bad
        if not isinstance(said, dict):
            raise PeerFault("extended handshake is not a dictionary")
        version = said.get(b"v")
        upload_only = _number(said, b"upload_only", 0, 1 << 63)
        prefers = _number(said, b"e", 0, 1 << 63)
        return ExtendedHandshake(
            ids=_updated_ids(self.ids, said.get(b"m")),
            version=version.decode(errors="replace")[:_MAX_VERSION] if isinstance(version, bytes) else self.version,
            reqq=_or(_number(said, b"reqq", 1, 1 << 31), self.reqq),
            port=_or(_number(said, b"p", 1, 65535), self.port),
            yourip=_or(_host(said.get(b"yourip")), self.yourip),
            upload_only=self.upload_only if upload_only is None else upload_only != 0,
            metadata_size=_or(_number(said, b"metadata_size", 1, 1 << 40), self.metadata_size),
            prefers_encryption=self.prefers_encryption if prefers is None else prefers != 0,
        )


@dataclass(frozen=True, slots=True)
class OurExtensions:
    """What we say about ourselves in an extended handshake.

    Args:
        names: The extensions we take messages of, with a number from 1 to 255 each; lt_donthave is added.
        version: The name and version of our program; "" to say none.
        reqq: How many requests we queue.
        port: Where we listen; None where we do not.
        yourip: The peer's address as we see it, packed: 4 or 16 bytes.
        upload_only: We want nothing (BEP 21); False to take that back.
        ipv4, ipv6: Our other addresses, packed.
        metadata_size: Length of the info dictionary in bytes, where we have it.
        prefer_encryption: The field "e".
        gone: Extensions we have named and take no messages of any more.
    """

    names: Mapping[str, int]
    version: str
    reqq: int
    port: int | None = None
    yourip: bytes = b""
    upload_only: bool | None = None
    ipv4: bytes = b""
    ipv6: bytes = b""
    metadata_size: int | None = None
    prefer_encryption: bool | None = None
    gone: Collection[str] = ()

    def __post_init__(self) -> None:
        numbers = list(self.ids().values())
        if len(set(numbers)) != len(numbers) or not all(1 <= number <= 255 for number in numbers):
            raise ValueError(f"extensions need a number of their own from 1 to 255: {self.ids()}")

    def ids(self) -> dict[str, int]:
        """Each extension's number, lt_donthave's among them."""
        return {DONT_HAVE: _DONT_HAVE_ID, **self.names}

    def payload(self) -> bytes:
        """The handshake's dictionary, bencoded."""
        said: dict[bytes, Value] = {
            b"m": {name.encode(): number for name, number in (dict.fromkeys(self.gone, 0) | self.ids()).items()},
            b"reqq": self.reqq,
        }
        optional: dict[bytes, Value | None] = {
            b"v": self.version.encode() or None,
            b"p": self.port,
            b"yourip": self.yourip or None,
            b"upload_only": None if self.upload_only is None else int(self.upload_only),
            b"ipv4": self.ipv4 or None,
            b"ipv6": self.ipv6 or None,
            b"metadata_size": self.metadata_size,
            b"e": None if self.prefer_encryption is None else int(self.prefer_encryption),
        }
        return encode(said | {key: value for key, value in optional.items() if value is not None})


class Extensions:
    """Both sides' numbers in one conversation.

    Attributes:
        enabled: Whether both handshakes had the extension bit; if not, nothing is sent and what comes is skipped.
        theirs: What the peer has said about itself.
    """

    __slots__ = ("_names", "enabled", "theirs")

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.theirs = ExtendedHandshake()
        self._names: dict[int, str] = {}  # ours, by number

    def introduce(self, ours: OurExtensions) -> bytes:
        """Remember what we call our extensions; returns the handshake's payload."""
        self._names = {number: name for name, number in ours.ids().items()}
        return ours.payload()

    def their_id(self, name: str) -> int | None:
        """The number by which the peer wants this extension called; None where it does not know it."""
        return self.theirs.ids.get(name) if self.enabled else None

    def name_of(self, number: int) -> str | None:
        """What we call by this number; None for nothing."""
        return self._names.get(number)

    def read(self, number: int, payload: bytes) -> ExtendedHandshake | ExtendedMessage | DontHave | None:
        """Make out what an extended message is; None for one that we did not ask for.

        Raises:
            PeerFault: a broken handshake, or a DontHave of the wrong length.
        """
        if not self.enabled:
            return None
        if number == 0:
            self.theirs = self.theirs.updated(payload)
            return self.theirs
        name = self._names.get(number)
        if name == DONT_HAVE:
            if len(payload) != _DONT_HAVE_BODY.size:
                raise PeerFault(f"{DONT_HAVE} with {len(payload)} bytes, {_DONT_HAVE_BODY.size} are due")
            return DontHave(*_DONT_HAVE_BODY.unpack(payload))
        return None if name is None else ExtendedMessage(name, payload)


def dont_have_payload(piece: int) -> bytes:
    """The body of a DontHave."""
    return _DONT_HAVE_BODY.pack(piece)


def _updated_ids(ids: Mapping[str, int], said: Value | None) -> Mapping[str, int]:
    if not isinstance(said, dict):
        return ids
    merged = dict(ids)
    for name, number in said.items():
        if isinstance(name, bytes) and isinstance(number, int) and 0 <= number <= 255 and len(name) <= _MAX_NAME:
            text = name.decode(errors="replace")
            if number == 0:
                merged.pop(text, None)  # BEP 10: switched off
            elif text in merged or len(merged) < _MAX_IDS:
                merged[text] = number
    return MappingProxyType(merged)


def _number(said: Mapping[bytes, Value], key: bytes, least: int, most: int) -> int | None:
    value = said.get(key)
    return value if isinstance(value, int) and least <= value <= most else None


def _host(packed: Value | None) -> str | None:
    if isinstance(packed, bytes) and len(packed) == 4:
        return ".".join(map(str, packed))
    if isinstance(packed, bytes) and len(packed) == 16:
        return canonical_host(":".join(packed[at : at + 2].hex() for at in range(0, 16, 2)))
    return None


def _or(value: _T | None, otherwise: _T | None) -> _T | None:
    return otherwise if value is None else value
