"""Info dictionaries with a v2 side, made by the BEP's words and not by our own code."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import Any

from anabranch.bencode import encode

K = 16 * 1024
SHA1 = b"h" * 20

Files = Sequence[tuple[str, int]]  # path joined by "/", length


def content(path: str, length: int) -> bytes:
    """The bytes of a file."""
    return Random(path).randbytes(length)


def plain_layers(data: bytes) -> list[list[bytes]]:
    """All layers of a file's tree with their filling, from the leaves to the root."""
    leaves = [sha256(data[at : at + K]).digest() for at in range(0, len(data), K)]
    while len(leaves) & (len(leaves) - 1):
        leaves.append(bytes(32))
    layers = [leaves]
    while len(layers[-1]) > 1:
        below = layers[-1]
        layers.append([sha256(below[at] + below[at + 1]).digest() for at in range(0, len(below), 2)])
    return layers


def root_and_layer(data: bytes, piece_length: int) -> tuple[bytes, bytes]:
    """The pieces root of a file's bytes, and its piece hashes: b"" for one piece."""
    layers = plain_layers(data)
    if len(data) <= piece_length:
        return layers[-1][0], b""
    height = (piece_length // K).bit_length() - 1
    return layers[-1][0], b"".join(layers[height][: -(-len(data) // piece_length)])


def file(length: int, root: bytes = b"r" * 32, **more: Any) -> dict[str, Any]:
    """A file in a file tree (_ stands for a space in what more is said of it)."""
    said = {key.replace("_", " "): value for key, value in more.items()}
    return {"": {"length": length} | ({"pieces root": root} if length else {}) | said}


def v2(of: Files, piece_length: int = K, /, **changes: Any) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    """A v2 info dictionary with some keys changed (None takes one out, _ stands for a space), and its piece layers."""
    tree: dict[str, Any] = {}
    layers: dict[bytes, bytes] = {}
    for path, length in of:
        here = tree
        for name in path.split("/"):
            here = here.setdefault(name, {})
        root, layer = root_and_layer(content(path, length), piece_length) if length else (b"", b"")
        here.update(file(length, root))
        if layer:
            layers[root] = layer
    info = {"file tree": tree, "meta version": 2, "name": "t", "piece length": piece_length}
    info |= {key.replace("_", " "): value for key, value in changes.items()}
    return {key: value for key, value in info.items() if value is not None}, layers


def pad(length: int) -> dict[str, Any]:
    """A pad file in a list of files."""
    return {"length": length, "path": [".pad", str(length)], "attr": "p"}


def listed(files: Files, piece_length: int = K) -> list[dict[str, Any]]:
    """A hybrid's list of files, with padding before each that has content."""
    entries: list[dict[str, Any]] = []
    total = 0
    for path, length in files:
        if length and total % piece_length:
            entries.append(pad(-total % piece_length))
            total += entries[-1]["length"]
        entries.append({"length": length, "path": path.split("/")})
        total += length
    return entries


def hybrid(of: Files, entries: Any = None, piece_length: int = K, /, **changes: Any) -> bytes:
    """A hybrid info dictionary, with these entries on its v1 side if they are not the right ones."""
    entries = listed(of, piece_length) if entries is None else entries
    total = sum(entry["length"] for entry in entries)
    sides = {"files": entries, "pieces": SHA1 * -(-total // piece_length)}
    return encode(v2(of, piece_length, **(sides | changes))[0])
