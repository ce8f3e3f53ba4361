"""Items: what anybody may store in the DHT, known by its hash, or signed and then changeable.

Source: BEP 44. An item that exists is right: what others send is checked where an Item is made of it. Private keys are
seeds of 32 bytes (RFC 8032), or a seed and its public key behind it, as many programs write them; expanded keys, which
the BEP's examples have, cannot be told from those and are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

from anabranch.bencode import BencodeError, Limits, Value, decode, encode
from anabranch.model import InputRefused

MOST_VALUE = 1000  # bytes, bencoded; BEP 44: more need not be stored by anybody
MOST_SALT = 64  # bytes
MOST_DEPTH = 38  # lists and dictionaries in each other; messages, which have two around it, are read up to 40
MOST_SEQUENCE = 2**63 - 1
KEY_LENGTH = 32  # bytes
SIGNATURE_LENGTH = 64  # bytes

PROTOCOL_ERROR = 203  # BEP 5
TOO_BIG = 205
INVALID_SIGNATURE = 206
SALT_TOO_BIG = 207

_LIMITS = Limits(depth=MOST_DEPTH)


class ItemRefused(InputRefused):
    """This is no item, or none that is stored now.

    Args:
        code: The error's number in the DHT (BEP 5, BEP 44).
        text: What was found.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, init=False)
class Item:
    """A value and, where it is mutable, whose it is and which version.

    Args:
        value: Anything that bencode can say.
        key: The public key of who signed it, 32 bytes; empty for an immutable item, which has none of the following.
        salt: Tells several items of one key apart, at most 64 bytes.
        sequence: The version; the greater replaces the smaller.
        signature: 64 bytes over salt, sequence and value.

    Raises:
        ItemRefused: what bencode cannot say, too much of it, a wrong signature; with the code that says which.
    """

    encoded: bytes
    """The value, bencoded."""
    key: bytes
    salt: bytes
    sequence: int
    signature: bytes
    target: bytes
    """By which it is found, 20 bytes."""

    def __init__(
        self, value: Value, key: bytes = b"", salt: bytes = b"", sequence: int = 0, signature: bytes = b""
    ) -> None:
        encoded = _encoded(value)
        if key:
            _check_version(salt, sequence)
            if len(key) != KEY_LENGTH:
                raise ItemRefused(PROTOCOL_ERROR, f"a public key of {len(key)} bytes, {KEY_LENGTH} are due")
            if len(signature) != SIGNATURE_LENGTH or not _verified(encoded, key, salt, sequence, signature):
                raise ItemRefused(INVALID_SIGNATURE, "the signature is not its key's")
        elif salt or sequence or signature:
            raise ItemRefused(PROTOCOL_ERROR, "salt, sequence or signature without a key")
        target = target_of(key, salt) if key else sha1(encoded, usedforsecurity=False).digest()
        for name, checked in zip(
            self.__slots__, (encoded, key, salt, sequence, signature, target), strict=True
        ):  # frozen
            object.__setattr__(self, name, checked)

    @property
    def value(self) -> Value:
        """What is stored."""
        return decode(self.encoded)

    @property
    def mutable(self) -> bool:
        """Whether its owner may replace it."""
        return bool(self.key)


def target_of(key: bytes, salt: bytes = b"") -> bytes:
    """By what the items of a public key are found: 20 bytes."""
    return sha1(key + salt, usedforsecurity=False).digest()


def sign(value: Value, private_key: bytes, salt: bytes = b"", sequence: int = 0) -> Item:
    """Make a mutable item. Takes about 0.1 ms.

    Raises:
        ItemRefused: as Item.
        InputRefused: not a private key.
    """
    # imported when needed: it takes 15 ms, and few programs store anything
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encoded = _encoded(value)
    _check_version(salt, sequence)
    public = public_key(private_key)
    signature = Ed25519PrivateKey.from_private_bytes(private_key[:KEY_LENGTH]).sign(_signed(encoded, salt, sequence))
    return Item(value, public, salt, sequence, signature)


def public_key(private_key: bytes) -> bytes:
    """The public key of a private one: 32 bytes.

    Raises:
        InputRefused: not a private key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # see sign()

    if len(private_key) not in (KEY_LENGTH, 2 * KEY_LENGTH):
        raise InputRefused(f"a private key of {len(private_key)} bytes, {KEY_LENGTH} or {2 * KEY_LENGTH} are due")
    seed, its_public = private_key[:KEY_LENGTH], private_key[KEY_LENGTH:]
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    if its_public not in (b"", public):
        raise InputRefused("a private key of 64 bytes whose second half is not its public key")
    return public


def _encoded(value: Value) -> bytes:
    try:
        encoded = encode(value)
    except BencodeError as bad:
        raise ItemRefused(PROTOCOL_ERROR, f"no value to be stored: {bad}") from bad
    if len(encoded) > MOST_VALUE:
        raise ItemRefused(TOO_BIG, f"a value of {len(encoded)} bytes, at most {MOST_VALUE} are stored")
    if not isinstance(value, bytes | str | int):
        try:
            decode(encoded, limits=_LIMITS)
        except BencodeError as bad:  # no message that holds it would be read
            raise ItemRefused(PROTOCOL_ERROR, f"no value to be stored: {bad}") from bad
    return encoded


def _check_version(salt: bytes, sequence: int) -> None:
    if len(salt) > MOST_SALT:
        raise ItemRefused(SALT_TOO_BIG, f"a salt of {len(salt)} bytes, at most {MOST_SALT} are allowed")
    if not 0 <= sequence <= MOST_SEQUENCE:
        raise ItemRefused(PROTOCOL_ERROR, f"a sequence number of {sequence}, 0 to {MOST_SEQUENCE} are allowed")


def _signed(encoded: bytes, salt: bytes, sequence: int) -> bytes:
    """What the signature is of. Its parts are bencoded one by one: no part can pass for another."""
    salted = b"4:salt%d:%b" % (len(salt), salt) if salt else b""
    return b"%b3:seqi%de1:v%b" % (salted, sequence, encoded)


def _verified(encoded: bytes, key: bytes, salt: bytes, sequence: int, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # see sign()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _signed(encoded, salt, sequence))
    except (InvalidSignature, ValueError):  # ValueError: bytes that are no key
        return False
    return True
