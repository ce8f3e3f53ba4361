"""`anabranch dht get` and `put`: small values that the DHT keeps for everybody (BEP 44)."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass

from anabranch.bencode import BencodeError, Value, decode
from anabranch.dht import Item, new_key, public_key, sign, target_of
from anabranch.metainfo import printable
from anabranch.model import InputRefused

from .dht_node import NothingFound, Reach, Visit, effort, effort_facts, visit
from .dht_peers import nobody_took_it
from .words import counted

_MOST_READ = 4096  # bytes of a file or of stdin; more than any value or key has


@dataclass(frozen=True)
class Putting:
    """What was asked of put.

    Args:
        value: A text, or "-" for what stdin gives.
        bencoded: It is bencoded.
        key_file: Where the private key is, None for a value that nobody can change.
        new_key: Whether that file is to be made.
        salt: Which of the key's values.
        sequence: Number of the version, None for the next one.
        cas: Number of the version that it is to replace, None for any.
    """

    value: bytes
    bencoded: bool
    key_file: str | None
    new_key: bool
    salt: bytes
    sequence: int | None
    cas: int | None


def get(reach: Reach, target: bytes | None, key: bytes | None, salt: bytes) -> int:
    """Find a value and print it. Answers the exit code.

    Raises:
        NothingFound: no node has it.
    """
    place = target_of(key, salt) if key else target or b""

    async def work(at: Visit) -> int:
        await at.enter()
        looked = await at.dht.get(place, salt=salt, key=key or b"")
        if looked.item is None:
            raise NothingFound(f"nothing is stored under {place.hex()}; {effort(looked)}")
        if reach.json:
            print(json.dumps(item_facts(looked.item) | effort_facts(looked)))
        else:
            _print(looked.item)
            version = f"version {looked.item.sequence}; " if looked.item.mutable else ""
            at.remark(f"{version}{effort(looked)}")
        return 0

    return visit(reach, work)


def put(reach: Reach, putting: Putting) -> int:
    """Store a value, and print by what it is found. Answers the exit code.

    Raises:
        InputRefused: no value, a key that is none, or one that is there where a new one is to be made.
        OSError: the key's file cannot be read or made.
        NothingFound: no node took it.
    """
    value = _value(putting)
    private = _private_key(putting)
    item = sign(value, private, putting.salt, putting.sequence or 0) if private else Item(value)
    if putting.key_file and putting.new_key:  # now that it is known to be of use
        _keep(private, putting.key_file)

    async def work(at: Visit) -> int:
        await at.enter()
        stored = item
        if private and putting.sequence is None:
            there = (await at.dht.get(item.target, salt=item.salt, key=item.key)).item
            same = there is not None and there.encoded == item.encoded  # then it is only stored anew
            stored = there if there and same else sign(value, private, item.salt, there.sequence + 1 if there else 1)
        looked = await at.dht.put(stored, cas=putting.cas)
        if reach.json:
            told = {"stored": looked.stored, "refused": list(looked.refused)}
            print(json.dumps(item_facts(stored) | told | effort_facts(looked)))
        if not looked.stored:
            raise NothingFound(f"{stored.target.hex()}: {nobody_took_it(looked)}")
        if not reach.json:
            print(f"Target  {stored.target.hex()}")
            if stored.mutable:
                print(f"Key     {stored.key.hex()}\nVersion {stored.sequence}")
            keep = "keeps" if looked.stored == 1 else "keep"
            at.remark(f"{counted(looked.stored, 'node')} {keep} it; {effort(looked)}")
        return 0

    return visit(reach, work)


def item_facts(item: Item) -> dict[str, object]:
    """An item as values for JSON; null for what only a signed one has, and for a value that is no text."""
    text = _text(item.value)
    return {
        "target": item.target.hex(),
        "value": text,
        "bencoded": item.encoded.hex(),
        "key": item.key.hex() if item.mutable else None,
        "salt": item.salt.hex() if item.mutable else None,
        "sequence": item.sequence if item.mutable else None,
        "signature": item.signature.hex() if item.mutable else None,
    }


def _text(value: Value) -> str | None:
    if not isinstance(value, bytes):
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _print(item: Item) -> None:
    """The value on stdout: to a terminal what it can show, to anything else the bytes as they are."""
    value = item.value
    raw = value if isinstance(value, bytes) else item.encoded
    if sys.stdout.isatty():
        print("\n".join(map(printable, raw.decode("utf-8", "backslashreplace").split("\n"))))
        return
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


def _value(putting: Putting) -> Value:
    raw = sys.stdin.buffer.read(_MOST_READ) if putting.value == b"-" else putting.value
    if not putting.bencoded:
        return raw
    try:
        return decode(raw)
    except BencodeError as bad:
        raise InputRefused(f"not a bencoded value: {bad}") from bad


def _private_key(putting: Putting) -> bytes:
    """The key to sign with: a new one, the one that is in the file, or none."""
    if putting.key_file is None:
        return b""
    if putting.new_key:
        return new_key()
    with open(putting.key_file, "rb") as file:
        said = file.read(_MOST_READ)
    try:
        private = bytes.fromhex(said.decode("ascii").strip())
        public_key(private)
    except (ValueError, InputRefused) as bad:
        path = printable(putting.key_file)
        raise InputRefused(f"{path}: not a private key of 64 hex digits, as --new-key makes them") from bad
    return private


def _keep(private: bytes, path: str) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as there:
        raise InputRefused(f"{printable(path)} is there already: --new-key makes a new file only") from there
    with open(number, "w", encoding="ascii") as file:
        file.write(f"{private.hex()}\n")
